"""Distances between two samples of features.

A sample is never seen alone here: both samples are rows of one pool of features, and an integer
multiplicity per row says how often the row belongs to each sample. The two samples themselves, a random
relabelling of them (permutation test), draws with replacement (bootstrap) and a real subsample against the
rest (floor) are then only different multiplicities, and every distance is evaluated for many of them at
once: columns of `counts_real` and `counts_generated`, both (rows, draws).

With signed weights w = counts_generated/n - counts_real/m the distances are

    MMD^2, V-statistic      w' K w                     linear kernel: |Phi' w|^2
    energy                  -w' D w                    D the Euclidean distances; 2 * integral (F - G)^2 in 1-d
    Wasserstein-1 (1-d)     integral |F - G|           F - G = the running sum of w over sorted values
    Kolmogorov-Smirnov      max |F - G|
    total variation         1/2 |Phi' w|_1             Phi rows are histograms that sum to one
    Frechet of Gaussians    |mu - nu|^2 + tr(S + T - 2 (S T)^(1/2)), unbiased covariances S and T
    cosine similarity       of the two summed count vectors; larger is closer
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from scorefield.core.statistics.features import Features, number_of_rows, pool

__all__ = [
    "CosineSimilarity",
    "Counts",
    "Distance",
    "Energy",
    "Evaluator",
    "KernelMMD",
    "KolmogorovSmirnov",
    "LinearMMD",
    "TotalVariation",
    "Wasserstein1",
    "distance_between",
    "memberships",
]

Array: TypeAlias = npt.NDArray[np.float64]
Counts: TypeAlias = npt.NDArray[Any]  # integers, or weights in between (`uncertainty.resampling_interval`)
Evaluator: TypeAlias = Callable[[Counts, Counts], Array]

_COLUMNS = 32
_GRAM_ROWS = 6000  # pools up to this size keep their Gram matrix (288 MB), larger ones recompute it by blocks


class Distance(Protocol):
    """A distance (or similarity) between two samples of features."""

    @property
    def larger_is_closer(self) -> bool:
        """Whether this is a similarity."""
        ...

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value it can take."""
        ...

    def evaluator(self, pooled: Features) -> Evaluator:
        """What maps `counts_real`, `counts_generated` (rows, draws) to the distances (draws,)."""
        ...


def memberships(n_real: int, n_generated: int) -> tuple[Counts, Counts]:
    """The multiplicities, each (rows, 1), of the two samples as they stand in their pool."""
    is_real = np.zeros((n_real + n_generated, 1), dtype=np.int32)
    is_real[:n_real] = 1
    return is_real, 1 - is_real


def distance_between(distance: Distance, real: Features, generated: Features) -> float:
    """The distance of two samples of features."""
    counts = memberships(number_of_rows(real), number_of_rows(generated))
    return float(distance.evaluator(pool(real, generated))(*counts)[0])


def _signed(real: Counts, generated: Counts) -> Array:
    weights: Array = generated / generated.sum(axis=0) - real / real.sum(axis=0)
    return weights


def _merge_private_columns(features: Any) -> Any:
    """Replace, row by row, all columns that only this row uses by one column of the same norm.

    Inner products with weights per row keep their squared sum: sum_c (w_i phi_ic)^2 = w_i^2 sum_c phi_ic^2.
    """
    csc = features.tocsc()
    users = np.diff(csc.indptr)
    lonely = csc[:, users == 1].tocsr()
    norms = np.sqrt(np.asarray(lonely.multiply(lonely).sum(axis=1)).ravel())
    rows = np.flatnonzero(norms)
    block = sparse.csr_matrix((norms[rows], (rows, np.arange(len(rows)))), shape=(csc.shape[0], len(rows)))
    return sparse.hstack([csc[:, users > 1], block], format="csr")


