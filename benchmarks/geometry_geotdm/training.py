"""A training step of GeoTDM against a plain transcription: time, and what it adds to memory.

    PYTHONPATH=benchmarks OMP_NUM_THREADS=1 python benchmarks/geometry_geotdm/training.py [--repeats 10]

One thread, CPU time, medians, all sides in turn within one run: 8 systems of 5 particles, 20 frames from 10 given, the
published network of 1,889,828 parameters with its learned prior. A step is what training makes: draws, prior,
noising, the network, squared error, gradients, clipping, Adam; the package's side is its own objective and optimiser as
`fit` sets them up, less Lightning, with the recipe of the `_paper` configurations (`paper`), which is what the plain
side transcribes, and with our own (`own`: preconditioned, EDM). Weights are the same, and so are losses and gradients,
which is shown first. Ratios are plain over package. The published code took 0.99 CPU-s on a core on which one thread
multiplies two 1024 x 1024 float32 matrices in 23 ms, which stands scaled to this core in the last column.

Memory (on Linux) is what steps add at their peak to the resident size of a process that has built the model and rests;
each side in a process of its own, after a step of one system, which brings in what libraries allocate once.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plain
import torch
from timing import REFERENCE_MATMUL, Work, matmul, measured
from torch import Tensor

from scorefield.core.draws import SampleStreams
from scorefield.core.objectives import DenoisingScoreMatching, Draws
from scorefield.core.optimisation import make_optimiser
from scorefield.core.paths import EDM
from scorefield.core.state import State
from scorefield.core.system import System
from scorefield.domains.geometry.geotdm import GeoTDM

BATCH, NODES, FRAMES, GIVEN = 8, 5, 30, 10
SIZES = {"nodes": NODES, "frames": FRAMES, "space": 3, "features": 1, "edge_features": 1, "given": GIVEN}
ORIGINAL = 990.0
SIDES = ("paper", "own", "plain")
_RETURNED = {"MALLOC_TRIM_THRESHOLD_": "100000", "MALLOC_MMAP_THRESHOLD_": "100000"}
"""Freed memory goes back to the system, so that peaks are those of what is held."""

Step = Callable[[], object]


def particles(batch: int = BATCH) -> State:
    """Charges on smooth paths."""
    draws = torch.Generator().manual_seed(0)
    start, velocity = torch.randn(2, batch, NODES, 1, 3, generator=draws)
    x = start + 0.1 * torch.arange(FRAMES)[:, None] * velocity + 0.01 * torch.randn(batch, NODES, FRAMES, 3)
    charges = torch.randint(0, 2, (batch, NODES), generator=draws) * 2.0 - 1
    pairs = torch.tensor([[i, j] for i in range(NODES) for j in range(NODES) if i != j])
    given = (torch.arange(FRAMES) < GIVEN).expand(batch, -1).clone()
    told = (charges[:, pairs[:, 0]] * charges[:, pairs[:, 1]])[..., None]
    edges = pairs.expand(batch, -1, -1).clone()
    condition = {"features": charges[..., None], "edges": edges, "edge_features": told}
    return State({"x": x}, {"given_frames": given}, {**condition, "given_x": x * given[:, None, :, None]})


def package(own: bool = False) -> tuple[System, DenoisingScoreMatching]:
    """Model and objective."""
    torch.manual_seed(0)
    recipe = GeoTDM(path=EDM(0.0005, 20.0), data_std=0.5) if own else GeoTDM()
    objective = DenoisingScoreMatching()
    if own:
        objective = DenoisingScoreMatching("free_mean", "balanced", "log_snr", t_min=1e-4, data_std=0.5)
    return recipe.build(SIZES).train(), objective


def package_step(own: bool = False, batch: int = BATCH) -> Work:
    """The package's side; every step has a batch of its own, as in training."""
    system, objective = package(own)
    optimiser = make_optimiser("adam", system.parameter_groups(), {}, lr=1e-4, weight_decay=0.0)
    state, count = particles(batch), iter(range(10**9))

    def step() -> None:
        fresh = state.map(Tensor.clone)
        draws = objective.draw(system, fresh, SampleStreams(len(fresh), "train", 0, next(count)))
        optimiser.zero_grad()
        objective.total(objective.losses(system, fresh, draws)).backward()
        torch.nn.utils.clip_grad_norm_(system.parameters(), 1.0)
        optimiser.step()

    return step


