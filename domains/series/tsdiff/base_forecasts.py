"""Forecasts of others as they stand in files, in the order of the series that they are of.

A table has a row for each series (`item_id`, `unique_id` or `series`) and time (`timestamp`, `date` or another usual
name, or `step` from the first value on, at which it is 0), with `path0`, `path1`, ..., or quantiles `q0.1`, ..., or
`mean`, as our own forecasts have them; or with `sample` and `value`, a row for each path. Of paths, quantiles and mean
the first that is there is taken. Without a column of times rows stand in order. `.npz` holds `paths` `[n, S, T]`, and
in our own `series` and `first_step`.

Quantiles stand for as many paths: with levels k / (S + 1), of which 0.1, ..., 0.9 are those of S = 9, they are the
order statistics of S paths; others are interpolated to these nine, and are flat beyond the first and the last.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.errors import InputError, InputWarning
from scorefield.domains.series.cells import TIMES, labels_of, numbers_of, place_of
from scorefield.domains.series.tables import Layout, check_header, format_of, read_frame

__all__ = ["Wanted", "read_base"]

Array = NDArray[np.float64]
_ITEMS, _ENTRY, _SAMPLE, _VALUE, _MEAN = ("item_id", "unique_id", "series"), "entry", "sample", "value", "mean"
_STEP = "step"
_PATH, _QUANTILE = re.compile(r"path\d+"), re.compile(r"q(0?\.\d+)")
_LEVELS = tuple(k / 10 for k in range(1, 10))
_Key = tuple[str, int, int]
"""Series, entry, and time of a row."""


@dataclass(frozen=True)
class Wanted:
    """One forecast that a base has to hold.

    Attributes:
        name: of the series.
        first: which value of the series its first one is, counted from 0.
        stamps: its times, where they are known.
        entry: of several forecasts of a series, which this is; 0 for the earliest.
    """

    name: str
    first: int
    stamps: pd.DatetimeIndex | None = None
    entry: int = 0


def read_base(path: str | Path, wanted: Sequence[Wanted], steps: int) -> Array:
    """Base paths in the units of the data, `(n, S, steps)`.

    Args:
        path: `.csv`, `.tsv` (also `.gz`), `.parquet` or `.npz`.
        wanted: which forecasts, in this order.
        steps: of each.

    Raises:
        InputError: a file that cannot be read, or lacks a forecast, or has other times, another number of steps, or a
            value that is no number; the place is named.
    """
    path = Path(path)
    kind = format_of(path)
    if kind == ".npz":
        return _of_archive(path, wanted, steps)
    frame = read_frame(path, kind, Layout())
    check_header(frame, path, kind, True)
    if not len(frame):
        raise InputError("holds no forecast", file=path)
    return _Table(frame, path, kind, wanted, steps).found()


class _Table:
    """A table of forecasts, a row a line of its file.

    Args:
        frame: the table.
        path: its file.
        kind: the file's suffix.
        wanted: which forecasts.
        steps: of each.

    Raises:
        InputError: it has no column for what has to be told apart.
    """

    def __init__(self, frame: pd.DataFrame, path: Path, kind: str, wanted: Sequence[Wanted], steps: int) -> None:
        self.frame, self.path, self.kind, self.wanted, self.steps = frame, path, kind, wanted, steps
        self.names = [str(name) for name in frame.columns]
        self.item = next((name for name in _ITEMS if name in self.names), None)
        if self.item is None and len({entry.name for entry in wanted}) > 1:
            mend = "add a column item_id with what the history calls each series"
            raise InputError("no column tells series apart", file=path, place="row 1", mend=mend)
        self.paths = sorted(filter(_PATH.fullmatch, self.names), key=lambda name: int(name[4:]))
        self.sampled = not self.paths and {_SAMPLE, _VALUE} <= set(self.names)
        self.stamp = next((name for name in self.names if name.lower() in TIMES), None)
        self.time = self._time()

    def _time(self) -> str | None:
        """The column that says which step of a forecast a row is."""
        if self.stamp is not None and all(entry.stamps is not None for entry in self.wanted):
            return self.stamp
        if _STEP in self.names:
            return _STEP
        if self.stamp is not None:
            mend = f"give a column step, or leave {self.stamp} out where rows stand in order"
            place = f"column {self.stamp!r}"
            raise InputError("has times, the history has none", file=self.path, place=place, mend=mend)
        return None

    def found(self) -> Array:
        """The forecasts in order."""
        values, keys = self._values(), self._keys()
        places = self._sampled(keys) if self.sampled else self._single(keys)
        rows = [self._rows(entry, places) for entry in self.wanted]
        self._check_rest(rows, places)
        # (steps, rows of a time, columns), of which either of the last two is the paths.
        return np.stack([values[np.array(own)].reshape(self.steps, -1).T for own in rows])

    def _values(self) -> Array:
        """Numbers that stand in each row, `(rows, columns)`."""
        quantiles = {float(match[1]): match[0] for match in map(_QUANTILE.fullmatch, self.names) if match}
        if self.paths or self.sampled:
            return self._columns(self.paths or [_VALUE])
        if quantiles:
            levels = sorted(quantiles)
            return _as_paths(self._columns([quantiles[level] for level in levels]), levels)
        single = next((name for name in (_MEAN, _VALUE) if name in self.names), None)
        if single is None:
            mend = "name them path0, path1, ...; q0.1, q0.2, ...; mean; or sample and value"
            raise InputError("no column holds forecasts", file=self.path, place="row 1", mend=mend)
        return self._columns([single])

    def _columns(self, names: Sequence[str]) -> Array:
        return np.stack([numbers_of(self.frame[name], name, self.path, self.kind) for name in names], 1)

    def _keys(self) -> list[_Key]:
        """Series, entry and time of each row."""
        number = len(self.frame)
        items = [self.wanted[0].name] * number if self.item is None else self._texts(self.item)
        if self.time is None:
            return self._in_order(items)
        numbered = self.time == _STEP and _ENTRY in self.names
        entries = self._whole(_ENTRY) if numbered else [0] * number
        times = self._whole(_STEP) if self.time == _STEP else self._stamps()
        return list(zip(items, entries, times, strict=True))

    def _key(self, entry: Wanted, step: int) -> tuple[_Key, str]:
        """The key of one step of a forecast, and what to call it."""
        if self.time is None:
            return (entry.name, 0, entry.entry * self.steps + step), f"step {step + 1} of {self.steps}"
        if self.time == self.stamp and entry.stamps is not None:
            return (entry.name, 0, int(entry.stamps[step].timestamp())), str(entry.stamps[step])
        return (
            entry.name,
            entry.entry if _ENTRY in self.names else 0,
            entry.first + step,
        ), f"step {entry.first + step}"

    def _in_order(self, items: Sequence[str]) -> list[_Key]:
        """Without times: the place of each row among those of its series and, of several paths, its sample."""
        samples = self._texts(_SAMPLE) if self.sampled else [""] * len(items)
        counts: dict[tuple[str, str], int] = {}
        keys = []
        for item, sample in zip(items, samples, strict=True):
            place = counts.get((item, sample), 0)
            counts[item, sample] = place + 1
            keys.append((item, 0, place))
        return keys

    def _texts(self, name: str) -> list[str]:
        return [str(value) for value in labels_of(self.frame[name], name, self.path, self.kind)]

    def _whole(self, name: str) -> list[int]:
        return [int(value) for value in numbers_of(self.frame[name], name, self.path, self.kind)]

    def _stamps(self) -> list[int]:
        """Seconds of each row's time."""
        cells = self.frame[self.time]
        try:
            times = pd.to_datetime(cells, errors="coerce", format=None if self.kind == ".parquet" else "ISO8601")
        except ValueError:  # with different zones
            times = pd.Series(pd.NaT, cells.index)
        zoned = times.dtype.kind != "M" or getattr(times.dtype, "tz", None) is not None
        wrong = np.flatnonzero(times.isna())
        if len(wrong) or zoned:
            row = int(wrong[0]) if len(wrong) else 0
            mend = "write times as 2024-01-31 13:00:00, without a zone"
            raise InputError(
                f"{str(cells.iloc[row])!r} is no such time", file=self.path, place=self._at(row), mend=mend
            )
        return [int(value) for value in times.to_numpy().astype("datetime64[s]").astype(np.int64)]

    def _at(self, row: int) -> str:
        return place_of(row, self.time or self.item or self.names[0], self.kind)

    def _single(self, keys: Sequence[_Key]) -> dict[_Key, list[int]]:
        """The row of each time."""
        found: dict[_Key, list[int]] = {}
        for row, key in enumerate(keys):
            if key in found:
                what = f"series {key[0]} has this time twice"
                raise InputError(what, file=self.path, place=self._at(row), mend="give a row for each time")
            found[key] = [row]
        return found

    def _sampled(self, keys: Sequence[_Key]) -> dict[_Key, list[int]]:
        """Rows of each time in the order of their samples, as many of each."""
        samples = self._texts(_SAMPLE)
        known = {sample: place for place, sample in enumerate(dict.fromkeys(samples))}
        found: dict[_Key, list[int]] = {key: [-1] * len(known) for key in keys}
        for row, (key, sample) in enumerate(zip(keys, samples, strict=True)):
            if found[key][known[sample]] >= 0:
                what = f"series {key[0]} has this time twice in sample {sample}"
                raise InputError(what, file=self.path, place=self._at(row), mend="give a row for each time")
            found[key][known[sample]] = row
        for key, rows in found.items():
            if min(rows) < 0:
                what = f"series {key[0]} has no value in sample {list(known)[rows.index(-1)]}"
                raise InputError(what, file=self.path, place=self._at(max(rows)), mend="give all samples at all times")
        return found

    def _rows(self, entry: Wanted, places: Mapping[_Key, list[int]]) -> list[list[int]]:
        """The rows of one forecast, step by step."""
        if not any(key[0] == entry.name for key in places):
            raise InputError(f"no forecast of series {entry.name}", file=self.path, mend="forecast all of the history")
        found = []
        for step in range(self.steps):
            key, said = self._key(entry, step)
            if key not in places:
                mend = f"forecast the {self.steps} steps after the history, from {self._key(entry, 0)[1]} on"
                raise InputError(f"no forecast of {said}", file=self.path, place=f"series {entry.name}", mend=mend)
            found.append(places[key])
        return found

    def _check_rest(self, rows: Sequence[list[list[int]]], places: Mapping[_Key, list[int]]) -> None:
        """Refuse rows of other times; say how many series are passed over."""
        used = {line for own in rows for lines in own for line in lines}
        names = {entry.name for entry in self.wanted}
        beyond = [line for key, lines in places.items() if key[0] in names for line in lines if line not in used]
        if beyond:
            what = f"is none of the {self.steps} steps after the history"
            raise InputError(what, file=self.path, place=self._at(min(beyond)), mend="leave such rows out")
        others = {key[0] for key in places} - names
        if others:
            what = f"{len(others)} series of the base are not in the history and are passed over, as {min(others)}"
            warnings.warn(f"{self.path}: {what}", InputWarning, stacklevel=2)


