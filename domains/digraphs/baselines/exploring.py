"""Explorations of a graph that end when enough nodes have been seen; compiled.

Each starts anew, at a uniform node among those not seen yet, when nothing is left to explore.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.domains.digraphs.statistics.neighbours import Adjacency, Indices
from scorefield.domains.digraphs.streams import Stream, below, shuffle, uniform

__all__ = ["burn", "roll_snowball", "walk"]

Nodes = NDArray[np.int64]


@compiled
def _unseen(order: Nodes, place: int, seen: NDArray[np.bool_]) -> int:
    """The place of the next node of a random order that is not seen."""
    while seen[order[place]]:
        place += 1
    return place


@compiled
def _order(n: int, state: Stream) -> Nodes:
    order = np.arange(n)
    shuffle(order, 0, n, state)
    return order


@compiled
def _geometric(probability: float, state: Stream) -> int:
    """How often something of this probability happens in a row."""
    number = 0
    while uniform(state) < probability:
        number += 1
    return number


@compiled
def _take(
    start: Nodes, nodes: Indices, u: int, most: int, seen: NDArray[np.bool_], found: Nodes, number: int, state: Stream
) -> int:
    """Append up to `most` random unseen neighbours of u to what was found; how many there are then."""
    here = np.empty(start[u + 1] - start[u], np.int64)
    free = 0
    for place in range(start[u], start[u + 1]):
        if not seen[nodes[place]]:
            here[free] = nodes[place]
            free += 1
    for taken in range(min(most, free, found.size - number)):
        other = taken + below(state, free - taken)
        here[taken], here[other] = here[other], here[taken]
        seen[here[taken]] = True
        found[number] = here[taken]
        number += 1
    return number


@compiled
def burn(out: Adjacency, in_: Adjacency, size: int, forward: float, backward: float, state: Stream) -> Nodes:
    """The first nodes to burn, `(size,)`."""
    n = out.start.size - 1
    order, next_fire = _order(n, state), 0
    seen, found = np.zeros(n, np.bool_), np.empty(size, np.int64)
    number = burning = 0
    while number < size:
        if burning == number:
            next_fire = _unseen(order, next_fire, seen)
            found[number] = order[next_fire]
            seen[found[number]] = True
            number += 1
        u = found[burning]
        burning += 1
        number = _take(out.start, out.nodes, u, _geometric(forward, state), seen, found, number, state)
        number = _take(in_.start, in_.nodes, u, _geometric(backward, state), seen, found, number, state)
    return found


@compiled
def roll_snowball(start: Nodes, nodes: Indices, size: int, most: int, state: Stream) -> Nodes:
    """The first nodes that a snowball takes up, `(size,)`."""
    n = start.size - 1
    order, next_ball = _order(n, state), 0
    seen, found = np.zeros(n, np.bool_), np.empty(size, np.int64)
    number = rolled = 0
    while number < size:
        if rolled == number:
            next_ball = _unseen(order, next_ball, seen)
            found[number] = order[next_ball]
            seen[found[number]] = True
            number += 1
        number = _take(start, nodes, found[rolled], most, seen, found, number, state)
        rolled += 1
    return found


@compiled
def walk(out: Adjacency, size: int, restart: float, patience: int, state: Stream) -> Nodes:
    """The first nodes that a walk comes to, `(size,)`."""
    n = out.start.size - 1
    order, next_home = _order(n, state), 0
    seen, found = np.zeros(n, np.bool_), np.empty(size, np.int64)
    number, idle = 0, patience
    home = node = 0
    while number < size:
        if idle >= patience:
            next_home = _unseen(order, next_home, seen)
            home = node = int(order[next_home])
        else:
            degree = out.start[node + 1] - out.start[node]
            if degree == 0 or uniform(state) < restart:
                node = home
            else:
                node = int(out.nodes[out.start[node] + below(state, degree)])
        idle += 1
        if not seen[node]:
            seen[node] = True
            found[number] = node
            number += 1
            idle = 0
    return found
