"""How often a series is observed: pandas' aliases, old and new, the season that goes with them, and the lags.

Seasons are those that forecasters are judged by (M4 and the evaluator of GluonTS): 24 for hours, 5 for business days,
1 for days. Lags are those of TSDiff (Kollovieh et al. 2023, arXiv 2307.11494).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.names import unknown

__all__ = ["Frequency", "inferred"]

_ALIAS = re.compile(r"(\d*)([A-Za-z]+)(?:-([A-Za-z]{3}))?")
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NAMES = {
    "s": ("s", "S"),
    "min": ("min", "T"),
    "h": ("h", "H"),
    "D": ("D", "d"),
    "B": ("B", "b"),
    "W": ("W", "w"),
    "ME": ("ME", "M"),
    "MS": ("MS",),
    "QE": ("QE", "Q"),
    "QS": ("QS",),
    "YE": ("YE", "Y", "A"),
    "YS": ("YS", "AS"),
}
_UNITS = {name: unit for unit, names in _NAMES.items() for name in names}
_SEASONS = {"s": 3600, "min": 1440, "h": 24, "B": 5, "ME": 12, "MS": 12, "QE": 4, "QS": 4}
_SECONDS = (("W", 604800), ("D", 86400), ("h", 3600), ("min", 60), ("s", 1))
_COUNTED = {
    **{unit: ("seconds", size) for unit, size in _SECONDS},
    "B": ("business days", 1), "ME": ("month ends", 1), "QE": ("month ends", 3), "YE": ("month ends", 12),
    "MS": ("month starts", 1), "QS": ("month starts", 3), "YS": ("month starts", 12),
}  # fmt: skip
"""By unit: what goes by from one value to the next, and how many of them."""
_HOURLY = tuple(24 * days for days in (1, 2, 3, 4, 5, 6, 7, 14, 21, 28))
_DAILY = tuple(30 * months for months in range(1, 13))
_LAGS = {"h": _HOURLY, "D": _DAILY, "B": _DAILY}
_USUAL = {
    "W": (_DAYS, 6, 7), "QE": (_MONTHS, 2, 3), "QS": (_MONTHS, 0, 3), "YE": (_MONTHS, 11, 12), "YS": (_MONTHS, 0, 12),
}  # fmt: skip
"""By unit: anchors, which of them is meant where none is named, and after how many the times are the same again."""
_OFFSETS: dict[str, Callable[[int, str | None], Any]] = {
    "s": lambda n, at: pd.offsets.Second(n),
    "min": lambda n, at: pd.offsets.Minute(n),
    "h": lambda n, at: pd.offsets.Hour(n),
    "D": lambda n, at: pd.offsets.Day(n),
    "B": lambda n, at: pd.offsets.BusinessDay(n),
    "W": lambda n, at: pd.offsets.Week(n, weekday=_DAYS.index(at or "SUN")),
    "ME": lambda n, at: pd.offsets.MonthEnd(n),
    "MS": lambda n, at: pd.offsets.MonthBegin(n),
    "QE": lambda n, at: pd.offsets.QuarterEnd(n, startingMonth=_MONTHS.index(at or "DEC") + 1),
    "QS": lambda n, at: pd.offsets.QuarterBegin(n, startingMonth=_MONTHS.index(at or "JAN") + 1),
    "YE": lambda n, at: pd.offsets.YearEnd(n, month=_MONTHS.index(at or "DEC") + 1),
    "YS": lambda n, at: pd.offsets.YearBegin(n, month=_MONTHS.index(at or "JAN") + 1),
}


@dataclass(frozen=True)
class Frequency:
    """A step of time; what lasts as long as some days, hours or minutes is counted in these (`60min` is `h`).

    Args:
        unit: in pandas' present spelling: `s`, `min`, `h`, `D`, `B`, `W`, `ME`, `MS`, `QE`, `QS`, `YE`, `YS`.
        multiple: so many units.
        anchor: the day on which weeks end, the month in which quarters or years do.
    """

    unit: str
    multiple: int = 1
    anchor: str | None = None

    @classmethod
    def parse(cls, alias: str, file: object = None) -> Self:
        """From an alias of any version of pandas: `H` and `h`, `1D`, `15T` and `15min`, `W-SUN`, `M` and `ME`.

        Raises:
            InputError: it is none.
        """
        match = _ALIAS.fullmatch(alias.strip())
        if match is None or match[2] not in _UNITS or int(match[1] or 1) == 0:
            raise unknown("frequency", alias, list(_NAMES), file=None if file is None else str(file))
        unit, anchor = _UNITS[match[2]], None if match[3] is None else match[3].upper()
        known: tuple[str, ...] = {"W": _DAYS, "Q": _MONTHS, "Y": _MONTHS}.get(unit[0], ())
        if anchor is not None and anchor not in known:
            raise InputError(f"frequency {alias!r} ends with an unknown anchor", mend="write it as W-SUN or QE-DEC")
        return cls(unit, int(match[1] or 1), anchor)

    def __post_init__(self) -> None:
        """One name for what makes the same times from wherever it starts.

        Seconds, minutes and hours are counted in the largest unit, days at most: a week has a day on which it ends.
        An anchor that makes the same times as none is left out, so that `W` is `W-SUN` and `QE-MAR` is `QE-DEC`.
        """
        if self.unit in ("s", "min", "h"):
            unit, multiple = _largest(self.multiple * dict(_SECONDS)[self.unit], ("D", "h", "min", "s"))
            object.__setattr__(self, "unit", unit)
            object.__setattr__(self, "multiple", multiple)
        if self.anchor is None or self.unit not in _USUAL:
            return
        names, usual, apart = _USUAL[self.unit]
        place = names.index(self.anchor) % apart
        object.__setattr__(self, "anchor", None if place == usual else names[place])

    def __str__(self) -> str:
        number = "" if self.multiple == 1 else str(self.multiple)
        return f"{number}{self.unit}" + (f"-{self.anchor}" if self.anchor else "")

    @property
    def offset(self) -> Any:
        """The step as pandas adds it to a time, whatever its version calls it."""
        return _OFFSETS[self.unit](self.multiple, self.anchor)

    @property
    def step(self) -> tuple[str, int]:
        """What goes by from one value to the next, wherever it starts: so many seconds, business days, months."""
        counted, number = _COUNTED[self.unit]
        return counted, number * self.multiple

    def agrees(self, other: Frequency, starts: NDArray[np.datetime64]) -> bool:
        """Whether both make the same times from each of these first ones; where none is known, steps of a length.

        So `7D` agrees with `W-MON` for series that start on Mondays, `3ME` with `QE` for those that start in March.
        """
        if self == other or self.step != other.step:
            return self == other
        known = np.unique(starts[~np.isnat(starts)])
        return all(self.stamps(start, 1).equals(other.stamps(start, 1)) for start in known)

    @property
    def season(self) -> int:
        """Steps of a season; 1 where there is none, or it is no whole number of steps."""
        season = _SEASONS.get(self.unit, 1)
        return season // self.multiple if season % self.multiple == 0 else 1

    def lags(self) -> tuple[int, ...]:
        """The lags that TSDiff looks back by.

        Raises:
            InputError: none are published for this frequency.
        """
        if self.multiple != 1 or self.unit not in _LAGS:
            what = f"no lags are known for the frequency {self}"
            raise InputError(what, mend="give them with --data.lags='[7,14]', or none with --data.lags=none")
        return _LAGS[self.unit]

    def stamps(self, start: Any, periods: int) -> pd.DatetimeIndex:
        """The times of so many steps from a first one on."""
        return pd.date_range(start, periods=periods, freq=self.offset)


def _largest(seconds: int, units: tuple[str, ...]) -> tuple[str, int]:
    """The first unit of which this is a whole number, and that number."""
    return next((unit, seconds // size) for unit, size in _SECONDS if unit in units and seconds % size == 0)


def inferred(times: pd.DatetimeIndex) -> Frequency | None:
    """The frequency of some times, None where they follow each other at none."""
    steps = np.diff(times.to_numpy()).astype("timedelta64[s]").astype(np.int64)
    if not len(steps) or steps.min() <= 0:
        return None
    if steps.min() == steps.max():
        unit, multiple = _largest(int(steps[0]), tuple(dict(_SECONDS)))
        return Frequency(unit, multiple, _DAYS[times[0].day_of_week] if unit == "W" else None)
    anchors = {"Q": _MONTHS, "Y": _MONTHS}
    for unit in ("B", "MS", "ME", "QS", "QE", "YS", "YE"):
        for anchor in anchors.get(unit[0], (None,)):
            found = Frequency(unit, 1, anchor)
            if len(times) > 2 and found.stamps(times[0], len(times)).equals(times):
                return found
    return None
