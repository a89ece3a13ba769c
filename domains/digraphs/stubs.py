"""A directed graph as a pairing of stubs: each out-stub has an in-stub as its mate.

Out-stubs are numbered so that those of one out-class (nodes of one out-degree) are contiguous, and inside a class
those of one node; in-stubs likewise. Whatever exchanges stubs inside a class keeps every degree and the degree
correlation matrix.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.domains.digraphs.digraph import Digraph, index_type
from scorefield.domains.digraphs.streams import Stream, shuffle

__all__ = ["Side", "Stubs", "Wiring", "has_edge", "invert", "to_digraph", "wire", "wire_sides"]

Stubs = NDArray[np.integer[Any]]
Counts = NDArray[np.int64]


class Side(NamedTuple):
    """The out-stubs, or the in-stubs, of a graph.

    Args:
        owner: the node of each stub, `(m,)`.
        first: the first stub of each node, `(n,)`.
        kind: the class of each node, `(n,)`.
        degree: the degree of each class, increasing, 0 included where it occurs, `(K,)`.
        begin: the first stub of each class and m, `(K + 1,)`.
        position: the number of nodes in classes before, and n, `(K + 1,)`.
    """

    owner: Stubs
    first: Counts
    kind: Counts
    degree: Counts
    begin: Counts
    position: Counts


class Wiring(NamedTuple):
    """A graph, or one in the making, whose free stubs have the mate -1.

    Args:
        out: the sources' side.
        in_: the targets' side.
        mate: the in-stub of each out-stub, `(m,)`.
        inverse: the out-stub of each in-stub, `(m,)`.
    """

    out: Side
    in_: Side
    mate: Stubs
    inverse: Stubs


def wire_sides(in_degrees: Counts, out_degrees: Counts, state: Stream | None) -> Wiring:
    """The stubs of nodes with these degrees, `(n,)` each, all free.

    Args:
        in_degrees: in-degree of each node.
        out_degrees: out-degree of each node, with the same sum.
        state: shuffles the nodes inside a class; None leaves them in order.
    """
    out, in_ = _side(out_degrees, state), _side(in_degrees, state)
    return Wiring(out, in_, np.full_like(out.owner, -1), np.full_like(in_.owner, -1))


def wire(graph: Digraph) -> Wiring:
    """The stubs of a graph, each with its mate."""
    wiring = wire_sides(graph.in_degrees, graph.out_degrees, None)
    _connect(wiring, graph.src, graph.dst)
    return wiring


def to_digraph(wiring: Wiring) -> Digraph:
    """The graph of a wiring without free stubs; edges come in the order of their out-stubs."""
    return Digraph(wiring.out.owner, wiring.in_.owner[wiring.mate], wiring.out.first.size)


def _side(degrees: Counts, state: Stream | None) -> Side:
    sizes = np.bincount(degrees, minlength=1)
    degree = np.flatnonzero(sizes)
    kind = (np.cumsum(sizes > 0) - 1)[degrees] if degrees.size else degrees
    position = np.concatenate([[0], np.cumsum(sizes[degree])])
    begin = np.concatenate([[0], np.cumsum(sizes[degree] * degree)])
    order = _by_class(kind, position, state if state is not None else np.zeros(0, np.uint64))
    owner = np.repeat(order.astype(index_type(max(degrees.size, int(begin[-1])))), degrees[order])
    first = np.empty(degrees.size, np.int64)
    first[order] = np.cumsum(degrees[order]) - degrees[order]
    return Side(owner, first, kind, degree, begin, position)


@compiled
def _by_class(kind: Counts, position: Counts, state: Stream) -> Counts:
    """Nodes by class, in random order inside one, or in order where the stream is empty."""
    order = np.empty(kind.size, np.int64)
    filled = position.copy()
    for node in range(kind.size):
        order[filled[kind[node]]] = node
        filled[kind[node]] += 1
    if state.size:
        for c in range(position.size - 1):
            shuffle(order, position[c], position[c + 1], state)
    return order


@compiled
def _connect(wiring: Wiring, src: Stubs, dst: Stubs) -> None:
    next_out, next_in = wiring.out.first.copy(), wiring.in_.first.copy()
    for edge in range(src.size):
        out_stub, in_stub = next_out[src[edge]], next_in[dst[edge]]
        next_out[src[edge]] += 1
        next_in[dst[edge]] += 1
        wiring.mate[out_stub] = in_stub
        wiring.inverse[in_stub] = out_stub


@compiled
def invert(wiring: Wiring) -> None:
    """Set `inverse` by `mate`; no out-stub is free."""
    for stub in range(wiring.mate.size):
        wiring.inverse[wiring.mate[stub]] = stub


@compiled
def has_edge(wiring: Wiring, u: int, v: int) -> bool:
    """Whether u -> v is there, by looking through the stubs of the end that has fewer."""
    out, in_ = wiring.out, wiring.in_
    out_degree, in_degree = out.degree[out.kind[u]], in_.degree[in_.kind[v]]
    if out_degree <= in_degree:
        for stub in range(out.first[u], out.first[u] + out_degree):
            if wiring.mate[stub] >= 0 and in_.owner[wiring.mate[stub]] == v:
                return True
        return False
    for stub in range(in_.first[v], in_.first[v] + in_degree):
        if wiring.inverse[stub] >= 0 and out.owner[wiring.inverse[stub]] == u:
            return True
    return False
