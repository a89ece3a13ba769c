"""Building a simple directed graph with exactly these degree matrices.

The joint degree matrix becomes nodes in random order; `starts` pairs their stubs as the degree correlation matrix
says, and `conflicts` makes the result simple. This always succeeds for matrices that `validation` accepts.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from scorefield.core.errors import InputError
from scorefield.domains.digraphs.conflicts import make_simple
from scorefield.domains.digraphs.digraph import Digraph
from scorefield.domains.digraphs.matrices import DegreeMatrices
from scorefield.domains.digraphs.starts import join_cyclically, join_randomly
from scorefield.domains.digraphs.streams import generator, stream
from scorefield.domains.digraphs.stubs import Wiring, invert, to_digraph, wire_sides
from scorefield.domains.digraphs.validation import degree_matrices

__all__ = ["Start", "construct", "construct_wiring"]

Start = Literal["cyclic", "random"]
SWAP_TRIES = 200
"""Random swaps tried for each loop or repetition before the guaranteed finish."""
_NODES, _STUBS = 1, 2


def construct(matrices: DegreeMatrices, *, seed: int = 0, sample: int = 0, start: Start = "cyclic") -> Digraph:
    """A simple graph with these degree matrices, its nodes in random order.

    Args:
        matrices: J and C.
        seed: the seed.
        sample: the number of the sample; each has random numbers of its own.
        start: `cyclic` (quick, very regular: mix it) or `random`.

    Raises:
        InputError: no simple graph has these matrices (it names the rule), or an unknown start.
    """
    checked = degree_matrices(matrices.jdm, matrices.dcm)
    return to_digraph(construct_wiring(checked, seed=seed, sample=sample, start=start))


def construct_wiring(
    matrices: DegreeMatrices, *, seed: int, sample: int, start: Start, tries: int = SWAP_TRIES
) -> Wiring:
    """The same as stubs, for matrices known to be those of a graph.

    Raises:
        InputError: an unknown start.
    """
    if start not in get_args(Start):
        raise InputError(f"start {start!r} is unknown", mend=f"take one of {', '.join(get_args(Start))}")
    order = generator(seed, sample, _NODES).permutation(matrices.n)
    state = stream(seed, sample, _STUBS)
    degrees = np.empty((2, matrices.n), np.int64)
    for axis in (0, 1):
        degrees[axis, order] = np.repeat(matrices.jdm[:, axis], matrices.jdm[:, 2])
    wiring = wire_sides(degrees[0], degrees[1], state)
    rows = np.searchsorted(wiring.out.degree, matrices.dcm[:, 0])
    columns = np.searchsorted(wiring.in_.degree, matrices.dcm[:, 1])
    counts = np.ascontiguousarray(matrices.dcm[:, 2])
    if start == "cyclic":
        join_cyclically(wiring, rows, columns, counts)
    else:
        join_randomly(wiring, rows, columns, counts, state)
    invert(wiring)
    make_simple(wiring, start == "random", tries, state)
    return wiring
