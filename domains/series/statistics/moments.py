"""The correlational score of Diffusion-TS (Yuan and Qiao 2024): how far the mean correlations of two sets are apart.

All values of a feature (over windows and time) are standardised with the unbiased deviation; for each pair of features,
a feature with itself included, the mean of the products at lag 0 is taken. Score = sum over pairs of
|real - generated| / 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from scorefield.core.statistics.distances import Array, Counts, Evaluator
from scorefield.core.statistics.features import Features

__all__ = ["MeanCorrelations", "correlational_by_draws", "window_moments"]

_SCALE = 10.0


def window_moments(windows: npt.NDArray[np.floating]) -> Array:
    """Per window the means over time of the products of all pairs (lower triangle with diagonal), then of the values.

    (windows, D (D + 1) / 2 + D), in double precision.
    """
    x = windows.astype(np.float64)
    rows, columns = np.tril_indices(x.shape[2])
    products = np.einsum("nti,ntj->nij", x, x, optimize=True)[:, rows, columns] / x.shape[1]
    return np.concatenate([products, x.mean(axis=1)], axis=1)


@dataclass(frozen=True)
class MeanCorrelations:
    """The score from window moments.

    Args:
        features: D.
        steps: L.
    """

    features: int
    steps: int
    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def _correlations(self, moments: Array, counts: Counts) -> Array:
        """(pairs, draws)."""
        number = counts.sum(axis=0)
        sums = moments.T @ counts.astype(np.float64) / number
        pairs = self.features * (self.features + 1) // 2
        products, means = sums[:pairs], sums[pairs:]
        rows, columns = np.tril_indices(self.features)
        covariance = products - means[rows] * means[columns]
        values = number * self.steps
        variance = covariance[rows == columns] * values / np.maximum(values - 1, 1)
        constant = variance <= 1e-12 * np.maximum(1.0, means**2)
        scale = np.where(constant, np.inf, np.sqrt(np.maximum(variance, 0.0)))
        return np.asarray(covariance / (scale[rows] * scale[columns]))

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`."""
        moments = np.asarray(pooled, dtype=np.float64)

        def evaluate(real: Counts, generated: Counts) -> Array:
            apart = self._correlations(moments, real) - self._correlations(moments, generated)
            return np.asarray(np.abs(apart).sum(axis=0) / _SCALE)

        return evaluate


def correlational_by_draws(
    pooled: Array, n_real: int, distance: MeanCorrelations, generator: np.random.Generator, size: int, repeats: int
) -> Array:
    """The score as tables state it, (repeats,): on `size` windows of each set, drawn with replacement."""
    n_generated = len(pooled) - n_real
    draws = []
    for number, first in ((n_real, 0), (n_generated, n_real)):
        counts = np.zeros((len(pooled), repeats))
        for repeat in range(repeats):
            counts[first : first + number, repeat] = np.bincount(
                generator.integers(number, size=size), minlength=number
            )
        draws.append(counts)
    return distance.evaluator(pooled)(*draws)
