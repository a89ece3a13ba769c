"""Lengths of shortest paths along edges, by breadth-first searches from 64 nodes at once.

A word of 64 bits at each node says which searches have been there; a node is looked at again only when a bit is new,
so that the work is never more than that of single searches (after Then et al. 2014, VLDB 8(4)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.domains.digraphs.statistics.neighbours import Adjacency

__all__ = ["MOST_EXACT", "SOURCES", "PathLengths", "path_lengths"]

MOST_EXACT = 8000
"""Nodes up to which all searches are made."""
SOURCES = 64
"""Random sources in larger graphs."""


@dataclass(frozen=True)
class PathLengths:
    """Distances between ordered pairs of different nodes, the second of which can be reached from the first.

    Args:
        counts: how many pairs are at each distance; entry 0 is 0.
        sources: how many nodes were searched from.
        exact: whether these are all nodes with edges out of them.
    """

    counts: NDArray[np.int64]
    sources: int
    exact: bool

    @property
    def mean(self) -> float:
        """Mean over the pairs, NaN where there is none."""
        pairs = int(self.counts.sum())
        return float(self.counts @ np.arange(self.counts.size)) / pairs if pairs else float("nan")

    @property
    def most(self) -> float:
        """The largest distance, NaN where there is none."""
        there = np.flatnonzero(self.counts)
        return float(there[-1]) if there.size else float("nan")

    def quantile(self, share: float = 0.9) -> float:
        """The least distance within which this share of the pairs lies, NaN where there is none."""
        pairs = int(self.counts.sum())
        if not pairs:
            return float("nan")
        return float(np.searchsorted(np.cumsum(self.counts), share * pairs))


def path_lengths(out: Adjacency, generator: np.random.Generator) -> PathLengths:
    """Search from all nodes with edges, or from some of them drawn at random in larger graphs."""
    starts = np.flatnonzero(np.diff(out.start))
    exact = out.start.size - 1 <= MOST_EXACT or starts.size <= SOURCES
    if not exact:
        starts = np.sort(generator.choice(starts, SOURCES, replace=False))
    counts = np.zeros(out.start.size, np.int64)
    _search(out, starts, counts)
    found = np.flatnonzero(counts)
    return PathLengths(counts[: found[-1] + 1 if found.size else 1], starts.size, exact)


@compiled
def _bits(word: np.uint64) -> int:
    number = 0
    while word:
        word &= word - np.uint64(1)
        number += 1
    return number


@compiled
def _search(out: Adjacency, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    n = out.start.size - 1
    seen, fresh, coming = np.zeros(n, np.uint64), np.zeros(n, np.uint64), np.zeros(n, np.uint64)
    front, reached = np.empty(n, np.int64), np.empty(n, np.int64)
    for first in range(0, starts.size, 64):
        seen[:] = 0
        size = 0
        for bit in range(min(64, starts.size - first)):
            node = starts[first + bit]
            seen[node] = fresh[node] = np.uint64(1) << np.uint64(bit)
            front[size] = node
            size += 1
        length = 0
        while size:
            length += 1
            number = 0
            for place in range(size):
                u = front[place]
                word = fresh[u]
                fresh[u] = 0
                for edge in range(out.start[u], out.start[u + 1]):
                    v = out.nodes[edge]
                    new = word & ~seen[v]
                    if new:
                        if not coming[v]:
                            reached[number] = v
                            number += 1
                        coming[v] |= new
            for place in range(number):
                v = reached[place]
                fresh[v] = coming[v]
                seen[v] |= coming[v]
                counts[length] += _bits(coming[v])
                coming[v] = 0
                front[place] = v
            size = number
