"""Symmetric splitting (S4): score correction, half a linear transition, the score's drift, the other half.

Source: Jo, Lee and Hwang 2022 (arXiv 2202.02514, section 3.3 and algorithm 2). One evaluation a step serves the
Langevin correction and the drift.
"""

from __future__ import annotations

import torch

from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError
from scorefield.core.langevin.corrector import Langevin
from scorefield.core.noise import NoiseSource
from scorefield.core.solvers.solver import Carry, Plan, Solver
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["SymmetricSplitting"]


class SymmetricSplitting(Solver):
    """S4.

    Args:
        steps: N; the evaluations span `start` to `end`, each step is start / N long.
        corrector: the Langevin correction.
        end: time of the last evaluation.
        start: time of the first one.
    """

    stochastic = True

    def __init__(self, steps: int, corrector: Langevin, end: float = 1e-4, start: float = 1.0) -> None:
        if steps < 1:
            raise InputError(f"{steps} steps", mend="give at least 1")
        if not 0 <= end < start <= 1:
            raise InputError(f"start {start:g}, end {end:g}", mend="need 0 <= end < start <= 1")
        self.steps, self.corrector, self.end, self.start = steps, corrector, end, start

    def plan(self, system: System) -> SplittingPlan:
        """See `Solver.plan`.

        Raises:
            InputError: the run begins where a path has no signal, or no evaluations any more.
        """
        start = torch.tensor(self.start, dtype=torch.float64)
        for path in (component.path for component in system.components.values()):
            if self.start > path.t_max or not float(path.alpha(start)) > 0:
                what = f"start {self.start:g} lies outside the range of {type(path).__name__}"
                raise InputError(what, mend=f"give less than {path.t_max:g}, such as start={0.99 * path.t_max:.2g}")
        times = torch.linspace(self.start, self.end, self.steps, dtype=torch.float64)
        return SplittingPlan(system, times, self.corrector, self.start / self.steps)


class SplittingPlan(Plan):
    """Tables of S4 for evaluation times `times` and steps of length `width`."""

    def __init__(self, system: System, times: torch.Tensor, corrector: Langevin, width: float) -> None:
        self.times, self.length, self._corrector = times.tolist(), len(times), corrector
        self.ends = (times - width).clamp(min=0).tolist()
        self._kappas = corrector.kappas(system, times)
        half = width / 2
        self._halves: dict[str, list[list[tuple[float, float]]]] = {}
        self._drifts: dict[str, list[float]] = {}
        for name, component in system.components.items():
            pairs = [component.path.transition(times - k * half, times - (k + 1) * half) for k in (0, 1)]
            self._halves[name] = [list(zip(a.tolist(), b.tolist(), strict=True)) for a, b in pairs]
            self._drifts[name] = (component.path.diffusion(times) ** 2 * width).tolist()

    def step(self, index: int, carry: Carry, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """See `Plan.step`; the last step leaves its last noise out."""
        system = denoise.system
        state = denoise.before(carry.state, index, noise)
        scores = denoise(state, index, "score")
        state = self._corrector.move(system, state, scores, self._kappas[index], noise)
        state = self._half(0, index, state, system, noise)
        moved = {n: torch.add(state[n], s, alpha=self._drifts[n][index]) for n, s in scores.items()}
        return Carry(self._half(1, index, state.replace(moved), system, None if self._last(index) else noise))

    def _last(self, index: int) -> bool:
        return index == self.length - 1

    def _half(self, which: int, index: int, state: State, system: System, noise: NoiseSource | None) -> State:
        draws: Values = system.noise(state, noise) if noise is not None else {}
        moved = {}
        for name, rows in self._halves.items():
            scale, std = rows[which][index]
            moved[name] = state[name] * scale
            if name in draws:
                moved[name] = torch.add(moved[name], draws[name], alpha=std)
        return state.replace(moved)
