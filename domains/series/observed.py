"""Series of which something is missing: read with the file's own text, so that what was given can be written again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.domains.series.cells import NOTHING, TIMES, members, place_of
from scorefield.domains.series.tables import (
    LABEL,
    SAMPLE,
    STEP,
    Layout,
    check_header,
    format_of,
    read_arrays,
    read_frame,
)
from scorefield.domains.series.timestamps import later
from scorefield.domains.series.writing import write_table

if TYPE_CHECKING:
    from scorefield.domains.series.answers import Answer, Completions

__all__ = ["READING", "Observed", "insert", "layout_of", "observed"]

Array = NDArray[np.float64]

READING = ("group", "time", "header", "array")
"""Arguments of reading that a user may give; by default those with which the run's own data were read."""


@dataclass(frozen=True)
class Observed:
    """Series one after the other.

    Args:
        values: `(rows, D)` in the run's order of columns, NaN where something is missing.
        columns: names of the D features.
        bounds: series k holds the rows `bounds[k]` to `bounds[k + 1]`, int64 `(series + 1,)`.
        names: what the file calls each series.
        group: the column of these names, where there is one.
        times: the text of the time column, by row, and its name.
        frame: the table as it was read, text where the file is text, and the number of its row for each row here.
        file: where it came from.
    """

    values: Array
    columns: tuple[str, ...]
    bounds: NDArray[np.int64]
    names: tuple[str, ...]
    group: str | None = None
    times: tuple[str, NDArray[Any]] | None = None
    frame: tuple[pd.DataFrame, NDArray[np.int64]] | None = None
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def series(self, number: int) -> Array:
        """The rows of one series."""
        return self.values[self.bounds[number] : self.bounds[number + 1]]

    def place(self, number: int) -> str | None:
        """How messages call a series; nothing where there is only one."""
        return f"series {self.names[number]}" if len(self) > 1 else None

    def digest(self) -> str:
        """SHA-256 of everything that results and their file depend on."""
        hashed = hashlib.sha256(repr((self.columns, self.bounds.tolist(), self.names, self.group)).encode())
        hashed.update(np.ascontiguousarray(self.values).tobytes())
        if self.frame is not None:
            frame, order = self.frame
            hashed.update(order.tobytes() + repr(list(frame.columns)).encode())
            hashed.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
        return hashed.hexdigest()

    def keys(self, answer: Answer) -> dict[str, Any]:
        """See `SeriesFile.keys`: `series` where there are several, `step`, the time, `column`."""
        rows, features = np.nonzero(answer.holes)
        values: dict[str, Any] = {}
        if len(self) > 1 or self.group is not None:
            values[self.group or "series"] = [self.names[answer.number]] * len(rows)
        values["step"] = rows
        if self.times is not None and self.times[0] != STEP:
            name, times = self.times
            own = times[self.bounds[answer.number] : self.bounds[answer.number + 1]]
            stamps = later(own.tolist(), len(answer.x))
            values[name] = [stamps[row] for row in rows]
        values["column"] = np.array(self.columns, dtype=object)[features]
        return values

    def axis(self, answer: Answer) -> NDArray[Any]:
        """See `SeriesFile.axis`: numbers of the rows."""
        return np.arange(len(answer.x))

    def title(self, answer: Answer, column: int) -> str:
        """See `SeriesFile.title`."""
        return self.columns[column] + (f", series {self.names[answer.number]}" if len(self) > 1 else "")

    def check_filled(self, path: Path) -> None:
        """See `SeriesFile.check_filled`."""
        if format_of(path) != ".npz" and self.frame is None:
            raise InputError("arrays have no table to fill", file=path, mend="write .npz")

    def write_filled(self, found: Completions, fill: str, path: Path) -> None:
        """See `SeriesFile.write_filled`."""
        assert self.frame is not None  # `check_filled` has refused arrays
        frame, order = self.frame[0].copy(), self.frame[1]
        for answer in found:
            own = order[self.bounds[answer.number] : self.bounds[answer.number + 1]]
            values = answer.summary(fill)
            for d, name in enumerate(found.columns):
                rows = np.flatnonzero(answer.holes[:, d])
                insert(frame, name, own[rows], values[rows, d])
        write_table(frame, path)


def insert(frame: pd.DataFrame, column: str, rows: NDArray[np.int64], numbers: Array) -> None:
    """Put numbers into cells of a table, as text where the column is text."""
    if not len(rows):
        return
    if frame[column].dtype == object or isinstance(frame[column].dtype, pd.StringDtype):
        frame.iloc[rows, frame.columns.get_loc(column)] = [repr(float(v)) for v in numbers]
    else:
        frame[column] = frame[column].astype(np.float64)
        frame.iloc[rows, frame.columns.get_loc(column)] = numbers


def layout_of(reading: Mapping[str, Any], trained: Mapping[str, Any]) -> Layout:
    """How to read a file, as the user says, else as the run's data were read.

    Raises:
        InputError: an unknown argument, or `header` that is neither true nor false.
    """
    for name in reading:
        if name not in READING:
            raise unknown("argument of --read", name, READING)
    known = {name: trained[name] for name in READING if trained.get(name) is not None}
    chosen: dict[str, Any] = {**known, **reading}
    header = str(chosen.get("header", True)).lower()
    if header not in ("true", "false"):
        raise InputError(f"header={chosen['header']}", mend="write header=true or header=false")
    return Layout(**{**chosen, "header": header == "true"})


