"""Train on synthetic, test on real: how well a recurrent forecaster that has seen only made-up windows forecasts.

The forecaster (`recurrent_forecaster`) divides each window by the mean size of its context, so that it does not matter
on which scale windows are made. It forecasts the end of each real series and is scored as any other.

Source: Esteban et al. 2017 (arXiv 1706.02633); of forecasters, Kollovieh et al. 2023 (arXiv 2307.11494, section 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scorefield.domains.series.recurrent_forecaster import RecurrentForecaster, Training
from scorefield.domains.series.statistics.forecasting import ForecastScores
from scorefield.domains.series.statistics.trained import score_trained

__all__ = ["tstr_score"]

Array = NDArray[np.float64]


def tstr_score(
    synthetic: NDArray[np.floating],
    histories: Sequence[Array],
    truth: Array,
    context: int,
    season: int = 1,
    series: NDArray[np.int64] | None = None,
    *,
    paths: int = 100,
    seed: int = 0,
    training: Training | None = None,
    progress: bool = False,
) -> ForecastScores:
    """Scores of the forecaster.

    Args:
        synthetic: windows `(n, context + steps)` on any scale; real ones give what there is to compare with.
        histories: what comes before the values to forecast, at least `context` values each, NaN where one is missing.
        truth: `(entries, steps)`, NaN where a value is missing.
        context: steps that are looked back on.
        season: steps of a season.
        series: which entries are of the same series; by default each is of its own.
        paths: of each forecast.
        seed: of the forecaster and its paths.
        training: of the forecaster.
        progress: show a bar.

    Raises:
        InputError: windows of another length, or with infinite values; a history that is too short.
    """

    def forecast(windows: Array, contexts: Array) -> NDArray[np.floating]:
        forecaster = RecurrentForecaster.fit(windows, context, season, seed=seed, training=training, progress=progress)
        return forecaster.forecast(contexts, paths, seed)

    return score_trained(forecast, synthetic, histories, truth, context, season, series)
