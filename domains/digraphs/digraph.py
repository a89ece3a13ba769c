"""Simple directed graphs as lists of edges.

A graph has nodes 0 .. n-1 and edges `src -> dst`, no loops and no parallel edges. The number of nodes is part of the
graph: nodes without edges count in every distribution of degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorefield.core.errors import InputError

__all__ = ["Cleaned", "Digraph", "index_type", "simple_digraph"]

Ids = NDArray[np.integer[Any]]


def index_type(size: int) -> type[np.int32] | type[np.int64]:
    """int32 where numbers below `size` fit, else int64."""
    return np.int32 if size <= np.iinfo(np.int32).max else np.int64


@dataclass(frozen=True, eq=False)
class Digraph:
    """A directed graph; that it is simple is the duty of who makes it (`simple_digraph` does).

    Args:
        src: sources of the edges, integers `(m,)` in [0, n).
        dst: their targets, likewise.
        n: number of nodes.

    Raises:
        InputError: arrays of other shapes or kinds, or an id that no node has; it names the edge.
    """

    src: Ids
    dst: Ids
    n: int

    def __post_init__(self) -> None:
        if self.src.ndim != 1 or self.src.shape != self.dst.shape:
            raise InputError(f"sources {self.src.shape} and targets {self.dst.shape} are no two lists of one length")
        if self.n < 0:
            raise InputError(f"{self.n} nodes")
        for name, ids in (("source", self.src), ("target", self.dst)):
            if ids.dtype.kind not in "iu":
                raise InputError(f"{name}s are {ids.dtype}, not integers", mend="number the nodes from 0")
            if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= self.n):
                edge = int(np.flatnonzero((ids < 0) | (ids >= self.n))[0])
                what = f"{name} {ids[edge]} is no node of 0 to {self.n - 1}"
                raise InputError(what, place=f"edge {edge}", mend="give the right n, or number the nodes from 0")

    @property
    def m(self) -> int:
        """Number of edges."""
        return self.src.size

    @property
    def in_degrees(self) -> NDArray[np.int64]:
        """In-degree of each node, `(n,)`."""
        return np.bincount(self.dst, minlength=self.n)

    @property
    def out_degrees(self) -> NDArray[np.int64]:
        """Out-degree of each node, `(n,)`."""
        return np.bincount(self.src, minlength=self.n)

    @property
    def keys(self) -> NDArray[np.int64]:
        """`src * n + dst`, one number for each edge, `(m,)`."""
        return self.src.astype(np.int64) * self.n + self.dst

    def sorted(self) -> Digraph:
        """The same graph, its edges by source, then target."""
        return _from_keys(np.sort(self.keys), self.n)


@dataclass(frozen=True)
class Cleaned:
    """A simple graph, and what was left out to make it one.

    Args:
        graph: the graph, its edges by source, then target.
        loops: edges from a node to itself that were dropped.
        duplicates: repetitions of an edge that were dropped.
    """

    graph: Digraph
    loops: int
    duplicates: int

    @property
    def is_symmetric(self) -> bool:
        """Whether there are edges and each has its reverse: an undirected graph, each edge written twice."""
        graph = self.graph
        if not graph.m or not np.array_equal(graph.in_degrees, graph.out_degrees):
            return False
        return np.array_equal(np.sort(graph.dst.astype(np.int64) * graph.n + graph.src), graph.keys)


def simple_digraph(edges: ArrayLike, n: int | None = None) -> Cleaned:
    """Make a simple graph of edges, dropping loops and duplicates.

    Args:
        edges: integers `(m, 2)`, or `(2, m)` as in torch_geometric's `edge_index`; two edges are read as `(m, 2)`.
        n: number of nodes; by default the largest id + 1.

    Raises:
        InputError: another shape, ids that are not integers, negative ids, or ids from n up.
    """
    given = np.asarray(edges)
    if given.size == 0:
        given = np.zeros((0, 2), np.int64)
    if given.ndim != 2 or 2 not in given.shape:
        raise InputError(f"edges of shape {given.shape}", mend="give (m, 2) or (2, m)")
    src, dst = (given[:, 0], given[:, 1]) if given.shape[1] == 2 else (given[0], given[1])
    if n is None and given.dtype.kind in "iu":
        n = int(given.max()) + 1 if given.size else 0
    whole = Digraph(src, dst, n or 0)
    keys = np.sort(whole.keys[src != dst])
    loops = whole.m - keys.size
    fresh = np.ones(keys.size, dtype=bool)
    fresh[1:] = keys[1:] != keys[:-1]
    kept = keys[fresh]
    return Cleaned(_from_keys(kept, whole.n), loops, keys.size - kept.size)


def _from_keys(keys: NDArray[np.int64], n: int) -> Digraph:
    kind = index_type(n)
    src = keys // max(n, 1)
    return Digraph(src.astype(kind), (keys - src * n).astype(kind), n)
