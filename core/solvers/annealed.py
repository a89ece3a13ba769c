"""Annealed Langevin dynamics: nothing but corrector moves, at times that decrease.

Source: Song and Ermon 2019 (arXiv 1907.05600).
"""

from __future__ import annotations

from typing import Literal

import torch

from scorefield.core.denoiser import Denoiser
from scorefield.core.noise import NoiseSource
from scorefield.core.solvers.grids import Grid
from scorefield.core.solvers.langevin import Langevin
from scorefield.core.solvers.solver import Carry, LinearPlan, LinearSolver, Plan, Solver
from scorefield.core.solvers.table import Still
from scorefield.core.system import System

__all__ = ["AnnealedLangevin"]


class AnnealedLangevin(Solver):
    """Moves of a corrector at each time of a grid; between times the state stays as it is.

    Args:
        steps: times of the grid, its end left out.
        corrector: the moves.
        grid: as of `LinearSolver`, like all that follows.
        end: time at which the run ends.
        final: `denoise` returns the data prediction at the end, `none` the last state with its noise.
        reference: component whose path spaces the grid.
        start: time at which the run begins.
    """

    stochastic = True

    def __init__(
        self,
        steps: int,
        corrector: Langevin,
        grid: str | Grid = "logsnr",
        end: float | None = None,
        final: Literal["none", "denoise"] = "denoise",
        reference: str | None = None,
        start: float | None = None,
    ) -> None:
        self._frame = LinearSolver(Still(), steps, grid, end, final, None, reference, start)
        self.steps, self.corrector = steps, corrector

    def plan(self, system: System) -> AnnealedPlan:
        """See `Solver.plan`."""
        frame = self._frame.plan(system)
        kappas = self.corrector.kappas(system, torch.tensor(frame.times[: self.steps], dtype=torch.float64))
        return AnnealedPlan(frame, self.corrector, kappas)


class AnnealedPlan(Plan):
    """Times and their step sizes; what `frame` has beyond them is the last denoising evaluation."""

    def __init__(self, frame: LinearPlan, corrector: Langevin, kappas: list[dict[str, float]]) -> None:
        self.times, self.ends, self.length = frame.times, frame.ends, frame.length
        self._frame, self._corrector, self._kappas = frame, corrector, kappas

    def step(self, index: int, carry: Carry, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """See `Plan.step`."""
        if index == len(self._kappas):
            return self._frame.step(index, carry, denoise, noise)
        state = carry.state
        for _ in range(self._corrector.steps):
            state = denoise.before(state, index, noise)
            scores = denoise(state, index, "score")
            state = self._corrector.move(denoise.system, state, scores, self._kappas[index], noise)
        return Carry(state)
