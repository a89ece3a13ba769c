"""Distances of bags of numbers: each row brings many values to each of several columns.

Features are (rows, columns, values), NaN where a row has fewer; every value of a column counts the same, so that the
values of all rows are pooled. With P and Q the distributions of the real and the generated values of a column

    Wasserstein-1       integral |F_P - F_Q|
    marginal score      mean over 50 equal bins of width h on the range of the real values of |P(bin) - Q(bin)| / h
    total variation     1/2 (sum over these bins |P(bin) - Q(bin)| + what of Q lies outside)

each averaged over columns. The marginal score is that of Zhou et al. 2023 (LS4, arXiv 2212.12749) and Han et al. 2024
(GeoTDM, arXiv 2410.13027); it has the unit of one over the values, and generated values outside the range count for
nothing. Values on an edge fall into the same bin in both sets, so that equal sets are at distance 0.

With `cells`, the sorted values of a column are merged into so many groups of equal size before anything is weighed:
what varies alike at a fraction of the cost, for the many relabellings behind p-values and intervals.

Two distances take one profile per row, (rows, columns) or (rows, columns, bins): `JensenShannon` of mean histograms
(base 2, from 0 to 1), and `ProfileDistance`, |mean Q - mean P|_1 / |mean P|_1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from scorefield.core.statistics.distances import Array, Counts, Evaluator
from scorefield.core.statistics.features import Features

__all__ = ["BagWasserstein1", "JensenShannon", "Marginal", "ProfileDistance"]

_ENTRIES = 1 << 22  # values times draws summed up at once, 32 MB


@dataclass(frozen=True)
class _Column:
    """The values of a column in order, or groups of them.

    Attributes:
        values: of each group, ascending, `(groups,)`.
        members: how many values each row has in each group, sparse `(groups, rows)`.
    """

    values: Array
    members: sparse.csr_matrix

    def shares(self, counts: Counts) -> Array:
        """The weight of each group in each draw, (groups, draws)."""
        weights = self.members @ counts.astype(np.float64)
        total = weights.sum(axis=0)
        return np.asarray(weights / np.where(total > 0, total, np.nan))


def _columns(pooled: Features, cells: int | None) -> list[_Column]:
    bags = np.asarray(pooled, dtype=np.float64)
    if bags.ndim != 3:
        raise ValueError(f"this distance takes bags (rows, columns, values), not features of shape {bags.shape}")
    found = []
    for column in range(bags.shape[1]):
        values = bags[:, column].ravel()
        there = np.flatnonzero(~np.isnan(values))
        order = there[np.argsort(values[there], kind="stable")]
        number = len(order)
        groups = number if cells is None else min(cells, number)
        group = np.arange(number) * groups // max(number, 1)
        members = sparse.coo_matrix((np.ones(number), (group, order // bags.shape[2])), shape=(groups, len(bags)))
        sizes = np.bincount(group, minlength=groups)
        means = values[order] if groups == number else np.bincount(group, values[order]) / sizes
        found.append(_Column(means, members.tocsr()))
    return found


def _blocks(draws: int, values: int) -> Iterator[slice]:
    size = max(1, _ENTRIES // max(1, values))
    return (slice(start, start + size) for start in range(0, draws, size))


def _mean_over_columns(
    pooled: Features, cells: int | None, distance: Callable[[Array, Array, Array], Array]
) -> Evaluator:
    """An evaluator from a distance of (sorted values, real shares, generated shares)."""
    columns = _columns(pooled, cells)

    def evaluate(real: Counts, generated: Counts) -> Array:
        found = np.zeros(real.shape[1])
        for column in columns:
            for block in _blocks(real.shape[1], len(column.values)):
                shares = [column.shares(counts[:, block]) for counts in (real, generated)]
                found[block] += distance(column.values, *shares)
        return found / len(columns)

    return evaluate


@dataclass(frozen=True)
class BagWasserstein1:
    """Mean over columns of the Wasserstein-1 distance of pooled values, in their unit.

    Args:
        cells: see above; exact without.
    """

    cells: int | None = None
    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`."""

        def distance(values: Array, real: Array, generated: Array) -> Array:
            return np.asarray(np.diff(values) @ np.abs(np.cumsum(generated - real, axis=0)[:-1]))

        return _mean_over_columns(pooled, self.cells, distance)


