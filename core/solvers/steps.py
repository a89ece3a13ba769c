"""The steps of a run on one path, as numbers: scales at their ends, and the move under a constant prediction.

With half log-SNR lambda, h = lambda(t') - lambda(t) > 0 and noise share eta, the linear part of the reverse SDE solved
exactly under a constant data prediction m, or noise prediction eps, is

    x' = sigma'/sigma e^(-eta h) x + alpha' (1 - e^(-(1 + eta) h)) m + sigma' sqrt(1 - e^(-2 eta h)) z
    x' = alpha'/alpha x - (1 + eta) sigma' (e^h - 1) eps + sigma' sqrt(eta (e^(2h) - 1)) z

(eta = 0: the probability-flow ODE, eta = 1: the reverse SDE). Both have limits at sigma' = 0, where h is infinite. The
prediction's part is o (e^w - 1), with o = -alpha', w = -(1 + eta) h for data, o = -(1 + eta) sigma', w = h for noise;
where the prediction changes over the step it is the integral o int_0^1 w e^(w (1 - v)) m(v) dv.

Sources: Song et al. 2021 (DDIM, arXiv 2010.02502), Lu et al. 2022 (arXiv 2206.00927, 2211.01095).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind

__all__ = ["NODES", "WEIGHTS", "Form", "Steps", "lagrange"]

Form = Literal["data", "noise"]
"""The predictions in which the linear part of the SDE is solved."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
NODES, WEIGHTS = 0.5 * (_NODES + 1), 0.5 * _WEIGHTS
"""Quadrature on [0, 1]."""


def lagrange(nodes: Sequence[float], at: np.ndarray) -> np.ndarray:
    """Lagrange polynomials of the nodes at points, `[nodes, points]`."""
    rows = [
        math.prod(((at - other) / (own - other) for k, other in enumerate(nodes) if k != j), start=np.ones_like(at))
        for j, own in enumerate(nodes)
    ]
    return np.stack(rows)


@dataclass(frozen=True)
class Steps:
    """Scales of one component at the boundaries of a run."""

    alpha: list[float]
    sigma: list[float]
    log_snr: list[float]

    @classmethod
    def of(cls, path: GaussianPath, times: torch.Tensor, kind: Kind = "data") -> Steps:
        """Evaluate a path in float64, for a rule that uses predictions of this kind.

        Raises:
            InputError: noise predictions are to be used where there is no signal.
        """
        t = times.double()
        alpha = path.alpha(t).tolist()
        if kind == "noise" and min(alpha[:-1]) == 0:
            what = f"{type(path).__name__} has no signal at t = {t[alpha.index(0)].item():g}"
            raise InputError(what, mend="start later (start=0.99), or use a solver in data prediction")
        return cls(alpha, path.sigma(t).tolist(), path.log_snr(t).tolist())

    def __len__(self) -> int:
        return len(self.alpha) - 1

    def width(self, i: int, j: int | None = None) -> float:
        """h of step i, or from boundary i to boundary j."""
        return self.log_snr[i + 1 if j is None else j] - self.log_snr[i]

    def past(self, i: int, order: int) -> list[float]:
        """Positions of the newest `order` evaluations in units of step i: 0, then negative."""
        return [0.0, *((self.log_snr[i - k] - self.log_snr[i]) / self.width(i) for k in range(1, order))]

    def order(self, i: int, order: int, lower_final: bool) -> int:
        """Order at step i: one more per step at the start, fewer at the end, one where an end of the step has no noise
        or no signal.
        """
        allowed = min(order, i + 1)
        if lower_final:
            allowed = min(allowed, len(self) - i)
        while allowed > 1 and math.isinf(self.log_snr[i - allowed + 1]):
            allowed -= 1
        return 1 if math.isinf(self.width(i)) else allowed

    def ratio(self, i: int) -> float:
        """rho = sigma / alpha at boundary i."""
        return self.sigma[i] / self.alpha[i]

    def kernel(self, i: int, kind: Kind, eta: float = 0.0) -> tuple[float, float]:
        """o and w of step i."""
        if kind == "noise":
            return -(1 + eta) * self.sigma[i + 1], self.width(i)
        return -self.alpha[i + 1], -(1 + eta) * self.width(i)

    def move(self, i: int, kind: Kind, eta: float = 0.0) -> tuple[float, float, float]:
        """Coefficients of the state, of a constant prediction and of noise, over step i."""
        h, alpha, sigma = self.width(i), self.alpha[i + 1], self.sigma[i + 1]
        outer, w = self.kernel(i, kind, eta)
        if kind == "noise" and sigma == 0:
            reach = alpha * self.ratio(i)
            return alpha / self.alpha[i], -(1 + eta) * reach, math.sqrt(eta) * reach
        if kind == "noise":
            return alpha / self.alpha[i], outer * math.expm1(w), sigma * math.sqrt(eta * math.expm1(2 * h))
        start = sigma / self.sigma[i] * (math.exp(-eta * h) if eta else 1.0) if sigma else 0.0
        noise = sigma * math.sqrt(-math.expm1(-2 * eta * h)) if eta else 0.0
        return start, outer * math.expm1(w), noise