def _as_paths(quantiles: Array, levels: Sequence[float]) -> Array:
    """Quantiles `(rows, levels)` as order statistics of as many paths."""
    even = np.arange(1, len(levels) + 1) / (len(levels) + 1)
    if np.allclose(levels, even):
        return quantiles
    return np.stack([np.interp(_LEVELS, levels, row) for row in quantiles])


def _of_archive(path: Path, wanted: Sequence[Wanted], steps: int) -> Array:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot be read ({error})", file=path) from error
    if "paths" not in arrays:
        raise InputError("holds no array paths", file=path, mend="give paths [n, S, T]")
    paths = np.asarray(arrays["paths"], dtype=np.float64)
    paths = paths[..., 0] if paths.ndim == 4 and paths.shape[-1] == 1 else paths
    order = _order(arrays, wanted, path)
    if paths.ndim != 3 or paths.shape[2] != steps or not paths.shape[1] or len(paths) <= max(order):
        what = f"paths of shape {paths.shape} for {len(wanted)} forecasts of {steps} steps"
        raise InputError(what, file=path, mend=f"give [{len(wanted)}, S, {steps}]")
    paths = paths[order]
    if not np.isfinite(paths).all():
        row, sample, step = np.argwhere(~np.isfinite(paths))[0]
        place = f"paths, series {wanted[row].name}, path {sample}, step {step}"
        raise InputError(f"{paths[row, sample, step]} is no finite number", file=path, place=place)
    return np.asarray(paths)


def _order(arrays: Mapping[str, Any], wanted: Sequence[Wanted], path: Path) -> list[int]:
    """Which row of an archive holds each forecast."""
    if "series" not in arrays:
        if len(arrays["paths"]) != len(wanted):
            what = f"{len(arrays['paths'])} forecasts, the history asks for {len(wanted)}"
            raise InputError(what, file=path, mend="name them in an array series, or give as many in the same order")
        return list(range(len(wanted)))
    firsts = arrays.get("first_step")
    known = {
        (str(name), None if firsts is None else int(firsts[row])): row for row, name in enumerate(arrays["series"])
    }
    order = []
    for entry in wanted:
        key = (entry.name, None if firsts is None else entry.first)
        if key not in known:
            after = "" if firsts is None else f" from step {entry.first} on"
            raise InputError(
                f"no forecast of series {entry.name}{after}", file=path, mend="forecast all of the history"
            )
        order.append(known[key])
    return order
