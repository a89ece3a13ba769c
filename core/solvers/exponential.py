"""Exponential multistep solvers: the linear part of the SDE is solved exactly, the prediction is extrapolated.

In the notation of `steps`, with data prediction m,

    x' = sigma'/sigma e^(-eta h) x + alpha' (1 + eta) int_0^h e^(-(1 + eta)(h - u)) m(u) du
         + sigma' sqrt(1 - e^(-2 eta h)) z

and in noise prediction x' = alpha'/alpha x - (1 + eta) sigma' int_0^h e^(h - u) eps(u) du + ... Rules differ in how
they put a polynomial through past values.

Sources: DPM-Solver (arXiv 2206.00927), DPM-Solver++ (2211.01095), UniPC (2302.04867), SA-Solver (2309.05019).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.solvers.steps import Form, Steps
from scorefield.core.solvers.table import KEEP, Combination, Layout, Move, Rule

__all__ = ["DPMSolverMultistep", "Exponential", "UniPC"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


def _moments(width: float, count: int, kind: Kind) -> np.ndarray:
    """Integrals of the exponential kernel times (u/h)^j; `width` is (1 + eta) h for data prediction."""
    if math.isinf(width):
        return np.ones(count)
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
        kind: Form = "data",
        lower_final: bool = True,
    ) -> None:
        if order < 1 or corrector < 0 or eta < 0:
            raise InputError(f"order {order}, corrector {corrector}, eta {eta:g}", mend="need order >= 1, others >= 0")
        if kind not in ("data", "noise") or (eta and kind != "data"):
            raise InputError("eta > 0 needs data prediction" if eta else f"no exponential solver in {kind} prediction")
        if eta and corrector:
            raise InputError("a corrector needs eta = 0: it would have to re-use the step's noise")
        self.order, self.corrector, self.eta, self.kind = order, corrector, eta, kind
        self.least_steps = max(order, corrector)
        self.lower_final, self.stochastic = lower_final, eta > 0

    def _step(self, s: Steps, i: int, positions: list[float]) -> tuple[float, list[float], float]:
        """Coefficients of the step's start, of the values at `positions` and of noise, for step i."""
        start, gain, noise = s.move(i, self.kind, self.eta)
        if len(positions) == 1:
            return start, [gain], noise
        outer = s.alpha[i + 1] if self.kind == "data" else -s.sigma[i + 1]
        return start, (outer * _weights(positions, (1 + self.eta) * s.width(i), self.kind)).tolist(), noise

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        s = Steps.of(path, layout.boundaries, self.kind)
        moves = []
        for i in range(len(s)):
            start, values, noise = self._step(s, i, s.past(i, s.order(i, self.order, self.lower_final)))
            if not self.corrector:
                moves.append(Move(Combination(x=start, values=tuple(values)), noise=noise))
                continue
            anchor = KEEP
            if i > 0:
                order = s.order(i - 1, self.corrector, self.lower_final)
                old, seen, _ = self._step(s, i - 1, [1.0, *s.past(i - 1, order)])
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
        eta: noise share; 0 is the ODE, 1 the reverse SDE.
        lower_final: lower the order towards the end.
    """

    def __init__(
        self,
        order: int = 2,
        kind: Form = "data",
        variant: Literal["midpoint", "taylor"] = "midpoint",
        eta: float = 0.0,
        lower_final: bool = True,
    ) -> None:
        if order not in (1, 2, 3):
            raise InputError(f"order {order}", mend="give 1, 2 or 3")
        if kind not in ("data", "noise") or variant not in ("midpoint", "taylor"):
            what = f"no DPM-Solver in {kind} prediction, variant {variant}"
            raise InputError(what, mend="give data or noise, midpoint or taylor")
        if not eta >= 0:
            raise InputError(f"eta = {eta:g}", mend="give 0 (the ODE) or more")
        self.order, self.kind, self.variant, self.eta = order, kind, variant, eta
        self.least_steps = order
        self.lower_final, self.stochastic = lower_final, eta > 0

    def _corrections(self, positions: list[float], width: float) -> np.ndarray:
        """What differences of the newest values add to the constant prediction, as weights, up to the outer factor."""
        sign = -1.0 if self.kind == "data" else 1.0
        if len(positions) == 1:
            return np.zeros(1)
        p1 = math.expm1(sign * width)
        p2 = p1 / width - sign
        r0 = -positions[1]
        if len(positions) == 2:
            slope = 0.5 * p1 if self.variant == "midpoint" else sign * p2
            return slope * np.array([1.0, -1.0]) / r0
        r1 = positions[1] - positions[2]
        first = np.array([1 / r0, -1 / r0, 0.0])
        second = (first - np.array([0.0, 1 / r1, -1 / r1])) / (r0 + r1)
        return np.asarray(sign * p2 * (first + r0 * second) + (p2 / width - 0.5) * second)

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        s = Steps.of(path, layout.boundaries, self.kind)
        moves = []
        for i in range(len(s)):
            start, gain, noise = s.move(i, self.kind, self.eta)
            scale = (1 + self.eta) * s.sigma[i + 1] if self.kind == "noise" else s.alpha[i + 1]
            width = s.width(i) if self.kind == "noise" else (1 + self.eta) * s.width(i)
            weights = -scale * self._corrections(s.past(i, s.order(i, self.order, self.lower_final)), width)
            weights[0] += gain
            moves.append(Move(Combination(x=start, values=tuple(weights.tolist())), noise=noise))
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
        kind: Form = "data",
        basis: Literal["bh1", "bh2"] = "bh2",
        lower_final: bool = True,
    ) -> None:
        if order < 1 or kind not in ("data", "noise") or basis not in ("bh1", "bh2"):
            raise InputError(f"no UniPC of order {order}, {kind} prediction, basis {basis}")
        self.order, self.kind, self.basis, self.lower_final = order, kind, basis, lower_final
        self.least_steps = order

    def _differences(self, positions: list[float], width: float, corrector: bool) -> np.ndarray:
        """B times the weights of the differences to the newest value at the other positions (the corrector's last is
        1).
        """
        hh = -width if self.kind == "data" else width
        scale = hh if self.basis == "bh1" else math.expm1(hh)
        points = [*positions[1:], 1.0] if corrector else positions[1:]
        if len(points) == 1:
            return np.array([0.5 * scale / points[0]])
        rest, rhs = math.expm1(hh) / hh - 1, []
        for j in range(1, len(points) + 1):
            rhs.append(rest * math.factorial(j))
            rest = rest / hh - 1 / math.factorial(j + 1)
        powers = np.vander(np.array(points), increasing=True).T
        return np.asarray(np.linalg.solve(powers, np.array(rhs)) / np.array(points))

    def _step(self, s: Steps, i: int, corrector: bool) -> Combination:
        """From the anchor over step i; the corrector's values begin with the one at the step's end."""
        positions = s.past(i, s.order(i, self.order, self.lower_final))
        start, gain, _ = s.move(i, self.kind)
        if len(positions) == 1 and not corrector:
            return Combination(anchor=start, values=(gain,))
        outer = -s.alpha[i + 1] if self.kind == "data" else -s.sigma[i + 1]
        weights = outer * self._differences(positions, s.width(i), corrector)
        values = [gain - float(weights.sum()), *weights.tolist()]
        if corrector:
            values = [values[-1], *values[:-1]]
        return Combination(anchor=start, values=tuple(values))

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        s = Steps.of(path, layout.boundaries, self.kind)
        return [Move(self._step(s, i, False), KEEP if i == 0 else self._step(s, i - 1, True)) for i in range(len(s))]
