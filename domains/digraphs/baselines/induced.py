"""Samples that are part of the graph: some of its nodes, or of its edges, chosen at random or by exploration.

All but `random_edge` choose nodes and keep every edge between two of them. Nodes keep their order.

Sources: Leskovec and Faloutsos 2006 (random node, random edge, random walk, forest fire), Ahmed, Neville and Kompella
2013 (TIES), Goodman 1961 (snowball).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorefield.domains.digraphs.baselines.exploring import burn, roll_snowball, walk
from scorefield.domains.digraphs.baselines.sizes import Request, check_smaller
from scorefield.domains.digraphs.digraph import Digraph, index_type
from scorefield.domains.digraphs.statistics.neighbours import in_lists, out_lists, ties_of

__all__ = ["forest_fire", "induced", "random_edge", "random_node", "random_walk", "snowball", "ties"]

FORWARD, BACKWARD = 0.7, 0.14
"""Probabilities of a forest fire to go on along edges, and against them."""
RESTART = 0.15
"""Probability of a random walk to go home."""
FRIENDS = 50
"""Neighbours that a node of a snowball brings at most."""


def induced(graph: Digraph, nodes: NDArray[np.integer]) -> Digraph:
    """The edges between some of the nodes, which are numbered anew in their order."""
    kept = np.sort(nodes)
    number = np.full(graph.n, -1, index_type(max(graph.n, 1)))
    number[kept] = np.arange(kept.size)
    src, dst = number[graph.src], number[graph.dst]
    inside = (src >= 0) & (dst >= 0)
    return Digraph(src[inside], dst[inside], kept.size)


def random_node(request: Request) -> Digraph:
    """Nodes uniformly, and the edges between them."""
    check_smaller(request, "random_node")
    return induced(request.graph, request.generator().permutation(request.graph.n)[: request.nodes])


def random_edge(request: Request) -> Digraph:
    """Edges uniformly, as many as the ratio says, and the nodes that they join."""
    check_smaller(request, "random_edge")
    graph = request.graph
    chosen = np.sort(request.generator().permutation(graph.m)[: request.edges])
    nodes, ends = np.unique(np.concatenate([graph.src[chosen], graph.dst[chosen]]), return_inverse=True)
    ends = ends.astype(index_type(max(graph.n, 1)))
    return Digraph(ends[: chosen.size], ends[chosen.size :], max(nodes.size, 1))


def ties(request: Request) -> Digraph:
    """Ends of random edges until there are nodes enough, and all edges between them.

    Where all edges have been taken, isolated nodes follow at random.
    """
    check_smaller(request, "ties")
    graph, generator = request.graph, request.generator()
    order = generator.permutation(graph.m)
    ends = np.stack([graph.src[order], graph.dst[order]], axis=1).ravel()
    ends = np.concatenate([ends, generator.permutation(graph.n)])
    _, first = np.unique(ends, return_index=True)
    return induced(graph, ends[np.sort(first)[: request.nodes]])


def forest_fire(request: Request) -> Digraph:
    """A fire from a random node that goes on along 2.3 edges and against 0.16 edges of each node in the mean.

    A node burns Geometric(1 - .7) of its targets that do not burn yet, and Geometric(1 - .14) of its sources; where the
    fire dies out, another starts at a random node.
    """
    check_smaller(request, "forest_fire")
    graph = request.graph
    nodes = burn(out_lists(graph), in_lists(graph), request.nodes, FORWARD, BACKWARD, request.stream())
    return induced(graph, nodes)


def random_walk(request: Request) -> Digraph:
    """Nodes that a walk along edges comes through.

    It goes home with probability .15 and where no edge leads on. After 2000 + n' steps without a new node it moves, to
    a random node that it has not been to.
    """
    check_smaller(request, "random_walk")
    graph = request.graph
    return induced(graph, walk(out_lists(graph), request.nodes, RESTART, 2000 + request.nodes, request.stream()))


def snowball(request: Request) -> Digraph:
    """Breadth-first search in both directions from a random node, at most 50 random neighbours for each."""
    check_smaller(request, "snowball")
    graph = request.graph
    around = ties_of(out_lists(graph), in_lists(graph))
    return induced(graph, roll_snowball(around.start, around.nodes, request.nodes, FRIENDS, request.stream()))
