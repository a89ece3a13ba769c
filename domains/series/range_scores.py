"""How far completed values are from the truth, in shares of each column's range.

`mae` is of the median, `crps` the fair estimate from the paths, `coverage_80` the share of true values between the
quantiles 0.1 and 0.9, `naive_mae` that of the last value given before a gap, or the line across it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scorefield.core.statistics.scoring import crps

if TYPE_CHECKING:
    import pandas as pd

    from scorefield.domains.series.answers import Answer

__all__ = ["RangeScores", "Scoring"]

Array = NDArray[np.float64]
_NAMES = ("mae", "crps", "coverage_80", "naive_mae")


class Scoring(Protocol):
    """How a task's results are judged where a truth is known."""

    def scores(self, answers: Sequence[Answer]) -> dict[str, Any] | None:
        """Scores as JSON can hold them; None where no truth is known."""
        ...

    def per_series(self, answers: Sequence[Answer]) -> pd.DataFrame | None:
        """A row for each answer, where single ones can be judged."""
        ...

    def told(self, scores: Mapping[str, Any]) -> list[str]:
        """What a user is told of scores."""
        ...

    def figures(self, answers: Sequence[Answer]) -> list[str]:
        """Figures for a page, as SVG, where a truth is known."""
        ...


@dataclass(frozen=True)
class RangeScores:
    """Errors in shares of ranges; see the module.

    Args:
        low: lowest value of each column in training, `(D,)`; None takes the range of each series by itself.
        high: highest values.
    """

    low: Array | None = None
    high: Array | None = None

    def scores(self, answers: Sequence[Answer]) -> dict[str, Any] | None:
        """See `Scoring.scores`."""
        found = np.concatenate([self._errors(answer) for answer in answers], 1)
        if not found.shape[1]:
            return None
        return {"n": found.shape[1], **{n: float(np.nanmean(v)) for n, v in zip(_NAMES, found, strict=True)}}

    def per_series(self, answers: Sequence[Answer]) -> pd.DataFrame | None:
        """See `Scoring.per_series`."""
        return None

    def told(self, scores: Mapping[str, Any]) -> list[str]:
        """See `Scoring.told`."""
        whose = "each series' range" if self.low is None else "each column's range"
        return [
            f"against {scores['n']} true values, in shares of {whose}: error of the median {scores['mae']:.4f} "
            f"(without a model {scores['naive_mae']:.4f}), CRPS {scores['crps']:.4f}; "
            f"{100 * scores['coverage_80']:.0f} % lie in the 80 % intervals"
        ]

    def figures(self, answers: Sequence[Answer]) -> list[str]:
        """See `Scoring.figures`: none."""
        return []

    def _errors(self, answer: Answer) -> Array:
        """For every known missing entry: error of the median, CRPS, whether it is covered, naive error; `(4, n)`."""
        truth = answer.truth[answer.holes]
        known, cells = ~np.isnan(truth), answer.sampled
        if not known.any():
            return np.zeros((len(_NAMES), 0))
        span = np.broadcast_to(self._span(answer), answer.x.shape)[answer.holes]
        lower, upper = np.quantile(cells, [0.1, 0.9], axis=0)
        errors = [
            np.abs(np.median(cells, 0) - truth) / span,
            crps(cells.T, truth) / span,
            ((lower <= truth) & (truth <= upper)).astype(float),
            np.abs(_naive(answer)[answer.holes] - truth) / span,
        ]
        return np.stack(errors)[:, known]

    def _span(self, answer: Answer) -> Array:
        low, high = self.low, self.high
        if low is None or high is None:
            both = np.where(np.isnan(answer.x), answer.truth, answer.x)
            low, high = np.nanmin(both, 0), np.nanmax(both, 0)
        return np.where(high > low, high - low, 1.0)


def _naive(answer: Answer) -> Array:
    """Lines across gaps, the nearest value at the ends; NaN where a column has no value."""
    naive, steps = answer.x.copy(), np.arange(len(answer.x))
    for column in naive.T:
        there = ~np.isnan(column)
        if there.any():
            column[~there] = np.interp(steps[~there], steps[there], column[there])
    return naive
