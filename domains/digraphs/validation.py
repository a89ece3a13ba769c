"""Which pairs (J, C) are the degree matrices of some simple directed graph.

They are exactly those with

- R1: all entries are non-negative integers;
- R2: row k of C sums to k N+_k and column l to l N-_l, for every class, those missing from C included;
- R3: C[k, l] <= N+_k N-_l - J[l, k] for k, l >= 1 (J[l, k] nodes are both ends of a forbidden loop).

The theorem is that of Tillman, Markopoulou, Butts and Gjoka, "Construction of directed 2K graphs", KDD 2017 (arXiv
1703.07340); `construction.py` proves the other direction by building the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorefield.core.errors import InputError
from scorefield.domains.digraphs.matrices import DegreeMatrices, Rows, classes

__all__ = ["Violation", "degree_matrices", "validate"]


@dataclass(frozen=True)
class Violation:
    """One broken rule.

    Args:
        rule: R1, R2 or R3.
        place: the entry or the class that breaks it.
        expected: what the rule asks for there.
        got: what there is.
    """

    rule: str
    place: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.place}: {self.got}, not {self.expected} ({self.rule})"


def degree_matrices(jdm: ArrayLike, dcm: ArrayLike) -> DegreeMatrices:
    """Matrices from rows in any order, zeros allowed, if some simple graph has them.

    Args:
        jdm: rows (in-degree, out-degree, nodes), `(a, 3)`.
        dcm: rows (out-degree of the source, in-degree of the target, edges), `(b, 3)`.

    Raises:
        InputError: none has; it names the first broken rule, its class and amounts.
    """
    broken = validate(jdm, dcm)
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise InputError(f"no simple graph has these degree matrices: {broken[0]}{more}", mend="mend the entries")
    return DegreeMatrices(_tidy(_rows(jdm)), _tidy(_rows(dcm)))


def validate(jdm: ArrayLike, dcm: ArrayLike) -> list[Violation]:
    """The rules that a pair of matrices breaks; none if and only if some simple graph has them.

    Args:
        jdm: rows (in-degree, out-degree, nodes), `(a, 3)`.
        dcm: rows (out-degree of the source, in-degree of the target, edges), `(b, 3)`.

    Raises:
        InputError: something that is no list of rows of three numbers.
    """
    nodes, edges = _rows(jdm), _rows(dcm)
    broken = _bad_entries("JDM", nodes) + _bad_entries("DCM", edges)
    if broken:
        return broken
    pair = DegreeMatrices(_tidy(nodes), _tidy(edges))
    return [*_margins(pair), *_caps(pair)]


def _rows(given: ArrayLike) -> NDArray[Any]:
    rows = np.asarray(given)
    if rows.size == 0:
        return np.zeros((0, 3), np.int64)
    if rows.ndim != 2 or rows.shape[1] != 3 or rows.dtype.kind not in "iuf":
        raise InputError(f"a degree matrix of shape {rows.shape}", mend="give rows (degree, degree, count)")
    return rows


def _tidy(rows: NDArray[Any]) -> Rows:
    whole = rows.astype(np.int64)
    whole = whole[whole[:, 2] > 0]
    return whole[np.lexsort((whole[:, 1], whole[:, 0]))]


def _bad_entries(name: str, rows: NDArray[Any]) -> list[Violation]:
    bad = ~np.isfinite(rows).all(axis=1) | (rows != np.floor(rows)).any(axis=1) | (rows < 0).any(axis=1)
    found = [
        Violation("R1", f"{name}[{a:g}, {b:g}]", "non-negative integers", f"{count:g}") for a, b, count in rows[bad]
    ]
    if found:
        return found
    whole = rows[:, :2].astype(np.int64)
    base = int(whole.max(initial=0)) + 1
    keys, counts = np.unique(whole[:, 0] * base + whole[:, 1], return_counts=True)
    cells = np.column_stack([keys // base, keys % base])
    return [
        Violation("R1", f"{name}[{a:g}, {b:g}]", "one entry", f"{count} entries")
        for (a, b), count in zip(cells[counts > 1], counts[counts > 1], strict=True)
    ]


def _margins(pair: DegreeMatrices) -> list[Violation]:
    sides = (("out-degree", "row", pair.out_classes, 0), ("in-degree", "column", pair.in_classes, 1))
    broken = []
    for name, line, nodes, axis in sides:
        edges = classes(pair.dcm[:, axis], pair.dcm[:, 2])
        degrees = np.union1d(nodes.degrees, edges.degrees)
        expected, got = degrees * nodes.size_of(degrees), edges.size_of(degrees)
        for k in np.flatnonzero(expected != got):
            place = f"{name} {degrees[k]}"
            broken.append(Violation("R2", place, f"{expected[k]}", f"the DCM's {line} sums to {got[k]}"))
    return broken


def _caps(pair: DegreeMatrices) -> list[Violation]:
    k, l, edges = pair.dcm.T
    base = int(max(pair.jdm[:, :2].max(initial=0), pair.dcm[:, :2].max(initial=0))) + 1
    cells = pair.jdm[:, 0] * base + pair.jdm[:, 1]
    place = np.minimum(np.searchsorted(cells, l * base + k), max(cells.size - 1, 0))
    both = np.where(cells[place] == l * base + k, pair.jdm[place, 2], 0) if cells.size else np.zeros_like(k)
    caps = pair.out_classes.size_of(k) * pair.in_classes.size_of(l) - both
    return [
        Violation("R3", f"DCM[{k[c]}, {l[c]}]", f"at most {caps[c]}", f"{edges[c]} edges")
        for c in np.flatnonzero((edges > caps) & (k > 0) & (l > 0))
    ]
