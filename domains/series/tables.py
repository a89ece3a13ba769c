"""Series as they stand in files: rows of numbers, cut into separate series.

`.csv`, `.tsv` (each also with `.gz` behind it) and `.parquet` hold columns; `.npz` an array `[n, L, D]` of n series, or
`[L, D]` of one; a folder holds a file for each series. A table is wide, one long series, or long: several series, told
apart by a column (`sample`, with `step` for the order, in the files of this project). Series may have classes. In one
long series the label may change with time, as regimes do: each stretch of one label is then a series of its own.
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.files import check_format
from scorefield.core.names import unknown
from scorefield.domains.series.cells import date_column, is_number, labels_of, members, numbers_of, place_of

__all__ = [
    "LABEL", "SAMPLE", "STEP", "SUFFIXES", "Layout", "SeriesTable", "check_header", "format_of",
    "place_of", "read_arrays", "read_frame", "read_table", "suffix",
]  # fmt: skip

SAMPLE, STEP, LABEL = "sample", "step", "label"
"""Columns of tables that are no features."""
_TARGETS = "y"
_LABELS = (LABEL, "labels", _TARGETS)
SUFFIXES = (".npz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
"""Known formats."""


@dataclass(frozen=True)
class Layout:
    """How to read a file.

    Args:
        group: the column that tells series apart; by default `sample`, where `step` is there too.
        label: the column, or the array of an `.npz`, with the class of each series; by default `label`, in an `.npz`
            else `labels` or `y`.
        time: a column with dates or times; rows are taken as they stand, and it is left out. By default one of a usual
            name (`date`, `time`, ...) that holds dates; one that holds numbers is a feature.
        columns: the features, in this order; by default all other columns.
        header: False where the first line holds numbers already; features are then named x0, x1, ...
        array: the array of an `.npz`; by default `x`, or the only one of two or three axes.
    """

    group: str | None = None
    label: str | None = None
    time: str | None = None
    columns: tuple[str, ...] | None = None
    header: bool = True
    array: str | None = None


@dataclass(frozen=True)
class SeriesTable:
    """Series one after the other.

    Args:
        values: finite numbers, `(rows, D)`.
        columns: names of the D features.
        bounds: series k holds the rows `bounds[k]` to `bounds[k + 1]`, int64 `(series + 1,)`.
        names: what the file calls each series.
        labels: class of each series, or None.
        time: the column of times that was left out, if any.
    """

    values: NDArray[np.float64]
    columns: tuple[str, ...]
    bounds: NDArray[np.int64]
    names: tuple[str, ...] = ("",)
    labels: tuple[str, ...] | None = None
    time: str | None = None

    @classmethod
    def of(
        cls, series: NDArray[np.float64], columns: tuple[str, ...] | None = None, labels: tuple[str, ...] | None = None
    ) -> Self:
        """Series `[n, L, D]`; columns are x0, x1, ... where they have no names."""
        number, length, features = series.shape
        names = ("",) if number == 1 else tuple(map(str, range(number)))
        bounds = np.arange(number + 1, dtype=np.int64) * length
        columns = columns or tuple(f"x{d}" for d in range(features))
        return cls(series.reshape(-1, features), columns, bounds, names, labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each series, `(series,)`."""
        return np.diff(self.bounds)

    def labels_at(self, rows: NDArray[np.int64]) -> NDArray[np.str_]:
        """The class of the series that each row belongs to; there must be labels."""
        owners = np.searchsorted(self.bounds, rows, side="right") - 1
        return np.array(self.labels, dtype=np.str_)[owners]


def suffix(path: Path) -> str:
    """The suffix in lower case, with that before `.gz`."""
    parts = [part.lower() for part in path.suffixes[-2:]]
    return "".join(parts) if parts[-1:] == [".gz"] else "".join(parts[-1:])


def format_of(path: Path) -> str:
    """The suffix, if it is that of a format of series.

    Raises:
        InputError: it is not.
    """
    kind = suffix(path)
    check_format(kind, SUFFIXES, "series", path)
    return kind


def read_table(path: str | Path, layout: Layout | None = None) -> SeriesTable:
    """Read a file, or a folder of files with one series each.

    Raises:
        InputError: a missing, empty or malformed file, an unknown suffix or column, or a cell that is no finite number;
            it names file, row and column.
    """
    path, layout = Path(path), Layout() if layout is None else layout
    if path.is_dir():
        return _read_folder(path, layout)
    kind = format_of(path)
    if not path.is_file():
        raise InputError("there is no such file", file=path)
    return _read_arrays(path, layout) if kind == ".npz" else _read_frame(path, kind, layout)


