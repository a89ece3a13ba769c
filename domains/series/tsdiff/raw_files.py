"""Published sets in the form in which they are published.

`.tar.gz` of GluonTS: JSON lines under `train/` and `test/`, in the test set every series once for each rolling window;
`.zip` with a `.tsf` of the Monash archive; `.zip` with a table of Uber's pickups, one row each, counted by hour and
place; the folder of the M4 competition with `Hourly-train.csv` and `Hourly-test.csv`. Anything else is a file of
`panel_files`.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panel_files import PanelFile, read_panel
from scorefield.domains.series.tsdiff.panel_tables import PanelLayout, start_of
from scorefield.domains.series.tsdiff.panels import Entries, Panel

__all__ = ["M4_FILES", "gathered", "read_raw"]

Array = NDArray[np.float64]
M4_FILES = ("Hourly-train.csv", "Hourly-test.csv")
_M4_START = "1750-01-01 00:00:00"  # the competition tells no dates
_PICKUPS = ("Pickup_date", "locationID")


def read_raw(path: Path, layout: PanelLayout, prediction: int) -> PanelFile:
    """Read a file or folder of a published set; arguments as of `read_panel`.

    How the set was published is known: metadata in its archive do not count.

    Raises:
        InputError: it is missing, malformed, or not as published.
    """
    if path.is_dir() and (found := [next(path.rglob(name), None) for name in M4_FILES])[0] is not None:
        return _m4(found[0], found[1], prediction)
    if path.suffix.lower() != ".zip":
        return gathered(read_panel(path, layout, prediction, metadata=False))
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith((".tsf", ".csv"))]
            if not names:
                raise InputError("holds neither a .tsf nor a .csv", file=path)
            content = archive.read(names[0])
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"is no archive ({type(error).__name__})", file=path) from error
    return PanelFile(_monash(content, path) if names[0].lower().endswith(".tsf") else _pickups(content, path))


def gathered(found: PanelFile) -> PanelFile:
    """Entries of a rolling test set that were stored one by one, as cuts of the longest of each series.

    Entry k n + i belongs to the series i of n; where the entries are no beginnings of each other they stay as they are.
    """
    number, test = len(found.train), found.test
    if test is None or len(test.panel) != len(test) or len(test) % number:
        return found
    last = np.arange(len(test) - number, len(test))
    longest = Panel.of(
        [test.panel.series(int(k)) for k in last], found.train.names, test.panel.starts[last].tolist(),
        found.train.frequency,
    )  # fmt: skip
    rows = np.tile(np.arange(number), len(test) // number)
    for k, row in enumerate(rows):
        whole, part = longest.series(int(row)), test.panel.series(k)
        if len(part) > len(whole) or not np.array_equal(part, whole[: len(part)], equal_nan=True):
            return found
    for k in range(number):
        begin = found.train.series(k)
        if not np.array_equal(begin, longest.series(k)[: len(begin)], equal_nan=True):
            return found
    return PanelFile(found.train, Entries(longest, rows, test.ends, test.prediction), found.prediction)


def _m4(train: Path | None, test: Path | None, prediction: int) -> PanelFile:
    if train is None or test is None:
        raise InputError("lacks one of its two files", file=train, mend=f"put {' and '.join(M4_FILES)} together")
    frames = []
    for path in (train, test):
        try:
            frames.append(pd.read_csv(path, index_col=0).astype(np.float64))
        except (OSError, ValueError) as error:
            raise InputError(f"is no table of numbers ({type(error).__name__})", file=path) from error
    names = [str(name) for name in frames[0].index]
    if list(map(str, frames[1].index)) != names or frames[1].shape[1] != prediction or frames[1].isna().any(axis=None):
        what = f"holds no {prediction} values for each series of {train.name}"
        raise InputError(what, file=test)
    heads = [row[~np.isnan(row)] for row in frames[0].to_numpy()]
    whole = [np.concatenate([head, rest]) for head, rest in zip(heads, frames[1].to_numpy(), strict=True)]
    panel = Panel.of(whole, names, [pd.Timestamp(_M4_START)] * len(names), Frequency("h"))
    return PanelFile(panel.head(panel.lengths - prediction), panel.rolling(prediction, 1), prediction)


def _monash(content: bytes, path: Path) -> Panel:
    """A `.tsf`: attributes and their types, `@data`, then `attribute:...:value,value,...` a line."""
    lines = content.decode("latin-1").splitlines()
    header = [line.split() for line in lines if line.startswith("@")]
    attributes = [words[1] for words in header if words[0].lower() == "@attribute" and len(words) > 1]
    told = next((words[1] for words in header if words[0].lower() == "@frequency" and len(words) > 1), "")
    units = {"hourly": "h", "daily": "D", "weekly": "W", "monthly": "MS", "quarterly": "QS", "yearly": "YS"}
    if told not in units:
        raise InputError(f"has the frequency {told!r}", file=path, mend=f"known are {', '.join(units)}")
    series: list[Array] = []
    names: list[str] = []
    starts: list[pd.Timestamp | None] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(("#", "@")):
            continue
        *given, values = line.strip().split(":")
        if len(given) != len(attributes):
            what = f"has {len(given)} attributes, {len(attributes)} are declared"
            raise InputError(what, file=path, place=f"line {number}")
        known = dict(zip(attributes, given, strict=True))
        try:
            series.append(np.array(values.replace("?", "nan").split(","), dtype=np.float64))
        except ValueError:
            raise InputError("holds something that is no number", file=path, place=f"line {number}") from None
        names.append(known.get("series_name", str(len(names))))
        start = known.get("start_timestamp")
        clock = None if start is None else f"{start[:10]} {start[11:].replace('-', ':')}"
        starts.append(None if clock is None else start_of(clock, path, f"line {number}"))
    if not series:
        raise InputError("holds no series", file=path)
    return Panel.of(series, names, starts, Frequency(units[told]))


def _pickups(content: bytes, path: Path) -> Panel:
    """Pickups an hour of every place, from its first to its last one."""
    try:
        frame = pd.read_csv(io.BytesIO(content), usecols=list(_PICKUPS))
        times = pd.DatetimeIndex(pd.to_datetime(frame[_PICKUPS[0]]))
        hours = times.to_numpy().astype("datetime64[h]").astype(np.int64)
        places = frame[_PICKUPS[1]].to_numpy().astype(np.int64)
    except (ValueError, TypeError) as error:
        what = f"is no table of {' and '.join(_PICKUPS)} ({str(error).splitlines()[0]})"
        raise InputError(what, file=path) from error
    series: list[Array] = []
    starts: list[np.datetime64] = []
    names = np.unique(places)
    order = np.argsort(places, kind="stable")
    for own in np.split(hours[order], np.cumsum(np.bincount(np.searchsorted(names, places)))[:-1]):
        first = own.min()
        series.append(np.bincount(own - first).astype(np.float64))
        starts.append(np.datetime64(int(first), "h"))
    return Panel.of(series, [str(name) for name in names], starts, Frequency("h"))
