"""Windows of fixed length cut out of series, and how they are split for training and testing.

The published protocol takes all windows of stride 1, permutes them once with numpy's legacy generator and trains on the
first share of them, which is all. Windows overlap, so its test part, if there is one, is not independent. The
contiguous split is: one series is cut in time, several are shared out whole, and no window stands on both sides.

Source: Li et al. 2025 (arXiv 2501.00910) for the published protocol.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.loading import Batch

__all__ = [
    "Split",
    "WindowDataset",
    "check_enough",
    "contiguous_split",
    "cut",
    "paper_split",
    "thinned",
    "window_starts",
]

Rows = NDArray[np.int64]
_Number = TypeVar("_Number", bound=np.floating[Any])


@dataclass(frozen=True)
class Split:
    """Rows of a table at which the windows of each part start, and the rows that the scaling may see.

    Args:
        train: starts, in the order of the protocol.
        test: starts; empty where everything is trained on.
        scaled_on: rows, a boolean mask `(rows,)`.
        made: how the split was made, in words.
    """

    train: Rows
    test: Rows
    scaled_on: NDArray[np.bool_]
    made: str


def window_starts(first: int, last: int, length: int, stride: int) -> Rows:
    """Starts of the windows that lie in the rows from `first` up to, not including, `last`."""
    return np.arange(first, last - length + 1, stride, dtype=np.int64)


def _starts(bounds: Rows, chosen: Sequence[int], length: int, stride: int) -> Rows:
    parts = [window_starts(int(bounds[k]), int(bounds[k + 1]), length, stride) for k in chosen]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def paper_split(bounds: Rows, length: int, stride: int, proportion: float, seed: int) -> Split:
    """The published split: all windows permuted, the first ceil(share) for training; the scaling sees everything.

    Args:
        bounds: boundaries of the series, `(series + 1,)`.
        length: steps of a window.
        stride: rows between two windows.
        proportion: share of the windows for training.
        seed: seed of the permutation; 123 in the published runs.
    """
    starts = _starts(bounds, range(len(bounds) - 1), length, stride)
    # The legacy generator of its own: the same numbers as np.random.seed, and the global state stays as it is.
    starts = starts[np.random.RandomState(seed).permutation(len(starts))]
    number = math.ceil(len(starts) * proportion)
    made = "all windows" if number == len(starts) else f"windows at random, seed {seed}, which overlap"
    return Split(starts[:number], starts[number:], np.ones(int(bounds[-1]), dtype=bool), made)


def contiguous_split(
    bounds: Rows, length: int, stride: int, proportion: float, labels: Sequence[str] | None = None
) -> Split:
    """A split without leaks: the first share of the one series, or of several series, for training.

    Arguments as in `paper_split`; the scaling sees the training rows only. Of labelled series each class is shared
    out by itself: files often hold one class after the other.
    """
    series = len(bounds) - 1
    if series == 1:
        edge = math.ceil(int(bounds[-1]) * proportion)
        train, test = (window_starts(a, b, length, stride) for a, b in ((0, edge), (edge, int(bounds[-1]))))
        seen, made = np.arange(int(bounds[-1])) < edge, f"the first {edge} rows for training"
    else:
        chosen = _first_share(np.zeros(series) if labels is None else np.array(labels), proportion)
        train, test = (_starts(bounds, np.flatnonzero(part).tolist(), length, stride) for part in (chosen, ~chosen))
        each = "" if labels is None else ", class by class,"
        made = f"the first {chosen.sum()} of {series} series{each} for training"
        seen = np.repeat(chosen, np.diff(bounds))
    return Split(train, test, seen, made)


def _first_share(classes: NDArray[Any], proportion: float) -> NDArray[np.bool_]:
    """Which of some series are among the first share of their class."""
    chosen = np.zeros(len(classes), dtype=bool)
    for name in np.unique(classes):
        members = np.flatnonzero(classes == name)
        chosen[members[: math.ceil(len(members) * proportion)]] = True
    return chosen


def cut(values: NDArray[_Number], starts: Rows, length: int) -> NDArray[_Number]:
    """The windows `(n, length, D)` of a table `(rows, D)`."""
    return np.asarray(values[starts[:, None] + np.arange(length)])


def thinned(rows: Rows, most: int) -> Rows:
    """At most so many of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


class WindowDataset:
    """Windows as batches `{"x": [B, L, D]}`, with `label` `[B]` where series have classes.

    Args:
        values: the scaled table, `(rows, D)`.
        starts: where windows start, `(n,)`.
        length: steps of a window.
        labels: class of each row's series, int64 `(rows,)`, or None.
    """

    def __init__(self, values: NDArray[np.float32], starts: Rows, length: int, labels: Rows | None = None) -> None:
        self.values, self.starts, self.length, self.labels = torch.from_numpy(values), starts, length, labels
        self._steps = np.arange(length)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        starts = self.starts[np.asarray(indices, dtype=np.int64)]
        batch = {"x": self.values[torch.from_numpy(starts[:, None] + self._steps)]}
        if self.labels is not None:
            batch["label"] = torch.from_numpy(self.labels[starts])
        return batch


def check_enough(number: int, batch_size: int, file: object, what: str = "windows") -> None:
    """Refuse a training set that does not fill one batch: the published loader would give nothing, for ever.

    Raises:
        InputError: naming both numbers.
    """
    if number < batch_size:
        found = f"{number} {what} for training, fewer than the batch of {batch_size}"
        raise InputError(found, file=str(file), mend=f"give --data.batch_size={max(number, 1)} or more data")
