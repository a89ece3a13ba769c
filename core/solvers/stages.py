"""Singlestep DPM-Solver and DPM-Solver++: several evaluations inside each step.

The step's start is kept in the anchor; each stage is a combination of it and of the step's predictions.

Sources: Lu et al. 2022 (arXiv 2206.00927, 2211.01095).
"""

from __future__ import annotations

import itertools
import math
from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.grids import LogSNR
from scorefield.core.names import unknown
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.solvers.steps import Form, Steps
from scorefield.core.solvers.table import KEEP, Combination, Layout, Move, Rule, Span

__all__ = ["DPMSolverSinglestep", "Stage", "Variant", "check_variant", "stages_of"]

Variant = Literal["midpoint", "taylor"]

Stage = tuple[Tensor, list[Tensor]]
"""Coefficients of the step's start, and of its predictions, newest first."""


class DPMSolverSinglestep(Rule):
    """Singlestep DPM-Solver (noise prediction) and DPM-Solver++ (data prediction), orders 1 to 3.

    A step from no signal, or to no noise, is of order 1.

    Args:
        order: evaluations of a full step.
        kind: `data` or `noise` prediction; high orders of `noise` diverge with few steps.
        variant: `midpoint` or `taylor` (the form of the last stage).
        packed: the run's `steps` count evaluations, packed into steps of full order and a shorter last one, as
            published; otherwise they count steps of full order.
    """

    def __init__(self, order: int = 3, kind: Form = "data", variant: Variant = "midpoint", packed: bool = True) -> None:
        if order not in (1, 2, 3) or kind not in ("data", "noise"):
            raise InputError(f"no singlestep solver of order {order} in {kind} prediction", mend="give order 1 to 3")
        check_variant(variant)
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
        widths = span.path.log_snr(boundaries).diff().tolist()
        steps = zip(orders, widths, itertools.pairwise(boundaries.tolist()), strict=True)
        stages = [
            tuple(span.grid.within(span.path, *ends, order)[:-1].tolist()) if math.isfinite(width) else ends[:1]
            for order, width, ends in steps
        ]
        return Layout(boundaries, tuple(stages))

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        moves: list[Move] = []
        for stage, end in zip(layout.stages, layout.boundaries[1:].tolist(), strict=True):
            times = torch.tensor([*stage, end], dtype=torch.float64)
            if len(stage) == 1:
                start, gain, _ = Steps.of(path, times, self.kind).move(0, self.kind)
                moves.append(Move(Combination(anchor=start, values=(gain,)), KEEP))
                continue
            for j, (scale, values) in enumerate(stages_of(self.kind, self.variant, path, times)):
                point = Combination(anchor=float(scale), values=tuple(float(v) for v in values))
                moves.append(Move(point, KEEP if j == 0 else None))
        return moves


def check_variant(variant: str) -> None:
    """Refuse an unknown variant.

    Raises:
        InputError: it is neither `midpoint` nor `taylor`.
    """
    if variant not in get_args(Variant):
        raise unknown("variant", variant, get_args(Variant))


def stages_of(kind: Kind, variant: str, path: GaussianPath, times: Tensor) -> list[Stage]:
    """The stages of one step, as published, in the notation of `steps`.

    Args:
        kind: `data` or `noise` prediction.
        variant: `midpoint` or `taylor`.
        path: the component's path.
        times: of the step's start, its inner evaluations and its end, `[order + 1, ...]`, float64; the coefficients
            have the shape of what follows the first axis.
    """
    order, log_snr, alpha, sigma = len(times) - 1, path.log_snr(times), path.alpha(times), path.sigma(times)
    if kind == "noise":
        scale, outer, w = alpha / alpha[0], -sigma, log_snr - log_snr[0]
    else:
        scale, outer, w = sigma / sigma[0], -alpha, log_snr[0] - log_snr
    p1 = torch.expm1(w)
    stages: list[Stage] = [(scale[1], [outer[1] * p1[1]])]
    if order > 1:
        p2 = p1[2] / w[2] - 1
        slope = outer[2] * (p1[2] / 2 if order == 2 and variant == "midpoint" else p2) * w[2] / w[1]
        stages.append((scale[2], [slope, outer[2] * p1[2] - slope]))
    if order > 2:
        r1, r2, p2 = w[1] / w[3], w[2] / w[3], p1[3] / w[3] - 1
        by2, by1 = p2 / r2, torch.zeros_like(p2)
        if variant == "taylor":
            p3 = p2 / w[3] - 0.5
            by2, by1 = (-p2 * r1 + 2 * p3) / (r2 * (r2 - r1)), (p2 * r2 - 2 * p3) / (r1 * (r2 - r1))
        stages.append((scale[3], [outer[3] * by2, outer[3] * by1, outer[3] * (p1[3] - by1 - by2)]))
    return stages
