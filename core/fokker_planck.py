"""The Fokker-Planck equation of the noise, as a score field obeys it or not.

With drift f_c u and diffusion g_c of each component c, the true score s = grad log p_t satisfies

    d s / d t = grad Phi,   Phi = sum_c [ g_c^2 / 2 (div_c s_c + |s_c|^2) - f_c <u_c, s_c> ].

The residual R is the difference of both sides; where it is zero the ODE and the SDE of the model share their marginals.

Source: Lai et al. 2023, "FP-Diffusion" (arXiv 2210.04296).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core.calculus import divergences, gradient, inner, leaves
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["Sides", "sides"]


@dataclass(frozen=True)
class Sides:
    """Both sides of the equation at some points, in free coordinates.

    Attributes:
        change: d s / d t by component, `[B, ...]`.
        flux: grad Phi, likewise.
    """

    change: Values
    flux: Values

    @property
    def residual(self) -> Values:
        """R."""
        return {n: v - self.flux[n] for n, v in self.change.items()}


def sides(
    system: System,
    state: State,
    t: Tensor,
    along: list[Values],
    *,
    exact: bool,
    origins: Values | None = None,
    time_step: float | None = None,
    create_graph: bool = False,
) -> Sides:
    """Both sides of the Fokker-Planck equation of a system's score.

    Args:
        system: the model.
        state: u at times `t`.
        t: times, `[B]`.
        along: directions of the divergence: probes, over which the mean is taken, or bases, over which the sum is.
        exact: whether they are bases.
        origins: see `System.forward`.
        time_step: take the time derivative by central differences of this width; by default it is exact.
        create_graph: keep what is needed to differentiate the result.
    """
    state, t = leaves(state), t.detach().clone().requires_grad_()
    with torch.enable_grad():
        score = system.predict(state, t, "score", origins)
        potential = _pointwise(system, state, t, score)
        spread = {n: v * _broadcast(0.5 * _diffusion(system, n, t) ** 2, v) for n, v in score.items()}
        traces = divergences(system, spread, state, along, create_graph=True)
        potential = potential + (traces.sum(0) if exact or not along else traces.mean(0))
        flux = gradient(system, potential, state, create_graph)
        if time_step is None:
            change = _rate(score, t, create_graph)
        else:
            change = _difference(system, state, t.detach(), origins, time_step)
    return Sides(change, flux)


def _diffusion(system: System, name: str, t: Tensor) -> Tensor:
    return system.components[name].path.diffusion(t.detach().double()).to(t.dtype)


def _broadcast(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _pointwise(system: System, state: State, t: Tensor, score: Values) -> Tensor:
    """The terms of Phi without the divergence, `[B]`."""
    total = torch.zeros_like(t)
    for name, s in score.items():
        drift = system.components[name].path.drift(t.detach().double()).to(t.dtype)
        squared, moved = inner(system, {name: s}, {name: s}), inner(system, {name: state[name]}, {name: s})
        total = total + 0.5 * _diffusion(system, name, t) ** 2 * squared - drift * moved
    return total


def _rate(score: Values, t: Tensor, create_graph: bool) -> Values:
    """d s / d t: the derivative of a derivative taken backwards along unit weights."""
    weights = {n: torch.zeros_like(v, requires_grad=True) for n, v in score.items()}
    names = [n for n, v in score.items() if v.requires_grad]
    nothing = {n: torch.zeros_like(v) for n, v in score.items()}
    if not names:
        return nothing
    (pulled,) = torch.autograd.grad(
        [score[n] for n in names], [t], [weights[n] for n in names], create_graph=True, allow_unused=True
    )
    if pulled is None or not pulled.requires_grad:
        return nothing
    found = torch.autograd.grad(
        pulled, list(weights.values()), torch.ones_like(t), create_graph=create_graph, allow_unused=True
    )
    return {n: nothing[n] if v is None else v for n, v in zip(weights, found, strict=True)}


def _difference(system: System, state: State, t: Tensor, origins: Values | None, width: float) -> Values:
    """d s / d t by differences inside [0, 1]."""
    early, late = (t - 0.5 * width).clamp(min=0), (t + 0.5 * width).clamp(max=1)
    before, after = (system.predict(state, time, "score", origins) for time in (early, late))
    return {n: (after[n] - before[n]) / _broadcast(late - early, after[n]) for n in after}