def observed(data: Any, columns: Sequence[str], layout: Layout, asked: Mapping[str, Any]) -> Observed:
    """Series to complete.

    Args:
        data: a file, a data frame, or an array `[T, D]` or `[n, T, D]`.
        columns: the run's features; other columns of a table are passed over.
        layout: how to read it; a column that it names is needed only if `asked` names it as well.
        asked: what the user said of reading.

    Raises:
        InputError: a missing or malformed file, columns that lack, a cell that is neither a finite number nor empty.
    """
    if isinstance(data, pd.DataFrame):
        return _of_frame(data.copy(), columns, layout, asked, None, ".parquet")
    if not isinstance(data, str | Path):
        return _of_arrays({"x": np.asarray(data, dtype=np.float64)}, columns, layout, None)
    path = Path(data)
    if path.is_dir():
        raise InputError("is a folder", file=path, mend="give one file")
    kind = format_of(path)
    if not path.is_file():
        raise InputError("there is no such file", file=path)
    if kind == ".npz":
        return _of_arrays(read_arrays(path), columns, layout, path)
    frame = read_frame(path, kind, layout)
    check_header(frame, path, kind, layout.header)
    return _of_frame(frame, columns, layout, asked, path, kind)


def _of_arrays(
    arrays: Mapping[str, NDArray[Any]], columns: Sequence[str], layout: Layout, path: Path | None
) -> Observed:
    fitting = [n for n, a in arrays.items() if a.ndim in (2, 3) and a.dtype.kind in "biuf" and a.size]
    name = layout.array or ("x" if "x" in fitting else fitting[0] if len(fitting) == 1 else "x")
    if name not in fitting:
        raise InputError(f"holds no numbers [series, steps, features] as {name!r}", file=path, mend="name the array x")
    series = arrays[name].astype(np.float64).reshape(-1, *arrays[name].shape[-2:])
    stored = [str(c) for c in arrays["columns"].tolist()] if "columns" in arrays else list(columns)
    if len(stored) == series.shape[2]:
        _check_columns(stored, columns, path)
        series = series[:, :, [stored.index(c) for c in columns]]
    if series.shape[2] != len(columns):
        what = f"{series.shape[2]} features"
        raise InputError(what, file=path, place=name, mend=f"the run has {len(columns)}: {', '.join(columns)}")
    if np.isinf(series).any():
        number, row, column = np.argwhere(np.isinf(series))[0]
        place = f"{name}, series {number}, row {row + 1}, {columns[column]!r}"
        raise InputError("infinity is no finite number", file=path, place=place, mend="write NaN for what is missing")
    number, rows, _ = series.shape
    bounds = np.arange(number + 1, dtype=np.int64) * rows
    names = tuple(map(str, range(number)))
    return Observed(series.reshape(-1, len(columns)), tuple(columns), bounds, names, file=path)


def _check_columns(there: Sequence[str], columns: Sequence[str], path: Path | None) -> None:
    for name in columns:
        if name not in there:
            what = f"the run has a column {name!r}, which is missing"
            raise InputError(what, file=path, mend=f"the columns here are {', '.join(there)}")


def _of_frame(
    frame: pd.DataFrame, columns: Sequence[str], layout: Layout, asked: Mapping[str, Any], path: Path | None, kind: str
) -> Observed:
    if not len(frame):
        raise InputError("holds no row", file=path)
    there = [str(name) for name in frame.columns]
    if not layout.header and len(there) == len(columns):
        frame.columns = there = list(columns)
    _check_columns(there, columns, path)
    group, time = (_named(name, getattr(layout, name), there, asked, path) for name in ("group", "time"))
    if group is None and {SAMPLE, STEP} <= set(there):
        group = SAMPLE
    if time is None:
        free = [name for name in there if name not in columns and name not in (group, LABEL)]
        time = next((name for name in free if name.lower() in TIMES), STEP if STEP in free else None)
    values = np.stack([_cells(frame[name], name, path, kind) for name in columns], 1)
    one: tuple[NDArray[np.int64], tuple[str, ...]] = np.zeros(len(frame), dtype=np.int64), ("",)
    codes, names = one if group is None else members(frame[group], group, path, kind)
    order = np.argsort(codes, kind="stable")
    if time == STEP:
        order = np.lexsort((_cells(frame[STEP], STEP, path, kind), codes))
    bounds = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(names)))]).astype(np.int64)
    times = None if time is None else (time, frame[time].to_numpy()[order])
    return Observed(
        values[order], tuple(columns), bounds, names, group, times, (frame, order.astype(np.int64)), path
    )  # fmt: skip


def _named(
    what: str, name: str | None, there: Sequence[str], asked: Mapping[str, Any], path: Path | None
) -> str | None:
    if name is not None and name not in there:
        if what in asked:
            raise unknown("column", name, there, file=path)
        return None
    return name


def _cells(cells: pd.Series, name: str, path: Path | None, kind: str) -> Array:
    """Numbers, NaN where a cell is empty or says that nothing is known."""
    content = cells.to_numpy(dtype=object, na_value=np.nan)
    values = np.empty(len(content))
    for row, cell in enumerate(content):
        try:
            values[row] = float(cell)
        except (TypeError, ValueError):
            values[row] = np.nan if cell is None or str(cell).strip().lower() in NOTHING else np.inf
    wrong = np.flatnonzero(np.isinf(values))
    if len(wrong):
        cell, place = content[wrong[0]], place_of(int(wrong[0]), name, kind)
        raise InputError(f"{str(cell)!r} is not a finite number", file=path, place=place, mend="empty such cells")
    return values
