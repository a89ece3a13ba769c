"""Slow collective motions of a molecule: time-lagged independent components of its dihedral angles.

Of y = (cos, sin) of all dihedrals, centred by the real mean, the components are the vectors w of largest
autocorrelation w' C(tau) w / w' C(0) w, C symmetrised; directions that hardly vary are left out. Jensen-Shannon
divergences of the first components are how MDGen (Jing et al. 2024, arXiv 2409.17808) judges dynamics of peptides.

Source: Perez-Hernandez et al. 2013 for the method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

__all__ = ["SlowComponents"]

Array = NDArray[np.float64]
_LEAST_VARIANCE = 1e-6  # of the largest


@dataclass(frozen=True)
class SlowComponents:
    """Linear components of the cosines and sines of dihedral angles.

    Attributes:
        mean: `[2 d]`.
        vectors: `[2 d, components]`, slowest first, of unit variance.
    """

    mean: Array
    vectors: Array

    @classmethod
    def of(cls, torsions: Array, components: int = 2, lag: int = 1) -> SlowComponents:
        """Found in trajectories.

        Args:
            torsions: degrees, `[n, d, T]`.
            components: how many at most.
            lag: frames.
        """
        y = _circles(torsions)
        mean = y.mean((0, 1))
        y = y - mean
        still = np.einsum("nti,ntj->ij", y, y) / (y.shape[0] * y.shape[1])
        early, late = y[:, :-lag], y[:, lag:]
        moved = np.einsum("nti,ntj->ij", early, late) / (early.shape[0] * early.shape[1])
        variances, axes = np.linalg.eigh(still)
        kept = variances > _LEAST_VARIANCE * variances.max()
        whitened = axes[:, kept] / np.sqrt(variances[kept])
        _, found = eigh(whitened.T @ (moved + moved.T) @ whitened / 2)
        return cls(mean, whitened @ found[:, ::-1][:, :components])

    def project(self, torsions: Array) -> Array:
        """The components of trajectories, `[n, components, T]`."""
        return np.asarray(((_circles(torsions) - self.mean) @ self.vectors).transpose(0, 2, 1))


def _circles(torsions: Array) -> Array:
    """`[n, T, 2 d]`."""
    angles = np.radians(torsions.transpose(0, 2, 1))
    return np.concatenate([np.cos(angles), np.sin(angles)], -1)
