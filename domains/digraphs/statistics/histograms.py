"""Distances of distributions that graphs bring as weighted values (degrees of their nodes, cells of their matrices).

The values of all graphs together are the cells; a graph is a row of counts over them. Graphs are pooled as a sample
asks for, whatever their sizes: `HistogramDistance` is then one of the core's distances on the cells, the counts their
multiplicities. A distribution without counts is at distance 0 from another without and at 1 from any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scorefield.core.statistics.distances import (
    Array,
    Counts,
    Distance,
    Evaluator,
    KolmogorovSmirnov,
    TotalVariation,
    Wasserstein1,
)
from scorefield.core.statistics.features import Features
from scorefield.domains.digraphs.statistics.degrees import Weighted

__all__ = ["CellDistance", "GaussianOfVariation", "HistogramDistance", "normalised", "pooled_counts", "sampled_floor"]

CellDistance = KolmogorovSmirnov | TotalVariation | Wasserstein1
_ENTRIES = 1 << 22  # cells times draws weighed at once
_MOST_DRAWN = 10**9  # the limit of NumPy's hypergeometric draws


def pooled_counts(parts: Sequence[Weighted]) -> tuple[NDArray[Any], sparse.csr_matrix]:
    """The cells of several distributions, and a row of counts for each, `(parts, cells)`."""
    cells = np.unique(np.concatenate([part.values for part in parts]))
    columns = np.concatenate([np.searchsorted(cells, part.values) for part in parts])
    starts = np.concatenate([[0], np.cumsum([part.values.size for part in parts])])
    counts = np.concatenate([part.counts for part in parts]).astype(np.float64)
    return cells, sparse.csr_matrix((counts, columns, starts), shape=(len(parts), max(cells.size, 1)))


@dataclass(frozen=True)
class HistogramDistance:
    """A distance of the pooled values of two samples of graphs; features are rows of counts, `(graphs, cells)`.

    Args:
        of: the distance of values.
        cells: the value of each cell, in increasing order.
    """

    of: CellDistance
    cells: NDArray[Any] = field(repr=False)

    @property
    def larger_is_closer(self) -> bool:
        """See `Distance`."""
        return self.of.larger_is_closer

    @property
    def bounds(self) -> tuple[float, float]:
        """See `Distance`."""
        return (0.0, 1.0) if isinstance(self.of, TotalVariation) else self.of.bounds

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`."""
        cells_of = sparse.csr_matrix(pooled).T.tocsr()
        on_cells = self.on_cells()

        def evaluate(real: Counts, generated: Counts) -> Array:
            found = np.empty(real.shape[1])
            size = max(1, _ENTRIES // cells_of.shape[0])
            for start in range(0, real.shape[1], size):
                block = slice(start, start + size)
                pair = [np.asarray(cells_of @ counts[:, block].astype(np.float64)) for counts in (real, generated)]
                found[block] = on_cells(*pair)
            return found

        return evaluate

    def on_cells(self) -> Evaluator:
        """What maps counts of cells, `(cells, draws)` each, to distances."""
        size = max(self.cells.size, 1)
        features = sparse.identity(size, format="csr") if isinstance(self.of, TotalVariation) else self.cells
        inner = cast(Distance, self.of).evaluator(features) if self.cells.size else None

        def evaluate(real: Counts, generated: Counts) -> Array:
            there = [counts.sum(axis=0) > 0 for counts in (real, generated)]
            found = (there[0] != there[1]).astype(np.float64)
            both = np.flatnonzero(there[0] & there[1])
            if inner is not None and both.size:
                found[both] = inner(real[:, both], generated[:, both])
            return np.asarray(found)

        return evaluate


def sampled_floor(
    of: CellDistance, real: Weighted, size: int, repeats: int, generator: np.random.Generator
) -> float | None:
    """The mean distance between some of the values of one graph, drawn without replacement, and the others.

    Args:
        of: the distance.
        real: the values.
        size: how many are drawn, at most half.
        repeats: draws.
        generator: of the draws.

    Returns:
        The floor, None where there are too few or too many values to draw from.
    """
    total = int(real.counts.sum())
    size = min(size, total // 2)
    if size < 1 or repeats < 1 or total >= _MOST_DRAWN:
        return None
    drawn = generator.multivariate_hypergeometric(real.counts, size, size=repeats, method="marginals").T
    found = HistogramDistance(of, real.values).on_cells()(real.counts[:, None] - drawn, drawn)
    return float(found.mean())


def normalised(counts: sparse.csr_matrix) -> NDArray[np.float64]:
    """Rows of shares, dense; rows without counts stay 0."""
    rows: Array = np.asarray(counts.todense(), dtype=np.float64)
    totals = rows.sum(axis=1, keepdims=True)
    return np.asarray(rows / np.where(totals > 0, totals, 1.0))


@dataclass(frozen=True)
class GaussianOfVariation:
    """exp(-TV^2 / (2 width^2)) of histograms that sum to one, TV their total variation."""

    width: float

    def __call__(self, left: Features, right: Features) -> Array:
        """The Gram matrix of rows `(a, d)` and `(b, d)`."""
        from scipy.spatial.distance import cdist

        apart = 0.5 * cdist(np.asarray(left), np.asarray(right), "cityblock")
        return np.asarray(np.exp(-(apart**2) / (2 * self.width**2)))
