"""Units on the cells of an integer matrix until its rows and columns have the wanted sums, never above the caps.

All functions work in place: `counts` and `caps` are int64 `(K, L)`, `need_rows` `(K,)` and `need_columns` `(L,)` say
how many units a line still lacks (negative: how many it has too many); the two needs have one sum at the end of the
first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled

__all__ = ["augment", "lower_overfull", "raise_cells"]

Counts = NDArray[np.int64]


@compiled
def lower_overfull(counts: Counts, need_rows: Counts, need_columns: Counts) -> None:
    """Take units off lines that have too many, first where row and column both do."""
    rows, columns = counts.shape
    for both in (True, False):
        for k in range(rows):
            for l in range(columns):
                excess = min(-need_rows[k], -need_columns[l]) if both else max(-need_rows[k], -need_columns[l])
                taken = min(excess, counts[k, l])
                if taken > 0:
                    counts[k, l] -= taken
                    need_rows[k] += taken
                    need_columns[l] += taken


@compiled
def raise_cells(counts: Counts, caps: Counts, need_rows: Counts, need_columns: Counts, order: Counts) -> None:
    """Visit cells (flat indices) in this order and add 1 where row and column lack units and the cap allows it."""
    columns = counts.shape[1]
    for cell in order:
        k, l = cell // columns, cell % columns
        if need_rows[k] > 0 and need_columns[l] > 0 and counts[k, l] < caps[k, l]:
            counts[k, l] += 1
            need_rows[k] -= 1
            need_columns[l] -= 1


@compiled
def augment(counts: Counts, caps: Counts, need_rows: Counts, need_columns: Counts) -> bool:
    """Push what rows lack along shortest augmenting paths to columns that lack units (Ford and Fulkerson); whether all
    could be pushed."""
    for k in range(counts.shape[0]):
        while need_rows[k] > 0:
            row_from, column_from, last = _search(counts, caps, need_columns, k)
            if last < 0:
                return False
            _push(counts, caps, need_rows, need_columns, row_from, column_from, k, last)
    return True


@compiled
def _search(counts: Counts, caps: Counts, need_columns: Counts, start: int) -> tuple[Counts, Counts, int]:
    """Breadth first: from rows to columns below the cap, from columns to rows above zero. Returns where each row and
    column was reached from (-1: not at all), and a column that lacks units, or -1."""
    rows, columns = counts.shape
    row_from, column_from = np.full(rows, -1), np.full(columns, -1)
    queue = np.empty(rows, np.int64)
    queue[0] = start
    head, tail = 0, 1
    while head < tail:
        k = queue[head]
        head += 1
        for l in range(columns):
            if column_from[l] >= 0 or counts[k, l] >= caps[k, l]:
                continue
            column_from[l] = k
            if need_columns[l] > 0:
                return row_from, column_from, l
            for other in range(rows):
                if other != start and row_from[other] < 0 and counts[other, l] > 0:
                    row_from[other] = l
                    queue[tail] = other
                    tail += 1
    return row_from, column_from, -1


@compiled
def _push(
    counts: Counts,
    caps: Counts,
    need_rows: Counts,
    need_columns: Counts,
    row_from: Counts,
    column_from: Counts,
    start: int,
    last: int,
) -> None:
    """Move as many units as the narrowest place of a path lets through."""
    width = min(need_rows[start], need_columns[last])
    l = last
    while True:
        k = column_from[l]
        width = min(width, caps[k, l] - counts[k, l])
        if k == start:
            break
        l = row_from[k]
        width = min(width, counts[k, l])
    need_rows[start] -= width
    need_columns[last] -= width
    l = last
    while True:
        k = column_from[l]
        counts[k, l] += width
        if k == start:
            break
        l = row_from[k]
        counts[k, l] -= width
