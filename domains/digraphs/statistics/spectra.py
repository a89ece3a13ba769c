"""Singular values and spectral radius of the adjacency matrix.

The radius is the largest of those of the strong components, since the matrix is block triangular in their order: it is
exactly 0 without cycles, and every component alone is irreducible, where Arnoldi's method finds the one real
eigenvalue of largest real part (Perron and Frobenius). Components that cannot have a larger radius than one found, by
the largest degree inside them, are left out. Where the method does not converge, all eigenvalues of a component of up
to 1000 nodes are computed, and of larger ones powers of I + A are iterated; `Radius.converged` says whether these did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, eigs, svds

__all__ = ["Radius", "singular_values", "spectral_radius"]

_DENSE, _STILL_DENSE = 128, 1000  # nodes; the second where there is no other way
_RESTARTS = 200
_POWERS = 2000
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Radius:
    """A spectral radius, and whether the iteration that found it came to an end."""

    value: float
    converged: bool = True


def _start(size: int) -> NDArray[np.float64]:
    """Fixed, and along no symmetry."""
    return np.asarray(1.0 + 0.5 * np.sin(1.0 + np.arange(size)))


def singular_values(matrix: Any, number: int = 5) -> NDArray[np.float64]:
    """The largest singular values, in decreasing order, zeros where there are fewer, `(number,)`."""
    n = matrix.shape[0]
    if n <= max(_DENSE, 2 * number):
        found = np.linalg.svd(matrix.toarray(), compute_uv=False) if n else np.zeros(0)
    elif matrix.nnz == 0:
        found = np.zeros(number)
    else:
        found = svds(matrix, number, v0=_start(n), return_singular_vectors=False, solver="arpack")
    largest = np.sort(found)[::-1][:number]
    return np.pad(largest, (0, number - largest.size))


def spectral_radius(matrix: Any, labels: NDArray[np.int64]) -> Radius:
    """The largest absolute value of an eigenvalue.

    Args:
        matrix: the adjacency matrix.
        labels: the strong component of every node.
    """
    best = Radius(0.0)
    inside = _within(matrix, labels)
    bounds = _bounds(inside, labels)
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(bounds.size + 1))
    for component in np.argsort(-bounds, kind="stable"):
        if bounds[component] <= best.value:
            break
        nodes = order[starts[component] : starts[component + 1]]
        found = _irreducible(inside[nodes][:, nodes])
        if found.value > best.value:
            best = Radius(found.value, found.converged and best.converged)
    return best


def _within(matrix: Any, labels: NDArray[np.int64]) -> Any:
    """Only the edges inside components."""
    coo = matrix.tocoo()
    kept = labels[coo.row] == labels[coo.col]
    return type(coo)((coo.data[kept], (coo.row[kept], coo.col[kept])), shape=coo.shape).tocsr()


def _bounds(inside: Any, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each component the smaller of its largest in- and out-degree; a radius is at most that."""
    number = int(labels.max(initial=-1)) + 1
    bounds = np.full(number, np.inf)
    for axis in (0, 1):
        degrees = np.asarray(inside.sum(axis=axis)).ravel()
        largest = np.zeros(number)
        np.maximum.at(largest, labels, degrees)
        bounds = np.minimum(bounds, largest)
    return bounds


def _irreducible(block: Any) -> Radius:
    size = block.shape[0]
    if size <= _DENSE:
        return _dense(block)
    for axis in (0, 1):  # where all degrees are the same they are the radius
        degrees = np.asarray(block.sum(axis=axis)).ravel()
        if degrees.min() == degrees.max():
            return Radius(float(degrees[0]))
    try:
        found = eigs(block, 1, which="LR", v0=_start(size), maxiter=_RESTARTS, return_eigenvectors=False)
        return Radius(float(found[0].real))
    except ArpackError:
        return _dense(block) if size <= _STILL_DENSE else _by_powers(block)


def _dense(block: Any) -> Radius:
    return Radius(float(np.abs(np.linalg.eigvals(block.toarray())).max()))


def _by_powers(block: Any) -> Radius:
    vector = _start(block.shape[0])
    value = 0.0
    for _ in range(_POWERS):
        vector = vector / np.linalg.norm(vector)
        moved = block @ vector + vector
        before, value = value, float(vector @ moved) - 1.0
        if np.linalg.norm(moved - (value + 1.0) * vector) < _TOLERANCE * (value + 1.0) and before:
            return Radius(value)
        vector = moved
    return Radius(value, False)
