"""Runs on Gaussian data, where every solver without norms is linear: its moments are exact, without any sampling."""

from __future__ import annotations

import math

import torch

from scorefield.core.paths import GaussianPath
from scorefield.core.sampling import sample
from scorefield.core.solvers.solver import Solver
from scorefield.core.state import State
from scorefield.core.system import System
from tests.core.mixture import mixture_system


def gaussian(path: GaussianPath, variance: float, mean: float = 0.0, dimension: int = 1) -> System:
    """Data N(mean, variance) in each of `dimension` entries."""
    one = torch.ones(1, dtype=torch.float64)
    covariance = variance * torch.eye(dimension, dtype=torch.float64)[None]
    return mixture_system(path, one, mean * torch.ones(1, dimension, dtype=torch.float64), covariance)


def marginal(path: GaussianPath, variance: float, t: float) -> float:
    """Variance at a time."""
    at = torch.tensor(t, dtype=torch.float64)
    return variance * float(path.alpha(at)) ** 2 + float(path.variance(at))


class _Counting:
    """Noise of zeros, counted."""

    def __init__(self) -> None:
        self.draws = 0

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        self.draws += 1
        return torch.zeros_like(like)


def draws_of(system: System, solver: Solver) -> int:
    """How often a run asks for noise."""
    state, noise = State({"x": torch.ones(1, 1, dtype=torch.float64)}), _Counting()
    sample(system, state, solver, noise, start=state)
    return noise.draws


def end_variance(path: GaussianPath, solver: Solver, variance: float = 0.5, start: float = 1.0) -> float:
    """Variance at the end of a run that begins with the exact marginal at time `start`.

    Row 0 of the batch begins with one standard deviation and sees no noise; row k sees unit noise in draw k alone.
    """
    system, plan = gaussian(path, variance), solver.plan(gaussian(path, variance))
    units = _Units(1 + 4 * plan.length)
    begin = torch.zeros(units.rows, 1, dtype=torch.float64)
    begin[0] = math.sqrt(marginal(path, variance, start))
    state = State({"x": begin})
    return float(sample(system, state, solver, units, start=state).state["x"].square().sum())


class _Units:
    """In its k-th draw, noise of 1 in row k and of 0 in the others."""

    def __init__(self, rows: int) -> None:
        self.rows, self.draws = rows, 0

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        self.draws += 1
        return (torch.arange(self.rows) == self.draws).to(like)[:, None]
