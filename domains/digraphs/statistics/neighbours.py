"""The neighbours of every node, by the kind of tie: one way, the other way, or both.

A pair of nodes u, v is mutual where both u -> v and v -> u are there, asymmetric where one is. `Ties` lists for every
node its neighbours in the underlying undirected graph in increasing order, each with its kind seen from the node.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.domains.digraphs.digraph import Digraph, index_type

__all__ = ["IN", "MUTUAL", "OUT", "Adjacency", "Ties", "in_lists", "is_simple", "out_lists", "ties_of"]

OUT, IN, MUTUAL = 1, 2, 3
"""Kinds of ties of a node u with v: u -> v only, v -> u only, both."""
Indices = NDArray[np.integer[Any]]


class Adjacency(NamedTuple):
    """Lists of nodes for every node.

    Args:
        start: where the list of each node begins, and the end of the last, int64 `(n + 1,)`.
        nodes: the lists, each in increasing order, `(m,)`.
    """

    start: NDArray[np.int64]
    nodes: Indices


class Ties(NamedTuple):
    """Neighbours in the underlying undirected graph; every pair stands in two lists.

    Args:
        start: as of `Adjacency`.
        nodes: likewise.
        kinds: of the tie, seen from the node whose list it is, `OUT`, `IN` or `MUTUAL`, int8.
    """

    start: NDArray[np.int64]
    nodes: Indices
    kinds: NDArray[np.int8]


def out_lists(graph: Digraph) -> Adjacency:
    """The targets of every node's edges."""
    return _lists(graph.src, graph.dst, graph.n)


def in_lists(graph: Digraph) -> Adjacency:
    """The sources of every node's edges."""
    return _lists(graph.dst, graph.src, graph.n)


def is_simple(lists: Adjacency) -> bool:
    """Whether no node stands twice in a list, or in its own."""
    owner = np.repeat(np.arange(lists.start.size - 1), np.diff(lists.start))
    twice = (lists.nodes[1:] == lists.nodes[:-1]) & (owner[1:] == owner[:-1])
    return not bool(twice.any() or (owner == lists.nodes).any())


def ties_of(out: Adjacency, in_: Adjacency) -> Ties:
    """Both lists of every node merged."""
    start = np.zeros(out.start.size, np.int64)
    nodes = np.empty(2 * out.nodes.size, out.nodes.dtype)
    kinds = np.empty(2 * out.nodes.size, np.int8)
    number = _merge(out, in_, start, nodes, kinds)
    return Ties(start, nodes[:number], kinds[:number])


def _lists(owners: Indices, members: Indices, n: int) -> Adjacency:
    """Two passes of counting sort: by member, then by owner, which keeps the order."""
    kind = index_type(max(n, 1))
    counts = np.bincount(members, minlength=n)
    turned, order = np.empty(owners.size, kind), np.empty(owners.size, kind)
    _place(members, owners, np.cumsum(counts) - counts, turned)
    start = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=n))]).astype(np.int64)
    _place(turned, np.repeat(np.arange(n, dtype=kind), counts), start[:-1].copy(), order)
    return Adjacency(start, order)


@compiled
def _place(keys: Indices, values: Indices, place: NDArray[np.int64], found: Indices) -> None:
    for row in range(keys.size):
        found[place[keys[row]]] = values[row]
        place[keys[row]] += 1


@compiled
def _merge(out: Adjacency, in_: Adjacency, start: NDArray[np.int64], nodes: Indices, kinds: NDArray[np.int8]) -> int:
    number = 0
    for u in range(start.size - 1):
        a, b = out.start[u], in_.start[u]
        last_a, last_b = out.start[u + 1], in_.start[u + 1]
        while a < last_a or b < last_b:
            if b == last_b or (a < last_a and out.nodes[a] < in_.nodes[b]):
                nodes[number], kinds[number] = out.nodes[a], OUT
                a += 1
            elif a == last_a or in_.nodes[b] < out.nodes[a]:
                nodes[number], kinds[number] = in_.nodes[b], IN
                b += 1
            else:
                nodes[number], kinds[number] = out.nodes[a], MUTUAL
                a += 1
                b += 1
            number += 1
        start[u + 1] = number
    return number
