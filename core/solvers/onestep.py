"""The predictors of score-based models: Euler-Maruyama and reverse diffusion.

Source: Song et al. 2021 (arXiv 2011.13456, algorithms 1-5 and appendix E).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.paths import VE, VP, GaussianPath, SubVP
from scorefield.core.predictions import Kind
from scorefield.core.solvers.table import Combination, Layout, Move, Rule, Span

__all__ = ["EulerMaruyama", "ReverseDiffusion", "published_chain", "published_layout"]


def published_layout(span: Span) -> Layout:
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


def published_chain(path: GaussianPath, times: Tensor, num_scales: int) -> tuple[Tensor, Tensor]:
    """The published forward step at these times, x' = (1 + decay) x + scale eps: (decay, scale).

    Raises:
        InputError: nothing is published for this path.
    """
    if not isinstance(path, VP | SubVP | VE):
        what = f"{type(path).__name__} has no published chain of {num_scales} steps"
        raise InputError(what, mend="leave published out")
    return path.discretised(times, num_scales)


class EulerMaruyama(Rule):
    """Euler-Maruyama on the reverse SDE, or Euler on the probability-flow ODE.

    Args:
        ode: leave the noise out and halve the score.
        published: N times from 1 to the end with dt = 1 / N, as in the reference code, in place of the true spacing.
    """

    kind: Kind = "score"

    def __init__(self, ode: bool = False, published: bool = False) -> None:
        self.ode, self.published, self.stochastic = ode, published, not ode

    def layout(self, span: Span) -> Layout:
        """See `Rule.layout`."""
        return published_layout(span) if self.published else super().layout(span)

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        t = layout.boundaries
        drift, diffusion = path.drift(t).tolist(), path.diffusion(t).tolist()
        steps = len(t) - 1
        moves = []
        for i in range(steps):
            dt = 1 / steps if self.published else float(t[i] - t[i + 1])
            gain = diffusion[i] ** 2 * dt
            point = Combination(x=1 - drift[i] * dt, values=(0.5 * gain if self.ode else gain,))
            moves.append(Move(point, noise=0.0 if self.ode else math.sqrt(gain)))
        return moves


class ReverseDiffusion(Rule):
    """The reverse of the forward chain between the run's times: x' = x - (r - 1) x + G^2 score + G z.

    The forward step from the next time to this one is x -> r x + G eps.

    Args:
        ode: leave the noise out and halve the score.
        published: as in the reference code: N times from 1 to the end, and r, G from the path's table of N entries.
        num_scales: N of the table; the number of steps by default.
    """

    kind: Kind = "score"

    def __init__(self, ode: bool = False, published: bool = False, num_scales: int | None = None) -> None:
        if num_scales is not None and not published:
            raise InputError("num_scales is the length of the published table", mend="give published=true with it")
        self.ode, self.published, self.num_scales, self.stochastic = ode, published, num_scales, not ode

    def layout(self, span: Span) -> Layout:
        """See `Rule.layout`."""
        return published_layout(span) if self.published else super().layout(span)

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        times = layout.boundaries[:-1]
        if self.published:
            decay, scale = published_chain(path, times, self.num_scales or len(times))
        else:
            growth, scale = path.transition(times, layout.boundaries[1:])
            decay = 1 / growth - 1
        moves = []
        for d, g in zip(decay.tolist(), scale.tolist(), strict=True):
            gain = 0.5 * g**2 if self.ode else g**2
            moves.append(Move(Combination(x=1 - d, values=(gain,)), noise=0.0 if self.ode else g))
        return moves
