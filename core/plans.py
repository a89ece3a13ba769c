"""Where windows of fixed length are laid over a longer sequence to fill what is missing of it.

Missing rows are taken together from left to right, as many as leave some context on both sides of a window around
them; the window is laid so that they stand in its middle. What it fills is given to the windows after it. Windows that
need nothing of each other belong to the same round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Stretch", "gap_plan", "tail_plan", "window_plan"]

_CONTEXT = 6  # at least one sixth of a window stands on either side of what it fills


@dataclass(frozen=True)
class Stretch:
    """Rows that one window fills.

    Attributes:
        start: the window's first row; it may reach beyond either end of the series.
        first: the first row that is filled.
        last: the row after the last one.
        round: windows of lower rounds come before.
    """

    start: int
    first: int
    last: int
    round: int = 0


def tail_plan(rows: int, horizon: int, length: int) -> list[Stretch]:
    """One window for the last `horizon` of `rows` rows."""
    return [Stretch(rows - length, rows - horizon, rows)]


def window_plan(rows: int, length: int) -> list[Stretch]:
    """Windows one behind the other, each by itself; rows that fill no window are left out."""
    return [Stretch(start, start, start + length) for start in range(0, rows - length + 1, length)]


def gap_plan(missing: NDArray[np.bool_], length: int, history: int = 0) -> list[Stretch]:
    """Windows for the rows `(T,)` of which something is missing; each looks at `history` rows before it too."""
    rows, plan = len(missing), list[Stretch]()
    left = np.flatnonzero(missing)
    while len(left):
        group = left[left < _limit(int(left[0]), rows, length)]
        first, last = int(group[0]), int(group[-1]) + 1
        # In the middle, but not beyond an end of the series; a series shorter than the window ends with it.
        start = min(max((first + last - length) // 2, 0), rows - length)
        before = [s.round for s in plan if s.last > start - history and s.first < start + length]
        plan.append(Stretch(start, first, last, 1 + max(before, default=-1)))
        left = left[len(group) :]
    return plan


def _limit(first: int, rows: int, length: int) -> int:
    """Where a group of rows that begins with `first` has to end; no context is needed beyond an end of the series."""
    context = max(1, length // _CONTEXT)
    if first >= rows - length + context or rows <= length:
        return rows
    return max(first + length - 2 * context, length - context if first < context else 0, first + 1)
