"""The Frechet distance of Gaussians fitted to two samples of vectors.

|mu - nu|^2 + tr(S + T - 2 (S T)^(1/2)) with unbiased covariances S and T (Dowson and Landau 1982). With
T = V diag(l) V' and R = V diag(l^(1/2)) V' the last term is the sum of the roots of the eigenvalues of the
symmetric R S R, so that no complex matrix root appears and singular covariances (n < dimensions) are harmless.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import linalg

from scorefield.core.statistics.distances import Array, Counts, Evaluator
from scorefield.core.statistics.features import Features

__all__ = ["Frechet", "frechet_distance"]


def _trace_of_root(first: Array, second: Array) -> float:
    values, vectors = linalg.eigh(second, check_finite=False)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    inner = linalg.eigvalsh(root @ first @ root, check_finite=False)
    return float(np.sqrt(np.maximum(inner, 0.0)).sum())


def frechet_distance(mean_a: Array, covariance_a: Array, mean_b: Array, covariance_b: Array) -> float:
    """The distance from means (d,) and covariances (d, d)."""
    shift = float(((mean_a - mean_b) ** 2).sum())
    spread = float(np.trace(covariance_a) + np.trace(covariance_b))
    return shift + spread - 2 * _trace_of_root(covariance_a, covariance_b)


@dataclass(frozen=True)
class _Moments:
    number: float
    total: Array  # (d,)
    second: Array  # (d, d), sum of outer products

    def gaussian(self) -> tuple[Array, Array]:
        mean = self.total / self.number
        covariance = (self.second - self.number * np.outer(mean, mean)) / (self.number - 1)
        return mean, covariance

    def minus(self, other: _Moments) -> _Moments:
        return _Moments(self.number - other.number, self.total - other.total, self.second - other.second)


def _moments(features: Array, counts: npt.NDArray[Any]) -> _Moments:
    rows = np.flatnonzero(counts)
    chosen, weight = features[rows], counts[rows].astype(np.float64)
    weighted = chosen * weight[:, None]
    return _Moments(float(weight.sum()), weighted.sum(axis=0), chosen.T @ weighted)


@dataclass(frozen=True)
class Frechet:
    """Frechet distance of Gaussians fitted to dense features (rows, dimensions).

    Args:
        dimensions: see only so many leading principal directions of the pool, which no relabelling changes; all by
            default. Cheaper, smaller in value, nearly the same in how it varies.
    """

    dimensions: int | None = None
    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`; where the samples share out the pool only the smaller one's moments are summed."""
        features = np.asarray(pooled, dtype=np.float64)
        features = features - features.mean(axis=0)  # a common shift changes nothing and keeps digits
        if self.dimensions is not None and self.dimensions < features.shape[1]:
            size = features.shape[1]
            leading = [size - self.dimensions, size - 1]
            features = features @ linalg.eigh(features.T @ features, subset_by_index=leading, check_finite=False)[1]
        whole = _moments(features, np.ones(len(features), dtype=np.int32))

        def one(real: npt.NDArray[Any], generated: npt.NDArray[Any]) -> float:
            if not np.array_equal(real + generated, np.ones_like(real)):
                pair = _moments(features, real), _moments(features, generated)
            elif real.sum() < generated.sum():
                smaller = _moments(features, real)
                pair = smaller, whole.minus(smaller)
            else:
                smaller = _moments(features, generated)
                pair = whole.minus(smaller), smaller
            return frechet_distance(*pair[0].gaussian(), *pair[1].gaussian())

        def evaluate(real: Counts, generated: Counts) -> Array:
            return np.array([one(real[:, k], generated[:, k]) for k in range(real.shape[1])])

        return evaluate
