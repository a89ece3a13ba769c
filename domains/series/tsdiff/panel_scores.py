"""Forecasts of a panel against the truth: published and own scores, beside those of the last season again.

Scores are those of `statistics.forecasting`; entries are judged together, with each series' whole history for MASE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scorefield.domains.series.forecasters import RepeatedSeason
from scorefield.domains.series.statistics.forecasting import ForecastScores, score_forecasts, seasonal_error
from scorefield.domains.series.tsdiff.panel_source import PanelSource

if TYPE_CHECKING:
    import pandas as pd

    from scorefield.domains.series.answers import Answer

__all__ = ["PanelScores", "told_number"]

Array = NDArray[np.float64]
_TOLD = ("nd", "nrmse", "mase")


@dataclass(frozen=True)
class PanelScores:
    """How forecasts of a panel are judged; see `Scoring`.

    Attributes:
        source: the series with all their values.
        season: steps of a season.
    """

    source: PanelSource
    season: int

    def judged(self, answers: Sequence[Answer]) -> tuple[ForecastScores, ForecastScores] | None:
        """Scores of the forecasts, and of the last season again; None where nothing of the truth is known."""
        truth = np.stack([answer.truth[answer.rows, 0] for answer in answers])
        if np.isnan(truth).all():
            return None
        rows = self.source.rows[[answer.number for answer in answers]]
        errors = np.array([seasonal_error(self._history(answer), self.season) for answer in answers])
        naive = np.concatenate([self._naive(answer, truth.shape[1]) for answer in answers])
        samples = np.stack([answer.paths[..., 0] for answer in answers])
        names = [self.source.panel.names[row] for row in rows]
        found = [score_forecasts(x, truth, errors, names=names, series=rows) for x in (samples, naive[:, None])]
        return found[0], found[1]

    def _history(self, answer: Answer) -> Array:
        """All that was observed before a forecast."""
        series = self.source.panel.series(int(self.source.rows[answer.number]))
        return series[: answer.before + answer.rows.start]

    def _naive(self, answer: Answer, steps: int) -> Array:
        """The last season of what is given, again; what is hidden from the model is hidden from it too."""
        known = self._history(answer).copy()
        known[answer.before :] = answer.x[: answer.rows.start, 0]
        return RepeatedSeason(self.season).forecast(known[None], steps)

    def scores(self, answers: Sequence[Answer]) -> dict[str, Any] | None:
        """See `Scoring.scores`."""
        judged = self.judged(answers)
        if judged is None:
            return None
        own, naive = (scores.as_json() for scores in judged)
        values = sum(int((~np.isnan(answer.truth[answer.rows])).sum()) for answer in answers)
        beside = {name: value for name, value in naive.items() if name in judged[1].values()}
        return {**own, "values": values, "seasonal_naive": beside}

    def per_series(self, answers: Sequence[Answer]) -> pd.DataFrame | None:
        """See `Scoring.per_series`: scores of each entry, its first time, and CRPS of the last season again."""
        judged = self.judged(answers)
        if judged is None:
            return None
        table = judged[0].per_series().rename(columns={"series": "item_id"})
        stamps = [self.source.stamps(answer) for answer in answers]
        firsts = [None if s is None else s[a.rows.start] for s, a in zip(stamps, answers, strict=True)]
        if any(first is not None for first in firsts):
            table.insert(1, "timestamp", firsts)
        else:
            table.insert(1, "step", [answer.before + answer.rows.start for answer in answers])
        table["seasonal_naive_crps"] = judged[1].per_series()["crps"]
        return table

    def figures(self, answers: Sequence[Answer]) -> list[str]:
        """See `Scoring.figures`: calibration, and CRPS along the horizon."""
        from scorefield.domains.series.statistics.forecast_figures import forecast_svg

        judged = self.judged(answers)
        return [] if judged is None else [forecast_svg(judged[0], {"last season again": judged[1]})]

    def told(self, scores: Mapping[str, Any]) -> list[str]:
        """See `Scoring.told`."""
        naive = scores["seasonal_naive"]
        others = ", ".join(f"{name.upper()} {told_number(scores[name])} ({told_number(naive[name])})" for name in _TOLD)
        share = scores["coverage_80"]
        inside = "" if share is None else f"; {100 * share:.0f} % lie in the 80 % intervals"
        left = scores["mase_left_out"]
        without = f"; MASE leaves out {left}, whose history has no seasonal differences to compare with" if left else ""
        return [
            f"against {scores['values']} true values of {scores['n']} forecasts (in brackets: the last season again): "
            f"CRPS {told_number(scores['crps'])} ({told_number(naive['crps'])}), {others}{inside}{without}"
        ]


def told_number(value: float | None) -> str:
    """A score as it is told."""
    return "unknown" if value is None else f"{value:.4f}"
