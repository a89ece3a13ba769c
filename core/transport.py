"""Samples carried along a stochastic interpolant, from the source to the target or back.

A convenience around `sample` with the solver `core.solvers.transport.Transport`, in the interpolant's own time r; and
the adaptive ODE, in both directions.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.extras import optional
from scorefield.core.interpolant_system import InterpolantSystem
from scorefield.core.names import unknown
from scorefield.core.noise import NoiseSource, Replayed
from scorefield.core.sampling import Sampled, sample
from scorefield.core.solvers.transport import Diffusion, Transport
from scorefield.core.state import State

__all__ = ["Method", "transport"]

Method = Literal["euler", "heun", "dopri5"]


@torch.no_grad()
def transport(
    system: InterpolantSystem,
    state: State,
    steps: int = 100,
    *,
    method: Method = "heun",
    diffusion: Diffusion = 0.0,
    noise: NoiseSource | None = None,
    start: float = 0.0,
    end: float = 1.0,
    tolerance: float = 1e-5,
) -> Sampled:
    """Carry samples along an interpolant.

    Args:
        system: the interpolants and their network.
        state: the samples at r = `start`, with their masks and condition.
        steps: equal steps in r; not used by `dopri5`.
        method: `euler` (Euler-Maruyama), `heun` (two evaluations a step), or `dopri5` (adaptive, ODE only).
        diffusion: eps, a number or a function of r.
        noise: asked once per component and step with eps > 0.
        start: r of the given samples, 0 the source and 1 the target.
        end: r to arrive at; smaller than `start` to go backwards.
        tolerance: relative and absolute tolerance of `dopri5`, on the free entries of the whole batch.

    Raises:
        InputError: an argument cannot be, or the system knows no score for eps > 0.
        FloatingPointError: the network returned something not finite.
    """
    if method not in get_args(Method):
        raise unknown("method", method, get_args(Method))
    if not tolerance > 0:
        raise InputError(f"tolerance {tolerance:g}", mend="give a positive number")
    solver = Transport(steps, "heun" if method == "dopri5" else method, diffusion, 1 - start, 1 - end)
    if solver.stochastic and noise is None:
        raise InputError("a diffusion without a source of noise", mend="give noise, such as Seeded(0)")
    begin = state.replace({n: c.space.project(state[n], state.masks) for n, c in system.components.items()})
    if method != "dopri5":
        return sample(system, begin, solver, Replayed([]) if noise is None else noise, start=begin)
    if solver.stochastic:
        raise InputError("dopri5 has no noise", mend="give diffusion 0, or method euler or heun")
    return _adaptive(system, begin, start, end, tolerance)


def _adaptive(system: InterpolantSystem, state: State, start: float, end: float, tolerance: float) -> Sampled:
    """The ODE by Dormand and Prince's method; every component is part of one flat state."""
    odeint = optional("torchdiffeq", "dopri5 needs torchdiffeq, unlike the methods euler and heun", "ode").odeint
    names, calls = list(system.components), [0]

    def flow(t: Tensor, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        calls[0] += 1
        velocities = system(state.replace(dict(zip(names, values, strict=True))), t.to(state.dtype).expand(len(state)))
        return tuple(velocities[name] for name in names)

    free = sum(c.space.copies * c.space.dimension(state[n], state.masks).sum() for n, c in system.components.items())

    def norm(values: tuple[Tensor, ...]) -> Tensor:
        return (sum(value.square().sum() for value in values) / max(int(free), 1)) ** 0.5

    times = torch.tensor([1 - start, 1 - end], dtype=torch.float64, device=state.device)
    begin = tuple(state[name] for name in names)
    try:
        ends = odeint(flow, begin, times, rtol=tolerance, atol=tolerance, method="dopri5", options={"norm": norm})
    except AssertionError as error:  # how torchdiffeq reports steps that vanish
        raise FloatingPointError(f"the ODE could not be solved ({error})") from error
    result = state.replace({name: value[-1] for name, value in zip(names, ends, strict=True)})
    return Sampled(result, calls[0] * getattr(system.network, "calls", 1))