def _squared_norms(transposed: Any, weights: Array) -> Array:
    """|Phi' w|^2 per column of weights, a few columns at a time: Phi' w is as long as the vocabulary."""
    norms = np.empty(weights.shape[1])
    for start in range(0, weights.shape[1], _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        embedded = np.asarray(transposed @ np.ascontiguousarray(weights[:, columns]))
        norms[columns] = np.einsum("ij,ij->j", embedded, embedded)
    return norms


@dataclass(frozen=True)
class LinearMMD:
    """Squared maximum mean discrepancy with the linear kernel, that is of two mean embeddings.

    Args:
        unbiased: the U-statistic (zero in the mean under equality, may be negative) instead of the V-statistic.
    """

    unbiased: bool = False
    larger_is_closer: ClassVar[bool] = False

    @property
    def bounds(self) -> tuple[float, float]:
        """A U-statistic may be negative."""
        return (-math.inf if self.unbiased else 0.0), math.inf

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`; the pool may be sparse, no Gram matrix is built."""
        is_sparse = sparse.issparse(pooled)
        features: Any = _merge_private_columns(pooled) if is_sparse else np.asarray(pooled, dtype=np.float64)
        features = features if features.ndim == 2 else features[:, None]
        transposed = features.T.tocsr() if is_sparse else features.T
        norms = np.asarray(features.multiply(features).sum(axis=1)).ravel() if is_sparse else (features**2).sum(1)

        def evaluate(real: Counts, generated: Counts) -> Array:
            if not self.unbiased:
                return _squared_norms(transposed, _signed(real, generated))
            m, n = real.sum(axis=0), generated.sum(axis=0)
            sum_real, sum_generated = transposed @ real.astype(float), transposed @ generated.astype(float)
            within_real = ((sum_real**2).sum(axis=0) - norms @ real) / (m * (m - 1))
            within_generated = ((sum_generated**2).sum(axis=0) - norms @ generated) / (n * (n - 1))
            cross = (sum_real * sum_generated).sum(axis=0) / (m * n)
            return np.asarray(within_real + within_generated - 2 * cross)

        return evaluate


def _quadratic(
    matrix: Callable[[npt.NDArray[np.intp]], Array], rows: int, right: Array, left: Array | None = None
) -> Array:
    """left' M right per column, M given by its row blocks."""
    left = right if left is None else left
    total = np.zeros(right.shape[1])
    for block in np.array_split(np.arange(rows), max(1, rows // 2000)):
        total += (left[block] * (matrix(block) @ right)).sum(axis=0)
    return total


@dataclass(frozen=True)
class KernelMMD:
    """Squared maximum mean discrepancy of any kernel.

    Args:
        kernel: maps features (a, d) and (b, d) to the Gram matrix (a, b).
        unbiased: the U-statistic instead of the V-statistic.
    """

    kernel: Callable[[Features, Features], Array]
    unbiased: bool = False
    larger_is_closer: ClassVar[bool] = False

    @property
    def bounds(self) -> tuple[float, float]:
        """A U-statistic may be negative."""
        return (-math.inf if self.unbiased else 0.0), math.inf

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`; large pools recompute the Gram matrix block by block."""
        rows = number_of_rows(pooled)
        gram = self.kernel(pooled, pooled) if rows <= _GRAM_ROWS else None

        def block_of(block: npt.NDArray[np.intp]) -> Array:
            return self.kernel(pooled[block], pooled) if gram is None else gram[block]

        diagonal = np.array(
            [float(np.ravel(self.kernel(pooled[i : i + 1], pooled[i : i + 1]))[0]) for i in range(rows)]
        )

        def evaluate(real: Counts, generated: Counts) -> Array:
            if not self.unbiased:
                return _quadratic(block_of, rows, _signed(real, generated))
            m, n = real.sum(axis=0), generated.sum(axis=0)
            c_real, c_generated = real.astype(float), generated.astype(float)
            within_real = (_quadratic(block_of, rows, c_real) - diagonal @ c_real) / (m * (m - 1))
            within_generated = (_quadratic(block_of, rows, c_generated) - diagonal @ c_generated) / (n * (n - 1))
            cross = _quadratic(block_of, rows, c_generated, c_real) / (m * n)
            return np.asarray(within_real + within_generated - 2 * cross)

        return evaluate


def _running_difference(values: Array, weigh: Callable[[Array, Array], Array]) -> Evaluator:
    """An evaluator from (F - G at each sorted value, gap to the next value), both with rows - 1 entries."""
    order = np.argsort(values, kind="stable")
    gaps = np.diff(values[order])

    def evaluate(real: Counts, generated: Counts) -> Array:
        running = np.cumsum(_signed(real, generated)[order], axis=0)[:-1]
        return weigh(running, gaps)

    return evaluate


def _one_dimensional(pooled: Features) -> Array:
    values = np.asarray(pooled, dtype=np.float64)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"this distance takes one number per row, not features of shape {values.shape}")
    return values


@dataclass(frozen=True)
class Wasserstein1:
    """Wasserstein-1 distance of two samples of numbers, in the unit of the numbers."""

    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`."""
        return _running_difference(_one_dimensional(pooled), lambda running, gaps: gaps @ np.abs(running))


@dataclass(frozen=True)
class KolmogorovSmirnov:
    """Largest difference of the two empirical distribution functions."""

    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`; the functions are compared only where values differ (ties)."""

        def largest(running: Array, gaps: Array) -> Array:
            return np.asarray(np.abs(running[gaps > 0]).max(axis=0, initial=0.0))

        return _running_difference(_one_dimensional(pooled), largest)


@dataclass(frozen=True)
class Energy:
    """Energy distance 2 E|x - y| - E|x - x'| - E|y - y'| (V-statistic, not its root)."""

    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`; one dimension needs a sort only."""
        values = np.asarray(pooled, dtype=np.float64)
        if values.ndim == 1:
            return _running_difference(values, lambda running, gaps: 2 * (gaps @ running**2))
        return KernelMMD(_negative_distances).evaluator(values)


def _negative_distances(left: Array, right: Array) -> Array:
    squared = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
    return np.asarray(-np.sqrt(np.maximum(squared, 0.0)))


@dataclass(frozen=True)
class TotalVariation:
    """Total variation of the mean histograms; each row is a histogram that sums to one."""

    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`; the pool may be sparse."""
        transposed = pooled.T.tocsr() if sparse.issparse(pooled) else np.asarray(pooled, dtype=np.float64).T

        def evaluate(real: Counts, generated: Counts) -> Array:
            return np.asarray(0.5 * np.abs(transposed @ _signed(real, generated)).sum(axis=0))

        return evaluate


@dataclass(frozen=True)
class CosineSimilarity:
    """Cosine of the two summed count vectors (1: equal proportions; 0 when a sample has no counts at all)."""

    larger_is_closer: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`; the pool may be sparse."""
        transposed = pooled.T.tocsr() if sparse.issparse(pooled) else np.asarray(pooled, dtype=np.float64).T

        def evaluate(real: Counts, generated: Counts) -> Array:
            sum_real = np.asarray(transposed @ real.astype(float))
            sum_generated = np.asarray(transposed @ generated.astype(float))
            norms = np.sqrt((sum_real**2).sum(axis=0) * (sum_generated**2).sum(axis=0))
            return np.asarray((sum_real * sum_generated).sum(axis=0) / np.where(norms > 0, norms, 1.0))

        return evaluate
