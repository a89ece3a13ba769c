"""Distributions of degrees as weighted values, assortativity, reciprocity, inequality.

A distribution is `Weighted`: distinct values and how often each occurs. Pairs of degrees are made one number; binned
ones by powers of two: bin 0 holds degree 0, bin j the degrees from 2^(j-1) to 2^j - 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scorefield.domains.digraphs.digraph import Digraph
from scorefield.domains.digraphs.matrices import Rows

__all__ = ["Weighted", "assortativity", "gini", "log_bins", "lorenz", "pairs_of", "weighted"]

_BASE = 1 << 32


class Weighted(NamedTuple):
    """Values and how often each occurs.

    Args:
        values: distinct, in increasing order, `(k,)`.
        counts: whole numbers, `(k,)`.
    """

    values: NDArray[Any]
    counts: NDArray[Any]


def weighted(values: NDArray[Any]) -> Weighted:
    """The distinct values among some."""
    distinct, counts = np.unique(values, return_counts=True)
    return Weighted(distinct, counts.astype(np.int64))


def pairs_of(rows: Rows, *, binned: bool = False) -> Weighted:
    """The cells of a degree matrix as single numbers, raw or binned."""
    first, second = (log_bins(rows[:, 0]), log_bins(rows[:, 1])) if binned else rows[:, :2].T
    values, place = np.unique(first * _BASE + second, return_inverse=True)
    counts = np.zeros(values.size, np.int64)
    np.add.at(counts, place, rows[:, 2])
    return Weighted(values, counts)


def log_bins(degrees: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bin of each degree."""
    return np.frexp(degrees.astype(np.float64))[1].astype(np.int64)


def assortativity(graph: Digraph, source: NDArray[np.int64], target: NDArray[np.int64]) -> float:
    """Pearson's correlation over edges of a number of the source and one of the target; NaN where one is constant.

    Args:
        graph: the edges.
        source: of every node as a source, `(n,)`.
        target: of every node as a target, `(n,)`.
    """
    x, y = source[graph.src], target[graph.dst]
    if not x.size or x.min() == x.max() or y.min() == y.max():
        return float("nan")
    centred = [values - values.mean() for values in (x, y)]
    sizes = [float(np.sqrt(part @ part)) for part in centred]
    return float(centred[0] @ centred[1]) / (sizes[0] * sizes[1])


def lorenz(degrees: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of all edges that the k nodes of the smallest degrees have, for k = 0 ... n, `(n + 1,)`."""
    running = np.concatenate([[0], np.cumsum(np.sort(degrees))])
    return np.asarray(running / max(int(running[-1]), 1), dtype=np.float64)


def gini(degrees: NDArray[np.int64]) -> float:
    """Gini's coefficient: twice the area between the Lorenz curve and the diagonal; NaN without edges."""
    curve = lorenz(degrees)
    if not degrees.size or not curve[-1]:
        return float("nan")
    return float(1 - (curve[1:] + curve[:-1]).mean())
