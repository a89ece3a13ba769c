"""Components of a directed graph, and its PageRank.

PageRank is that of Page and Brin with nodes without targets joined to all, iterated until the sum of absolute changes
is below 1e-12. (NetworkX stops at n times its `tol`, which is why its defaults give other digits.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scorefield.domains.digraphs.statistics.neighbours import Adjacency

__all__ = ["component_sizes", "matrix_of", "page_rank", "page_rank_base", "strong_labels"]

_DAMPING, _TOLERANCE, _MOST = 0.85, 1e-12, 1000


def matrix_of(lists: Adjacency) -> Any:
    """The lists as a sparse matrix of ones, `(n, n)`."""
    n = lists.start.size - 1
    return sparse.csr_matrix((np.ones(lists.nodes.size), lists.nodes, lists.start), shape=(n, n))


def strong_labels(matrix: Any) -> NDArray[np.int64]:
    """The strong component of every node, `(n,)`."""
    return np.asarray(connected_components(matrix, directed=True, connection="strong")[1], dtype=np.int64)


def component_sizes(matrix: Any, connection: str) -> NDArray[np.int64]:
    """Sizes of the `weak` or `strong` components, largest first."""
    labels = connected_components(matrix, directed=True, connection=connection)[1]
    return np.asarray(np.sort(np.bincount(labels))[::-1], dtype=np.int64)


def page_rank(in_: Adjacency, out_degrees: NDArray[np.int64]) -> NDArray[np.float64]:
    """The PageRank of every node, which sums to 1, `(n,)`."""
    n = out_degrees.size
    towards = matrix_of(in_)
    share = 1.0 / np.maximum(out_degrees, 1)
    dangling = out_degrees == 0
    rank = np.full(n, 1.0 / n)
    for _ in range(_MOST):
        before = rank
        spread = _DAMPING * float(before[dangling].sum()) + (1 - _DAMPING)
        rank = _DAMPING * (towards @ (before * share)) + spread / n
        if float(np.abs(rank - before).sum()) < _TOLERANCE:
            break
    return np.asarray(rank / rank.sum())


def page_rank_base(rank: NDArray[np.float64], out_degrees: NDArray[np.int64]) -> float:
    """What every node has without any edge to it: that share of PageRank in a graph of any size is comparable."""
    return float(_DAMPING * rank[out_degrees == 0].sum() + 1 - _DAMPING) / rank.size
