"""Tables of panels.

Long: a row for each value, with columns for the series (`item_id`), the time (`timestamp`) and the value (`target`);
without times, rows count by `step`, or as they stand.
Wide: no column tells series apart, and each other column is a series. An index with names or times is a column, too.
Times must follow each other at one frequency, local times without a zone; rows of a series may stand in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.domains.series.cells import NOTHING, TIMES, members
from scorefield.domains.series.tables import STEP, Layout, check_header, place_of, read_frame
from scorefield.domains.series.tsdiff.frequency import Frequency, inferred
from scorefield.domains.series.tsdiff.panels import Panel

__all__ = ["PanelLayout", "PanelTable", "read_panel_frame", "read_panel_table", "start_of"]

_ITEMS = ("item_id", "unique_id", "series", "sample")
_TARGETS = ("target", "y", "value")


@dataclass(frozen=True)
class PanelLayout:
    """How to read a file of a panel.

    Args:
        frequency: alias of pandas; by default that of the file, or that of its times.
        item: the column that tells series apart.
        time: the column of times.
        target: the column, or the key of JSON lines, with the values.
        option: what stands before these names where a user gives them.
    """

    frequency: str | None = None
    item: str | None = None
    time: str | None = None
    target: str | None = None
    option: str = "--data."


@dataclass(frozen=True)
class PanelTable:
    """The series of a table, and where their values stand in it.

    Attributes:
        panel: the series.
        frame: the table as it was read, text where the file is text.
        rows: of every value of the panel, its row in the table, int64 `(rows,)`.
        columns: of every series, its column.
    """

    panel: Panel
    frame: pd.DataFrame
    rows: NDArray[np.int64]
    columns: tuple[str, ...]


def start_of(value: Any, path: Path, place: str) -> pd.Timestamp:
    """A time without a zone.

    Raises:
        InputError: it is none, or has a zone.
    """
    try:
        time = pd.Timestamp(str(value) if isinstance(value, int | float) else value)  # a number is a year at most
    except (ValueError, TypeError):
        raise InputError(f"{str(value)!r} is no time", file=path, place=place, mend="write 2024-01-31 13:00") from None
    if time is pd.NaT:
        raise InputError("the time is empty", file=path, place=place)
    if time.tz is not None:
        raise InputError(f"{str(value)!r} has a time zone", file=path, place=place, mend="write local times without")
    return time


def read_panel_table(path: Path, kind: str, layout: PanelLayout) -> PanelTable:
    """The series of a file.

    Raises:
        InputError: as `read_panel_frame` raises, or the file cannot be read.
    """
    return read_panel_frame(read_frame(path, kind, Layout()), path, kind, layout)


def read_panel_frame(frame: pd.DataFrame, path: Path, kind: str, layout: PanelLayout) -> PanelTable:
    """The series of a table.

    Args:
        frame: the table; its columns' names become text.
        path: what messages call it.
        kind: the suffix of the format, which tells how lines count.
        layout: how to read it.

    Raises:
        InputError: a column that lacks, a cell that is neither a finite number nor empty, times that are none, have a
            zone, come twice or leave gaps, or a frequency that cannot be told.
    """
    if not len(frame):
        raise InputError("holds no row", file=path)
    frame = _without_index(frame, layout)
    check_header(frame, path, kind, True)
    columns = list(frame.columns)
    item = _column("item", layout.item, _ITEMS, columns, path, layout)
    time = _column("time", layout.time, TIMES, columns, path, layout)
    if item is None:
        return _wide(frame, time, path, kind, layout)
    rest = [name for name in columns if name not in (item, time, STEP)]
    target = _column("target", layout.target, _TARGETS, rest, path, layout) or (rest[0] if len(rest) == 1 else None)
    if target is None:
        what = "no column is called target"
        mend = f"give {layout.option}target, one of {', '.join(rest) or 'none'}"
        raise InputError(what, file=path, mend=mend)
    codes, names = members(frame[item], item, path, kind)
    values = _numbers(frame[target], target, path, kind)
    times = None if time is None else _times(frame[time], time, path, kind, layout)
    if times is None:
        steps = _numbers(frame[STEP], STEP, path, kind) if STEP in columns else np.arange(len(frame))
        order = np.lexsort((steps, codes))
    else:
        order = np.lexsort((times.to_numpy(), codes))
    cuts = np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]
    panel = _panel(values, np.split(order, cuts), names, times, path, layout)
    return PanelTable(panel, frame, order.astype(np.int64), (target,) * len(names))


def _without_index(frame: pd.DataFrame, layout: PanelLayout) -> pd.DataFrame:
    """With times and names of series that stand in the index as columns."""
    if isinstance(frame.index, pd.DatetimeIndex) and frame.index.name is None:
        frame = frame.rename_axis(layout.time or "timestamp")
    usual = (*_ITEMS, *TIMES, STEP, layout.item, layout.time)
    found = [n for n in frame.index.names if n is not None and (n in usual or str(n).lower() in usual)]
    return frame.reset_index(level=[name for name in found if name not in frame.columns])


def _column(
    what: str, wanted: str | None, usual: Sequence[str], columns: Sequence[str], path: Path, layout: PanelLayout
) -> str | None:
    if wanted is None:
        return next((name for name in columns if name.lower() in usual), None)
    if wanted not in columns:
        raise unknown(f"column as {layout.option}{what}", wanted, columns, file=str(path))
    return wanted


def _wide(frame: pd.DataFrame, time: str | None, path: Path, kind: str, layout: PanelLayout) -> PanelTable:
    """Each column a series; rows must stand in the order of their times."""
    names = [name for name in frame.columns if name not in (time, STEP)]
    if layout.target is not None:
        names = [name for name in names if name == _column("target", layout.target, (), names, path, layout)]
    if not names:
        raise InputError("holds no column of numbers", file=path)
    times = None if time is None else _times(frame[time], time, path, kind, layout)
    steps = _numbers(frame[STEP], STEP, path, kind) if STEP in frame.columns else np.arange(len(frame))
    order = np.argsort(steps if times is None else times.to_numpy(), kind="stable")
    values = np.concatenate([_numbers(frame[name], name, path, kind) for name in names])
    every = None if times is None else times.append([times] * (len(names) - 1))
    rows = [order + k * len(frame) for k in range(len(names))]
    panel = _panel(values, rows, names, every, path, layout)
    return PanelTable(panel, frame, np.tile(order, len(names)).astype(np.int64), tuple(names))


def _panel(
    values: NDArray[np.float64],
    rows: Sequence[NDArray[np.intp]],
    names: Sequence[str],
    times: pd.DatetimeIndex | None,
    path: Path,
    layout: PanelLayout,
) -> Panel:
    """Series of ordered rows, with times that follow each other."""
    series = [values[part] for part in rows]
    frequency = None if layout.frequency is None else Frequency.parse(layout.frequency, path)
    if times is None:
        if frequency is None:
            mend = f"name the column with {layout.option}time, or give {layout.option}frequency=h"
            raise InputError("has no column of times to tell the frequency by", file=path, mend=mend)
        return Panel.of(series, names, [None] * len(names), frequency)
    if frequency is None:
        longest = max(range(len(rows)), key=lambda k: len(rows[k]))
        frequency = inferred(times[rows[longest]])
        if frequency is None:
            place = f"series {names[longest]}"
            mend = f"fill the gaps with empty values, or give {layout.option}frequency=h"
            raise InputError("the times follow each other at no frequency", file=path, place=place, mend=mend)
    for name, part in zip(names, rows, strict=True):
        _check_regular(times[part], frequency, f"series {name}", path)
    return Panel.of(series, names, [times[part[0]] for part in rows], frequency)


def _check_regular(times: pd.DatetimeIndex, frequency: Frequency, place: str, path: Path) -> None:
    wanted = frequency.stamps(times[0], len(times))
    wrong = np.flatnonzero(np.asarray(wanted.to_numpy() != times.to_numpy()))
    if len(wrong):
        k = int(wrong[0])
        twice = k > 0 and times[k] == times[k - 1]
        what = f"{times[k]} comes twice" if twice else f"{times[k]} where the frequency {frequency} has {wanted[k]}"
        mend = "fill gaps with empty values, or resample the series"
        raise InputError(what, file=path, place=place, mend="keep one of them" if twice else mend)


def _times(cells: pd.Series, name: str, path: Path, kind: str, layout: PanelLayout) -> pd.DatetimeIndex:
    if kind != ".parquet" or not pd.api.types.is_datetime64_any_dtype(cells):
        numbers = pd.to_numeric(cells, errors="coerce")
        if not numbers.isna().any():
            what, mend = "holds numbers, no times", f"give another column as {layout.option}time"
            raise InputError(what, file=path, place=f"column {name!r}", mend=mend)
    try:
        parsed = pd.DatetimeIndex(pd.to_datetime(cells, errors="coerce", format="ISO8601"))
        if parsed.hasnans:
            parsed = pd.DatetimeIndex(pd.to_datetime(cells, errors="coerce", format="mixed"))
    except ValueError as error:  # zones that differ between rows
        raise InputError(f"the times cannot be read ({error})", file=path, place=f"column {name!r}") from None
    if parsed.hasnans:
        row = int(np.argmax(parsed.isna()))
        start_of(cells.iloc[row], path, place_of(row, name, kind))
        raise InputError(f"{cells.iloc[row]!r} is no time", file=path, place=place_of(row, name, kind))
    if parsed.tz is not None:
        raise InputError("the times have a time zone", file=path, place=f"column {name!r}", mend="write local times")
    return parsed


def _numbers(cells: pd.Series, name: str, path: Path, kind: str) -> NDArray[np.float64]:
    """Numbers, NaN where a cell is empty or says that nothing is known."""
    if pd.api.types.is_numeric_dtype(cells):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = np.isinf(values)
    else:
        values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        empty = cells.isna().to_numpy() | cells.astype(str).str.strip().str.lower().isin(NOTHING).to_numpy()
        wrong = np.isinf(values) | (np.isnan(values) & ~empty)
    if wrong.any():
        row = int(np.argmax(wrong))
        what = f"{str(cells.iloc[row])!r} is not a finite number"
        raise InputError(what, file=path, place=place_of(row, name, kind), mend="empty cells of what is missing")
    return np.asarray(values)
