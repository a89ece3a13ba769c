"""Simple forecasters: what every other must beat, and what a model can refine.

Seasonal naive: the last season again (Hyndman and Athanasopoulos 2021, section 5.2). Ridge: with contexts X and futures
Y divided by the mean size of their context, all steps of the future at once,

    W = (X_c' X_c + alpha I)^-1 X_c' Y_c,   y = mean(Y) + (x - mean(X)) W,

X_c and Y_c around their means: the intercept is not shrunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from scorefield.core.errors import InputError

__all__ = ["LinearForecaster", "RepeatedSeason"]

Array = NDArray[np.float64]
_LEAST_SIZE = 1e-7  # of a context, as published for the linear predictive score


@dataclass(frozen=True)
class RepeatedSeason:
    """The last season, repeated.

    Args:
        season: its steps.
    """

    season: int

    def forecast(self, histories: Array, steps: int) -> Array:
        """Forecasts `(n, steps)` of histories `(n, T)`, NaN where a value is missing.

        A missing value of the season is that of the season before, and so on, then the mean of the history; a history
        shorter than a season is forecast by its mean. One without any value gives zeros.
        """
        histories = np.asarray(histories, dtype=np.float64)
        number, length = histories.shape
        seasons = max(length // self.season, 0)
        known = ~np.isnan(histories)
        counts = known.sum(1)
        means = np.where(counts > 0, np.nan_to_num(histories).sum(1) / np.maximum(counts, 1), 0.0)
        last = np.full((number, self.season), np.nan)
        for back in range(1, seasons + 1):
            stop = length - (back - 1) * self.season
            last = np.where(np.isnan(last), histories[:, stop - self.season : stop], last)
        last = np.where(np.isnan(last), means[:, None], last)
        return np.asarray(last[:, np.arange(steps) % self.season])


@dataclass(frozen=True)
class LinearForecaster:
    """Ridge regression from contexts to futures.

    Args:
        weights: `(context, steps)`.
        centre: mean context, `(context,)`.
        offset: mean future, `(steps,)`.
    """

    weights: Array
    centre: Array
    offset: Array

    @classmethod
    def fit(cls, windows: Array, context: int, alpha: float = 1.0, *, scaled: bool = False) -> Self:
        """Fit to windows `(n, context + steps)`.

        Args:
            windows: NaN where a value is missing.
            context: steps that are looked back on.
            alpha: weight of the penalty.
            scaled: whether windows are scaled already; by default each is divided by the mean size of its context.

        Raises:
            InputError: windows that are no longer than the context, or hold something that is not finite.
        """
        windows = np.asarray(windows, dtype=np.float64)
        if windows.ndim != 2 or windows.shape[1] <= context or not len(windows):
            what = f"windows of shape {windows.shape} with a context of {context} steps"
            raise InputError(what, mend="give [windows, context + steps]")
        if np.isinf(windows).any() or (scaled and np.isnan(windows).any()):
            row, step = np.argwhere(~np.isfinite(windows))[0]
            raise InputError(f"{windows[row, step]} in window {row}, step {step}", mend="give finite windows")
        size = np.ones(len(windows)) if scaled else sizes(windows[:, :context])
        windows = _completed(windows / size[:, None])
        x, y = windows[:, :context], windows[:, context:]
        centre, offset = x.mean(0), y.mean(0)
        x, y = x - centre, y - offset
        penalised = x.T @ x + alpha * np.eye(context)
        return cls(linalg.solve(penalised, x.T @ y, assume_a="pos"), centre, offset)

    def forecast(self, contexts: Array) -> Array:
        """Forecasts `(n, steps)` of contexts `(n, context)` in any units; NaN counts as the mean of the others.

        Raises:
            InputError: contexts of another length.
        """
        if contexts.shape[1] != len(self.centre):
            raise InputError(f"{contexts.shape[1]} steps of context, {len(self.centre)} were fitted")
        size = sizes(contexts)
        x = _completed(np.asarray(contexts, dtype=np.float64) / size[:, None])
        return np.asarray((self.offset + (x - self.centre) @ self.weights) * size[:, None])


def sizes(contexts: Array) -> Array:
    """Mean absolute value of what is known of each context, `(n,)`, at least 1e-7."""
    known = ~np.isnan(contexts)
    total = np.abs(np.nan_to_num(contexts)).sum(1) / np.maximum(known.sum(1), 1)
    return np.asarray(np.maximum(total, _LEAST_SIZE))


def _completed(rows: Array) -> Array:
    """Missing values replaced by the mean of the row."""
    known = ~np.isnan(rows)
    if known.all():
        return rows
    means = np.nan_to_num(rows).sum(1) / np.maximum(known.sum(1), 1)
    return np.asarray(np.where(known, rows, means[:, None]))
