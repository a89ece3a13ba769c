"""Solvers that look one evaluation back: Euler-Maruyama, reverse diffusion, ancestral sampling and DDIM(eta).

Sources: Song et al. 2021 (arXiv 2011.13456, algorithms 1-5) for the first two; Ho et al. 2020 (arXiv 2006.11239) and
Song et al. 2021 (arXiv 2010.02502, equation 12) for ancestral sampling.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.solvers.exponential import Steps
from scorefield.core.solvers.table import Combination, Layout, Move, Rule, Span

__all__ = ["Ancestral", "EulerMaruyama", "ReverseDiffusion"]


def _published_layout(span: Span) -> Layout:
    """As published, the N evaluations themselves span the run; the last step, of 1 / N, goes past its end."""
    times = torch.linspace(span.start, span.end, span.steps, dtype=torch.float64)
    last = torch.tensor([span.end - 1 / span.steps], dtype=torch.float64)
    return Layout(torch.cat([times, last]), tuple((t,) for t in times.tolist()))


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
        return _published_layout(span) if self.published else super().layout(span)

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
        return _published_layout(span) if self.published else super().layout(span)

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        times = layout.boundaries[:-1]
        if self.published:
            decay, scale = path.discretised(times, self.num_scales or len(times))
        else:
            growth, scale = path.transition(times, layout.boundaries[1:])
            decay = 1 / growth - 1
        moves = []
        for d, g in zip(decay.tolist(), scale.tolist(), strict=True):
            gain = 0.5 * g**2 if self.ode else g**2
            moves.append(Move(Combination(x=1 - d, values=(gain,)), noise=0.0 if self.ode else g))
        return moves


class Ancestral(Rule):
    """DDIM(eta) between any two times; eta = 1 is the posterior of the DDPM chain.

    Args:
        eta: 0 deterministic, 1 ancestral.
        variance: `posterior`, or `upper`: the larger of the two variances of Ho et al., the forward step's own.
    """

    kind: Kind = "data"

    def __init__(self, eta: float = 1.0, variance: Literal["posterior", "upper"] = "posterior") -> None:
        if not 0 <= eta <= 1:
            raise InputError(f"eta = {eta:g}", mend="give 0 (DDIM) to 1 (ancestral)")
        if variance not in ("posterior", "upper") or (variance == "upper" and eta != 1):
            raise InputError(f"variance {variance!r} with eta = {eta:g}", mend="give posterior, or upper with eta = 1")
        self.eta, self.variance, self.stochastic = eta, variance, eta > 0

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        s = Steps.of(path, layout.boundaries)
        _, forward = path.transition(layout.boundaries[:-1], layout.boundaries[1:])
        moves = []
        for i in range(len(s)):
            new = self.eta * s.sigma[i + 1] * math.sqrt(-math.expm1(-2 * s.width(i))) if self.eta else 0.0
            kept = math.sqrt(s.sigma[i + 1] ** 2 - new**2) / s.sigma[i]
            point = Combination(x=kept, values=(s.alpha[i + 1] - kept * s.alpha[i],))
            moves.append(Move(point, noise=float(forward[i]) if self.variance == "upper" else new))
        return moves
