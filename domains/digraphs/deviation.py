"""How far the degree distributions of two pairs of degree matrices are apart.

Kolmogorov-Smirnov and total variation distances of in- and out-degrees; total variation of the joint distributions J/n
and C/m, raw and with degrees binned by powers of two (bin 0 holds degree 0, bin j the degrees in [2^(j-1), 2^j)),
since raw total variation of C is dominated by classes of a single hub.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorefield.domains.digraphs.matrices import DegreeClasses, DegreeMatrices, Rows

__all__ = ["Deviations", "deviations", "row_difference"]


@dataclass(frozen=True)
class Deviations:
    """Distances in [0, 1]; those of edges are 0 where both graphs have none, and 1 where one has none.

    Args:
        ks_in: Kolmogorov-Smirnov distance of the in-degree distributions.
        ks_out: the same for out-degrees.
        tv_in: total variation distance of the in-degree distributions.
        tv_out: the same for out-degrees.
        tv_jdm: total variation of J/n.
        tv_dcm: total variation of C/m.
        tv_jdm_binned: total variation of J/n over binned degrees.
        tv_dcm_binned: total variation of C/m over binned degrees.
    """

    ks_in: float
    ks_out: float
    tv_in: float
    tv_out: float
    tv_jdm: float
    tv_dcm: float
    tv_jdm_binned: float
    tv_dcm_binned: float


def deviations(first: DegreeMatrices, second: DegreeMatrices) -> Deviations:
    """Distances between the distributions of two graphs with nodes."""
    ks_in, tv_in = _degree_distances(first.in_classes, second.in_classes)
    ks_out, tv_out = _degree_distances(first.out_classes, second.out_classes)
    tv = [_variation(a, b) for a, b in ((first.jdm, second.jdm), (first.dcm, second.dcm))]
    binned = [_variation(_binned(a), _binned(b)) for a, b in ((first.jdm, second.jdm), (first.dcm, second.dcm))]
    return Deviations(ks_in, ks_out, tv_in, tv_out, *tv, *binned)


def row_difference(first: Rows, second: Rows) -> NDArray[np.int64]:
    """First minus second in every cell that either has; rows of one cell are added up, and a scale belongs before."""
    base = int(max(first[:, :2].max(initial=0), second[:, :2].max(initial=0))) + 1
    keys = np.concatenate([rows[:, 0] * base + rows[:, 1] for rows in (first, second)])
    distinct, cell = np.unique(keys, return_inverse=True)
    difference = np.zeros(distinct.size, np.int64)
    np.add.at(difference, cell, np.concatenate([first[:, 2], -second[:, 2]]))
    return difference


def _variation(first: Rows, second: Rows) -> float:
    # In whole numbers, so that equal distributions of different sizes are at a distance of exactly 0.
    total, other = int(first[:, 2].sum()), int(second[:, 2].sum())
    if not total or not other:
        return float(total != other)
    difference = row_difference(_times(first, other), _times(second, total))
    return float(np.abs(difference).sum()) / (2 * total * other)


def _times(rows: Rows, factor: int) -> Rows:
    return np.column_stack([rows[:, :2], rows[:, 2] * factor])


def _degree_distances(first: DegreeClasses, second: DegreeClasses) -> tuple[float, float]:
    """Kolmogorov-Smirnov and total variation distance."""
    degrees = np.union1d(first.degrees, second.degrees)
    shares: list[NDArray[np.int64]] = [nodes.size_of(degrees) for nodes in (first, second)]
    n, n_other = int(shares[0].sum()), int(shares[1].sum())
    difference = shares[0] * n_other - shares[1] * n
    total = n * n_other
    return float(np.abs(np.cumsum(difference)).max()) / total, float(np.abs(difference).sum()) / (2 * total)


def _binned(rows: Rows) -> Rows:
    bins = np.frexp(rows[:, :2].astype(np.float64))[1].astype(np.int64)
    return np.column_stack([bins, rows[:, 2]])
