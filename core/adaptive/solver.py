"""Solvers that choose their steps: a run is one call.

As times are not known before the run, guides, whose tables are laid out over times, cannot act here.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError
from scorefield.core.noise import NoiseSource
from scorefield.core.predictions import Kind
from scorefield.core.solvers.solver import Carry, LinearSolver, Plan, Solver
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["MOST_STEPS", "AdaptivePlan", "AdaptiveSolver", "predict_at"]

MOST_STEPS = 10_000


class AdaptiveSolver(Solver):
    """A solver whose run is one call.

    Args:
        frame: the run's ends, and the grid of those methods that have one.
        rtol: tolerated error relative to the state.
        atol: tolerated absolute error.
    """

    stochastic = False

    def __init__(self, frame: LinearSolver, rtol: float, atol: float) -> None:
        if not (rtol > 0 and atol > 0):
            raise InputError(f"rtol {rtol:g}, atol {atol:g}", mend="give positive tolerances")
        self.frame, self.steps, self.rtol, self.atol = frame, frame.steps, rtol, atol

    def plan(self, system: System) -> AdaptivePlan:
        """See `Solver.plan`."""
        return AdaptivePlan(self, system)

    @abstractmethod
    def run(self, state: State, grid: Tensor, denoise: Denoiser) -> State:
        """From the first time of a grid, `[steps + 1]`, to its last."""

    def failure(self, why: str) -> InputError:
        """The tolerances cannot be met."""
        what = f"rtol {self.rtol:g}, atol {self.atol:g} cannot be met ({why})"
        return InputError(what, mend="give larger ones, or compute in float64")


class AdaptivePlan(Plan):
    """One call of `step` makes the whole run; a second one is the last denoising evaluation."""

    def __init__(self, solver: AdaptiveSolver, system: System) -> None:
        frame, self._solver = solver.frame.plan(system), solver
        self._grid = torch.tensor([*frame.times[: solver.steps], frame.ends[solver.steps - 1]], dtype=torch.float64)
        self.times, self.ends = frame.times[:1] + frame.times[solver.steps :], frame.ends[solver.steps - 1 :]
        self.length = len(self.times)

    def step(self, index: int, carry: Carry, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """See `Plan.step`.

        Raises:
            InputError: guides are to act, or the tolerances cannot be met.
            FloatingPointError: the network returned something not finite.
        """
        if denoise.guides.all:
            raise InputError(
                "a solver of adaptive steps cannot be guided", mend="take one with a grid: ddim, unipc, ..."
            )
        if index == 1:
            return Carry(carry.state.replace(denoise(carry.state, index, "data")))
        return Carry(self._solver.run(carry.state, self._grid, denoise))


def predict_at(denoise: Denoiser, state: State, t: Tensor, kind: Kind, origins: Values) -> Values:
    """Predictions at any times `[B]`."""
    denoise.evaluations += getattr(denoise.system.network, "calls", 1)
    times = t.to(state.device, torch.float64 if state.dtype == torch.float64 else torch.float32)
    values = denoise.system.predict(state, times, kind, origins)
    for value in values.values():
        bad = ~torch.isfinite(value.flatten(1)).all(1)
        if bool(bad.any()):
            raise FloatingPointError(f"the network returned NaN or infinity at t = {float(times[bad][0]):g}")
    return values
