"""A start of full order for multistep rules: their first steps are made by a singlestep solver."""

from __future__ import annotations

import itertools

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath
from scorefield.core.solvers.exponential import DPMSolverMultistep, Exponential
from scorefield.core.solvers.stages import DPMSolverSinglestep
from scorefield.core.solvers.table import Combination, Layout, Move, Rule, Span

__all__ = ["WarmStart"]


class WarmStart(Rule):
    """A multistep rule of order p whose first p - 1 steps are singlestep DPM-Solvers of order p.

    Without it, the one step of order 1 at the start bounds a run's order by 2. The start costs (p - 1)^2 evaluations
    more.

    Args:
        rule: of order 2 or 3, without noise and without corrector.
    """

    def __init__(self, rule: DPMSolverMultistep | Exponential) -> None:
        corrected = isinstance(rule, Exponential) and rule.corrector > 0
        if rule.stochastic or corrected or rule.order > 3:
            raise InputError("no warm start for this solver", mend="it needs order 1 to 3, eta = 0, no corrector")
        self.rule, self.kind, self.least_steps = rule, rule.kind, rule.least_steps
        self._first = DPMSolverSinglestep(rule.order, "noise" if rule.kind == "noise" else "data", packed=False)

    def layout(self, span: Span) -> Layout:
        """Evaluations inside the first steps, one in each of the others."""
        plain, full = self.rule.layout(span), self._first.layout(span)
        steps = self.rule.order - 1
        return Layout(plain.boundaries, full.stages[:steps] + plain.stages[steps:])

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        steps = self.rule.order - 1
        plain = Layout(layout.boundaries, tuple(stage[:1] for stage in layout.stages))
        moves = self._first.moves(path, Layout(layout.boundaries[: steps + 1], layout.stages[:steps]))
        counts = [0, *itertools.accumulate(len(stage) for stage in layout.stages)]
        for i, move in enumerate(self.rule.moves(path, plain)[steps:], start=steps):
            values = [0.0] * (counts[i] + 1)
            for k, value in enumerate(move.point.values):
                values[counts[i] - counts[i - k]] = value
            used = max(j for j, value in enumerate(values) if value) + 1
            moves.append(Move(Combination(move.point.x, values=tuple(values[:used]))))
        return moves
