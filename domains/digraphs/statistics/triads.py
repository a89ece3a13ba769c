"""Triad census and clustering from one enumeration of triangles.

The 16 classes of three nodes are named by their mutual, asymmetric and null pairs (Holland and Leinhardt 1970). Only
triangles are enumerated: every triangle once, by its pairs directed from lower to higher degree, in O(m^(3/2)) (the
forward algorithm of Schank and Wagner 2005). The rest follows in closed form. A node with a mutual neighbours, i that
only point at it and o that it only points at is the middle of C(o, 2) pairs of kind 021D, C(i, 2) of 021U, i o of 021C,
a i of 111D, a o of 111U and C(a, 2) of 201; triangles are among them three times, once at each of their nodes, and are
taken off. What is left over of (n - 2) times the asymmetric and the mutual pairs is 012 and 102. Names agree with
NetworkX's `triadic_census`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.domains.digraphs.statistics.neighbours import IN, MUTUAL, OUT, Ties

__all__ = ["CONNECTED", "TRIADS", "Triangles", "dyads", "mean_clustering", "transitivity", "triad_census", "triangles"]

TRIADS = (
    "003", "012", "102", "021D", "021U", "021C", "111D", "111U", "030T", "030C", "201", "120D", "120U", "120C", "210",
    "300",
)  # fmt: skip
"""Classes of triads, in the usual order."""
CONNECTED = TRIADS[3:]
"""Those in which no node is alone."""
_OPEN = ("021D", "021U", "021C", "111D", "111U", "201")
_PLACES = {(OUT, OUT): 0, (IN, IN): 1, (OUT, IN): 2, (MUTUAL, IN): 3, (MUTUAL, OUT): 4, (MUTUAL, MUTUAL): 5}
_TURNED = (0, IN, OUT, MUTUAL)


@dataclass(frozen=True)
class Triangles:
    """The triangles of the underlying undirected graph.

    Args:
        kinds: how many of each combination of the kinds of u with v, u with w and v with w, `(4, 4, 4)`.
        at: how many each node is part of, `(n,)`.
    """

    kinds: NDArray[np.int64]
    at: NDArray[np.int64]


def triangles(ties: Ties) -> Triangles:
    """Find every triangle once."""
    n = ties.start.size - 1
    sizes = np.diff(ties.start)
    rank = np.empty(n, np.int64)
    rank[np.argsort(sizes, kind="stable")] = np.arange(n)
    start, nodes, kinds = _upward(ties, rank)
    found, at = np.zeros((4, 4, 4), np.int64), np.zeros(n, np.int64)
    _enumerate(start, nodes, kinds, found, at)
    return Triangles(found, at[rank])


def dyads(ties: Ties) -> NDArray[np.int64]:
    """For every node, how many neighbours it has by the kinds `OUT`, `IN` and `MUTUAL`, `(n, 3)`."""
    n = ties.start.size - 1
    owner = np.repeat(np.arange(n), np.diff(ties.start))
    found = np.bincount(3 * owner + ties.kinds - 1, minlength=3 * n)
    return found.reshape(n, 3).astype(np.int64)


def triad_census(ties: Ties, found: Triangles) -> dict[str, int]:
    """How many sets of three nodes are of each class, exact for graphs of any size."""
    n = ties.start.size - 1
    at_node = dyads(ties)
    middles = dict(zip(_OPEN, _middles(at_node), strict=True))
    census = dict.fromkeys(TRIADS, 0)
    for (uv, uw, vw), number in np.ndenumerate(found.kinds):
        if number:
            triangle = (uv, uw, vw)
            census[_closed_class(triangle)] += int(number)
            for pair in _at_corners(triangle):
                middles[_OPEN[_place(pair)]] -= int(number)
    census.update(middles)
    mutual, asymmetric = int(at_node[:, 2].sum()) // 2, int(at_node[:, 0].sum())
    census["012"] = asymmetric * max(n - 2, 0) - sum(int(name[1]) * census[name] for name in CONNECTED)
    census["102"] = mutual * max(n - 2, 0) - sum(int(name[0]) * census[name] for name in CONNECTED)
    census["003"] = comb(n, 3) - sum(census[name] for name in TRIADS[1:])
    return census


def _middles(at_node: NDArray[np.int64]) -> list[int]:
    """How many pairs of neighbours have a node in the middle, in the order of `_OPEN`."""
    o, i, a = at_node.T
    pairs = (o * (o - 1) // 2, i * (i - 1) // 2, i * o, a * i, a * o, a * (a - 1) // 2)
    return [int(part.sum()) for part in pairs]


def _at_corners(triangle: tuple[int, ...]) -> list[tuple[int, int]]:
    """The two ties at u, at v and at w, seen from there."""
    uv, uw, vw = triangle
    return [(uv, uw), (_TURNED[uv], vw), (_TURNED[uw], _TURNED[vw])]


def _place(pair: tuple[int, int]) -> int:
    return _PLACES[pair] if pair in _PLACES else _PLACES[pair[1], pair[0]]


def _closed_class(triangle: tuple[int, ...]) -> str:
    """The class of a triangle."""
    mutual = sum(kind == MUTUAL for kind in triangle)
    if mutual == 3:
        return "300"
    if mutual == 2:
        return "210"
    corners = _at_corners(triangle)
    if mutual == 1:
        alone = next(pair for pair in corners if MUTUAL not in pair)  # the node that is in no mutual pair
        return {(OUT, OUT): "120D", (IN, IN): "120U"}.get(alone, "120C")
    return "030C" if all(set(pair) == {OUT, IN} for pair in corners) else "030T"


@compiled
def _upward(ties: Ties, rank: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    """Neighbours of higher rank, nodes named by their rank, each list in increasing order."""
    n = rank.size
    start = np.zeros(n + 1, np.int64)
    for u in range(n):
        for place in range(ties.start[u], ties.start[u + 1]):
            if rank[ties.nodes[place]] > rank[u]:
                start[rank[u] + 1] += 1
    for u in range(n):
        start[u + 1] += start[u]
    node_of = np.empty(n, np.int64)
    for u in range(n):
        node_of[rank[u]] = u
    nodes, kinds = np.empty(start[n], np.int64), np.empty(start[n], np.int8)
    filled = start[:-1].copy()
    for high in range(n):  # in increasing order, so that lists are sorted as they fill
        v = node_of[high]
        for place in range(ties.start[v], ties.start[v + 1]):
            low = rank[ties.nodes[place]]
            if low < high:
                nodes[filled[low]] = high
                kind = ties.kinds[place]
                kinds[filled[low]] = kind if kind == MUTUAL else 3 - kind
                filled[low] += 1
    return start, nodes, kinds


@compiled
def _enumerate(
    start: NDArray[np.int64],
    nodes: NDArray[np.int64],
    kinds: NDArray[np.int8],
    found: NDArray[np.int64],
    at: NDArray[np.int64],
) -> None:
    n = start.size - 1
    kind_with = np.zeros(n, np.int8)
    for u in range(n):
        for place in range(start[u], start[u + 1]):
            kind_with[nodes[place]] = kinds[place]
        for place in range(start[u], start[u + 1]):
            v, uv = nodes[place], kinds[place]
            for other in range(start[v], start[v + 1]):
                w = nodes[other]
                if kind_with[w]:
                    found[uv, kind_with[w], kinds[other]] += 1
                    at[u] += 1
                    at[v] += 1
                    at[w] += 1
        for place in range(start[u], start[u + 1]):
            kind_with[nodes[place]] = 0


def _pairs_at(ties: Ties) -> NDArray[np.int64]:
    degrees = np.diff(ties.start)
    return np.asarray(degrees * (degrees - 1) // 2)


def transitivity(ties: Ties, found: Triangles) -> float:
    """Share of paths of two edges, in the underlying undirected graph, whose ends are joined; 0 where there is none."""
    paths = int(_pairs_at(ties).sum())
    return int(found.at.sum()) / paths if paths else 0.0


def mean_clustering(ties: Ties, found: Triangles) -> float:
    """Mean over all nodes of the share of pairs of neighbours that are joined; nodes of degree below 2 count as 0."""
    return float(local_clustering(ties, found).mean()) if found.at.size else 0.0


def local_clustering(ties: Ties, found: Triangles) -> NDArray[np.float64]:
    """That share at every node, `(n,)`."""
    return np.asarray(found.at / np.maximum(_pairs_at(ties), 1))


def mapping_shares(census: Mapping[str, int], names: tuple[str, ...] = TRIADS) -> NDArray[np.float64]:
    """Shares of these classes among them, zeros where there are none."""
    counts = [census[name] for name in names]
    total = sum(counts)
    return np.array([number / total if total else 0.0 for number in counts])
