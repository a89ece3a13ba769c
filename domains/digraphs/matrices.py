"""The two degree matrices of a directed graph, counted.

With i(v) and o(v) the in- and out-degree of node v:

- the joint degree matrix, JDM: J[i, o] = number of nodes with these degrees, (0, 0) included;
- the degree correlation matrix, DCM: C[k, l] = number of edges u -> v with o(u) = k and i(v) = l.

Both are sparse, rows `(first, second, count)` sorted by the first two. Sum J = n, sum C = m, and the margins agree:
sum_l C[k, l] = k N+_k with N+_k = sum_i J[i, k], and sum_k C[k, l] = l N-_l with N-_l = sum_o J[l, o].

Since K distinct positive degrees take at least K (K + 1) / 2 edges, a dense array over the classes that occur has at
most 2 m cells for the DCM; counting uses that. The matrices are those of Yan and Jiang, arXiv 2507.23025; reading the
first as node counts and the second as edge counts is an inference from its abstract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorefield.core.errors import InputError
from scorefield.domains.digraphs.digraph import Digraph

__all__ = ["DegreeClasses", "DegreeMatrices", "Rows", "jdm_of_degrees", "measure"]

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DegreeClasses:
    """The nodes of a graph by one of their degrees.

    Args:
        degrees: the degrees that occur, in increasing order, `(K,)`.
        sizes: how many nodes have each, `(K,)`.
    """

    degrees: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def positive(self) -> DegreeClasses:
        """The classes of nodes that have such edges at all."""
        kept = (self.degrees > 0) & (self.sizes > 0)
        return DegreeClasses(self.degrees[kept], self.sizes[kept])

    @property
    def stubs(self) -> NDArray[np.int64]:
        """Ends of edges at the nodes of each class, `(K,)`."""
        return self.degrees * self.sizes

    def size_of(self, degrees: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many nodes have each of these degrees, 0 where none has."""
        if not self.degrees.size:
            return np.zeros(degrees.shape, np.int64)
        place = np.minimum(np.searchsorted(self.degrees, degrees), self.degrees.size - 1)
        return np.where(self.degrees[place] == degrees, self.sizes[place], 0)


@dataclass(frozen=True, eq=False)
class DegreeMatrices:
    """A joint degree matrix and a degree correlation matrix.

    Args:
        jdm: rows (in-degree, out-degree, nodes), int64 `(a, 3)`, sorted, counts positive.
        dcm: rows (out-degree of the source, in-degree of the target, edges), int64 `(b, 3)`, likewise.
    """

    jdm: Rows
    dcm: Rows

    @property
    def n(self) -> int:
        """Number of nodes."""
        return int(self.jdm[:, 2].sum())

    @property
    def m(self) -> int:
        """Number of edges."""
        return int(self.dcm[:, 2].sum())

    @property
    def in_classes(self) -> DegreeClasses:
        """The nodes by in-degree, degree 0 included."""
        return classes(self.jdm[:, 0], self.jdm[:, 2])

    @property
    def out_classes(self) -> DegreeClasses:
        """The nodes by out-degree, degree 0 included."""
        return classes(self.jdm[:, 1], self.jdm[:, 2])


def classes(degrees: NDArray[np.int64], sizes: NDArray[np.int64]) -> DegreeClasses:
    """Add up the sizes of equal degrees, both `(rows,)`."""
    distinct, place = np.unique(degrees, return_inverse=True)
    totals = np.zeros(distinct.size, np.int64)
    np.add.at(totals, place, sizes)
    return DegreeClasses(distinct, totals)


def measure(graph: Digraph) -> DegreeMatrices:
    """Count the joint degree matrix and the degree correlation matrix of a simple graph, in O(n + m).

    Raises:
        InputError: the graph has a loop.
    """
    loops = np.flatnonzero(graph.src == graph.dst)
    if loops.size:
        raise InputError("joins a node to itself", place=f"edge {loops[0]}", mend="simple_digraph drops loops")
    in_degrees, out_degrees = graph.in_degrees, graph.out_degrees
    dcm = _pair_counts(out_degrees, in_degrees, graph.src, graph.dst)
    return DegreeMatrices(_pair_counts(in_degrees, out_degrees), dcm)


def jdm_of_degrees(in_degrees: ArrayLike, out_degrees: ArrayLike) -> Rows:
    """The joint degree matrix of nodes with these degrees, integers `(n,)` each.

    Raises:
        InputError: lists of different lengths, or entries that are no degrees.
    """
    first, second = np.asarray(in_degrees), np.asarray(out_degrees)
    if first.ndim != 1 or first.shape != second.shape:
        raise InputError(f"{first.size} in-degrees and {second.size} out-degrees", mend="give both of every node")
    for name, values in (("in-degree", first), ("out-degree", second)):
        if values.size and (values.dtype.kind not in "iu" or int(values.min()) < 0):
            raise InputError(f"an {name} is negative or no integer", mend="degrees are whole numbers from 0 up")
    return _pair_counts(first.astype(np.int64), second.astype(np.int64))


def _pair_counts(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    rows: NDArray[Any] | None = None,
    columns: NDArray[Any] | None = None,
) -> Rows:
    """Sparse counts of `(first[rows], second[columns])`; without rows and columns, of all pairs as they stand."""
    row_values, row_class = _ranks(first)
    column_values, column_class = _ranks(second)
    row = row_class if rows is None else row_class[rows]
    column = column_class if columns is None else column_class[columns]
    cells = row * np.int64(column_values.size)
    cells += column
    if row_values.size * column_values.size <= 4 * cells.size + 65536:
        counts = np.bincount(cells, minlength=1)
        found = np.flatnonzero(counts)
        counts = counts[found]
    else:
        found, counts = np.unique(cells, return_counts=True)
    width = max(column_values.size, 1)
    return np.stack([row_values[found // width], column_values[found % width], counts], axis=1).astype(np.int64)


def _ranks(degrees: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct degrees in increasing order, and the rank of each node's among them."""
    seen = np.bincount(degrees, minlength=1) > 0 if degrees.size else np.zeros(0, bool)
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[degrees]
