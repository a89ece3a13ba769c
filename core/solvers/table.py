"""A solver as a table of coefficients.

After the e-th evaluation m_0 of the network at (x, t_e), with earlier evaluations m_1, m_2, ... a solver moves

    anchor' = a x + b anchor + sum_k c_k m_k
    x'      = a' x + b' anchor' + sum_k c'_k m_k + d z

with coefficients that depend on times only. Multistep methods need no anchor; methods of several stages keep the
step's start in it; predictor-corrector methods of the UniPC kind keep the corrected state in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.grids import Grid, check_times
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind, conversion

__all__ = ["KEEP", "Combination", "Layout", "Move", "Rule", "Span", "Still", "combine", "denoising_move"]


@dataclass(frozen=True)
class Combination:
    """Coefficients of the current state, of the anchor, and of predictions, newest first."""

    x: float = 0.0
    anchor: float = 0.0
    values: tuple[float, ...] = ()


KEEP = Combination(x=1.0)
"""The current state itself."""


@dataclass(frozen=True)
class Move:
    """What one evaluation does to one component.

    Attributes:
        point: the next state.
        anchor: the next anchor; None keeps it.
        noise: scale of the noise added to the next state.
    """

    point: Combination
    anchor: Combination | None = None
    noise: float = 0.0

    @property
    def values_read(self) -> int:
        """How many predictions it looks at, the newest included; with none, there is no evaluation."""
        return max(len(c.values) for c in (self.point, self.anchor) if c is not None)


@dataclass(frozen=True)
class Span:
    """What a run covers: `steps` steps from time `start` down to `end`, spaced by `grid` on the path `path`."""

    grid: Grid
    path: GaussianPath
    steps: int
    start: float
    end: float

    def boundaries(self, steps: int | None = None) -> Tensor:
        """Times of that many steps (its own number by default), `[steps + 1]`, float64.

        Raises:
            InputError: they do not decrease, or begin where the path has no evaluations any more.
        """
        times = self.grid.between(self.path, self.start, self.end, steps or self.steps)
        check_times(times)
        if times[0] > self.path.t_max:
            what = f"start {self.start:g} lies outside the range of {type(self.path).__name__}"
            raise InputError(what, mend=f"give at most {self.path.t_max:g}")
        return times


@dataclass(frozen=True)
class Layout:
    """Where a rule evaluates: outer step boundaries `[n + 1]` and the evaluation times of each step."""

    boundaries: Tensor
    stages: tuple[tuple[float, ...], ...]

    @property
    def times(self) -> list[float]:
        """All evaluation times in order."""
        return [t for stage in self.stages for t in stage]


class Rule(ABC):
    """Coefficients of one solver; knows paths and times, nothing else.

    Attributes:
        kind: the prediction that the coefficients multiply.
        stochastic: whether moves add noise.
        least_steps: with fewer steps than this the order is lowered throughout.
    """

    kind: Kind = "data"
    least_steps: int = 1
    stochastic: bool = False

    def layout(self, span: Span) -> Layout:
        """Boundaries and evaluation times of a run; one evaluation a step by default."""
        boundaries = span.boundaries()
        return Layout(boundaries, tuple((t,) for t in boundaries[:-1].tolist()))

    @abstractmethod
    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """One move per evaluation, for a component with this path."""


class Still(Rule):
    """Moves nothing: the rule of Langevin dynamics, and what lends grid and last evaluation to solvers without tables.

    Args:
        kind: prediction of the last evaluation.
        least_steps: as of every rule.
    """

    def __init__(self, kind: Kind = "data", least_steps: int = 1) -> None:
        self.kind, self.least_steps = kind, least_steps

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        return [Move(KEEP)] * len(layout.stages)


def combine(terms: Combination, x: Tensor, anchor: Tensor | None, values: list[Tensor]) -> Tensor:
    """The linear combination; terms with a zero coefficient are not touched."""
    total, own = (None, False) if terms.x == 0.0 else _add(None, False, x, terms.x)
    if terms.anchor != 0.0 and anchor is not None:
        total, own = _add(total, own, anchor, terms.anchor)
    for coefficient, value in zip(terms.values, values, strict=False):
        if coefficient != 0.0:
            total, own = _add(total, own, value, coefficient)
    return torch.zeros_like(x) if total is None else total


def _add(total: Tensor | None, own: bool, value: Tensor, coefficient: float) -> tuple[Tensor, bool]:
    """The new total, and whether it is a tensor of our own, which may be added to in place."""
    if total is None:
        return (value, False) if coefficient == 1.0 else (value * coefficient, True)
    if own:
        return total.add_(value, alpha=coefficient), True
    return torch.add(total, value, alpha=coefficient), True


def denoising_move(path: GaussianPath, kind: Kind, time: float) -> Move:
    """The last evaluation of a run that returns the data prediction."""
    a, b = conversion(path, torch.tensor([time], dtype=torch.float64), kind, "data")
    return Move(Combination(x=float(a), values=(float(b),)))
