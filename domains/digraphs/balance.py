"""Moving nodes between neighbouring degree classes until out- and in-stubs are equally many.

A rounded joint degree matrix has D = sum (i - o) J'[i, o] != 0 in general, a graph has D = 0. Moving one node from a
degree to the next that occurs, up or down on one axis, changes D by the gap between the two and one prefix sum by 1.
Moves that reduce |D| without crossing zero are taken greedily: first those that keep the prefix within a distance < 1
of its exact value (largest gap first), then the others by least extra distance per stub. The node is taken from the
entry that lies most above s J among those whose destination is on the support of J; where a class has none, as classes
of hubs often do, from the entry most above s J, and it goes to a pair of degrees that no original node has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.digraphs.matrices import Rows

__all__ = ["Balanced", "CannotBalance", "balance_stubs"]

Counts = NDArray[np.int64]


class CannotBalance(InputError):
    """No move of a node between neighbouring degree classes evens out the stubs that are left over."""

    def __init__(self, surplus: int) -> None:
        what = (
            f"rounding leaves {surplus:+d} in-stubs over out-stubs, and no degree classes are close enough to even it"
        )
        super().__init__(what, mend="take another ratio or number of nodes")
        self.surplus = surplus


@dataclass(frozen=True)
class Balanced:
    """A joint degree matrix with as many out- as in-stubs.

    Args:
        jdm: its rows (in-degree, out-degree, nodes).
        surplus: D before.
        moves: nodes moved to a neighbouring class.
        outside: moves after which a prefix was not within a distance < 1 of its exact value.
    """

    jdm: Rows
    surplus: int
    moves: int
    outside: int


def balance_stubs(jdm: Rows, counts: Counts, n_new: int) -> Balanced:
    """Even out the stubs of rounded counts, `(rows,)`, of a joint degree matrix scaled to `n_new` nodes.

    Raises:
        CannotBalance: no sequence of greedy moves reaches D = 0.
    """
    table = _Table(jdm, counts, n_new)
    surplus = table.surplus
    moves = outside = 0
    while table.surplus:
        outside += not table.move()
        moves += 1
    found = np.stack([table.degrees[0][table.rank[0]], table.degrees[1][table.rank[1]], table.counts], axis=1)
    found = found[table.counts > 0]
    return Balanced(found[np.lexsort((found[:, 1], found[:, 0]))], surplus, moves, outside)


class _Table:
    """Counts under way: entries with their original counts, and how far prefixes are off, in units of 1/n."""

    def __init__(self, jdm: Rows, counts: Counts, n_new: int) -> None:
        self.n, self.n_new = int(jdm[:, 2].sum()), n_new
        self.counts, self.original = counts.copy(), jdm[:, 2].copy()
        self.degrees, self.rank, self.error = [], [], []
        for axis in (0, 1):
            degrees, rank = np.unique(jdm[:, axis], return_inverse=True)
            self.degrees.append(degrees)
            self.rank.append(rank)
            off = np.zeros(degrees.size, np.int64)
            np.add.at(off, rank, counts * self.n - jdm[:, 2] * n_new)
            self.error.append(np.cumsum(off)[:-1])
        self.surplus = int(((jdm[:, 0] - jdm[:, 1]) * counts).sum())

    def move(self) -> bool:
        """Make the best move; whether its prefix stays within a distance < 1 of its exact value.

        Raises:
            CannotBalance: there is none.
        """
        for axis, gap, step, inside in self._candidates():
            entry, goal = self._entry(axis, gap if step > 0 else gap + 1, step)
            if entry >= 0:
                self._apply(axis, gap, step, entry, goal)
                return inside
        raise CannotBalance(self.surplus)

    def _candidates(self) -> Iterator[tuple[int, int, int, bool]]:
        """Moves (axis, lower class of the gap, +1 up or -1 down, inside) that reduce |D|, best first."""
        sign = -1 if self.surplus > 0 else 1
        parts = []
        for axis, step in ((0, sign), (1, -sign)):
            size = np.diff(self.degrees[axis])
            after = np.abs(self.error[axis] - step * self.n)
            extra = (after - np.abs(self.error[axis])) / size
            gaps = np.flatnonzero(size <= abs(self.surplus))
            outside = after >= self.n
            order = np.where(outside, extra, -size)
            parts.append((outside[gaps], order[gaps], np.full(gaps.size, axis), gaps, np.full(gaps.size, step)))
        outside, order, axes, gaps, steps = (np.concatenate(column) for column in zip(*parts, strict=True))
        for best in np.lexsort((gaps, axes, order, outside)):
            yield int(axes[best]), int(gaps[best]), int(steps[best]), not outside[best]

    def _entry(self, axis: int, start: int, step: int) -> tuple[int, int]:
        """The entry of class `start` to take a node from and the one it goes to (-1: a new one); -1 if there is
        none."""
        own = np.flatnonzero((self.rank[axis] == start) & (self.counts > 0))
        if not own.size:
            return -1, -1
        own = own[np.argsort(-(self.counts[own] * self.n - self.original[own] * self.n_new), kind="stable")]
        there = np.flatnonzero(self.rank[axis] == start + step)
        others = self.rank[1 - axis]
        for entry in own:
            goal = there[others[there] == others[entry]]
            if goal.size:
                return int(entry), int(goal[0])
        return int(own[0]), -1

    def _apply(self, axis: int, gap: int, step: int, entry: int, goal: int) -> None:
        if goal < 0:
            goal = self.counts.size
            self.counts = np.append(self.counts, 0)
            self.original = np.append(self.original, 0)
            for side in (0, 1):
                rank = self.rank[side][entry] + (step if side == axis else 0)
                self.rank[side] = np.append(self.rank[side], rank)
        self.counts[entry] -= 1
        self.counts[goal] += 1
        self.error[axis][gap] -= step * self.n
        size = int(self.degrees[axis][gap + 1] - self.degrees[axis][gap])
        self.surplus += step * size * (1 if axis == 0 else -1)