def _read_folder(folder: Path, layout: Layout) -> SeriesTable:
    """One series after the other, in the order of the files' names."""
    files = sorted(file for file in folder.iterdir() if suffix(file) in SUFFIXES and not file.name.startswith("."))
    if not files:
        raise InputError("holds no file of series", file=folder, mend=f"known are {' '.join(SUFFIXES)}")
    tables = [read_table(file, layout) for file in files]
    first = tables[0]
    for file, table in zip(files, tables, strict=True):
        if set(table.columns) != set(first.columns):
            strange = sorted(set(table.columns) ^ set(first.columns))[0]
            here = "is only here" if strange in table.columns else "is missing"
            raise InputError(f"{here}, unlike in {files[0].name}", file=file, place=f"column {strange!r}")
    values = [table.values[:, [table.columns.index(name) for name in first.columns]] for table in tables]
    lengths = np.concatenate([table.lengths for table in tables])
    names = [f"{file.name} {name}".rstrip() for file, table in zip(files, tables, strict=True) for name in table.names]
    labels = [label for table in tables for label in table.labels or ()]
    return SeriesTable(
        np.concatenate(values), first.columns, _bounds(lengths), tuple(names),
        tuple(labels) if len(labels) == len(names) else None, first.time,
    )  # fmt: skip


