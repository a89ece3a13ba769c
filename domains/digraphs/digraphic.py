"""Whether nodes with given in- and out-degrees form a simple directed graph, and the least repair that the text allows.

Pairs (a, b) of in- and out-degrees, sorted by a, then b, both descending, are those of a simple digraph if and only if
sum a = sum b and for every q

    sum_{t <= q} a_t <= sum_{t <= q} min(b_t, q - 1) + sum_{t > q} min(b_t, q)

(Fulkerson 1960, Chen 1966, Anstee 1982; see Berger, "A note on the characterization of digraphic sequences", Discrete
Mathematics 314, 2014). Degrees are not scaled with the number of nodes, so in a small sample hubs may ask for more
neighbours than there are; then single stubs are shaved off the largest degrees until a graph exists.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.domains.digraphs.matrices import Rows, jdm_of_degrees

__all__ = ["is_digraphic", "repair", "worst_violation"]

Counts = NDArray[np.int64]


@compiled
def worst_violation(a: Counts, b: Counts) -> int:
    """The largest amount by which an inequality fails, 0 if none does; pairs sorted descending, `(n,)` each."""
    n = a.size
    most = 0
    for t in range(n):
        most = max(most, b[t])
    having = np.zeros(most + 2, np.int64)  # nodes with out-degree d
    early = np.zeros(most + 2, np.int64)  # those among the first q
    for t in range(n):
        having[b[t]] += 1
    left = target = worst = np.int64(0)
    at_least = n - having[0]  # nodes with out-degree >= q
    early_at_least = np.int64(0)  # those among the first q
    for q in range(1, n + 1):
        left += a[q - 1]
        target += at_least
        if q - 1 <= most:
            early_at_least -= early[q - 1]
        early[b[q - 1]] += 1
        if b[q - 1] >= q:
            early_at_least += 1
        worst = max(worst, left - target + early_at_least)
        if q <= most:
            at_least -= having[q]
        else:
            at_least = 0
    return int(worst)


def is_digraphic(jdm: Rows) -> bool:
    """Whether some simple digraph has this joint degree matrix."""
    ins, outs = _nodes(jdm)
    return int(ins.sum()) == int(outs.sum()) and worst_violation(ins, outs) == 0


def repair(jdm: Rows, source: np.random.Generator) -> tuple[Rows, int]:
    """A joint degree matrix that a simple digraph has, and the number of edges lost for it (0: it was one already).

    Degrees above the number of possible neighbours are capped; stubs that this leaves without a partner, and as many of
    both sides as the worst inequality misses, are shaved off the largest degrees, until all inequalities hold.

    Args:
        jdm: rows with as many out- as in-stubs.
        source: chooses among nodes of equal degree.
    """
    ins, outs = _nodes(jdm)
    missing = worst_violation(ins, outs)
    if not missing:
        return jdm, 0
    edges = int(outs.sum())
    while missing:
        outs = np.minimum(outs, min(outs.size - 1, int(np.count_nonzero(ins))))
        ins = np.minimum(ins, min(ins.size - 1, int(np.count_nonzero(outs))))
        surplus = int(ins.sum() - outs.sum())
        ins, outs = _shave(ins, max(surplus, 0), source), _shave(outs, max(-surplus, 0), source)
        order = np.lexsort((-outs, -ins))
        ins, outs = ins[order], outs[order]
        missing = worst_violation(ins, outs)
        ins, outs = _shave(ins, missing, source), _shave(outs, missing, source)
    return jdm_of_degrees(ins, outs), edges - int(outs.sum())


def _nodes(jdm: Rows) -> tuple[Counts, Counts]:
    """In- and out-degrees of all nodes, sorted descending."""
    rows = jdm[::-1]
    return np.repeat(rows[:, 0], rows[:, 2]), np.repeat(rows[:, 1], rows[:, 2])


def _shave(degrees: Counts, stubs: int, source: np.random.Generator) -> Counts:
    """Take single stubs off the largest degree, over and over: all degrees above a level come down to it."""
    stubs = min(stubs, int(degrees.sum()))
    if not stubs:
        return degrees
    low, high = 0, int(degrees.max())
    while low < high:  # the largest level at which at least so many stubs stand above it
        level = (low + high + 1) // 2
        if int(np.maximum(degrees - level, 0).sum()) >= stubs:
            low = level
        else:
            high = level - 1
    shaved = np.minimum(degrees, low)
    spare = int(degrees.sum() - shaved.sum()) - stubs
    shaved[source.permutation(np.flatnonzero(degrees > low))[:spare]] += 1
    return shaved
