"""How far samples of the probability-flow ODE are from samples of the SDE of the same model.

With a true score both have the data's distribution. The distance is the sliced Wasserstein distance W2, per free
entry, over random directions common to both sets. Samples number i of both have the same size and condition, so that
under equality they may be exchanged: the floor is the mean distance after random exchanges, the p-value how often
exchanges give as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield.core.calculus import inner, total_dimension
from scorefield.core.noise import Seeded, stream_seed
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.core.system import System

__all__ = ["Gap", "Moments", "ode_sde_gap", "sliced_w2"]

_SOLVERS: tuple[tuple[str, dict[str, Any]], ...] = (("unipc", {}), ("exponential", {"order": 1, "eta": 1.0}))


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation over the free entries of a component."""

    mean: float
    std: float


@dataclass(frozen=True)
class Gap:
    """The ODE beside the SDE.

    Attributes:
        w2: sliced Wasserstein distance between both.
        floor: its mean after random exchanges.
        p_value: share of exchanges with at least that distance.
        ode: moments of the ODE's samples, by component.
        sde: moments of the SDE's samples, by component.
        steps: steps of both.
    """

    w2: float
    floor: float
    p_value: float
    ode: dict[str, Moments]
    sde: dict[str, Moments]
    steps: int


def ode_sde_gap(
    system: System,
    frame: State,
    steps: int = 100,
    seed: int = 0,
    directions: int = 128,
    exchanges: int = 199,
    progress: Callable[[float], None] | None = None,
) -> Gap:
    """Sample with both and compare.

    Args:
        system: the model.
        frame: masks, condition and shapes of the samples.
        steps: steps of both solvers; as many that they have converged.
        seed: fixes everything random.
        directions: directions of the sliced distance.
        exchanges: random exchanges behind floor and p-value.
        progress: told the share that is done.
    """
    sets = []
    for number, (name, arguments) in enumerate(_SOLVERS):
        tell = None if progress is None else _part(progress, number)
        noise = Seeded(seed, number, frame.device)
        sets.append(sample(system, frame, make_solver(name, steps, **arguments), noise, progress=tell).state)
    ode, sde = (_projections(system, state, seed, directions) for state in sets)
    w2, null = _w2(ode, sde), _exchanged(ode, sde, exchanges, seed)
    p_value = (1 + int((null >= w2).sum())) / (1 + exchanges)
    return Gap(w2, float(null.mean()), p_value, _moments(system, sets[0]), _moments(system, sets[1]), steps)


def _part(progress: Callable[[float], None], number: int) -> Callable[[int, int], None]:
    return lambda step, steps: progress((number + step / steps) / 2)


def sliced_w2(system: System, a: State, b: State, seed: int = 0, directions: int = 128) -> float:
    """Root mean square, over random directions, of the W2 distance between projections over sqrt(free entries)."""
    return _w2(*(_projections(system, state, seed, directions) for state in (a, b)))


def _projections(system: System, state: State, seed: int, directions: int) -> Tensor:
    """`[directions, B]`."""
    rows = []
    scale = total_dimension(system, state).clamp(min=1).sqrt()
    for number in range(directions):
        source = Seeded(stream_seed("directions", seed), number, state.device)
        line = {n: c.space.noise(state[n][:1], {}, source) for n, c in system.components.items()}
        rows.append(inner(system, state.components, {n: v.expand_as(state[n]) for n, v in line.items()}) / scale)
    return torch.stack(rows)


def _w2(a: Tensor, b: Tensor) -> float:
    return float((a.sort(1).values - b.sort(1).values).square().mean().sqrt())


def _exchanged(a: Tensor, b: Tensor, exchanges: int, seed: int) -> Tensor:
    """The distances after random exchanges of rows, `[exchanges]`."""
    generator = torch.Generator().manual_seed(stream_seed("exchanges", seed))
    found = []
    for _ in range(exchanges):
        swap = (torch.rand(a.shape[1], generator=generator) < 0.5).to(a.device)
        found.append(_w2(torch.where(swap, b, a), torch.where(swap, a, b)))
    return torch.tensor(found)


def _moments(system: System, state: State) -> dict[str, Moments]:
    found = {}
    for name, component in system.components.items():
        free = component.space.dimension(state[name], state.masks).sum() * component.space.copies
        mean = state[name].sum() / free.clamp(min=1)
        squared = state[name].square().sum() / free.clamp(min=1)
        found[name] = Moments(float(mean), float((squared - mean.square()).clamp(min=0).sqrt()))
    return found
