"""Particles on the line: quick mixtures, runs of them, and their moments."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.core.guidance.observations import GaussianObservation
from scorefield.core.guidance.particles import Particles
from scorefield.core.noise import Seeded
from scorefield.core.paths import VP
from scorefield.core.sampling import Sampled, sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System, Values
from tests.core.guidance_problems import OBSERVED, OBSERVED_STD, PRIOR, Mixture, Moments, frame, moments

__all__ = ["NOISY", "OBSERVATION", "SOLVER", "Line", "Still", "average", "line", "reward", "run"]

OBSERVATION = GaussianObservation("x", torch.tensor([OBSERVED], dtype=torch.float64), std=OBSERVED_STD)
SOLVER = make_solver("euler-maruyama", 250, grid="uniform")
NOISY = make_solver("exponential", 250, order=1, eta=2.0)


class Line(Network):
    """A mixture on the line for rows that share one time: five times as quick as the general one."""

    def __init__(self, mixture: Mixture) -> None:
        super().__init__()
        parts = zip(mixture.weights, mixture.means, mixture.variances, strict=True)
        self.parts = list(parts)

    def forward(self, state: State, t: Tensor) -> Values:
        time = t[:1].double()
        alpha, variance = float(VP().alpha(time)), float(VP().variance(time))
        logits, slopes = [], []
        for weight, mean, spread in self.parts:
            total = alpha**2 * spread + variance
            offset = (state["x"] - alpha * mean) / total
            slopes.append(offset)
            logits.append(math.log(weight) - 0.5 * math.log(total) - 0.5 * total * offset.square())
        share = torch.cat(logits, 1).softmax(1)
        return {"x": math.sqrt(variance) * (share * torch.cat(slopes, 1)).sum(1, keepdim=True)}


def line(mixture: Mixture) -> System:
    return System({"x": Component(VP(), Masked(), "noise")}, Line(mixture))


def run(goal: object, num: int, seed: int = 0, solver: object = SOLVER, **arguments: object) -> Sampled:
    return sample(line(PRIOR), frame(num), solver, Seeded(seed), guides=[Particles(goal, **arguments)])


def average(goal: object, seeds: int, num: int, **arguments: object) -> Moments:
    found = [moments(run(goal, num, seed, **arguments).state["x"]) for seed in range(seeds)]
    return tuple(torch.tensor(found).double().mean(0).tolist())


def reward(state: State) -> Tensor:
    return -((state["x"][:, 0] - OBSERVED) ** 2) / (2 * OBSERVED_STD**2)


class Still(Network):
    """Data at the origin, if there is one."""

    def forward(self, state: State, t: Tensor) -> Values:
        return {"x": state.condition.get("place", torch.zeros(1)).expand_as(state["x"])}
