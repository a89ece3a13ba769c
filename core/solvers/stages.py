"""Solvers of several evaluations a step: singlestep DPM-Solver and DPM-Solver++, and Heun's method.

The step's start is kept in the anchor; each stage is a combination of it and of the step's predictions.

Sources: Lu et al. 2022 (arXiv 2206.00927, 2211.01095); Karras et al. 2022 (arXiv 2206.00364).
"""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.solvers.exponential import Steps
from scorefield.core.solvers.grids import LogSNR
from scorefield.core.solvers.table import KEEP, Combination, Layout, Move, Rule, Span

__all__ = ["DPMSolverSinglestep", "Heun"]


class DPMSolverSinglestep(Rule):
    """Singlestep DPM-Solver (noise prediction) and DPM-Solver++ (data prediction), orders 1 to 3.

    Args:
        order: evaluations of a full step.
        kind: `data` or `noise` prediction; high orders of `noise` diverge with few steps.
        variant: `midpoint` or `taylor` (the form of the last stage).
        packed: the run's `steps` count evaluations, packed into steps of full order and a shorter last one, as
            published; otherwise they count steps of full order.
    """

    def __init__(
        self,
        order: int = 3,
        kind: Kind = "data",
        variant: Literal["midpoint", "taylor"] = "midpoint",
        packed: bool = True,
    ) -> None:
        if order not in (1, 2, 3) or kind not in ("data", "noise"):
            raise InputError(f"no singlestep solver of order {order} in {kind} prediction", mend="give order 1 to 3")
        self.order, self.kind, self.variant, self.packed = order, kind, variant, packed
        self.least_steps = order if packed else 1

    def _orders(self, steps: int) -> list[int]:
        """Order of each step."""
        if not self.packed or self.order == 1:
            return [self.order] * steps
        if self.order == 2:
            return [2] * (steps // 2) + [1] * (steps % 2)
        full, rest = steps // 3, steps % 3
        return [3] * (full - 1) + [2, 1] if rest == 0 else [3] * full + [rest]

    def layout(self, span: Span) -> Layout:
        """Inner times are spaced by the grid's own rule between the ends of their step."""
        orders = self._orders(span.steps)
        if self.packed and not isinstance(span.grid, LogSNR):
            boundaries = span.boundaries()[torch.tensor([0, *orders]).cumsum(0)]
        else:
            boundaries = span.boundaries(len(orders))
        stages = [
            tuple(span.grid.between(span.path, start, end, order)[:-1].tolist())
            for order, (start, end) in zip(orders, itertools.pairwise(boundaries.tolist()), strict=True)
        ]
        return Layout(boundaries, tuple(stages))

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        moves: list[Move] = []
        for stage, end in zip(layout.stages, layout.boundaries[1:], strict=True):
            s = Steps.of(path, torch.tensor([*stage, float(end)], dtype=torch.float64))
            points = _PUBLISHED[len(stage)](self.kind, self.variant, s)
            moves.extend(Move(point, KEEP if j == 0 else None) for j, point in enumerate(points))
        return moves


def _kernel(kind: Kind, s: Steps, j: int) -> tuple[float, float, float, float]:
    """Towards time j of the step: scale of the start, outer factor, e^(+-w) - 1, and the signed width w from time 0."""
    w = s.log_snr[j] - s.log_snr[0]
    if kind == "noise":
        return s.alpha[j] / s.alpha[0], -s.sigma[j], math.expm1(w), w
    return s.sigma[j] / s.sigma[0], -s.alpha[j], math.expm1(-w), -w


def _first(kind: Kind, variant: str, s: Steps) -> list[Combination]:
    start, outer, p1, _ = _kernel(kind, s, len(s))
    return [Combination(anchor=start, values=(outer * p1,))]


def _second(kind: Kind, variant: str, s: Steps) -> list[Combination]:
    start1, outer1, q1, w1 = _kernel(kind, s, 1)
    start, outer, p1, w = _kernel(kind, s, 2)
    slope = outer * (p1 / 2 if variant == "midpoint" else p1 / w - 1) / (w1 / w)
    return [
        Combination(anchor=start1, values=(outer1 * q1,)),
        Combination(anchor=start, values=(slope, outer * p1 - slope)),
    ]


def _third(kind: Kind, variant: str, s: Steps) -> list[Combination]:
    start1, outer1, q1, w1 = _kernel(kind, s, 1)
    start2, outer2, q2, w2 = _kernel(kind, s, 2)
    start, outer, p1, w = _kernel(kind, s, 3)
    r1, r2, p2 = w1 / w, w2 / w, p1 / w - 1
    bend = outer2 * (r2 / r1) * (q2 / w2 - 1)
    if variant == "midpoint":
        last = (outer * p2 / r2, 0.0, outer * (p1 - p2 / r2))
    else:
        p3 = p2 / w - 0.5
        by2 = outer * (-p2 * r1 + 2 * p3) / (r2 * (r2 - r1))
        by1 = outer * (p2 * r2 - 2 * p3) / (r1 * (r2 - r1))
        last = (by2, by1, outer * p1 - by1 - by2)
    return [
        Combination(anchor=start1, values=(outer1 * q1,)),
        Combination(anchor=start2, values=(bend, outer2 * q2 - bend)),
        Combination(anchor=start, values=last),
    ]


_PUBLISHED = {1: _first, 2: _second, 3: _third}


class Heun(Rule):
    """Heun's method on x / alpha against sigma / alpha (EDM without churn); Euler into sigma = 0.

    Two evaluations a step, one in a last step that ends at sigma = 0.
    """

    kind: Kind = "noise"

    def layout(self, span: Span) -> Layout:
        """Both ends of every step."""
        boundaries = span.boundaries()
        clean = span.path.sigma(boundaries[-1:]).item() == 0.0
        times = boundaries.tolist()
        stages = list(itertools.pairwise(times))
        return Layout(boundaries, tuple([*stages[:-1], stages[-1][:1]] if clean else stages))

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        alpha, sigma = _scales(path, layout.boundaries)
        moves = []
        for i, stage in enumerate(layout.stages):
            start = alpha[i + 1] / alpha[i]
            step = alpha[i + 1] * (sigma[i + 1] / alpha[i + 1] - sigma[i] / alpha[i])
            moves.append(Move(Combination(anchor=start, values=(step,)), KEEP))
            if len(stage) == 2:
                moves.append(Move(Combination(anchor=start, values=(step / 2, step / 2))))
        return moves


def _scales(path: GaussianPath, times: Tensor) -> tuple[list[float], list[float]]:
    return path.alpha(times).tolist(), path.sigma(times).tolist()
