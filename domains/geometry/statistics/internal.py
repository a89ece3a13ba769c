"""Internal coordinates of a molecule: bond lengths, angles between bonds, dihedral angles about them.

Bonds are pairs of atoms at most 1.6 Angstrom apart in one frame of real data, as published, unless they are told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["InternalCoordinates"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class InternalCoordinates:
    """Which atoms make a bond, an angle, a dihedral.

    Attributes:
        bonds: pairs i < j, `[b, 2]`.
        angles: (i, j, k) with bonds ij and jk, i < k, `[a, 3]`.
        dihedrals: (i, j, k, l) with bonds ij, jk and kl, j < k, `[d, 4]`.
    """

    bonds: Rows
    angles: Rows
    dihedrals: Rows

    @classmethod
    def of(cls, bonds: Rows) -> InternalCoordinates:
        """What follows from the bonds."""
        pairs = [(int(i), int(j)) for i, j in bonds]
        near: dict[int, list[int]] = {}
        for i, j in pairs:
            near.setdefault(i, []).append(j)
            near.setdefault(j, []).append(i)
        angles = [(i, j, k) for j in sorted(near) for i in sorted(near[j]) for k in sorted(near[j]) if i < k]
        dihedrals = [
            (i, j, k, end)
            for j, k in pairs
            for i in sorted(near[j])
            for end in sorted(near[k])
            if i != k and end not in (j, i)
        ]
        parts = [np.array(part, dtype=np.int64).reshape(-1, width) for part, width in ((angles, 3), (dihedrals, 4))]
        return cls(np.asarray(bonds, dtype=np.int64).reshape(-1, 2), *parts)

    @property
    def most_bonds(self) -> int:
        """Of one atom."""
        return int(np.bincount(self.bonds.ravel()).max(initial=0))

    def lengths(self, x: Array) -> Array:
        """Of bonds, `[n, b, T]`, from positions `[n, N, T, 3]`."""
        return np.asarray(np.linalg.norm(x[:, self.bonds[:, 0]] - x[:, self.bonds[:, 1]], axis=-1))

    def bends(self, x: Array) -> Array:
        """Angles in degrees, `[n, a, T]`."""
        i, j, k = self.angles.T
        first, second = x[:, i] - x[:, j], x[:, k] - x[:, j]
        across = np.linalg.norm(np.cross(first, second), axis=-1)
        return np.asarray(np.degrees(np.arctan2(across, (first * second).sum(-1))))

    def torsions(self, x: Array) -> Array:
        """Dihedral angles in degrees from -180 to 180, `[n, d, T]`, by the sign of IUPAC."""
        i, j, k, end = self.dihedrals.T
        before, middle, after = x[:, j] - x[:, i], x[:, k] - x[:, j], x[:, end] - x[:, k]
        left, right = np.cross(before, middle), np.cross(middle, after)
        sine = (np.cross(left, right) * middle).sum(-1) / np.maximum(np.linalg.norm(middle, axis=-1), 1e-300)
        return np.asarray(np.degrees(np.arctan2(sine, (left * right).sum(-1))))
