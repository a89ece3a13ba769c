"""What a solver's step costs beyond the network: the package's loop against a bare one of the same formula.

    OMP_NUM_THREADS=1 python benchmarks/core/overhead.py [--steps 50] [--repeats 15] [--solvers ddim unipc ...]

One thread, wall time, both sides in turn within one run; a network that returns a stored tensor stands for the model,
and what its call costs is taken off both sides. A bare loop knows one tensor and the coefficients, nothing else: no
masks, no components, no check for NaN, no origin. `diffusers`, where it is installed, is the UniPC scheduler of that
library (order 3, bh2, noise prediction), its step alone. Figures are the smallest of the repeats, in microseconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core.denoiser import Denoiser
from scorefield.core.noise import Seeded
from scorefield.core.paths import VP
from scorefield.core.predictions import conversion
from scorefield.core.solver_registry import SOLVERS, make_solver
from scorefield.core.solvers.solver import Carry, LinearPlan, LinearSolver
from scorefield.core.solvers.table import Combination
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System, Values

Work = Callable[[], None]
SHAPES = ((64, 64), (1000, 64))
WANTED = 1.5


class Stored(Network):
    """A network that costs nothing."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, state: State, t: Tensor) -> Values:
        return {"x": self.value}


@dataclass
class Case:
    """One solver's tables on one system, and a start."""

    solver: LinearSolver
    system: System
    plan: LinearPlan
    start: Tensor

    @classmethod
    def of(cls, name: str, shape: tuple[int, int], steps: int) -> Case | None:
        solver = make_solver(name, steps)
        if not isinstance(solver, LinearSolver) or solver.corrector is not None:
            return None
        torch.manual_seed(0)
        system = System({"x": Component(VP(), Masked(), "noise")}, Stored(torch.randn(shape)))
        return cls(solver, system, solver.plan(system), torch.randn(shape))

    def package(self) -> Work:
        """The package's loop."""
        noise, begin = Seeded(0), Carry(State({"x": self.start}))
        denoise = Denoiser(self.system, begin.state, self.plan.times)
        denoise(begin.state, 0, self.solver.rule.kind)  # makes its tables

        def loop() -> None:
            carry = begin
            for index in range(self.plan.length):
                carry = self.plan.step(index, carry, denoise, noise)

        return loop

    def network(self) -> Work:
        """The network's calls alone."""
        state, t = State({"x": self.start}), torch.ones(len(self.start))

        def loop() -> None:
            for _ in range(self.plan.length):
                self.system.network(state, t)

        return loop

    def bare(self) -> Work:
        """The same formula on one tensor, written out for the number of terms that the rule has."""
        kind = self.solver.rule.kind
        a, b = conversion(VP(), torch.tensor(self.plan.times, dtype=torch.float64), "noise", kind)
        rows = list(zip(a.tolist(), b.tolist(), self.plan.moves["x"], strict=True))
        state, t = State({"x": self.start}), torch.ones(len(self.start))
        network, generator = self.system.network, torch.Generator()
        last = len(rows) - 1

        def loop() -> None:
            x, anchor, past = self.start, self.start, []
            for i, (a_i, b_i, move) in enumerate(rows):
                eps = network(state, t)["x"]
                value = eps if kind == "noise" else b_i * eps if a_i == 0.0 else a_i * x + b_i * eps
                past = [value, *past[:2]]
                if move.anchor is not None:
                    anchor = _sum(move.anchor, x, anchor, past)
                x = _sum(move.point, x, anchor, past)
                if move.noise and i < last:
                    x = x + move.noise * torch.randn(x.shape, generator=generator)

        return loop


def _sum(c: Combination, x: Tensor, anchor: Tensor, past: list[Tensor]) -> Tensor:
    """The combination as one would type it."""
    w = c.values
    start = anchor if c.anchor else x
    scale = c.anchor or c.x
    if not w:
        return start if scale == 1.0 else scale * start
    if scale == 0.0:
        return sum((w[k] * past[k] for k in range(1, min(len(w), len(past)))), w[0] * past[0])
    if len(w) == 1:
        return scale * start + w[0] * past[0]
    if len(w) == 2:
        return scale * start + w[0] * past[0] + w[1] * past[1]
    if len(w) == 3:
        return scale * start + w[0] * past[0] + w[1] * past[1] + w[2] * past[2]
    return scale * start + sum(w[k] * past[k] for k in range(min(len(w), len(past))))


def best(works: list[Work], repeats: int) -> list[float]:
    """Smallest seconds of each, called in turn."""
    found = [float("inf")] * len(works)
    with torch.no_grad():
        for _ in range(repeats):
            for i, work in enumerate(works):
                begin = time.perf_counter()
                work()
                found[i] = min(found[i], time.perf_counter() - begin)
    return found


def diffusers_unipc(shape: tuple[int, int], steps: int) -> Work:
    """The scheduler's steps; it must be told its times before each run."""
    from diffusers import UniPCMultistepScheduler  # type: ignore[import-not-found]

    value, start = torch.randn(shape), torch.randn(shape)
    scheduler = UniPCMultistepScheduler(solver_order=3, solver_type="bh2", prediction_type="epsilon")

    def loop() -> None:
        scheduler.set_timesteps(steps)
        x = start
        for t in scheduler.timesteps:
            x = scheduler.step(value, t, x).prev_sample

    return loop


def report(name: str, shape: tuple[int, int], steps: int, repeats: int) -> float | None:
    """Print a line; the package's microseconds of a step."""
    case = Case.of(name, shape, steps)
    if case is None:
        return None
    package, bare, network = best([case.package(), case.bare(), case.network()], repeats)
    per_step = 1e6 / case.plan.length
    ours, theirs = (package - network) * per_step, (bare - network) * per_step
    mark = "" if ours / theirs <= WANTED else "  above the wanted"
    print(f"{name:18} {shape[0]:5} x {shape[1]:<3} {theirs:10.1f} {ours:10.1f} {ours / theirs:8.2f}{mark}")
    return ours


def main() -> None:
    parser = argparse.ArgumentParser(description="cost of a solver's step beyond the network")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS), choices=list(SOLVERS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread; wanted: at most {WANTED} times the bare loop")
    print(f"{'solver':18} {'state':11} {'bare us':>10} {'package us':>10} {'ratio':>8}")
    for shape in SHAPES:
        found = {name: report(name, shape, args.steps, args.repeats) for name in args.solvers}
        if importlib.util.find_spec("diffusers") and found.get("unipc"):
            (seconds,) = best([diffusers_unipc(shape, args.steps)], args.repeats)
            theirs = seconds / args.steps * 1e6
            print(f"  diffusers' UniPC {theirs:.1f} us a step, {theirs / found['unipc']:.1f} times the package's")


if __name__ == "__main__":
    main()
