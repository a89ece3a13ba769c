"""Exponential multistep solvers: the linear part of the SDE is solved exactly, the prediction is extrapolated.

In the notation of `steps`, x' = start x + o sum_k c_k m_k + noise z; rules differ in the weights c of the newest values
m_k, which stand in for the integral int_0^1 w e^(w (1 - v)) m(v) dv and sum up to e^w - 1. A corrector does a step anew
once its end has been evaluated, with that value among the m_k and no evaluation of its own.

Sources: DPM-Solver (arXiv 2206.00927), DPM-Solver++ (2211.01095), UniPC (2302.04867), SA-Solver (2309.05019).
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from typing import Literal

import numpy as np

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath
from scorefield.core.solvers.stages import DPMSolverSinglestep
from scorefield.core.solvers.steps import NODES, WEIGHTS, Form, Steps, lagrange
from scorefield.core.solvers.table import KEEP, Combination, Layout, Move, Rule, Span

__all__ = ["DPMSolverMultistep", "Exponential", "Multistep", "UniPC"]


class Multistep(Rule):
    """What these rules share.

    Args:
        order: values used by the predictor.
        kind: `data` or `noise` prediction.
        lower_final: lower the order towards the end.
        corrector: values used by the corrector beside the new one; 0 has none.
        eta: noise share; 0 is the ODE, 1 the reverse SDE.
        warm_start: make the first order - 1 steps by a singlestep DPM-Solver of this order, 2 or 3. Otherwise the one
            step of order 1 at the start bounds a run's order by 2; it costs (order - 1)^2 evaluations more.
    """

    def __init__(
        self, order: int, kind: Form, lower_final: bool, corrector: int = 0, eta: float = 0.0, warm_start: bool = False
    ) -> None:
        if warm_start and (eta or corrector or order > 3):
            raise InputError("no warm start for this solver", mend="it needs order 1 to 3, eta = 0, no corrector")
        self.order, self.kind, self.lower_final, self.corrector, self.eta = order, kind, lower_final, corrector, eta
        self.least_steps, self.stochastic = max(order, corrector), eta > 0
        self._start = DPMSolverSinglestep(order, kind, packed=False) if warm_start else None

    @abstractmethod
    def weights(self, positions: list[float], w: float) -> np.ndarray:
        """c for two or more values, which lie at these positions in units of the step; one of them is 0."""

    def layout(self, span: Span) -> Layout:
        """See `Rule.layout`; evaluations inside the first steps of a warm start."""
        plain = super().layout(span)
        if self._start is None:
            return plain
        steps = self.order - 1
        return Layout(plain.boundaries, self._start.layout(span).stages[:steps] + plain.stages[steps:])

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        s = Steps.of(path, layout.boundaries, self.kind)
        moves = [self._move(s, i) for i in range(len(s))]
        return moves if self._start is None else self._warmed(self._start, moves, path, layout)

    def _move(self, s: Steps, i: int) -> Move:
        start, values, noise = self._step(s, i, s.past(i, s.order(i, self.order, self.lower_final)))
        if not self.corrector:
            return Move(Combination(x=start, values=values), noise=noise)
        anchor = KEEP
        if i > 0:
            order = s.order(i - 1, self.corrector, self.lower_final)
            old, seen, _ = self._step(s, i - 1, [1.0, *s.past(i - 1, order)])
            anchor = Combination(anchor=old, values=seen)
        return Move(Combination(anchor=start, values=values), anchor)

    def _step(self, s: Steps, i: int, positions: list[float]) -> tuple[float, tuple[float, ...], float]:
        """Coefficients of the step's start, of the values at `positions` and of noise, for step i."""
        start, gain, noise = s.move(i, self.kind, self.eta)
        if len(positions) == 1:
            return start, (gain,), noise
        outer, w = s.kernel(i, self.kind, self.eta)
        return start, tuple((outer * self.weights(positions, w)).tolist()), noise

    def _warmed(self, first: DPMSolverSinglestep, later: list[Move], path: GaussianPath, layout: Layout) -> list[Move]:
        """Full steps at the start; later ones look back past the evaluations inside them."""
        steps = self.order - 1
        moves = first.moves(path, Layout(layout.boundaries[: steps + 1], layout.stages[:steps]))
        counts = [0, *itertools.accumulate(len(stage) for stage in layout.stages)]
        for i, move in enumerate(later[steps:], start=steps):
            values = [0.0] * (counts[i] - counts[i - len(move.point.values) + 1] + 1)
            for k, value in enumerate(move.point.values):
                values[counts[i] - counts[i - k]] = value
            moves.append(Move(Combination(move.point.x, values=tuple(values))))
        return moves


