"""Panels: many series of one number each, observed at the same frequency; and the entries of a test set.

An entry is a series cut somewhere: what lies before its last `prediction` values is known, those are to be forecast.
Rolling tests have several entries for each series, cut further and further on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.series.tsdiff.frequency import Frequency

__all__ = ["Entries", "Panel", "times_of"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


def times_of(starts: Sequence[Any]) -> NDArray[np.datetime64]:
    """Times of first values, datetime64 `(n,)`, NaT for None."""
    return np.array([pd.Timestamp(start or "NaT").to_datetime64() for start in starts]).astype("datetime64[s]")


@dataclass(frozen=True)
class Panel:
    """Series one after the other.

    Args:
        values: all values, `(rows,)`, NaN where one is missing.
        bounds: series k holds the rows `bounds[k]` to `bounds[k + 1]`, int64 `(series + 1,)`.
        names: what the file calls each series.
        starts: time of each first value, datetime64 `(series,)`, NaT where it is not known.
        frequency: the step between values.
    """

    values: Array
    bounds: Rows
    names: tuple[str, ...]
    starts: NDArray[np.datetime64]
    frequency: Frequency

    @classmethod
    def of(cls, series: Sequence[Array], names: Sequence[str], starts: Sequence[Any], frequency: Frequency) -> Self:
        """From the values of each series."""
        bounds = np.concatenate([[0], np.cumsum([len(part) for part in series])]).astype(np.int64)
        called = tuple(name.strip() for name in names)  # as tables of forecasts name them, too
        return cls(np.concatenate(series).astype(np.float64), bounds, called, times_of(starts), frequency)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def lengths(self) -> Rows:
        """Steps of each series, `(series,)`."""
        return np.diff(self.bounds)

    def series(self, number: int) -> Array:
        """The values of one series."""
        return self.values[self.bounds[number] : self.bounds[number + 1]]

    def head(self, lengths: Rows) -> Panel:
        """The first values of each series; those that are left with none stay as empty ones."""
        kept = [self.series(k)[: max(int(length), 0)] for k, length in enumerate(lengths)]
        return Panel.of(kept, self.names, self.starts.tolist(), self.frequency)

    def rolling(self, prediction: int, windows: int) -> Entries:
        """The last `windows` stretches of `prediction` steps of each series, the earliest of all series first.

        Raises:
            InputError: a series has nothing before them.
        """
        back = np.arange(windows - 1, -1, -1)[:, None] * prediction
        ends = (self.lengths[None] - back).ravel()
        return Entries(self, np.tile(np.arange(len(self)), windows), ends, prediction)

    def mean_size(self) -> float:
        """Mean absolute value of all that is observed; 1 where that is nothing or zero."""
        there = np.abs(self.values[~np.isnan(self.values)])
        mean = float(there.mean()) if len(there) else 0.0
        return mean if mean > 0 else 1.0


@dataclass(frozen=True)
class Entries:
    """Series cut where a forecast ends.

    Args:
        panel: the series.
        rows: the series of each entry, int64 `(n,)`.
        ends: where each is cut: so many of its values are the history and the `prediction` values to forecast.
        prediction: steps to forecast.

    Raises:
        InputError: an entry without a history, or beyond the end of its series.
    """

    panel: Panel
    rows: Rows
    ends: Rows
    prediction: int

    def __post_init__(self) -> None:
        lengths = self.panel.lengths[self.rows]
        wrong = np.flatnonzero((self.ends <= self.prediction) | (self.ends > lengths))
        if len(wrong):
            k = int(wrong[0])
            what = f"{lengths[k]} values, cut at {self.ends[k]}, leave no history before {self.prediction} steps"
            mend = "leave such series out, or give a shorter prediction or fewer windows"
            raise InputError(what, place=f"series {self.name(k)}", mend=mend)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice | Rows) -> Entries:
        """Some of the entries."""
        return Entries(self.panel, self.rows[chosen], self.ends[chosen], self.prediction)

    def name(self, number: int) -> str:
        """What the file calls the series of an entry."""
        return self.panel.names[int(self.rows[number])]

    def history(self, number: int) -> Array:
        """All values before the forecast."""
        return self.panel.series(int(self.rows[number]))[: self.ends[number] - self.prediction]

    def truth(self) -> Array:
        """The values to forecast, `(n, prediction)`, NaN where one is missing."""
        last = self.panel.bounds[self.rows] + self.ends
        return np.asarray(self.panel.values[last[:, None] + np.arange(-self.prediction, 0)])

    def recent(self, steps: int) -> Array:
        """The last values of each history, `(n, steps)`, NaN before the start of a shorter one."""
        first = self.panel.bounds[self.rows]
        places = (first + self.ends - self.prediction)[:, None] + np.arange(-steps, 0)
        there = places >= first[:, None]
        return np.where(there, self.panel.values[np.where(there, places, first[:, None])], np.nan)

    def stamps(self, number: int) -> pd.DatetimeIndex | None:
        """Times of the values to forecast, None where they are not known."""
        start = self.panel.starts[self.rows[number]]
        if np.isnat(start):
            return None
        return self.panel.frequency.stamps(start, int(self.ends[number]))[-self.prediction :]
