"""Ancestral sampling: a step to less noise than wanted, then fresh noise.

With rho = sigma / alpha, a step from t to t' draws w = eta rho' sqrt(1 - rho'^2 / rho^2) of noise after a deterministic
step to sqrt(rho'^2 - w^2), everything for x / alpha. One evaluation a step makes DDIM(eta), DDPM for eta = 1; two make
the ancestral samplers of k-diffusion.

Sources: Ho et al. 2020 (arXiv 2006.11239); Song et al. 2021 (arXiv 2010.02502, equation 12); k-diffusion
(dpm_2_ancestral, dpmpp_2s_ancestral, dpmpp_sde).
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.solvers.steps import Form, Steps
from scorefield.core.solvers.table import KEEP, Combination, Layout, Move, Rule, Span

__all__ = ["Ancestral", "AncestralSinglestep"]


class Ancestral(Rule):
    """DDIM(eta) between any two times; eta = 1 is the posterior of the DDPM chain.

    Args:
        eta: 0 deterministic, 1 ancestral.
        variance: `posterior`, or `upper`: the larger of the two variances of Ho et al., the forward step's own.
    """

    kind: Kind = "data"

    def __init__(self, eta: float = 1.0, variance: Literal["posterior", "upper"] = "posterior") -> None:
        _check_eta(eta)
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


class AncestralSinglestep(Rule):
    """Second-order steps with ancestral noise; a step into sigma = 0 is one of Euler.

    Args:
        kind: `data` is dpmpp_2s_ancestral, `noise` dpm_2_ancestral.
        eta: share of the ancestral noise.
        inner: draw noise at the inner time too (dpmpp_sde); data prediction only.
    """

    stochastic = True

    def __init__(self, kind: Form = "data", eta: float = 1.0, inner: bool = False) -> None:
        _check_eta(eta)
        if kind not in ("data", "noise") or (inner and kind == "noise"):
            raise InputError(f"no ancestral singlestep solver in {kind} prediction, inner = {inner}", mend="give data")
        self.kind, self.eta, self.inner, self.stochastic = kind, eta, inner, eta > 0

    def layout(self, span: Span) -> Layout:
        """The start of each step, and half its width of log_snr on (up to its ancestral end, without inner noise)."""
        boundaries = span.boundaries()
        s = Steps.of(span.path, boundaries, self.kind)
        downs = [s.ratio(i + 1) if self.inner else self._split(s, i, i + 1)[0] for i in range(len(s))]
        whole = [down > 0 and s.alpha[i] > 0 for i, down in enumerate(downs)]
        middles = [0.5 * (s.log_snr[i] - math.log(down)) if whole[i] else 0.0 for i, down in enumerate(downs)]
        inner = span.path.time_of(torch.tensor(middles, dtype=torch.float64)).tolist()
        steps = zip(boundaries[:-1].tolist(), inner, whole, strict=True)
        return Layout(boundaries, tuple((start, middle) if two else (start,) for start, middle, two in steps))

    def _split(self, s: Steps, i: int, j: int) -> tuple[float, float]:
        """From boundary i to j: rho of the deterministic step, and the noise after it, for x / alpha."""
        ratio = s.ratio(j)
        noise = self.eta * ratio * math.sqrt(-math.expm1(-2 * s.width(i, j)))
        return math.sqrt(max(ratio**2 - noise**2, 0.0)), noise

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        moves: list[Move] = []
        for stage, end in zip(layout.stages, layout.boundaries[1:].tolist(), strict=True):
            s = Steps.of(path, torch.tensor([*stage, end], dtype=torch.float64), self.kind)
            if len(stage) == 1:
                start, gain, noise = s.move(0, self.kind)
                moves.append(Move(Combination(anchor=start, values=(gain,)), KEEP, noise))
                continue
            moves += self._step(s)
        return moves

    def _step(self, s: Steps) -> list[Move]:
        """Both moves of a step with start, inner time and end `s`."""
        down, noise = self._split(s, 0, 2)
        middle, middle_noise = self._split(s, 0, 1) if self.inner else (s.ratio(1), 0.0)
        whole = s.width(0, 2) if self.inner else -s.log_snr[0] - math.log(down)
        newer = 0.5 * whole / s.width(0, 1)
        x, gain = self._euler(s, middle)
        first = Move(Combination(anchor=s.alpha[1] * x, values=(s.alpha[1] * gain,)), KEEP, s.alpha[1] * middle_noise)
        x, gain = (s.alpha[2] * c for c in self._euler(s, down))
        last = Combination(anchor=x, values=(gain * newer, gain * (1 - newer)))
        return [first, Move(last, noise=s.alpha[2] * noise)]

    def _euler(self, s: Steps, ratio: float) -> tuple[float, float]:
        """x / alpha where rho is `ratio`, from the step's start: coefficients of x and of a constant prediction."""
        if self.kind == "noise":
            return 1 / s.alpha[0], ratio - s.ratio(0)
        return ratio / s.sigma[0], 1 - ratio / s.ratio(0)


def _check_eta(eta: float) -> None:
    if not 0 <= eta <= 1:
        raise InputError(f"eta = {eta:g}", mend="give 0 (DDIM) to 1 (ancestral)")
