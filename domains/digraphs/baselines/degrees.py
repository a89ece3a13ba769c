"""Samples that know the degrees of a graph and nothing else.

`erased_configuration` and `simple_configuration` have the rescaled joint degrees of `rescale`, `chung_lu` degrees in
the mean.

Sources: Newman, Strogatz and Watts 2001; Britton, Deijfen and Martin-Lof 2006 (erased); Verhelst 2008 (switching);
Chung and Lu 2002.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.core.errors import InputWarning
from scorefield.domains.digraphs.baselines.sizes import Request
from scorefield.domains.digraphs.construction import construct
from scorefield.domains.digraphs.digraph import Digraph, simple_digraph
from scorefield.domains.digraphs.edge_set import EdgeSet, add, contains, make_edge_set, remove
from scorefield.domains.digraphs.matrices import measure
from scorefield.domains.digraphs.rescaling import Plan, rescale
from scorefield.domains.digraphs.streams import Stream, below, uniform

__all__ = ["chung_lu", "erased_configuration", "simple_configuration"]

STEPS_PER_EDGE = 10
"""Switchings that are tried."""
_TRIPLES = 0.05
Ids = NDArray[np.int64]


def _plan(request: Request) -> Plan:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # of clipped hubs: the certificate's business, not a baseline's
        return rescale(measure(request.graph), nodes=request.nodes, seed=request.seed, sample=request.sample)


def erased_configuration(request: Request) -> Digraph:
    """Stubs of the rescaled degrees joined at random; loops and parallel edges are dropped."""
    generator = request.generator()
    jdm = _plan(request).matrices.jdm
    nodes = generator.permutation(np.repeat(np.arange(len(jdm)), jdm[:, 2]))
    ins, outs = jdm[nodes, 0], jdm[nodes, 1]
    src = np.repeat(np.arange(nodes.size), outs)
    dst = generator.permutation(np.repeat(np.arange(nodes.size), ins))
    return simple_digraph(np.column_stack([src, dst]), nodes.size).graph


def simple_configuration(request: Request) -> Digraph:
    """A simple graph of exactly these degrees, after ten switchings for each edge that keep degrees only.

    Two edges exchange their targets, or (one try in twenty) three edges pass them on in a round, which turns round
    cycles of three; without these not every graph is reached from every other.
    """
    graph = construct(_plan(request).matrices, seed=request.seed, sample=request.sample)
    src, dst = graph.src.astype(np.int64), graph.dst.astype(np.int64)
    if src.size:
        edges = make_edge_set(src * graph.n + dst)
        _switch(src, dst, graph.n, edges, STEPS_PER_EDGE * src.size, request.stream())
    return Digraph(src, dst, graph.n).sorted()


@compiled
def _switch(src: Ids, dst: Ids, n: int, edges: EdgeSet, steps: int, state: Stream) -> None:
    """Switch in place."""
    for _ in range(steps):
        a, b = below(state, src.size), below(state, src.size)
        c = below(state, src.size) if uniform(state) < _TRIPLES else b
        if a in (b, c):
            continue
        u, v, x, y, p, q = src[a], dst[a], src[b], dst[b], src[c], dst[c]
        if c == b:  # u -> y, x -> v
            if u == y or x == v or contains(edges, u * n + y) or contains(edges, x * n + v):
                continue
            remove(edges, u * n + v)
            remove(edges, x * n + y)
            add(edges, u * n + y)
            add(edges, x * n + v)
            dst[a], dst[b] = y, v
        else:  # u -> y, x -> q, p -> v
            if u == y or x == q or p == v:
                continue
            if contains(edges, u * n + y) or contains(edges, x * n + q) or contains(edges, p * n + v):
                continue
            remove(edges, u * n + v)
            remove(edges, x * n + y)
            remove(edges, p * n + q)
            add(edges, u * n + y)
            add(edges, x * n + q)
            add(edges, p * n + v)
            dst[a], dst[b], dst[c] = y, q, v


def chung_lu(request: Request) -> Digraph:
    """Nodes with degrees drawn from those of the graph, and a Poisson number of edges whose ends follow them."""
    graph, generator = request.graph, request.generator()
    drawn = generator.integers(graph.n, size=request.nodes)
    ends = []
    edges = int(generator.poisson(float(request.ratio) * graph.m))
    for weights in (graph.out_degrees[drawn], graph.in_degrees[drawn]):
        running = np.cumsum(weights)
        if not running[-1]:
            return Digraph(np.zeros(0, np.int64), np.zeros(0, np.int64), request.nodes)
        ends.append(np.searchsorted(running, generator.integers(running[-1], size=edges), side="right"))
    return simple_digraph(np.column_stack(ends), request.nodes).graph