class Plain:
    """The transcription with the package's weights.

    Args:
        system: whose weights.
        batch: systems.
    """

    def __init__(self, system: System, batch: int = BATCH) -> None:
        self.network, self.chain, state = plain.PlainEGTN(1, 1, FRAMES - GIVEN), plain.Chain(), particles(batch)
        names = {name.removeprefix("network.").removeprefix("origin_networks.x."): name for name in system.state_dict()}
        self.names, weights = names, system.state_dict()
        self.network.load_state_dict({name: weights[own] for name, own in names.items()})
        self.x = state["x"].flatten(0, 1)
        self.features = state.condition["features"].flatten(0, 1)
        self.edges = plain.flat(state.condition["edges"], NODES)
        self.told = state.condition["edge_features"].flatten(0, 1)

    def loss(self, index: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error at chain indices `[nodes]` with noise `[nodes, T_f, 3]`."""
        given = self.x[:, :GIVEN]
        reference = self.network.prior(given, self.features, self.edges, self.told)
        signal = self.chain.signal[index].float()[:, None, None]
        noised = signal.sqrt() * (self.x[:, GIVEN:] - reference) + (1 - signal).sqrt() * noise
        seen = torch.cat([given, noised + reference], 1)
        output = self.network(seen, self.features, self.edges, self.told, index)[:, GIVEN:]
        return (output - noise).square().mean((1, 2)).mean()


def plain_step(batch: int = BATCH) -> Work:
    """The transcription's side."""
    side = Plain(package()[0], batch)
    optimiser = torch.optim.Adam(side.network.parameters(), lr=1e-4, fused=True)  # as the package's

    def step() -> None:
        index = torch.randint(len(side.chain), (batch,)).repeat_interleave(NODES)
        loss = side.loss(index, torch.randn(batch * NODES, FRAMES - GIVEN, 3))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(side.network.parameters(), 1.0)
        optimiser.step()

    return step


def agreement() -> tuple[float, float]:
    """Relative differences of the loss, and of gradients as a whole, from the same draws."""
    system, objective = package()
    side, state = Plain(system), particles()
    index = torch.randint(1000, (BATCH,), generator=torch.Generator().manual_seed(1))
    noise = torch.randn(BATCH, NODES, FRAMES, 3, generator=torch.Generator().manual_seed(2))
    noise[:, :, :GIVEN] = 0
    loss = objective.losses(system, state, Draws((index + 1.0) / 1000, {"x": noise}))["x"]
    other = side.loss(index.repeat_interleave(NODES), noise[:, :, GIVEN:].flatten(0, 1))
    loss.backward()
    other.backward()
    own, theirs = dict(system.named_parameters()), dict(side.network.named_parameters())
    apart = [(_gradient(own[side.names[name]]) - _gradient(value)).square().sum() for name, value in theirs.items()]
    size = [_gradient(value).square().sum() for value in theirs.values()]
    return float((loss - other).abs() / other), float((sum(apart) / sum(size)) ** 0.5)


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def make_step(side: str, batch: int = BATCH) -> Step:
    """One side's step."""
    return plain_step(batch) if side == "plain" else package_step(side == "own", batch)


def _kilobytes(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return float(found[1])


def peak(side: str) -> None:
    """In a process of its own: print what steps add to the size of the process, in MB."""
    make_step(side, 1)()
    step = make_step(side)
    with Path("/proc/self/clear_refs").open("w") as file:
        file.write("5")  # the peak counts from here
    before = _kilobytes("VmRSS")
    for _ in range(3):
        step()
    print(json.dumps((_kilobytes("VmHWM") - before) / 1e3))


def memory(side: str) -> float:
    """MB of one side's steps; not a number where the system does not tell."""
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    command = [sys.executable, __file__, "--peak", side]
    environment: dict[str, Any] = {**os.environ, **_RETURNED}
    done = [subprocess.run(command, capture_output=True, text=True, check=True, env=environment) for _ in range(3)]
    return statistics.median(float(json.loads(run.stdout.splitlines()[-1])) for run in done)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--peak", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak:
        peak(arguments.peak)
        return
    loss, gradients = agreement()
    print(f"relative differences of package and plain: loss {loss:.1e}, gradients {gradients:.1e}")
    works = {side: make_step(side) for side in SIDES}
    found = measured({**works, "matmul": matmul()}, arguments.repeats)
    scaled = ORIGINAL * found["matmul"] / REFERENCE_MATMUL
    held = {side: memory(side) for side in SIDES}
    print(f"{'':8}{'CPU-ms':>10}{'plain / it':>12}{'MB added':>10}{'it / plain':>12}")
    for side in SIDES:
        ratio, share = found["plain"] / found[side], held[side] / held["plain"]
        print(f"{side:8}{found[side]:10.0f}{ratio:12.2f}{held[side]:10.1f}{share:12.2f}")
    print(f"original {scaled:.0f} CPU-ms by the product of matrices ({found['matmul']:.1f} ms)")


if __name__ == "__main__":
    main()
