"""A Markov chain over the simple directed graphs with the same labelled degrees and degree correlation matrix.

- Swap: a uniform edge u -> v; with probability 1/2 a uniform out-stub of u's out-class, else a uniform in-stub of v's
  in-class, whose edge is x -> y. The two become u -> y and x -> v if these are new and no loops.
- Reversal (1 % of steps): a uniform edge u -> v, a uniform target w of v; if w -> u, the 3-cycle is turned round where
  its reverse is absent and its cells of the DCM are the same.

Both proposals are symmetric, so the stationary law is uniform on the graphs that can be reached. Swaps alone do not
reach all: by enumeration, with reversals and with exchanging the labels of nodes of equal (in, out) degrees all
classes of up to 5 nodes are connected; that they are for more nodes is a conjecture. `relabel` draws such an exchange
uniformly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.core.errors import InputError
from scorefield.domains.digraphs.digraph import Digraph
from scorefield.domains.digraphs.edge_set import EdgeSet, Key, add, contains, make_edge_set, remove
from scorefield.domains.digraphs.streams import Stream, below, shuffle, stream, uniform
from scorefield.domains.digraphs.stubs import Wiring, to_digraph, wire

__all__ = ["Mixed", "Mixing", "mix", "mix_wiring", "relabel"]

REVERSALS = 0.01
"""Share of steps that try to turn a 3-cycle round."""
_STEPS, _LABELS = 3, 4


@dataclass(frozen=True)
class Mixing:
    """What a chain did.

    Args:
        steps: steps taken.
        swaps: swaps made.
        reversals: 3-cycles turned round.
        kept: share of the start's edges that are there at the end, before relabelling (None without edges). It falls
            with the steps to a plateau of edges that the degrees all but force.
    """

    steps: int
    swaps: int
    reversals: int
    kept: float | None


@dataclass(frozen=True, eq=False)
class Mixed:
    """A graph after a chain, and what the chain did."""

    graph: Digraph
    mixing: Mixing


def mix(graph: Digraph, steps_per_edge: float = 10, *, seed: int = 0, sample: int = 0) -> Mixed:
    """Run the chain from a simple graph, and exchange labels of nodes of equal degrees.

    Args:
        graph: the start.
        steps_per_edge: length of the chain, in steps for each edge.
        seed: the seed.
        sample: the number of the sample; each has random numbers of its own.

    Raises:
        InputError: a negative length.
    """
    wiring = wire(graph)
    done = mix_wiring(wiring, steps_per_edge, seed=seed, sample=sample)
    return Mixed(relabel(to_digraph(wiring), seed=seed, sample=sample), done)


def mix_wiring(wiring: Wiring, steps_per_edge: float, *, seed: int, sample: int) -> Mixing:
    """Run the chain in place.

    Raises:
        InputError: a negative length.
    """
    if not 0 <= steps_per_edge < np.inf:
        raise InputError(f"{steps_per_edge} steps per edge", mend="give 0 or more; 10 mixes the graphs tried")
    steps = round(steps_per_edge * wiring.mate.size)
    if not steps:
        return Mixing(0, 0, 0, 1.0 if wiring.mate.size else None)
    start = _keys(wiring)
    edges = make_edge_set(start)
    swaps, reversals = run_chain(wiring, edges, steps, REVERSALS, stream(seed, sample, _STEPS))
    return Mixing(steps, swaps, reversals, _count(edges, start) / start.size)


def relabel(graph: Digraph, *, seed: int = 0, sample: int = 0) -> Digraph:
    """Permute the names of the nodes uniformly inside each class of equal (in, out) degrees."""
    names = np.empty(graph.n, graph.src.dtype)
    in_degrees, out_degrees = graph.in_degrees, graph.out_degrees
    order = np.lexsort((out_degrees, in_degrees))
    fresh = np.ones(graph.n, bool)
    fresh[1:] = (np.diff(in_degrees[order]) != 0) | (np.diff(out_degrees[order]) != 0)
    bounds = np.append(np.flatnonzero(fresh), graph.n)
    names[order] = _shuffled(order, bounds, stream(seed, sample, _LABELS))
    return Digraph(names[graph.src], names[graph.dst], graph.n)


@compiled
def _shuffled(nodes: NDArray[np.int64], bounds: NDArray[np.int64], state: Stream) -> NDArray[np.int64]:
    mixed = nodes.copy()
    for group in range(bounds.size - 1):
        shuffle(mixed, bounds[group], bounds[group + 1], state)
    return mixed


def _keys(wiring: Wiring) -> NDArray[np.int64]:
    nodes = wiring.out.first.size
    return wiring.out.owner.astype(np.int64) * nodes + wiring.in_.owner[wiring.mate]


@compiled
def _count(edges: EdgeSet, keys: NDArray[np.int64]) -> int:
    found = 0
    for key in keys:
        found += contains(edges, key)
    return found


@compiled
def run_chain(wiring: Wiring, edges: EdgeSet, steps: int, reversals: float, state: Stream) -> tuple[int, int]:
    """Take steps in place; how many swaps and how many reversals were made."""
    swaps = turned = 0
    for _ in range(steps):
        if uniform(state) >= reversals:
            swaps += _swap(wiring, edges, state)
        else:
            turned += _reverse(wiring, edges, state)
    return swaps, turned


@compiled
def _swap(wiring: Wiring, edges: EdgeSet, state: Stream) -> bool:
    out, in_, nodes = wiring.out, wiring.in_, wiring.out.first.size
    draw = below(state, 2 * wiring.mate.size)
    stub = draw >> 1
    mate = wiring.mate[stub]
    u, v = np.int64(out.owner[stub]), np.int64(in_.owner[mate])
    if draw & 1:
        k = out.kind[u]
        other = out.begin[k] + below(state, out.begin[k + 1] - out.begin[k])
    else:
        l = in_.kind[v]
        other = np.int64(wiring.inverse[in_.begin[l] + below(state, in_.begin[l + 1] - in_.begin[l])])
    other_mate = wiring.mate[other]
    x, y = np.int64(out.owner[other]), np.int64(in_.owner[other_mate])
    if u in (x, y) or v in (x, y):
        return False
    if contains(edges, u * nodes + y) or contains(edges, x * nodes + v):
        return False
    remove(edges, u * nodes + v)
    remove(edges, x * nodes + y)
    add(edges, u * nodes + y)
    add(edges, x * nodes + v)
    wiring.mate[stub] = other_mate
    wiring.inverse[other_mate] = stub
    wiring.mate[other] = mate
    wiring.inverse[mate] = other
    return True


@compiled
def _reverse(wiring: Wiring, edges: EdgeSet, state: Stream) -> bool:
    out, in_, nodes = wiring.out, wiring.in_, wiring.out.first.size
    first = below(state, wiring.mate.size)
    u, v = np.int64(out.owner[first]), np.int64(in_.owner[wiring.mate[first]])
    if out.degree[out.kind[v]] == 0:
        return False
    second = out.first[v] + below(state, out.degree[out.kind[v]])
    w = np.int64(in_.owner[wiring.mate[second]])
    if w == u or not contains(edges, w * nodes + u):
        return False
    if contains(edges, v * nodes + u) or contains(edges, w * nodes + v) or contains(edges, u * nodes + w):
        return False
    if not _same_cells(wiring, u, v, w):
        return False
    third = out.first[w]
    while in_.owner[wiring.mate[third]] != u:
        third += 1
    to_v, to_w, to_u = wiring.mate[first], wiring.mate[second], wiring.mate[third]
    for stub, mate in ((first, to_w), (second, to_u), (third, to_v)):
        wiring.mate[stub] = mate
        wiring.inverse[mate] = stub
    for a, b in ((u, v), (v, w), (w, u)):
        remove(edges, a * nodes + b)
        add(edges, b * nodes + a)
    return True


@compiled
def _same_cells(wiring: Wiring, u: Key, v: Key, w: Key) -> bool:
    """Whether a 3-cycle u -> v -> w -> u lies in the same cells of the DCM as its reverse."""
    columns = wiring.in_.degree.size
    kind, goal = wiring.out.kind, wiring.in_.kind
    forth = np.sort(np.array([kind[u] * columns + goal[v], kind[v] * columns + goal[w], kind[w] * columns + goal[u]]))
    back = np.sort(np.array([kind[v] * columns + goal[u], kind[w] * columns + goal[v], kind[u] * columns + goal[w]]))
    return bool((forth == back).all())