def _bounds(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _read_frame(path: Path, kind: str, layout: Layout) -> SeriesTable:
    frame = read_frame(path, kind, layout)
    if not len(frame):
        raise InputError("holds no row", file=path)
    check_header(frame, path, kind, layout.header)
    long = {SAMPLE, STEP} <= set(frame.columns)
    group = layout.group or (SAMPLE if long else None)
    features = layout.columns or ()
    label = layout.label or (LABEL if LABEL in frame.columns and LABEL not in features else None)
    for name in (group, label, layout.time, *features):
        if name is not None and name not in frame.columns:
            raise unknown("column", name, list(frame.columns), file=path)
    time = layout.time or date_column(frame, {group, label, *features})
    apart = {group, label, time, STEP if long else None}
    columns = layout.columns or tuple(name for name in frame.columns if name not in apart)
    if not columns:
        raise InputError("holds no column of numbers", file=path)
    values = np.stack([numbers_of(frame[name], name, path, kind) for name in columns], 1)
    if group is None:
        if label is not None:
            return replace(_stretches(values, columns, labels_of(frame[label], label, path, kind)), time=time)
        return SeriesTable(values, columns, _bounds([len(values)]), time=time)
    return replace(_grouped(values, columns, frame, group, label, path, kind), time=time)


def read_frame(path: Path, kind: str, layout: Layout) -> pd.DataFrame:
    """A table as it stands in its file; cells of text formats are text.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if kind == ".parquet":
            return pd.read_parquet(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # else cells beyond the header are dropped
            # As text: pandas would guess types, lose the place of a bad cell, and in some versions the last digit.
            frame = pd.read_csv(
                path, sep="\t" if ".tsv" in kind else ",", header=0 if layout.header else None,
                dtype=str, keep_default_na=False, skipinitialspace=True, index_col=False, encoding="utf-8-sig",
            )  # fmt: skip
    except pd.errors.EmptyDataError:
        raise InputError("is empty", file=path) from None
    except pd.errors.ParserWarning:
        what = "rows hold more cells than the header"
        raise InputError(what, file=path, place="row 1", mend="name every column") from None
    except (OSError, ValueError, EOFError, zlib.error) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"cannot be read ({reason})", file=path) from error
    if not layout.header:
        frame.columns = [f"x{i}" for i in range(frame.shape[1])]
    return frame


def check_header(frame: pd.DataFrame, path: Path, kind: str, header: bool) -> None:
    """Refuse a table whose columns cannot be told apart; names become text.

    Raises:
        InputError: a missing header, or a name that comes twice or is empty.
    """
    names = [str(name) for name in frame.columns]
    frame.columns = names
    if kind != ".parquet" and header and all(map(is_number, names)):
        what = "the first line holds only numbers, the header is missing"
        raise InputError(what, file=path, place="row 1", mend="add the columns' names, or give --data.header=false")
    twice = [name for i, name in enumerate(names) if name in names[:i] or not name]
    if twice:
        what = "two columns have this name" if twice[0] else "a column has no name"
        raise InputError(what, file=path, place=f"column {twice[0]!r}")


def _stretches(values: NDArray[np.float64], columns: tuple[str, ...], texts: NDArray[Any]) -> SeriesTable:
    """One long series, cut where its label changes."""
    first = np.concatenate([[0], np.flatnonzero(texts[1:] != texts[:-1]) + 1])
    bounds = np.append(first, len(texts)).astype(np.int64)
    names = tuple(f"rows {start + 1} to {end}" for start, end in pairwise(bounds.tolist()))
    return SeriesTable(values, columns, bounds, names, tuple(texts[first].tolist()))


def _grouped(
    values: NDArray[np.float64],
    columns: tuple[str, ...],
    frame: pd.DataFrame,
    group: str,
    label: str | None,
    path: Path,
    kind: str,
) -> SeriesTable:
    """Rows sorted by the first appearance of their series; `step`, where there is one, must count up within."""
    codes, names = members(frame[group], group, path, kind)
    order = np.argsort(codes, kind="stable")
    if STEP in frame.columns and STEP not in columns:
        steps = numbers_of(frame[STEP], STEP, path, kind)
        order = np.lexsort((steps, codes))
        again = np.flatnonzero((np.diff(steps[order]) == 0) & (np.diff(codes[order]) == 0))
        if len(again):
            row = int(order[again[0] + 1])
            raise InputError("this step comes twice in its series", file=path, place=place_of(row, STEP, kind))
    bounds = _bounds(np.bincount(codes, minlength=len(names)))
    labels = None
    if label is not None:
        texts = labels_of(frame[label], label, path, kind)[order]
        labels = tuple(texts[bounds[:-1]])
        mixed = np.flatnonzero(texts != np.repeat(labels, np.diff(bounds)))
        if len(mixed):
            place = place_of(int(order[mixed[0]]), label, kind)
            raise InputError("a series has two labels", file=path, place=place)
    return SeriesTable(values[order], columns, bounds, names, labels)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an archive, by name.

    Raises:
        InputError: it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored}
    except (OSError, ValueError, EOFError, TypeError, KeyError, zipfile.BadZipFile) as error:
        what = f"is no archive of plain arrays ({type(error).__name__})"
        raise InputError(what, file=path) from error


def _read_arrays(path: Path, layout: Layout) -> SeriesTable:
    arrays = read_arrays(path)
    name = _chosen(arrays, layout.array, path)
    value = arrays[name]
    if value.ndim not in (2, 3) or value.dtype.kind not in "biuf" or not value.size:
        what = f"{value.dtype} of shape {value.shape}"
        raise InputError(what, file=path, place=name, mend="give numbers [series, steps, features]")
    series = value.astype(np.float64).reshape(-1, *value.shape[-2:])
    columns = _columns(arrays, layout, series.shape[2], path)
    lengths = _stripped(series)
    for number, (steps, length) in enumerate(zip(series, lengths, strict=True)):
        wrong = np.argwhere(~np.isfinite(steps[:length]))
        if len(wrong):
            row, column = wrong[0]
            place = f"{name}, series {number}, row {row + 1}, {columns[column]!r}"
            raise InputError(f"{steps[row, column]} is not a finite number", file=path, place=place)
    labels = _labels(arrays, layout.label, len(series), path)
    kept = np.arange(series.shape[1]) < lengths[:, None]
    names = ("",) if len(series) == 1 else tuple(map(str, range(len(series))))
    return SeriesTable(series[kept], columns, _bounds(lengths), names, labels)


def _labels(arrays: dict[str, NDArray[Any]], wanted: str | None, number: int, path: Path) -> tuple[str, ...] | None:
    """The class of each series as text; whole numbers as such, whatever type they are stored in."""
    name = wanted or next((name for name in _LABELS if name in arrays), None)
    if name is None:
        return None
    if name not in arrays:
        raise unknown("array", name, arrays, file=path)
    labels = arrays[name]
    whole = labels.dtype.kind != "f" or bool((labels == labels.round()).all())
    if name == _TARGETS and wanted is None and (labels.shape != (number,) or not whole):
        return None  # as y, files hold what is to be predicted too
    if labels.shape != (number,) or not whole:
        what = "holds numbers that are not whole" if not whole else f"has shape {labels.shape} for {number} series"
        raise InputError(what, file=path, place=name, mend="give a class for each series, or call the array otherwise")
    if labels.dtype.kind == "f":
        labels = labels.astype(np.int64)
    return tuple(labels.astype(np.str_).tolist())


def _stripped(series: NDArray[np.float64]) -> NDArray[np.int64]:
    """Steps of each series without rows of NaN at its end, with which tslearn fills shorter ones up."""
    there: NDArray[np.bool_] = np.asarray(~np.isnan(series).all(2))
    last = there.shape[1] - np.argmax(there[:, ::-1], axis=1)
    return np.asarray(np.where(there.any(1), last, there.shape[1]), dtype=np.int64)


def _chosen(arrays: dict[str, NDArray[Any]], wanted: str | None, path: Path) -> str:
    if wanted is not None:
        if wanted not in arrays:
            raise unknown("array", wanted, arrays, file=path)
        return wanted
    fitting = [n for n, a in arrays.items() if a.ndim in (2, 3) and a.dtype.kind in "biuf"]
    if "x" in arrays or len(fitting) == 1:
        return "x" if "x" in arrays else fitting[0]
    what = f"could be any of {', '.join(fitting)}" if fitting else "holds no array of series"
    raise InputError(what, file=path, mend="name it with --data.array, or call it x")


def _columns(arrays: dict[str, NDArray[Any]], layout: Layout, features: int, path: Path) -> tuple[str, ...]:
    """Names of the features: told, stored, or x0, x1, ..."""
    stored = arrays.get("columns")
    names = layout.columns or (tuple(map(str, stored.tolist())) if stored is not None else None)
    names = tuple(f"x{i}" for i in range(features)) if names is None else names
    if len(names) != features or len(set(names)) != features:
        what = f"{len(set(names))} different names for {features} features"
        raise InputError(what, file=path, place="columns")
    return names
