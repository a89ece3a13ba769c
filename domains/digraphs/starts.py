"""First pairings of stubs that realise a degree correlation matrix, up to loops and parallel edges.

`cyclic` deals the edges of each cell out in turn: sources take as many as the cell has per node, from a pointer that
goes round the class, and each takes consecutive targets from a pointer that goes round theirs. All degrees come out
exactly, as every pointer ends after whole turns; a source takes at most N-_l consecutive targets of class l, so there
are no parallel edges, only few loops. The result is very regular and wants mixing. `random` pairs the stubs of each
cell at random, which leaves more loops and parallel edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.domains.digraphs.streams import Stream, shuffle
from scorefield.domains.digraphs.stubs import Wiring

__all__ = ["join_cyclically", "join_randomly"]

Counts = NDArray[np.int64]


@compiled
def join_cyclically(wiring: Wiring, rows: Counts, columns: Counts, counts: Counts) -> None:
    """Give every out-stub a mate, cell by cell of the DCM (`rows` and `columns` are classes, `(cells,)`)."""
    out, in_ = wiring.out, wiring.in_
    next_out, next_in = (
        _first_stubs(out.degree, out.begin, out.position),
        _first_stubs(in_.degree, in_.begin, in_.position),
    )
    out_turn, in_turn = np.zeros(out.degree.size, np.int64), np.zeros(in_.degree.size, np.int64)
    for cell in range(counts.size):
        k, l = rows[cell], columns[cell]
        sources, targets = out.position[k + 1] - out.position[k], in_.position[l + 1] - in_.position[l]
        each = counts[cell] // sources
        extra = counts[cell] - each * sources
        target = in_turn[l]
        for turn in range(sources if each > 0 else extra):
            source = out_turn[k] + turn
            if source >= sources:
                source -= sources
            source += out.position[k]
            for _ in range(each + 1 if turn < extra else each):
                wiring.mate[next_out[source]] = next_in[in_.position[l] + target]
                next_out[source] += 1
                next_in[in_.position[l] + target] += 1
                target = target + 1 if target + 1 < targets else 0
        in_turn[l] = target
        out_turn[k] = (out_turn[k] + extra) % sources


@compiled
def join_randomly(wiring: Wiring, rows: Counts, columns: Counts, counts: Counts, state: Stream) -> None:
    """The same, with the stubs of each class in random order."""
    out_order, in_order = _shuffled(wiring.out.begin, state), _shuffled(wiring.in_.begin, state)
    out_next, in_next = wiring.out.begin.copy(), wiring.in_.begin.copy()
    for cell in range(counts.size):
        k, l = rows[cell], columns[cell]
        for _ in range(counts[cell]):
            wiring.mate[out_order[out_next[k]]] = in_order[in_next[l]]
            out_next[k] += 1
            in_next[l] += 1


@compiled
def _first_stubs(degree: Counts, begin: Counts, position: Counts) -> Counts:
    """The first stub of each node, nodes in the order of their class."""
    first = np.empty(position[-1], np.int64)
    for c in range(degree.size):
        for place in range(position[c], position[c + 1]):
            first[place] = begin[c] + (place - position[c]) * degree[c]
    return first


@compiled
def _shuffled(begin: Counts, state: Stream) -> Counts:
    order = np.arange(begin[-1])
    for c in range(begin.size - 1):
        shuffle(order, begin[c], begin[c + 1], state)
    return order
