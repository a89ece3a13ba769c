"""Cells of tables: numbers, labels, dates and names of series, and where a cell stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.errors import InputError

__all__ = ["NOTHING", "TIMES", "date_column", "is_number", "labels_of", "members", "numbers_of", "place_of"]

TIMES = ("date", "datetime", "time", "timestamp", "ds")
"""Usual names of a column of times, in lower case."""

NOTHING = ("", "nan", "na", "n/a", "null", "none", "?")
"""What cells say, in lower case, of which nothing is known, in files that may have such cells."""


def place_of(row: int, column: str, kind: str) -> str:
    """Where a cell stands: rows count from 1 below the header; the line of a text file is one more."""
    return f"row {row + 1}, column {column!r}" if kind == ".parquet" else f"row {row + 1} (line {row + 2}), {column!r}"


def numbers_of(cells: pd.Series, name: str, path: Path, kind: str) -> NDArray[np.float64]:
    """Numbers, all of which must be finite.

    Raises:
        InputError: a cell holds something else.
    """
    content = cells.to_numpy(dtype=object, na_value=np.nan)
    try:
        values = content.astype(np.float64)
    except (TypeError, ValueError):
        values = np.array([_number(cell) for cell in content])
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        row = int(wrong[0])
        cell = content[row]
        empty = cell is None or (isinstance(cell, float) and np.isnan(cell)) or not str(cell).strip()
        what = "the cell is empty" if empty else f"{str(cell)!r} is not a finite number"
        mend = "fill or remove such rows"
        if len(wrong) == len(values) and not empty:
            mend = f"say what it is: --data.group={name}, --data.label or --data.time (to compare, give the run)"
        raise InputError(what, file=path, place=place_of(row, name, kind), mend=mend)
    return np.asarray(values, dtype=np.float64)


def is_number(cell: Any) -> bool:
    """Whether a cell can be read as a number, NaN apart."""
    return not np.isnan(_number(cell))


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return np.nan


def labels_of(cells: pd.Series, name: str, path: Path | None, kind: str) -> NDArray[Any]:
    """Texts, none of which may be empty.

    Raises:
        InputError: a cell is empty.
    """
    texts = cells.astype(str).str.strip().to_numpy()
    missing = np.flatnonzero(cells.isna().to_numpy() | (texts == ""))
    if len(missing):
        raise InputError("the cell is empty", file=path, place=place_of(int(missing[0]), name, kind))
    return np.asarray(texts)


def members(cells: pd.Series, name: str, path: Path | None, kind: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number of each row's series, in the order of their first rows, and their names.

    Raises:
        InputError: an empty cell.
    """
    codes, names = pd.factorize(labels_of(cells, name, path, kind))
    return codes.astype(np.int64), tuple(map(str, names))


def date_column(frame: pd.DataFrame, taken: set[str | None]) -> str | None:
    """The first column with a usual name of times, and dates in it as far as its first cell tells."""
    usual = ((name, frame[name].iloc[0]) for name in frame.columns if name.lower() in TIMES and name not in taken)
    return next((name for name, first in usual if not is_number(first) and _is_date(first)), None)


def _is_date(cell: Any) -> bool:
    return bool(pd.notna(pd.to_datetime(cell, errors="coerce")))
