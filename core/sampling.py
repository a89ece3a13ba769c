"""The sampling loop: prior, plan, steps, check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError
from scorefield.core.guide import Guide, Guides, Run
from scorefield.core.noise import NoiseSource
from scorefield.core.solvers.solver import Carry, Solver
from scorefield.core.state import State
from scorefield.core.system import System, placed

__all__ = ["Sampled", "sample"]


@dataclass(frozen=True)
class Sampled:
    """A finished run.

    Attributes:
        state: the state at t = 0.
        evaluations: whole-state network calls, those of guides included.
        guides: the guides of this run, with what they measured.
    """

    state: State
    evaluations: int
    guides: tuple[Guide, ...] = ()


@torch.no_grad()
def sample(
    system: System,
    state: State,
    solver: Solver,
    noise: NoiseSource,
    *,
    start: State | None = None,
    guides: Sequence[Guide] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Sampled:
    """Generate one batch.

    Args:
        system: what generates.
        state: masks, condition and component shapes (the components' values are not used).
        solver: how.
        noise: asked for the prior first, then by the solver.
        start: a state at the solver's first time in place of the prior, in the solver's variable u = x - origin and
            in the components' spaces.
        guides: what acts on the run (clamping, guidance, inpainting, particles), in order.
        progress: called with the steps done and their number.

    Raises:
        InputError: the solver or a guide cannot do this, or the components lie on several devices.
        FloatingPointError: the network returned something not finite; the evaluation and its time are named.
    """
    devices = sorted({str(value.device) for value in state.components.values()})
    if len(devices) > 1:
        raise InputError(f"the components lie on {' and '.join(devices)}", mend="move them with state.to(device)")
    plan = solver.plan(system)
    run = Run(system, state, solver, plan)
    acting = Guides([guide.begin(run) for guide in guides])
    denoise = Denoiser(system, state, plan.times, acting)
    carry = Carry(system.prior(state, noise) if start is None else start)
    for index in range(plan.length):
        carry = plan.step(index, carry, denoise, noise)
        for guide in acting.after:
            carry = guide.after(carry, index, denoise, noise)
        if progress is not None:
            progress(index + 1, plan.length)
    denoise.check()
    # Rounding errors of many steps may lead out of a space that is narrower than its masks.
    ends = {n: c.space.project(carry.state[n], carry.state.masks) for n, c in system.components.items()}
    result = carry.state.replace(placed(ends, denoise.origins))
    return Sampled(result, denoise.evaluations, acting.all)
