"""The predictors of score-based models: Euler-Maruyama, reverse diffusion and ancestral sampling.

The first two reverse steps x -> x / (1 - d) + g eps of the forward SDE: x' = (1 - d) x + g^2 score + g z, or, on the
probability-flow ODE, x' = (1 - d) x + g^2 / 2 score.

Source: Song et al. 2021 (arXiv 2011.13456, algorithms 1-5, appendices E and F); their published code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.paths import VE, VP, GaussianPath, SubVP
from scorefield.core.predictions import Kind
from scorefield.core.solvers.table import Combination, Layout, Move, Rule, Span

__all__ = ["EulerMaruyama", "PublishedAncestral", "ReverseDiffusion"]


def _reversed(decay: Tensor, scale: Tensor, ode: bool) -> list[Move]:
    """The moves for d and g, `[steps]`."""
    rows = zip((1 - decay).tolist(), scale.tolist(), strict=True)
    if ode:
        return [Move(Combination(keep, values=(0.5 * g**2,))) for keep, g in rows]
    return [Move(Combination(keep, values=(g**2,)), noise=g) for keep, g in rows]


def _published_layout(span: Span) -> Layout:
    """As published, the N evaluations themselves span the run; the last step, of 1 / N, goes past its end.

    Raises:
        InputError: the run begins later than the published ones, whose steps are parts of the whole time.
    """
    if span.start != 1:
        what = f"a published sampler begins at t = 1, not at {span.start:g}"
        raise InputError(what, mend="leave published out, or start")
    times = torch.linspace(span.start, span.end, span.steps, dtype=torch.float64)
    last = torch.tensor([span.end - 1 / span.steps], dtype=torch.float64)
    return Layout(torch.cat([times, last]), tuple((t,) for t in times.tolist()))


def _published_chain(path: GaussianPath, times: Tensor, num_scales: int) -> tuple[Tensor, Tensor]:
    """The published forward step at these times, x' = (1 + decay) x + scale eps: (decay, scale).

    Raises:
        InputError: nothing is published for this path.
    """
    if not isinstance(path, VP | SubVP | VE):
        what = f"{type(path).__name__} has no published chain of {num_scales} steps"
        raise InputError(what, mend="leave published out")
    return path.discretised(times, num_scales)


class EulerMaruyama(Rule):
    """Euler-Maruyama on the reverse SDE, or Euler on the probability-flow ODE: d = f dt, g^2 = diffusion^2 dt.

    Args:
        ode: leave the noise out and halve the score.
        published: N times from 1 to the end with dt = 1 / N, as in the reference code, in place of the true spacing.
    """

    kind: Kind = "score"

    def __init__(self, ode: bool = False, published: bool = False) -> None:
        self.ode, self.published, self.stochastic = ode, published, not ode

    def layout(self, span: Span) -> Layout:
        """See `Rule.layout`."""
        return _published_layout(span) if self.published else super().layout(span)

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        t = layout.boundaries[:-1]
        dt = torch.full_like(t, 1 / len(t)) if self.published else -layout.boundaries.diff()
        return _reversed(path.drift(t) * dt, path.diffusion(t) * dt.sqrt(), self.ode)


class ReverseDiffusion(Rule):
    """The reverse of the forward chain between the run's times, x -> r x + g eps, with d = r - 1.

    Args:
        ode: leave the noise out and halve the score.
        published: as in the reference code: N times from 1 to the end, and r, g from the path's table of N entries.
        num_scales: N of the table; the number of steps by default.
    """

    kind: Kind = "score"

    def __init__(self, ode: bool = False, published: bool = False, num_scales: int | None = None) -> None:
        if num_scales is not None and not published:
            raise InputError("num_scales is the length of the published table", mend="give published=true with it")
        self.ode, self.published, self.num_scales, self.stochastic = ode, published, num_scales, not ode

    def layout(self, span: Span) -> Layout:
        """See `Rule.layout`."""
        return _published_layout(span) if self.published else super().layout(span)

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        times = layout.boundaries[:-1]
        if self.published:
            return _reversed(*_published_chain(path, times, self.num_scales or len(times)), self.ode)
        growth, scale = path.transition(times, layout.boundaries[1:])
        return _reversed(1 / growth - 1, scale, self.ode)


class PublishedAncestral(Rule):
    """Ancestral sampling of the score-SDE code: N times from 1 to the end, steps from the path's table of N entries.

    The noise has the forward step's variance where the signal decays, the posterior's where it does not (VE).

    Args:
        num_scales: N of the table; the number of steps by default.
    """

    kind: Kind = "score"
    stochastic = True

    def __init__(self, num_scales: int | None = None) -> None:
        self.num_scales = num_scales

    def layout(self, span: Span) -> Layout:
        """See `Rule.layout`."""
        return _published_layout(span)

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        times = layout.boundaries[:-1]
        scales = self.num_scales or len(times)
        decay, scale = _published_chain(path, times, scales)
        entries = path.variance((times * (scales - 1)).floor() / (scales - 1))
        share = torch.where(decay == 0, (1 - scale**2 / entries).clamp(min=0), 1.0)
        rows = zip((1 / (1 + decay)).tolist(), (scale**2).tolist(), (scale * share.sqrt()).tolist(), strict=True)
        return [Move(Combination(x=grow, values=(grow * gain,)), noise=noise) for grow, gain, noise in rows]
