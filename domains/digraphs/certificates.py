"""What is proved of a rescaled pair of degree matrices, beside what was measured.

- KS of in- and out-degrees < 1/n' for every prefix that rounding and balancing left within its bracket, and at most
  1/n' more for each move of balancing outside of it;
- TV(J'/n', J/n) <= (entries of s J that are not whole + 2 moves) / (2 n');
- TV(C'/m', C/m) <= (|T - s C|_1 + |C' - T|_1) / (2 m') + |1 - s m / m'| / 2 by the triangle inequality, T being what
  was rounded; it cannot be below half the distance of the margins, whatever the method.

Clipping degrees voids the first two. The bound nnz(C) / (2 m') does not hold in general: class sizes move by less than
one node, but a node of class k carries k stubs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from scorefield.domains.digraphs.balance import Balanced
from scorefield.domains.digraphs.correlation import FittedDCM
from scorefield.domains.digraphs.deviation import Deviations, deviations, row_difference
from scorefield.domains.digraphs.matrices import DegreeClasses, DegreeMatrices

__all__ = ["Certificate", "certify"]


@dataclass(frozen=True)
class Certificate:
    """Deviations of rescaled degree matrices from the original, with their bounds.

    Args:
        n: nodes of the rescaled graph.
        m: its edges.
        surplus: in-stubs over out-stubs after rounding.
        moves: nodes moved to a neighbouring degree class to even them out.
        moves_outside: those that took a prefix of class totals out of its bracket.
        clipped_stubs: edges cut off since hubs had more neighbours than there are nodes.
        augmented: units of C' that needed an augmenting path.
        deviations: what was measured.
        bound_ks: upper bound of both Kolmogorov-Smirnov distances, None where clipping voids it.
        bound_tv_jdm: upper bound of the total variation of the joint distribution, None likewise.
        bound_tv_dcm: upper bound of the total variation of the degree correlation distribution, None without edges.
        least_tv_dcm: what no matrix with these degree classes can be below, None likewise.
    """

    n: int
    m: int
    surplus: int
    moves: int
    moves_outside: int
    clipped_stubs: int
    augmented: int
    deviations: Deviations
    bound_ks: float | None
    bound_tv_jdm: float | None
    bound_tv_dcm: float | None
    least_tv_dcm: float | None

    def as_dict(self) -> dict[str, object]:
        """All fields, for JSON."""
        return asdict(self)


def certify(
    original: DegreeMatrices, found: DegreeMatrices, balanced: Balanced, clipped: int, fitted: FittedDCM | None
) -> Certificate:
    """Measure and bound the deviations of a rescaled pair.

    Args:
        original: the matrices before.
        found: those after.
        balanced: how stubs were evened out.
        clipped: edges cut off afterwards.
        fitted: how the DCM was found; None where it is a whole multiple, or empty.
    """
    n, n_new, m_new = original.n, found.n, found.m
    fractional = int(np.count_nonzero(original.jdm[:, 2] * n_new % n))
    whole = n_new % n == 0
    bound_ks = 0.0 if whole else (1 + balanced.outside) / n_new
    upper, least = (None, None) if fitted is None else _dcm_bounds(original, found, fitted)
    return Certificate(
        n=n_new,
        m=m_new,
        surplus=balanced.surplus,
        moves=balanced.moves,
        moves_outside=balanced.outside,
        clipped_stubs=clipped,
        augmented=fitted.paths if fitted else 0,
        deviations=deviations(found, original),
        bound_ks=None if clipped else bound_ks,
        bound_tv_jdm=None if clipped else (fractional + 2 * balanced.moves) / (2 * n_new),
        bound_tv_dcm=0.0 if whole and m_new else upper,
        least_tv_dcm=0.0 if whole and m_new else least,
    )


def _dcm_bounds(original: DegreeMatrices, found: DegreeMatrices, fitted: FittedDCM) -> tuple[float, float]:
    ratio, m, m_new = found.n / original.n, original.m, found.m
    rounding = float(np.abs(fitted.counts - fitted.target).sum())
    bound = (_fit_error(original, fitted, ratio) + rounding) / (2 * m_new) + abs(1 - ratio * m / m_new) / 2
    least = max(
        _stub_distance(found.out_classes, original.out_classes),
        _stub_distance(found.in_classes, original.in_classes),
    )
    return bound, least


def _fit_error(original: DegreeMatrices, fitted: FittedDCM, ratio: float) -> float:
    """|T - s C|_1 over the cells of both."""
    k, l, edges = original.dcm.T
    row = np.minimum(np.searchsorted(fitted.rows, k), fitted.rows.size - 1)
    column = np.minimum(np.searchsorted(fitted.columns, l), fitted.columns.size - 1)
    kept = (fitted.rows[row] == k) & (fitted.columns[column] == l)
    there = fitted.target[row[kept], column[kept]]
    elsewhere = float(fitted.target.sum() - there.sum())
    gone = float(edges[~kept].sum()) * ratio
    return float(np.abs(there - ratio * edges[kept]).sum()) + max(elsewhere, 0.0) + gone


def _stub_distance(found: DegreeClasses, original: DegreeClasses) -> float:
    """Half the distance of the shares of stubs by class."""
    rows = [np.column_stack([nodes.degrees, nodes.degrees * 0, nodes.stubs]) for nodes in (found, original)]
    totals = [int(nodes.stubs.sum()) for nodes in (found, original)]
    for own, other in ((0, 1), (1, 0)):
        rows[own] = rows[own] * np.array([1, 1, totals[other]])
    return float(np.abs(row_difference(rows[0], rows[1])).sum()) / (2 * totals[0] * totals[1])
