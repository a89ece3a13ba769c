"""The edges of a graph as a hash set of numbers u n + v, for quick questions whether one is there.

Open addressing with linear probing, at most half full; removal shifts later members of a run back (Knuth, The Art of
Computer Programming 3, section 6.4, algorithm R), so there are no tombstones. The hash is multiplication by 2^64 /
golden ratio, the top bits kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled

__all__ = ["EdgeSet", "Key", "add", "contains", "make_edge_set", "remove"]

Key = int | np.int64
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class EdgeSet(NamedTuple):
    """A set of numbers from 0 up.

    Args:
        slots: its members, -1 where there is none, `(2^b,)`.
        shift: 64 - b.
    """

    slots: NDArray[np.int64]
    shift: int


@compiled
def _home(edges: EdgeSet, key: Key) -> int:
    return int(np.int64((np.uint64(key) * _GOLDEN) >> np.uint64(edges.shift)))


def make_edge_set(keys: NDArray[np.int64]) -> EdgeSet:
    """A set of these numbers, all different, at most half full."""
    bits = max(int(2 * keys.size - 1).bit_length(), 2)
    edges = EdgeSet(np.full(1 << bits, -1), 64 - bits)
    _add_all(edges, keys)
    return edges


@compiled
def _add_all(edges: EdgeSet, keys: NDArray[np.int64]) -> None:
    for key in keys:
        add(edges, key)


@compiled
def contains(edges: EdgeSet, key: Key) -> bool:
    """Whether a number is in the set."""
    slot = _home(edges, key)
    while edges.slots[slot] >= 0:
        if edges.slots[slot] == key:
            return True
        slot = (slot + 1) & (edges.slots.size - 1)
    return False


@compiled
def add(edges: EdgeSet, key: Key) -> None:
    """Put in a number that is not there."""
    slot = _home(edges, key)
    while edges.slots[slot] >= 0:
        slot = (slot + 1) & (edges.slots.size - 1)
    edges.slots[slot] = key


@compiled
def remove(edges: EdgeSet, key: Key) -> None:
    """Take out a number that is there."""
    last = edges.slots.size - 1
    hole = _home(edges, key)
    while edges.slots[hole] != key:
        hole = (hole + 1) & last
    slot = hole
    while True:
        slot = (slot + 1) & last
        if edges.slots[slot] < 0:
            break
        if (slot - _home(edges, edges.slots[slot])) & last >= (slot - hole) & last:
            edges.slots[hole] = edges.slots[slot]
            hole = slot
    edges.slots[hole] = -1
