"""The sampling loop: prior, plan, steps, check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from scorefield.core.denoiser import Denoiser, Transform
from scorefield.core.noise import NoiseSource
from scorefield.core.solvers.solver import Carry, Solver
from scorefield.core.state import State
from scorefield.core.system import System

__all__ = ["Sampled", "sample"]


@dataclass(frozen=True)
class Sampled:
    """A finished run: the state at t = 0, and the number of whole-state network calls."""

    state: State
    evaluations: int


@torch.no_grad()
def sample(
    system: System,
    state: State,
    solver: Solver,
    noise: NoiseSource,
    *,
    start: State | None = None,
    transforms: Sequence[Transform] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Sampled:
    """Generate one batch.

    Args:
        system: what generates.
        state: masks, condition and component shapes (the components' values are not used).
        solver: how.
        noise: asked for the prior first, then by the solver.
        start: a state at t = 1 in place of the prior, in the solver's variable u = x - origin.
        transforms: changes of the data prediction (clamping, guidance).
        progress: called with the steps done and their number.

    Raises:
        FloatingPointError: the network returned something not finite; the evaluation and its time are named.
    """
    plan = solver.plan(system)
    denoise = Denoiser(system, state, plan.times, transforms)
    carry = Carry(system.prior(state, noise) if start is None else start)
    for index in range(plan.length):
        carry = plan.step(index, carry, denoise, noise)
        if progress is not None:
            progress(index + 1, plan.length)
    denoise.check()
    result = carry.state.replace({n: carry.state[n] + o for n, o in denoise.origins.items()})
    return Sampled(result, denoise.evaluations)
