"""Edge lists as tables: CSV and Parquet, a column of sources and one of targets, streamed in batches."""

from __future__ import annotations

import csv
import gzip
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from scorefield.core.errors import InputError, InputWarning

__all__ = ["csv_batches", "parquet_batches"]

Ids = NDArray[np.int64]
_NAMES = (("src", "dst"), ("source", "target"), ("from", "to"), ("u", "v"))


def csv_batches(path: Path) -> Iterator[tuple[Ids, Ids]]:
    """Sources and targets of a CSV with a header, batch by batch.

    The columns are src and dst (or source and target, from and to, u and v), else the first two. A first line of
    numbers is an edge already.

    Raises:
        InputError: a file that cannot be read, or a line that is no edge; it names the line.
    """
    names, header = _header(path)
    first, second = _columns(path, names)
    reading = pyarrow.csv.ReadOptions(column_names=None if header else names)
    wanted = pyarrow.csv.ConvertOptions(
        column_types={first: pyarrow.int64(), second: pyarrow.int64()}, include_columns=[first, second], null_values=[]
    )
    try:
        with pyarrow.csv.open_csv(path, reading, convert_options=wanted) as file:
            for batch in file:
                src, dst = _arrays(batch)
                if src.size and min(int(src.min()), int(dst.min())) < 0:
                    raise pyarrow.ArrowInvalid("a negative id")
                yield src, dst
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise _fault(path, names.index(first), names.index(second), header, str(error)) from error


def parquet_batches(path: Path) -> Iterator[tuple[Ids, Ids]]:
    """The same for Parquet, whose columns must be of whole numbers.

    Raises:
        InputError: a file that cannot be read, columns of another kind, or a row that is no edge; it names the row.
    """
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            pair = _columns(path, schema.names)
            for name in pair:
                if not pyarrow.types.is_integer(schema.field(name).type):
                    what = f"holds {schema.field(name).type}, not whole numbers"
                    raise InputError(what, file=path, place=f"column {name}", mend="number the nodes from 0")
            # Batches have the columns in the order of the file.
            first = 0 if schema.names.index(pair[0]) < schema.names.index(pair[1]) else 1
            for numbered in _numbered(file.iter_batches(columns=list(pair))):
                columns = _arrays(_checked(path, numbered))
                yield columns[first], columns[1 - first]
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise InputError(
            f"cannot be read ({str(error).splitlines()[0]})", file=path, mend="give a whole file"
        ) from error


def _header(path: Path) -> tuple[list[str], bool]:
    """Names of the columns, and whether the file states them."""
    for _, cells in _lines(path):
        if cells:
            stated = not all(cell.strip().lstrip("-").isdigit() for cell in cells[:2])
            return ([cell.strip() for cell in cells] if stated else [f"column {k}" for k in range(len(cells))]), stated
    raise InputError("is empty", file=path, mend="give a header src,dst at least")


def _columns(path: Path, names: list[str]) -> tuple[str, str]:
    if len(names) < 2 or len(set(names)) < len(names):
        what = f"has the columns {', '.join(names)}"
        raise InputError(what, file=path, place="header", mend="give a column src and one dst")
    lower = {name.lower(): name for name in names}
    found = next(((lower[a], lower[b]) for a, b in _NAMES if a in lower and b in lower), (names[0], names[1]))
    others = [name for name in names if name not in found]
    if others:
        message = f"{path}: columns other than {found[0]} and {found[1]} are left out: {', '.join(others)}"
        warnings.warn(message, InputWarning, stacklevel=3)
    return found


def _arrays(batch: pyarrow.RecordBatch) -> tuple[Ids, Ids]:
    first, second = (column.to_numpy(zero_copy_only=False).astype(np.int64) for column in batch.columns)
    return first, second


def _numbered(batches: Iterator[pyarrow.RecordBatch]) -> Iterator[tuple[int, pyarrow.RecordBatch]]:
    start = 0
    for batch in batches:
        yield start, batch
        start += batch.num_rows


def _checked(path: Path, numbered: tuple[int, pyarrow.RecordBatch]) -> pyarrow.RecordBatch:
    """The batch, if every cell holds an id."""
    start, batch = numbered
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        empty = np.asarray(column.is_null())
        bad = empty | (np.asarray(column.fill_null(0)) < 0)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            what = "is empty" if empty[row] else f"{column[row].as_py()} is negative"
            place = f"row {start + row + 1}, column {name}"
            raise InputError(what, file=path, place=place, mend="give ids from 0 up")
    return batch


def _fault(path: Path, first: int, second: int, header: bool, reason: str) -> InputError:
    """The error of the first line that is no edge; reading stops at it, so the file is searched again."""
    lines = _lines(path)
    width = 0
    for line, cells in lines:
        width = width or len(cells)
        if header:
            header = False
            continue
        if cells and len(cells) != width:
            return InputError(f"{len(cells)} cells, not {width}", file=path, place=f"line {line}", mend="mend the line")
        for place in (first, second) if cells else ():
            cell = cells[place].strip()
            if not cell.isdigit() or int(cell) >= 1 << 62:
                what = f"{cell!r} is no id"
                return InputError(what, file=path, place=f"line {line}", mend="give whole numbers from 0 up")
    return InputError(f"cannot be read ({reason.splitlines()[0]})", file=path, mend="give a whole file")


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbers and cells of lines."""
    try:
        with gzip.open(path, "rt", newline="") if path.suffix.lower() == ".gz" else path.open(newline="") as file:
            reader = csv.reader(file)
            for cells in reader:
                yield reader.line_num, cells
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read ({error})", file=path, mend="give a whole text file") from error
