"""Exponential multistep solvers: the linear part of the SDE is solved exactly, the prediction is extrapolated.

With half log-SNR lambda and h = lambda(t') - lambda(t) > 0, in data prediction m and with noise share eta,

    x' = sigma'/sigma e^(-eta h) x + alpha' (1 + eta) int_0^h e^(-(1 + eta)(h - u)) m(u) du
         + sigma' sqrt(1 - e^(-2 eta h)) z

(eta = 0: the probability-flow ODE, eta = 1: the reverse SDE), and in noise prediction
x' = alpha'/alpha x - sigma' int_0^h e^(h - u) eps(u) du. Rules differ in how they put a polynomial through past values.

Sources: DDIM (arXiv 2010.02502), DPM-Solver (2206.00927), DPM-Solver++ (2211.01095), UniPC (2302.04867).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.solvers.table import KEEP, Combination, Layout, Move, Rule

__all__ = ["DPMSolverMultistep", "Exponential", "Steps", "UniPC"]


@dataclass(frozen=True)
class Steps:
    """Scales of one component at the boundaries of a run, as numbers."""

    alpha: list[float]
    sigma: list[float]
    log_snr: list[float]

    @classmethod
    def of(cls, path: GaussianPath, times: torch.Tensor) -> Steps:
        """Evaluate a path in float64."""
        t = times.double()
        return cls(path.alpha(t).tolist(), path.sigma(t).tolist(), path.log_snr(t).tolist())

    def __len__(self) -> int:
        return len(self.alpha) - 1

    def width(self, i: int) -> float:
        """h of step i."""
        return self.log_snr[i + 1] - self.log_snr[i]

    def past(self, i: int, order: int) -> list[float]:
        """Positions of the newest `order` evaluations in units of step i: 0, then negative."""
        return [(self.log_snr[i - k] - self.log_snr[i]) / self.width(i) for k in range(order)]

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


def _decay(eta: float, h: float) -> float:
    """e^(-eta h), also where h is infinite and eta 0."""
    return math.exp(-eta * h) if eta else 1.0


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


def _moments(width: float, count: int, kind: Kind) -> np.ndarray:
    """Integrals of the exponential kernel times (u/h)^j; `width` is (1 + eta) h for data prediction."""
    if math.isinf(width):
        return np.array([1.0] + [1.0] * (count - 1))
    v = 0.5 * (_NODES + 1)
    kernel = np.exp(-width * (1 - v)) if kind == "data" else np.exp(width * (1 - v))
    return np.array([np.sum(0.5 * _WEIGHTS * width * kernel * v**j) for j in range(count)])


def _weights(positions: list[float], width: float, kind: Kind) -> np.ndarray:
    """Weights of values at these positions (in units of h) under the exponential kernel: exact for polynomials."""
    powers = np.vander(np.array(positions), increasing=True).T
    return np.linalg.solve(powers, _moments(width, len(positions), kind))


class Exponential(Rule):
    """The general family: a polynomial through the newest values, integrated exactly.

    Args:
        order: values used by the predictor; 1 is DDIM.
        corrector: values used by a corrector that re-does the step once its end has been evaluated (at no further
            evaluation); 0 has none.
        eta: noise share; 0 is the ODE, 1 the reverse SDE.
        kind: `data` or `noise` prediction (noise only with eta = 0).
        lower_final: lower the order towards the end, which steadies runs of few steps.
    """

    def __init__(
        self,
        order: int = 2,
        corrector: int = 0,
        eta: float = 0.0,
        kind: Kind = "data",
        lower_final: bool = True,
    ) -> None:
        if order < 1 or corrector < 0 or eta < 0:
            raise InputError(f"order {order}, corrector {corrector}, eta {eta:g}", mend="need order >= 1, others >= 0")
        if kind not in ("data", "noise") or (eta and kind != "data"):
            raise InputError("eta > 0 needs data prediction" if eta else f"no exponential solver in {kind} prediction")
        if eta and corrector:
            raise InputError("a corrector needs eta = 0: it would have to re-use the step's noise")
        self.stages, self.corrector, self.eta, self.kind = order, corrector, eta, kind
        self.least_steps = max(order, corrector)
        self.lower_final, self.stochastic = lower_final, eta > 0

    def _step(self, s: Steps, i: int, positions: list[float]) -> tuple[float, list[float]]:
        """Coefficient of the step's start, and of the values at `positions`, for step i."""
        h = s.width(i)
        if self.kind == "noise":
            return s.alpha[i + 1] / s.alpha[i], (-s.sigma[i + 1] * _weights(positions, h, "noise")).tolist()
        start = s.sigma[i + 1] / s.sigma[i] * _decay(self.eta, h) if s.sigma[i + 1] else 0.0
        return start, (s.alpha[i + 1] * _weights(positions, (1 + self.eta) * h, "data")).tolist()

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        s = Steps.of(path, layout.boundaries)
        moves = []
        for i in range(len(s)):
            start, values = self._step(s, i, s.past(i, s.order(i, self.stages, self.lower_final)))
            noise = s.sigma[i + 1] * math.sqrt(-math.expm1(-2 * self.eta * s.width(i))) if self.eta else 0.0
            if not self.corrector:
                moves.append(Move(Combination(x=start, values=tuple(values)), noise=noise))
                continue
            anchor = KEEP
            if i > 0:
                order = s.order(i - 1, self.corrector, self.lower_final)
                old, seen = self._step(s, i - 1, [1.0, *s.past(i - 1, order)])
                anchor = Combination(anchor=old, values=tuple(seen))
            moves.append(Move(Combination(anchor=start, values=tuple(values)), anchor))
        return moves


