"""Rounding a scaled joint degree matrix so that entries, classes and cumulated classes are all rounded at once.

For a ratio s = n'/n an integer matrix J' on the support of J is found with, all at the same time,

- every entry, every class total of either degree and every prefix sum of class totals (in increasing degree) equal to
  the floor or the ceiling of s times the original;
- grand total n'.

Entries, classes and prefixes form two laminar families, so this is an integral circulation: chains of prefixes on both
sides, an arc for every class and one for every entry, each between the floor and the ceiling of its value in s J. The
fractional matrix s J is a feasible circulation, hence an integral one exists (Hoffman); a maximum flow finds it.
Prefixes give Kolmogorov-Smirnov distances of degree distributions below 1/n'. Controlled rounding by flows: Cox, J.
Am. Stat. Assoc. 82 (1987); the prefix chains are this project's addition.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from scorefield.domains.digraphs.matrices import Rows

__all__ = ["ceiling", "floor", "round_jdm"]

Counts = NDArray[np.int64]


def floor(values: Counts, n: int, n_new: int) -> Counts:
    """Floor of `values * n_new / n`, exact."""
    return values * n_new // n


def ceiling(values: Counts, n: int, n_new: int) -> Counts:
    """Ceiling of `values * n_new / n`, exact."""
    return -(-values * n_new // n)


def round_jdm(jdm: Rows, n_new: int, source: np.random.Generator) -> Counts:
    """Counts of `n_new` nodes for the rows of a joint degree matrix, `(rows,)`.

    Args:
        jdm: the original, with at least one node.
        n_new: n' >= 1.
        source: decides between equally good roundings.
    """
    n = int(jdm[:, 2].sum())
    tails, heads, values = _circulation(jdm)
    low, high = floor(values, n, n_new), ceiling(values, n, n_new)
    names = source.permutation(int(max(tails.max(), heads.max())) + 1)
    flow = _feasible(names[tails], names[heads], low, high, names.size)
    return flow[-jdm.shape[0] :]


def _circulation(jdm: Rows) -> tuple[Counts, Counts, Counts]:
    """Arcs and their values in J: prefixes of both sides, classes, the total, and last the entries."""
    ins, in_class = np.unique(jdm[:, 0], return_inverse=True)
    outs, out_class = np.unique(jdm[:, 1], return_inverse=True)
    in_size = np.bincount(in_class, weights=jdm[:, 2]).astype(np.int64)
    out_size = np.bincount(out_class, weights=jdm[:, 2]).astype(np.int64)
    rho = np.arange(ins.size)
    kappa = 2 * ins.size + np.arange(outs.size)
    in_chain, out_chain = rho + ins.size, kappa + outs.size
    arcs = [
        (in_chain, rho, in_size),
        (in_chain[1:], in_chain[:-1], np.cumsum(in_size)[:-1]),
        (kappa, out_chain, out_size),
        (out_chain[:-1], out_chain[1:], np.cumsum(out_size)[:-1]),
        (out_chain[-1:], in_chain[-1:], jdm[:, 2].sum(keepdims=True)),
        (rho[in_class], kappa[out_class], jdm[:, 2]),
    ]
    tails, heads, values = (np.concatenate(column) for column in zip(*arcs, strict=True))
    return tails, heads, values


def _feasible(tails: Counts, heads: Counts, low: Counts, high: Counts, size: int) -> Counts:
    """An integral circulation within bounds, known to exist: lower bounds first, then a flow that evens out what they
    leave at the nodes. No two arcs join the same pair of nodes."""
    excess = np.zeros(size, np.int64)
    np.add.at(excess, heads, low)
    np.add.at(excess, tails, -low)
    source, sink = size, size + 1
    over, under = np.flatnonzero(excess > 0), np.flatnonzero(excess < 0)
    free = np.flatnonzero(high > low)
    starts = np.concatenate([tails[free], np.full(over.size, source), under])
    stops = np.concatenate([heads[free], over, np.full(under.size, sink)])
    room = np.concatenate([(high - low)[free], excess[over], -excess[under]]).astype(np.int32)
    network = csr_array((room, (starts.astype(np.int32), stops.astype(np.int32))), shape=(size + 2, size + 2))
    found = maximum_flow(network, source, sink, method="dinic")
    if found.flow_value != excess[over].sum():
        raise RuntimeError("the scaled degree matrix is no feasible circulation")
    flow = low.copy()
    if free.size:
        flow[free] += np.asarray(csr_array(found.flow)[tails[free], heads[free]]).ravel()
    return flow
