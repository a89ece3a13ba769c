"""Node and edge features of a molecule, as the published models of MD17 take them.

Nodes: one-hot(z, 10) x (z / 10)^{0, 1, 2}, column 3 z + power. Atoms closer than 1.6 Angstrom in one frame are
bonded; edges join atoms at most three bonds apart, with one-hot(bonds - 1, 4) (the last column is never set). With all
pairs joined, column 0 is for those farther apart, 1 to 3 for as many bonds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scorefield.core.errors import InputError

__all__ = ["MolecularGraph", "atom_features", "bonds_of", "molecular_graph", "odd_bonds"]

ELEMENTS = 10
HOPS = 3
_BOND = 1.6  # Angstrom


@dataclass(frozen=True)
class MolecularGraph:
    """A molecule as a network sees it.

    Attributes:
        features: `[N, 30]`.
        edges: pairs (row, col) in order of row, then col, `[M, 2]`.
        edge_features: `[M, 4]`.
        bonds: pairs i < j, `[bonds, 2]`.
    """

    features: NDArray[np.float32]
    edges: NDArray[np.int64]
    edge_features: NDArray[np.float32]
    bonds: NDArray[np.int64]


def molecular_graph(
    positions: NDArray[Any],
    numbers: NDArray[Any],
    *,
    all_pairs: bool = False,
    bonds: Sequence[Sequence[int]] | None = None,
) -> MolecularGraph:
    """The features of a molecule.

    Args:
        positions: of one frame, in Angstrom, `[N, 3]`.
        numbers: atomic numbers, `[N]`.
        all_pairs: join all pairs, in place of those at most three bonds apart.
        bonds: pairs of atoms; by default those closer than 1.6 Angstrom.

    Raises:
        InputError: atomic numbers that have no column, or bonds between atoms that are not there.
    """
    found = bonds_of(positions) if bonds is None else _told(bonds, len(numbers))
    hops = _hops(found, len(numbers))
    if all_pairs:
        edges = np.argwhere(~np.eye(len(numbers), dtype=bool))
        kind = np.where(hops > HOPS, 0, hops)[edges[:, 0], edges[:, 1]]
    else:
        edges = np.argwhere((hops > 0) & (hops <= HOPS))
        kind = hops[edges[:, 0], edges[:, 1]] - 1
    return MolecularGraph(atom_features(numbers), edges, np.eye(HOPS + 1, dtype=np.float32)[kind], found)


def atom_features(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """One-hot atomic numbers times their powers, `[..., 30]`.

    Raises:
        InputError: a number below 0, above 9, or not whole: it has no column.
    """
    whole = np.asarray(numbers).astype(np.int64)
    wrong = (whole != numbers) | (whole < 0) | (whole >= ELEMENTS)
    if wrong.any():
        number = np.asarray(numbers)[wrong][0]
        mend = "the features know 1 to 9; give features and edges of your own"
        raise InputError(f"atom {int(np.argmax(wrong.ravel()))} has the atomic number {number}", mend=mend)
    charge = whole.astype(np.float32) / np.float32(ELEMENTS)
    powers = np.stack([np.ones_like(charge), charge, charge * charge], -1)
    one_hot = np.eye(ELEMENTS, dtype=np.float32)[whole]
    return np.asarray((one_hot[..., None] * powers[..., None, :]).reshape(*whole.shape, 3 * ELEMENTS))


def bonds_of(positions: NDArray[Any], cut: float = _BOND) -> NDArray[np.int64]:
    """Pairs i < j of atoms at most so far apart, `[bonds, 2]`."""
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    return np.argwhere(np.triu(distances <= cut, 1))


def odd_bonds(bonds: NDArray[np.int64], numbers: NDArray[Any]) -> str | None:
    """What no molecule has, in words: hydrogens that have not one bond each, or parts that no bond joins."""
    counts, atoms = np.bincount(bonds.ravel(), minlength=len(numbers)), len(numbers)
    odd = np.flatnonzero((np.asarray(numbers) == 1) & (counts != 1)) if atoms > 1 else np.zeros(0, dtype=np.int64)
    matrix = coo_array((np.ones(len(bonds)), (bonds[:, 0], bonds[:, 1])), shape=(atoms, atoms))
    parts = connected_components(matrix, directed=False)[0]
    found = [f"hydrogen atom {odd[0]} has {counts[odd[0]]} bonds"] if len(odd) else []
    found += [f"the atoms fall into {parts} parts"] if parts > 1 else []
    return " and ".join(found) or None


def _told(bonds: Sequence[Sequence[int]], atoms: int) -> NDArray[np.int64]:
    for number, bond in enumerate(bonds):
        good = len(bond) == 2 and all(isinstance(i, int) and 0 <= i < atoms for i in bond) and bond[0] != bond[1]
        if not good:
            mend = f"give pairs of different atoms, 0 to {atoms - 1}"
            raise InputError(f"{list(bond)} is no bond", place=f"data.bonds[{number}]", mend=mend)
    pairs = np.sort(np.array([list(bond) for bond in bonds], dtype=np.int64).reshape(-1, 2), axis=1)
    return np.unique(pairs, axis=0)


def _hops(bonds: NDArray[np.int64], atoms: int) -> NDArray[np.int64]:
    """Least number of bonds between two atoms, `[N, N]`; more than `HOPS` where it is more, 0 of an atom to itself."""
    joined = np.zeros((atoms, atoms), dtype=bool)
    joined[bonds[:, 0], bonds[:, 1]] = joined[bonds[:, 1], bonds[:, 0]] = True
    hops = np.full((atoms, atoms), HOPS + 1, dtype=np.int64)
    reached = np.eye(atoms, dtype=bool)
    hops[reached] = 0
    for hop in range(1, HOPS + 1):
        wider = reached | (reached.astype(np.int64) @ joined.astype(np.int64) > 0)
        hops[wider & ~reached] = hop
        reached = wider
    return hops
