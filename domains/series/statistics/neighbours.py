"""Nearest neighbours among windows: by dynamic time warping, by its soft form, and by plain distance to training data.

Warping distances are tslearn's (Tavenard et al. 2020; soft-DTW divergence: Blondel et al. 2021); they cost
O(windows^2 L^2 D) and are taken on random windows of either set. The distances between all of them are computed once;
what is compared, permuted and resampled are rows of that table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from scorefield.core.statistics.distances import Array, Counts, Evaluator
from scorefield.core.statistics.features import Features
from scorefield.core.statistics.uncertainty import Interval

__all__ = [
    "NeighbourAccuracy",
    "NeighbourRatio",
    "memorisation",
    "most_windows",
    "nearest_distances",
    "nearest_labels",
    "warping_distances",
]

Windows = npt.NDArray[np.float32]
_MOST_WORK = 1.5e9  # cells of all warping tables times features: some ten seconds
_MOST_WINDOWS = 200
_BLOCK = 1024


def most_windows(length: int, features: int) -> int:
    """How many windows of either set a table of warping distances takes."""
    return max(10, min(_MOST_WINDOWS, int(math.sqrt(_MOST_WORK / (2 * length**2 * features)))))


def warping_distances(windows: Windows, kind: Literal["dtw", "soft_dtw"]) -> Array:
    """Distances between all windows (n, L, D), (n, n): DTW's root of summed squares, or the soft-DTW divergence."""
    from tslearn.metrics import cdist_dtw, cdist_soft_dtw_normalized

    x = windows.astype(np.float64)
    found = cdist_dtw(x) if kind == "dtw" else cdist_soft_dtw_normalized(x, gamma=1.0)
    return np.asarray(found, dtype=np.float64)


def _nearest(table: Array, rows: npt.NDArray[np.intp], among: npt.NDArray[np.intp]) -> Array:
    """Distance of each row to the nearest other row among some."""
    part = table[np.ix_(rows, among)]
    return np.asarray(np.where(rows[:, None] == among[None], np.inf, part).min(axis=1))


def nearest_labels(distances: Array, labels: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """The class of the nearest real window, of each window; the first are the real ones, which do not count themselves.

    Args:
        distances: of all windows `(n, r)` to the r real ones.
        labels: classes of the real ones, `(r,)`.
    """
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    return np.asarray(labels[others.argmin(axis=1)])


def _each_draw(one: Callable[[npt.NDArray[np.floating], npt.NDArray[np.floating]], float]) -> Evaluator:
    """What says of each draw what `one` says of its counts, of the real and of the generated."""

    def evaluate(real: Counts, generated: Counts) -> Array:
        return np.array([one(real[:, draw], generated[:, draw]) for draw in range(real.shape[1])])

    return evaluate


@dataclass(frozen=True)
class NeighbourRatio:
    """Mean distance of the generated to the nearest real, over that of the real to the nearest other real.

    1: as near as the real are to one another; above: apart from them; below: copies of them, or their centre.

    Args:
        table: distances of all rows of the pool; features are row numbers.
    """

    table: Array
    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`."""
        numbers = np.asarray(pooled, dtype=np.intp)

        def one(real: npt.NDArray[np.floating], generated: npt.NDArray[np.floating]) -> float:
            of_real, of_generated = numbers[real > 0], numbers[generated > 0]
            near = np.average(_nearest(self.table, of_generated, of_real), weights=generated[generated > 0])
            usual = np.average(_nearest(self.table, of_real, of_real), weights=real[real > 0])
            return float(near / usual) if usual > 0 else math.inf

        return _each_draw(one)


@dataclass(frozen=True)
class NeighbourAccuracy:
    """How often the nearest other window is of the same set: 1/2 for equal laws, 1 for sets apart, 0 for copies.

    Args:
        table: as in `NeighbourRatio`.
    """

    table: Array
    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`; each set has half the weight."""
        numbers = np.asarray(pooled, dtype=np.intp)

        def one(real: npt.NDArray[np.floating], generated: npt.NDArray[np.floating]) -> float:
            sets = numbers[real > 0], numbers[generated > 0]
            weights = real[real > 0], generated[generated > 0]
            right = [
                np.average(_nearest(self.table, own, own) < _nearest(self.table, own, other), weights=weight)
                for own, other, weight in ((*sets, weights[0]), (*sets[::-1], weights[1]))
            ]
            return float(np.mean(right))

        return _each_draw(one)


def nearest_distances(windows: Windows, among: Windows) -> Array:
    """Euclidean distance of each window to the nearest one among others, (windows,)."""
    others = among.reshape(len(among), -1).astype(np.float64)
    squares = (others**2).sum(axis=1)
    found = np.empty(len(windows))
    for start in range(0, len(windows), _BLOCK):
        part = windows[start : start + _BLOCK].reshape(-1, others.shape[1]).astype(np.float64)
        apart = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ others.T
        found[start : start + _BLOCK] = np.sqrt(np.maximum(apart.min(axis=1), 0.0))
    return found


def memorisation(
    of_generated: Array, of_real: Array, draws: int, level: float, generator: np.random.Generator
) -> tuple[float, Interval | None]:
    """Median distance to the training windows of the generated over that of the held-out real, with an interval.

    Args:
        of_generated: distances of generated windows to the nearest training window.
        of_real: the same of held-out windows; their median must not be 0.
        draws: bootstrap draws, whose quantiles bound the interval; below 2 no interval.
        level: confidence level.
        generator: of the draws.
    """
    value = float(np.median(of_generated) / np.median(of_real))
    if draws < 2:
        return value, None
    medians = [
        np.median(part[generator.integers(len(part), size=(draws, len(part)))], axis=1)
        for part in (of_generated, of_real)
    ]
    low, high = np.quantile(medians[0] / np.maximum(medians[1], 1e-300), [(1 - level) / 2, (1 + level) / 2])
    return value, Interval(min(float(low), value), max(float(high), value))
