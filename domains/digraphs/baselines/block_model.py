"""The degree-corrected stochastic block model, its blocks the communities of largest modularity.

Communities are found in the underlying undirected graph by the method of Blondel et al. 2008: nodes move to the
community of largest gain in modularity until none gains, communities become nodes, and so on. Of the model (Karrer and
Newman 2011; Peixoto 2014 for directed graphs) each pair of blocks has a Poisson number of edges, whose ends follow
degrees inside the blocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scorefield.core.compiled import compiled
from scorefield.domains.digraphs.baselines.sizes import Request
from scorefield.domains.digraphs.digraph import Digraph, simple_digraph
from scorefield.domains.digraphs.statistics.neighbours import in_lists, out_lists, ties_of
from scorefield.domains.digraphs.streams import Stream, shuffle

__all__ = ["communities", "dcsbm"]

_ROUNDS = 30
_GAIN = 1e-9
Ids = NDArray[np.int64]


def communities(graph: Digraph, state: Stream) -> Ids:
    """The community of every node, numbered from 0, `(n,)`; isolated nodes are alone."""
    around = ties_of(out_lists(graph), in_lists(graph))
    n = graph.n
    weights = sparse.csr_matrix((np.ones(around.nodes.size), around.nodes, around.start), shape=(n, n))
    label = np.arange(n)
    while weights.nnz:
        found = _move(weights.indptr, weights.indices, weights.data, state)
        _, found = np.unique(found, return_inverse=True)
        label = found[label]
        size = int(found.max()) + 1
        if size == weights.shape[0]:
            break
        joined = sparse.csr_matrix((np.ones(found.size), (found, np.arange(found.size))), shape=(size, found.size))
        weights = (joined @ weights @ joined.T).tocsr()
    return label


@compiled
def _move(start: NDArray[np.int32], nodes: NDArray[np.int32], weights: NDArray[np.float64], state: Stream) -> Ids:
    """One level: a community for every node. Diagonal entries hold twice the weight inside a node."""
    n = start.size - 1
    strength = np.zeros(n)
    for node in range(n):
        for place in range(start[node], start[node + 1]):
            strength[node] += weights[place]
    total = strength.sum()
    label, inside = np.arange(n), strength.copy()
    towards = np.zeros(n)
    near = np.empty(n, np.int64)
    order = np.arange(n)
    shuffle(order, 0, n, state)
    for _ in range(_ROUNDS):
        moved = 0
        for u in order:
            number = 0
            for place in range(start[u], start[u + 1]):
                v = nodes[place]
                if v != u:
                    if towards[label[v]] == 0:
                        near[number] = label[v]
                        number += 1
                    towards[label[v]] += weights[place]
            old = label[u]
            inside[old] -= strength[u]
            best, most = old, towards[old] - strength[u] * inside[old] / total
            for place in range(number):
                gain = towards[near[place]] - strength[u] * inside[near[place]] / total
                if gain > most + _GAIN:
                    best, most = near[place], gain
            for place in range(number):
                towards[near[place]] = 0.0
            inside[best] += strength[u]
            label[u] = best
            moved += best != old
        if not moved:
            break
    return label


def dcsbm(request: Request) -> Digraph:
    """Nodes drawn from those of the graph, with their block and degrees; edges as above, duplicates dropped.

    Edges of a block of which no node with such edges is drawn are left out.
    """
    graph, generator = request.graph, request.generator()
    block = communities(graph, request.stream())
    blocks = int(block.max()) + 1
    pairs, counts = np.unique(block[graph.src] * blocks + block[graph.dst], return_counts=True)
    number = generator.poisson(float(request.ratio) * counts)
    source_block, target_block = np.divmod(np.repeat(pairs, number), blocks)
    drawn = generator.integers(graph.n, size=request.nodes)
    ends = [
        _ends(block[drawn], degrees[drawn], wanted, blocks, generator)
        for degrees, wanted in ((graph.out_degrees, source_block), (graph.in_degrees, target_block))
    ]
    there = (ends[0] >= 0) & (ends[1] >= 0)
    return simple_digraph(np.column_stack([ends[0][there], ends[1][there]]), request.nodes).graph


def _ends(block: Ids, degrees: Ids, wanted: Ids, blocks: int, generator: np.random.Generator) -> Ids:
    """A node of each wanted block, by degree; -1 where the block has no degree."""
    order = np.argsort(block, kind="stable")
    running = np.concatenate([[0], np.cumsum(degrees[order])])
    bounds = running[np.searchsorted(block[order], np.arange(blocks + 1))]
    low, high = bounds[wanted], bounds[wanted + 1]
    there = high > low
    stub = low + np.floor(generator.random(wanted.size) * (high - low)).astype(np.int64)
    found = np.full(wanted.size, -1)
    found[there] = order[np.searchsorted(running, stub[there], side="right") - 1]
    return found