@dataclass(frozen=True)
class Marginal:
    """Mean over columns of the marginal score or, with `total_variation`, of the total variation on its bins.

    Args:
        bins: on the range of the real values.
        total_variation: shares instead of densities: without unit, at most 1, and values outside the range count.
        cells: see above; exact without.
    """

    bins: int = 50
    total_variation: bool = False
    cells: int | None = None
    larger_is_closer: ClassVar[bool] = False

    @property
    def bounds(self) -> tuple[float, float]:
        """See `Distance`."""
        return 0.0, 1.0 if self.total_variation else math.inf

    def columns(self, pooled: Features, real: Counts, generated: Counts) -> Array:
        """The score of each column, (columns, draws)."""
        found = []
        for column in _columns(pooled, self.cells):
            shares = [column.shares(counts) for counts in (real, generated)]
            found.append(self._column(column.values, *shares))
        return np.stack(found)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`; a column whose real values are all the same gives NaN."""
        return _mean_over_columns(pooled, self.cells, self._column)

    def _column(self, values: Array, real: Array, generated: Array) -> Array:
        found = np.full(real.shape[1], np.nan)
        for draw in range(real.shape[1]):
            there = np.flatnonzero(real[:, draw] > 0)
            low, high = (values[there[0]], values[there[-1]]) if len(there) else (0.0, 0.0)
            width = (high - low) / self.bins
            if not width > 0 or not np.isfinite(generated[0, draw]):
                continue
            edges = np.linspace(low, high, self.bins + 1)
            cuts = np.append(np.searchsorted(values, edges[:-1]), np.searchsorted(values, high, "right"))
            masses = [_masses(shares[:, draw], cuts) for shares in (real, generated)]
            apart = np.abs(masses[0] - masses[1])
            outside = max(0.0, 1 - float(masses[1].sum()))
            found[draw] = (apart.sum() + outside) / 2 if self.total_variation else apart.mean() / width
        return found


def _masses(shares: Array, cuts: npt.NDArray[np.intp]) -> Array:
    """Sums between cuts."""
    running = np.concatenate([[0.0], np.cumsum(shares)])
    return np.asarray(np.diff(running[cuts]))


def _means(features: Array, counts: Counts) -> Array:
    """Mean rows, (features, draws)."""
    return np.asarray(features.T @ counts.astype(np.float64) / counts.sum(axis=0))


@dataclass(frozen=True)
class JensenShannon:
    """Mean over columns of the Jensen-Shannon divergence (base 2) of mean histograms (rows, columns, bins)."""

    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`."""
        histograms = np.asarray(pooled, dtype=np.float64)
        rows, columns, bins = histograms.shape
        flat = histograms.reshape(rows, columns * bins)

        def evaluate(real: Counts, generated: Counts) -> Array:
            pair = [_means(flat, counts).reshape(columns, bins, -1) for counts in (real, generated)]
            pair = [part / part.sum(axis=1, keepdims=True) for part in pair]
            middle = (pair[0] + pair[1]) / 2
            apart = [_divergence(part, middle) for part in pair]
            return np.asarray((apart[0] + apart[1]).mean(axis=0) / 2)

        return evaluate


def _divergence(of: Array, to: Array) -> Array:
    """Kullback and Leibler's, base 2, over bins: (columns, draws)."""
    there = of > 0
    terms = np.where(there, of * np.log2(np.where(there, of, 1.0) / np.where(there, to, 1.0)), 0.0)
    return np.asarray(terms.sum(axis=1))


@dataclass(frozen=True)
class ProfileDistance:
    """How far mean profiles (rows, columns) are apart, relative to the real one's size."""

    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`."""
        profiles = np.asarray(pooled, dtype=np.float64)

        def evaluate(real: Counts, generated: Counts) -> Array:
            of_real, of_generated = (_means(profiles, counts) for counts in (real, generated))
            size = np.abs(of_real).sum(axis=0)
            return np.asarray(np.abs(of_generated - of_real).sum(axis=0) / np.where(size > 0, size, np.nan))

        return evaluate
