"""Scores of a forecaster that has seen windows of one kind only and forecasts the end of real series."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.series.statistics.forecasting import ForecastScores, score_forecasts, seasonal_error

__all__ = ["score_trained"]

Array = NDArray[np.float64]


def score_trained(
    forecast: Callable[[Array, Array], NDArray[np.floating]],
    windows: NDArray[np.floating],
    histories: Sequence[Array],
    truth: Array,
    context: int,
    season: int,
    series: NDArray[np.int64] | None,
) -> ForecastScores:
    """Train, forecast and score.

    Args:
        forecast: fits a forecaster to windows `(n, context + steps)` and gives paths `(entries, paths, steps)` of
            contexts `(entries, context)`.
        windows: what it is trained on.
        histories: what comes before the values to forecast, at least `context` values each.
        truth: `(entries, steps)`, NaN where a value is missing.
        context: steps that are looked back on.
        season: steps of a season, for MASE.
        series: which entries are of the same series; None if each is of its own.

    Raises:
        InputError: windows of another length; a history that is too short.
    """
    if windows.ndim != 2 or windows.shape[1] != context + truth.shape[1]:
        what = f"synthetic windows of shape {windows.shape}"
        raise InputError(what, mend=f"give windows of {context} + {truth.shape[1]} steps")
    short = [k for k, history in enumerate(histories) if len(history) < context]
    if short:
        what = f"{len(histories[short[0]])} values before forecast {short[0]}"
        raise InputError(what, mend=f"give at least the {context} of a context")
    paths = forecast(np.asarray(windows, dtype=np.float64), np.stack([history[-context:] for history in histories]))
    errors = np.array([seasonal_error(history, season) for history in histories])
    return score_forecasts(paths, truth, errors, series=series)