def polynomial(positions: list[float], w: float) -> np.ndarray:
    """The weights that are exact where the values are a polynomial's."""
    if math.isinf(w):  # towards the data: the end of the step alone counts
        return lagrange(positions, np.ones(1))[:, 0] * math.expm1(w)
    return np.asarray(lagrange(positions, NODES) @ (WEIGHTS * w * np.exp(w * (1 - NODES))))


class Exponential(Multistep):
    """The general family: a polynomial through the newest values, integrated exactly.

    Args:
        order: values used by the predictor; 1 is DDIM.
        corrector: values used by a corrector; 0 has none.
        eta: noise share; 0 is the ODE, 1 the reverse SDE.
        kind: `data` or `noise` prediction (noise only with eta = 0).
        lower_final: lower the order towards the end, which steadies runs of few steps.
        warm_start: begin with steps of full order.
    """

    def __init__(
        self,
        order: int = 2,
        corrector: int = 0,
        eta: float = 0.0,
        kind: Form = "data",
        lower_final: bool = True,
        warm_start: bool = False,
    ) -> None:
        if order < 1 or corrector < 0 or eta < 0:
            raise InputError(f"order {order}, corrector {corrector}, eta {eta:g}", mend="need order >= 1, others >= 0")
        if kind not in ("data", "noise") or (eta and kind != "data"):
            raise InputError("eta > 0 needs data prediction" if eta else f"no exponential solver in {kind} prediction")
        if eta and corrector:
            raise InputError("a corrector needs eta = 0: it would have to re-use the step's noise")
        super().__init__(order, kind, lower_final, corrector, eta, warm_start)

    def weights(self, positions: list[float], w: float) -> np.ndarray:
        """See `Multistep.weights`."""
        return polynomial(positions, w)


class DPMSolverMultistep(Multistep):
    """DPM-Solver and DPM-Solver++ in their published multistep form, orders 1 to 3, ODE and SDE.

    Args:
        order: 1, 2 or 3. The published third order has an order-1 start and a halved second difference, so it
            converges with about order 2; `Exponential(order=3)` has the exact weights.
        kind: `data` is DPM-Solver++ (steadier), `noise` DPM-Solver.
        variant: second-order rule, `midpoint` or `taylor`.
        eta: noise share; 0 is the ODE, 1 the reverse SDE.
        lower_final: lower the order towards the end.
        warm_start: begin with steps of full order.
    """

    def __init__(
        self,
        order: int = 2,
        kind: Form = "data",
        variant: Literal["midpoint", "taylor"] = "midpoint",
        eta: float = 0.0,
        lower_final: bool = True,
        warm_start: bool = False,
    ) -> None:
        if order not in (1, 2, 3):
            raise InputError(f"order {order}", mend="give 1, 2 or 3")
        if kind not in ("data", "noise") or variant not in ("midpoint", "taylor"):
            what = f"no DPM-Solver in {kind} prediction, variant {variant}"
            raise InputError(what, mend="give data or noise, midpoint or taylor")
        if not eta >= 0:
            raise InputError(f"eta = {eta:g}", mend="give 0 (the ODE) or more")
        super().__init__(order, kind, lower_final, 0, eta, warm_start)
        self.variant = variant

    def weights(self, positions: list[float], w: float) -> np.ndarray:
        """See `Multistep.weights`; the newest value plus differences of the others."""
        p1, r0 = math.expm1(w), -positions[1]
        p2 = p1 / w - 1
        if len(positions) == 2:
            slope = (0.5 * p1 if self.variant == "midpoint" else p2) / r0
            return np.array([p1 + slope, -slope])
        r1 = positions[1] - positions[2]
        first = np.array([1 / r0, -1 / r0, 0.0])
        second = (first - np.array([0.0, 1 / r1, -1 / r1])) / (r0 + r1)
        return np.asarray([p1, 0.0, 0.0] + p2 * (first + r0 * second) + (p2 / w - 0.5) * second)


class UniPC(Multistep):
    """UniPC: a predictor and a corrector of the same order that share every evaluation.

    Its weights are exact for polynomials but where there are two: those take the slope's part as B / 2.

    Args:
        order: order of the predictor; the corrector gains one.
        kind: `data` or `noise` prediction.
        basis: `bh1` (B = w) or `bh2` (B = e^w - 1).
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
        super().__init__(order, kind, lower_final, corrector=order)
        self.basis = basis

    def weights(self, positions: list[float], w: float) -> np.ndarray:
        """See `Multistep.weights`."""
        if len(positions) > 2:
            return polynomial(positions, w)
        p1 = math.expm1(w)
        slope = 0.5 * (w if self.basis == "bh1" else p1) / (positions[0] + positions[1])  # one of them is 0
        return np.array([slope, p1 - slope] if positions[0] else [p1 - slope, slope])