class DPMSolverMultistep(Rule):
    """DPM-Solver and DPM-Solver++ in their published multistep form, orders 1 to 3, ODE and SDE.

    Args:
        order: 1, 2 or 3. The published third order has an order-1 start and a halved second difference, so it
            converges with about order 2; `Exponential(order=3)` has the exact weights.
        kind: `data` is DPM-Solver++ (steadier), `noise` DPM-Solver.
        variant: second-order rule, `midpoint` or `taylor`.
        eta: noise share, data prediction only.
        lower_final: lower the order towards the end.
    """

    def __init__(
        self,
        order: int = 2,
        kind: Kind = "data",
        variant: Literal["midpoint", "taylor"] = "midpoint",
        eta: float = 0.0,
        lower_final: bool = True,
    ) -> None:
        if order not in (1, 2, 3):
            raise InputError(f"order {order}", mend="give 1, 2 or 3")
        if kind not in ("data", "noise") or (eta and kind != "data"):
            raise InputError(f"no such solver: {kind} prediction, eta {eta:g}", mend="use data prediction")
        self.order, self.kind, self.variant, self.eta = order, kind, variant, eta
        self.least_steps = order
        self.lower_final, self.stochastic = lower_final, eta > 0

    def _values(self, positions: list[float], width: float) -> list[float]:
        """Weights of the newest values, up to the outer factor, from differences as published."""
        sign = -1.0 if self.kind == "data" else 1.0
        p1 = math.expm1(sign * width)
        if len(positions) == 1:
            return [p1]
        p2 = p1 / width - sign
        r0 = -positions[1]
        if len(positions) == 2:
            slope = 0.5 * p1 if self.variant == "midpoint" else sign * p2
            return [p1 + slope / r0, -slope / r0]
        r1 = positions[1] - positions[2]
        p3 = p2 / width - 0.5
        first = np.array([1 / r0, -1 / r0, 0.0])
        second = (first - np.array([0.0, 1 / r1, -1 / r1])) / (r0 + r1)
        slope_weights = first + r0 * second
        weights = p1 * np.array([1.0, 0, 0]) + sign * p2 * slope_weights + p3 * second
        return [float(w) for w in weights]

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        s = Steps.of(path, layout.boundaries)
        moves = []
        for i in range(len(s)):
            h = s.width(i)
            weights = self._values(s.past(i, s.order(i, self.order, self.lower_final)), (1 + self.eta) * h)
            if self.kind == "noise":
                start, outer = s.alpha[i + 1] / s.alpha[i], -s.sigma[i + 1]
            else:
                start = s.sigma[i + 1] / s.sigma[i] * _decay(self.eta, h) if s.sigma[i + 1] else 0.0
                outer = -s.alpha[i + 1]
            noise = s.sigma[i + 1] * math.sqrt(-math.expm1(-2 * self.eta * h)) if self.eta else 0.0
            moves.append(Move(Combination(x=start, values=tuple(outer * w for w in weights)), noise=noise))
        return moves


class UniPC(Rule):
    """UniPC: a predictor and a corrector of the same order that share every evaluation.

    Args:
        order: order of the predictor; the corrector gains one.
        kind: `data` or `noise` prediction.
        basis: `bh1` (B = h) or `bh2` (B = e^h - 1).
        lower_final: lower the order towards the end.
    """

    def __init__(
        self,
        order: int = 3,
        kind: Kind = "data",
        basis: Literal["bh1", "bh2"] = "bh2",
        lower_final: bool = True,
    ) -> None:
        if order < 1 or kind not in ("data", "noise") or basis not in ("bh1", "bh2"):
            raise InputError(f"no UniPC of order {order}, {kind} prediction, basis {basis}")
        self.order, self.kind, self.basis, self.lower_final = order, kind, basis, lower_final
        self.least_steps = order

    def _differences(self, positions: list[float], width: float, corrector: bool) -> tuple[float, np.ndarray]:
        """B, and weights of the differences to the newest value at the other positions (the corrector's last is 1)."""
        hh = -width if self.kind == "data" else width
        scale = hh if self.basis == "bh1" else math.expm1(hh)
        points = [*positions[1:], 1.0] if corrector else positions[1:]
        if len(points) == 1:
            return scale, np.array([0.5 / points[0]])
        rest, rhs = math.expm1(hh) / hh - 1, []
        for j in range(1, len(points) + 1):
            rhs.append(rest * math.factorial(j) / scale)
            rest = rest / hh - 1 / math.factorial(j + 1)
        powers = np.vander(np.array(points), increasing=True).T
        return scale, np.linalg.solve(powers, np.array(rhs)) / np.array(points)

    def _step(self, s: Steps, i: int, corrector: bool) -> Combination:
        """From the anchor over step i; the corrector's values begin with the one at the step's end."""
        h = s.width(i)
        positions = s.past(i, s.order(i, self.order, self.lower_final))
        if self.kind == "data":
            start, outer = (s.sigma[i + 1] / s.sigma[i] if s.sigma[i + 1] else 0.0), -s.alpha[i + 1]
        else:
            start, outer = s.alpha[i + 1] / s.alpha[i], -s.sigma[i + 1]
        newest = math.expm1(-h if self.kind == "data" else h)
        if len(positions) == 1 and not corrector:
            return Combination(anchor=start, values=(outer * newest,))
        scale, weights = self._differences(positions, h, corrector)
        weights = outer * scale * weights
        values = [outer * newest - float(weights.sum()), *weights.tolist()]
        if corrector:
            values = [values[-1], *values[:-1]]
        return Combination(anchor=start, values=tuple(values))

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        s = Steps.of(path, layout.boundaries)
        return [Move(self._step(s, i, False), KEEP if i == 0 else self._step(s, i - 1, True)) for i in range(len(s))]
