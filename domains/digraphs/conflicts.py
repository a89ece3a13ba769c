"""Making a pairing of stubs simple, without touching degrees or the degree correlation matrix.

First random swaps: an edge that is a loop or a repetition exchanges its target's stub with another edge whose source
has the same out-class or whose target has the same in-class, if both new edges are new. What is left is taken out and
put back so that it cannot fail, the argument by which Tillman and others (KDD 2017) prove their realisability theorem:
see `place`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.domains.digraphs.streams import Stream, below
from scorefield.domains.digraphs.stubs import Stubs, Wiring, has_edge

__all__ = ["make_simple"]

Counts = NDArray[np.int64]


@compiled
def make_simple(wiring: Wiring, parallel: bool, tries: int, state: Stream) -> tuple[int, int]:
    """Remove all loops and repetitions, in place.

    Args:
        wiring: a pairing without free stubs that realises a valid DCM.
        parallel: whether there may be parallel edges.
        tries: random swaps to try for each conflict before the guaranteed finish.
        state: the random stream.

    Returns:
        How many edges were in conflict, and how many of them the guaranteed finish placed.
    """
    found = _conflicts(wiring, parallel)
    left = np.empty(found.size, np.int64)
    count = 0
    for stub in found:
        if _is_conflict(wiring, stub) and not _swap_away(wiring, stub, tries, state):
            left[count] = stub
            count += 1
    kept = 0
    for place in range(count):  # later swaps may have resolved it
        if _is_conflict(wiring, left[place]):
            left[kept] = left[place]
            kept += 1
    return found.size, _finish(wiring, left[:kept], state)


@compiled
def _conflicts(wiring: Wiring, parallel: bool) -> Counts:
    """Out-stubs of loops, and of each repetition of an edge."""
    out, in_ = wiring.out, wiring.in_
    seen = np.full(out.first.size if parallel else 1, -1)
    found = np.empty(wiring.mate.size, np.int64)
    count = 0
    for stub in range(wiring.mate.size):
        u, v = out.owner[stub], in_.owner[wiring.mate[stub]]
        if u == v or (parallel and seen[v] == u):
            found[count] = stub
            count += 1
        if parallel:
            seen[v] = u
    return found[:count].copy()


@compiled
def _is_conflict(wiring: Wiring, stub: int) -> bool:
    u, v = wiring.out.owner[stub], wiring.in_.owner[wiring.mate[stub]]
    if u == v:
        return True
    first = wiring.out.first[u]
    for other in range(first, first + wiring.out.degree[wiring.out.kind[u]]):
        mate = wiring.mate[other]
        if other != stub and mate >= 0 and wiring.in_.owner[mate] == v:
            return True
    return False


@compiled
def _swap_away(wiring: Wiring, stub: int, tries: int, state: Stream) -> bool:
    """Try random swaps of an edge u -> v with edges x -> y of the same out- or in-class; whether one was made."""
    out, in_ = wiring.out, wiring.in_
    u, v = out.owner[stub], in_.owner[wiring.mate[stub]]
    k, l = out.kind[u], in_.kind[v]
    for _ in range(tries):
        if below(state, 2):
            other = out.begin[k] + below(state, out.begin[k + 1] - out.begin[k])
        else:
            other = wiring.inverse[in_.begin[l] + below(state, in_.begin[l + 1] - in_.begin[l])]
        x, y = out.owner[other], in_.owner[wiring.mate[other]]
        if u == y or x == v or has_edge(wiring, u, y) or has_edge(wiring, x, v):
            continue
        mate = wiring.mate[stub]
        _join(wiring, stub, wiring.mate[other])
        _join(wiring, other, mate)
        return True
    return False


@compiled
def _join(wiring: Wiring, out_stub: int, in_stub: int) -> None:
    wiring.mate[out_stub] = in_stub
    wiring.inverse[in_stub] = out_stub


@compiled
def _finish(wiring: Wiring, left: Counts, state: Stream) -> int:
    """Take these edges out and put as many back into the same cells."""
    booked_out, booked_in = left.copy(), np.empty(left.size, np.int64)
    for place in range(left.size):
        booked_in[place] = wiring.mate[left[place]]
        wiring.mate[left[place]] = -1
        wiring.inverse[booked_in[place]] = -1
    for place in range(left.size):
        _place(wiring, booked_out, booked_in, place, state)
    return left.size


@compiled
def _place(wiring: Wiring, booked_out: Counts, booked_in: Counts, place: int, state: Stream) -> None:
    """Add an edge to the cell of a free out-stub and a free in-stub.

    Some v of the out-class and w of the in-class have v != w and no edge v -> w, as the cell is below its cap. If v
    has no free stub, the owner x of the free one has fewer targets than v: either some target y of v can become one of
    x, which frees a stub of v, or N+(v) = N+(x) + {x}, and then x itself has no edge to w and may take the place of v.
    The same on the other side. So no step fails and none is undone.
    """
    out, in_ = wiring.out, wiring.in_
    k, l = out.kind[out.owner[booked_out[place]]], in_.kind[in_.owner[booked_in[place]]]
    v, w = _missing_edge(wiring, k, l, state)
    free = _free_stub(wiring.mate, out.first[v], out.degree[k])
    if free >= 0:
        _exchange(booked_out, place, free)
    else:
        booked_out[place] = _free_source(wiring, v, booked_out[place])
        v = out.owner[booked_out[place]]
    free = _free_stub(wiring.inverse, in_.first[w], in_.degree[l])
    if free >= 0:
        _exchange(booked_in, place, free)
    else:
        booked_in[place] = _free_target(wiring, w, booked_in[place])
    _join(wiring, booked_out[place], booked_in[place])


@compiled
def _missing_edge(wiring: Wiring, k: int, l: int, state: Stream) -> tuple[int, int]:
    """Nodes v of out-class k and w of in-class l with v != w and no edge v -> w."""
    out, in_ = wiring.out, wiring.in_
    sources, targets = out.position[k + 1] - out.position[k], in_.position[l + 1] - in_.position[l]
    for draw in range(200 + sources * targets):
        if draw < 200:
            a, b = below(state, sources), below(state, targets)
        else:
            a, b = (draw - 200) // targets, (draw - 200) % targets
        v = out.owner[out.begin[k] + a * out.degree[k]]
        w = in_.owner[in_.begin[l] + b * in_.degree[l]]
        if v != w and not has_edge(wiring, v, w):
            return v, w
    raise RuntimeError("a cell of the degree correlation matrix is above its cap")


@compiled
def _free_stub(mates: Stubs, first: int, degree: int) -> int:
    for stub in range(first, first + degree):
        if mates[stub] < 0:
            return stub
    return -1


@compiled
def _exchange(booked: Counts, place: int, free: int) -> None:
    """Book a free stub for this edge; an edge that had booked it takes the one given up."""
    for other in range(place + 1, booked.size):
        if booked[other] == free:
            booked[other] = booked[place]
    booked[place] = free


@compiled
def _free_source(wiring: Wiring, v: int, stub: int) -> int:
    """A free out-stub of v, made by handing one of its edges to the owner of a free stub; or that stub itself, whose
    owner then has no edge to where v has none."""
    out, in_ = wiring.out, wiring.in_
    x = out.owner[stub]
    for own in range(out.first[v], out.first[v] + out.degree[out.kind[v]]):
        y = in_.owner[wiring.mate[own]]
        if y != x and not has_edge(wiring, x, y):
            _join(wiring, stub, wiring.mate[own])
            wiring.mate[own] = -1
            return own
    return stub


@compiled
def _free_target(wiring: Wiring, w: int, stub: int) -> int:
    """The mirror image: a free in-stub of w, or this one."""
    out, in_ = wiring.out, wiring.in_
    z = in_.owner[stub]
    for own in range(in_.first[w], in_.first[w] + in_.degree[in_.kind[w]]):
        y = out.owner[wiring.inverse[own]]
        if y != z and not has_edge(wiring, y, z):
            _join(wiring, wiring.inverse[own], stub)
            wiring.inverse[own] = -1
            return own
    return stub
