"""A degree correlation matrix for rescaled classes: scaled to its margins under caps, rounded, and made whole.

For classes of a joint degree matrix J' the rows k and columns l must sum to R_k = k N'+_k and L_l = l N'-_l, with
entries at most U'[k, l] = N'+_k N'-_l - J'[l, k]. The original matrix, scaled by m'/m, is fitted by alternating
proportional scaling (Sinkhorn and Knopp, Pacific J. Math. 21, 1967) with clipping at the caps; floors are taken and
the missing units put on fractional cells in a weighted random order; what is left is pushed along augmenting paths.
The last step is a maximum flow, and a matrix within margins and caps exists whenever J' is digraphic, so it cannot
fail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.domains.digraphs.matrices import DegreeClasses, DegreeMatrices, Rows, classes
from scorefield.domains.digraphs.whole_cells import augment, lower_overfull, raise_cells

__all__ = ["FittedDCM", "fit_dcm"]

Cells = NDArray[np.float64]
Counts = NDArray[np.int64]
_FAINT = 1e-9  # weight of cells that the original lacks: only so that margins can be reached
_SWEEPS = 60


@dataclass(frozen=True, eq=False)
class FittedDCM:
    """A degree correlation matrix for given classes.

    Args:
        rows: out-degrees k >= 1 of the classes of sources, `(K+,)`.
        columns: in-degrees l >= 1 of the classes of targets, `(K-,)`.
        target: what was rounded, `(K+, K-)`.
        counts: the matrix, int64 `(K+, K-)`.
        paths: units that needed an augmenting path.
    """

    rows: Counts
    columns: Counts
    target: Cells
    counts: Counts
    paths: int

    @property
    def dcm(self) -> Rows:
        """The non-zero entries as sorted rows (out of source, in of target, edges)."""
        row, column = np.nonzero(self.counts)
        return np.stack([self.rows[row], self.columns[column], self.counts[row, column]], axis=1)


def fit_dcm(original: DegreeMatrices, jdm: Rows, source: np.random.Generator) -> FittedDCM:
    """A degree correlation matrix near the original one that some graph has together with `jdm`, which is digraphic.

    Raises:
        RuntimeError: `jdm` is not digraphic.
    """
    outs = classes(jdm[:, 1], jdm[:, 2]).positive()
    ins = classes(jdm[:, 0], jdm[:, 2]).positive()
    caps = _caps(jdm, outs, ins)
    target = _prior(original, outs, ins)
    _scale(target, outs.stubs.astype(np.float64), ins.stubs.astype(np.float64), caps, _SWEEPS)
    counts = np.floor(target + 1e-9).astype(np.int64)
    need_rows, need_columns = outs.stubs - counts.sum(axis=1), ins.stubs - counts.sum(axis=0)
    lower_overfull(counts, need_rows, need_columns)
    order = _visiting_order(target, need_rows, need_columns, source)
    raise_cells(counts, caps, need_rows, need_columns, order)
    paths = int(need_rows.sum())
    if not augment(counts, caps, need_rows, need_columns):
        raise RuntimeError("no degree correlation matrix lies within margins and caps")
    return FittedDCM(outs.degrees, ins.degrees, target, counts, paths)


def _caps(jdm: Rows, outs: DegreeClasses, ins: DegreeClasses) -> Counts:
    """U', int64 `(K+, K-)`."""
    caps = outs.sizes[:, None] * ins.sizes[None, :]
    both = jdm[(jdm[:, 0] > 0) & (jdm[:, 1] > 0)]
    caps[np.searchsorted(outs.degrees, both[:, 1]), np.searchsorted(ins.degrees, both[:, 0])] -= both[:, 2]
    return caps


def _prior(original: DegreeMatrices, outs: DegreeClasses, ins: DegreeClasses) -> Cells:
    """The original matrix over the new classes, scaled to the new number of edges; a class that is new takes the line
    of the nearest original degree."""
    old_outs, old_ins = original.out_classes.positive().degrees, original.in_classes.positive().degrees
    weights = np.zeros((old_outs.size, old_ins.size))
    k, l, edges = original.dcm.T
    edges_new = int(outs.stubs.sum())
    weights[np.searchsorted(old_outs, k), np.searchsorted(old_ins, l)] = edges * (edges_new / original.m)
    rows, columns = _nearest(old_outs, outs.degrees), _nearest(old_ins, ins.degrees)
    target = weights if rows.size == old_outs.size and columns.size == old_ins.size else weights[np.ix_(rows, columns)]
    target += np.outer(outs.stubs * (_FAINT / edges_new), ins.stubs)
    return target


def _nearest(known: Counts, wanted: Counts) -> Counts:
    """The index of the known degree nearest to each wanted one, the smaller of two."""
    above = np.minimum(np.searchsorted(known, wanted), known.size - 1)
    under = np.maximum(above - 1, 0)
    return np.where(np.abs(known[under] - wanted) <= np.abs(known[above] - wanted), under, above)


@compiled
def _scale(cells: Cells, row_sums: Cells, column_sums: Cells, caps: Counts, sweeps: int) -> None:
    """Scale rows, clip, scale columns, clip, in place; ends early when the sums are met to 1e-13 of the total."""
    rows, columns = cells.shape
    total = row_sums.sum()
    sums = np.zeros(rows)
    for k in range(rows):
        sums[k] = cells[k].sum()
    for _ in range(sweeps):
        across = np.zeros(columns)
        for k in range(rows):
            factor = row_sums[k] / sums[k] if sums[k] > 0 else 0.0
            for l in range(columns):
                cells[k, l] = min(cells[k, l] * factor, float(caps[k, l]))
                across[l] += cells[k, l]
        for l in range(columns):
            across[l] = column_sums[l] / across[l] if across[l] > 0 else 0.0
        missing = 0.0
        for k in range(rows):
            sums[k] = 0.0
            for l in range(columns):
                cells[k, l] = min(cells[k, l] * across[l], float(caps[k, l]))
                sums[k] += cells[k, l]
            missing += abs(sums[k] - row_sums[k])
        if missing <= 1e-13 * total:
            break


def _visiting_order(target: Cells, need_rows: Counts, need_columns: Counts, source: np.random.Generator) -> Counts:
    """Flat indices of fractional cells whose row and column lack units, by log(u) / f descending: a weighted order
    without replacement (Efraimidis and Spirakis, Inf. Process. Lett. 97, 2006)."""
    rows, columns = np.flatnonzero(need_rows > 0), np.flatnonzero(need_columns > 0)
    part = target[np.ix_(rows, columns)]
    fraction = part - np.floor(part + 1e-9)
    row, column = np.nonzero(fraction > 1e-9)
    keys = np.log(1.0 - source.random(row.size)) / fraction[row, column]
    flat: Counts = rows[row] * target.shape[1] + columns[column]
    ordered: Counts = flat[np.argsort(-keys, kind="stable")]
    return ordered
