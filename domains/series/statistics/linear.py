"""The linear predictive score: how well a linear forecaster that has seen only synthetic windows forecasts real series.

Synthetic windows, on the scale on which a model makes them, are cut into context and future; a ridge regression with
alpha = 1 and an intercept is fitted to them. It forecasts the end of each real series, divided by the mean size of its
context, and is scored as any forecaster. For a forecast of one path the mean weighted quantile loss is ND.

Source: Kollovieh et al. 2023 (arXiv 2307.11494), section 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scorefield.domains.series.forecasters import LinearForecaster
from scorefield.domains.series.statistics.forecasting import ForecastScores
from scorefield.domains.series.statistics.trained import score_trained

__all__ = ["linear_predictive_score"]

Array = NDArray[np.float64]


def linear_predictive_score(
    synthetic: NDArray[np.floating],
    histories: Sequence[Array],
    truth: Array,
    context: int,
    season: int = 1,
    series: NDArray[np.int64] | None = None,
) -> ForecastScores:
    """Scores of the forecaster.

    Args:
        synthetic: windows `(n, context + steps)` as a model makes them, of the size 1 or so.
        histories: what comes before the values to forecast, at least `context` values each.
        truth: `(entries, steps)`, NaN where a value is missing.
        context: steps that are looked back on.
        season: steps of a season, for MASE.
        series: which entries are of the same series; by default each is of its own.

    Raises:
        InputError: windows of another length, or with something that is not finite; a history that is too short.
    """

    def forecast(windows: Array, contexts: Array) -> Array:
        return LinearForecaster.fit(windows, context, scaled=True).forecast(contexts)[:, None]

    return score_trained(forecast, synthetic, histories, truth, context, season, series)
