"""Files of panels.

`.json`, `.jsonl` (each also `.gz`): one series a line, `{"start": ..., "target": [...], "item_id": ...}`, null or NaN
where a value is missing; `start` and `item_id` may lack. `.csv`, `.tsv`, `.parquet`: see `panel_tables`. `.npz`:

    values [n, T]                   or  flat [rows] and lengths [n]  (also train_flat and train_lengths)
    test [n, P]                     values to forecast, behind those
    train_length, test_lengths      how much is for training; where the entries of the test set end: [windows] for
                                    all series alike, or [windows, n]
    ids [n], start, freq, prediction_length, each if known

A folder or an archive (`.tar`, `.tar.gz`) holds JSON lines under `train/` and `test/`, as GluonTS lays data sets out,
and may tell frequency and steps to forecast in `metadata.json` (see `panel_parts`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.files import atomic, check_format
from scorefield.domains.series.tables import read_arrays, suffix
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panel_parts import LINES, Parts, archive_parts, folder_parts, text_of
from scorefield.domains.series.tsdiff.panel_tables import PanelLayout, read_panel_table, start_of
from scorefield.domains.series.tsdiff.panels import Entries, Panel, times_of

__all__ = [
    "LINES", "PANEL_SUFFIXES", "TABLES", "USUAL_PREDICTION", "PanelFile", "json_lines", "read_panel", "write_panel",
]  # fmt: skip

Array = NDArray[np.float64]
TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
_ARCHIVES = (".tar", ".tar.gz", ".tgz")
PANEL_SUFFIXES = (*LINES, *TABLES, ".npz", *_ARCHIVES)
USUAL_PREDICTION = 24
"""Steps to forecast where nobody says how many."""


@dataclass(frozen=True)
class PanelFile:
    """What a file holds.

    Attributes:
        train: the series that may be trained on.
        test: the test set, where the file has one.
        prediction: the steps that it says are to be forecast, where it says so.
    """

    train: Panel
    test: Entries | None = None
    prediction: int | None = None


def read_panel(
    path: str | Path, layout: PanelLayout, prediction: int | None = None, *, metadata: bool = True
) -> PanelFile:
    """Read a file, a folder or an archive.

    Args:
        path: of any suffix in `PANEL_SUFFIXES`.
        layout: how to read it.
        prediction: steps to forecast, by which a test part is cut into entries; by default as the file says.
        metadata: whether `metadata.json` of a folder or an archive counts.

    Raises:
        InputError: a missing or malformed file, naming the place; a frequency that neither the file nor the user tells;
            or a file made for another number of steps to forecast.
    """
    path = Path(path)
    if path.is_dir():
        return _of_parts(folder_parts(path), layout, prediction, metadata)
    kind = suffix(path)
    check_format(kind, PANEL_SUFFIXES, "panels", path)
    if not path.is_file():
        raise InputError("there is no such file", file=path)
    if kind == ".npz":
        return _of_arrays(path, layout, prediction)
    if kind in LINES:
        return PanelFile(_of_lines(text_of(path).split("\n"), path, layout))
    if kind in _ARCHIVES:
        return _of_parts(archive_parts(path), layout, prediction, metadata)
    return PanelFile(read_panel_table(path, kind, layout).panel)


def json_lines(path: Path) -> list[dict[str, Any]]:
    """All entries of JSON lines that `read_panel` takes, with everything that they hold."""
    lines = enumerate(text_of(path).split("\n"), 1)  # `splitlines` would cut at separators within names, too
    return [_parsed(line, path, f"line {number}") for number, line in lines if line.strip()]


def _of_parts(found: Parts, layout: PanelLayout, prediction: int | None, metadata: bool) -> PanelFile:
    path, lines, said = found.path, found.lines, found.metadata() if metadata else []
    if not lines["train"]:
        raise InputError("holds no series under train/", file=path, mend="give JSON lines, a table or an .npz")
    aliases = [(told.frequency, told.place) for told in said if told.frequency is not None]
    train = _of_lines(lines["train"], path, layout, "train", aliases)
    steps = [(told.prediction, told.place) for told in said if told.prediction is not None]
    if not lines["test"]:
        # Of the steps that a run forecasts, series without a test set say nothing.
        own = layout.option == PanelLayout.option
        return PanelFile(train, None, _prediction(steps, prediction, path, layout) if steps and own else None)
    prediction = _prediction(steps, prediction, path, layout)
    test = _of_lines(lines["test"], path, layout, "test", aliases)
    with _named(path):
        entries = Entries(test, np.arange(len(test)), test.lengths, prediction)
    return PanelFile(train, entries, prediction if steps else None)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Entries that cannot be cut name the file."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error), file=path) from None


def _prediction(said: Iterable[tuple[int, str]], wanted: int | None, path: Path, layout: PanelLayout) -> int:
    """Steps to forecast: those that a user or a run wants, and the file says in these places."""
    found = wanted
    for told, place in said:
        if found is not None and told != found:
            mend = "correct one of them" if wanted is None else f"give {layout.option}prediction={told}"
            if layout.option != PanelLayout.option:
                mend = f"take a run that forecasts {told} steps"
            what = f"has a test set with {told} steps to forecast, not {found}"
            raise InputError(what, file=path, place=place, mend=mend)
        found = told
    return USUAL_PREDICTION if found is None else found


def _of_lines(
    lines: Iterable[str], path: Path, layout: PanelLayout, part: str = "", told: Sequence[tuple[str, str]] = ()
) -> Panel:
    """Series of JSON lines; `told` are frequencies besides theirs, and where they stand."""
    series: list[Array] = []
    names: list[str] = []
    starts: list[Any] = []
    stored: str | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{part}, line {number}".removeprefix(", ")
        entry = _parsed(line, path, place)
        series.append(_target(entry.get(layout.target or "target"), path, place))
        names.append(str(len(names) if entry.get("item_id") is None else entry["item_id"]))
        starts.append(None if entry.get("start") is None else start_of(entry["start"], path, place))
        stored = _told_frequency(entry, stored, starts[-1:], path, place)
    if not series:
        raise InputError("holds no series", file=path)
    every = [*told, *([] if stored is None else [(stored, part)])]
    return Panel.of(series, names, starts, _frequency(layout, every, starts, path))


def _told_frequency(
    entry: Mapping[str, Any], before: str | None, start: Sequence[Any], path: Path, place: str
) -> str | None:
    """The frequency of the first line that tells one; those after it must make the same times."""
    if entry.get("freq") is None:
        return before
    told = Frequency.parse(str(entry["freq"]), path)
    if before is not None and not told.agrees(Frequency.parse(before, path), times_of(start)):
        mend = "give a file for each frequency"
        raise InputError(f"has the frequency {told}, lines before it {before}", file=path, place=place, mend=mend)
    return before or str(told)


def _frequency(layout: PanelLayout, said: Sequence[tuple[str, str]], starts: Sequence[Any], path: Path) -> Frequency:
    """What the user tells, or the file in some places; all must make the same times of these series."""
    wanted = None if layout.frequency is None else Frequency.parse(layout.frequency)
    for alias, place in said:
        told = Frequency.parse(alias, path)
        if wanted is not None and not told.agrees(wanted, times_of(starts)):
            mend = f"give {layout.option}frequency={told}, or none"
            if layout.option != PanelLayout.option:
                mend = f"take a run of the frequency {told}"
            elif layout.frequency is None:
                mend = "correct one of them"
            raise InputError(f"has the frequency {told}, not {wanted}", file=path, place=place or None, mend=mend)
        wanted = wanted or told
    if wanted is None:
        mend = f"give {layout.option}frequency=h"
        raise InputError("does not tell the frequency of its series", file=path, mend=mend)
    return wanted


def _parsed(line: str, path: Path, place: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise InputError(f"is no JSON ({error})", file=path, place=place) from None
    if not isinstance(entry, dict):
        raise InputError("is no object with start and target", file=path, place=place)
    return entry


def _target(values: Any, path: Path, place: str) -> Array:
    if not isinstance(values, list):
        raise InputError("has no list as its target", file=path, place=place, mend='write {"target": [1.0, 2.0]}')
    try:
        found = np.array([np.nan if value is None else value for value in values]).astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError("the target holds something that is no number", file=path, place=place) from None
    if found.ndim != 1:
        raise InputError("the target has more than one dimension", file=path, place=place, mend="split the series")
    if np.isinf(found).any():
        where = f"{place}, value {int(np.argmax(np.isinf(found))) + 1}"
        raise InputError("infinity is no finite number", file=path, place=where, mend="write null for what is missing")
    if not len(found):
        raise InputError("the series is empty", file=path, place=place, mend="leave such series out")
    return found


def _of_arrays(path: Path, layout: PanelLayout, prediction: int | None) -> PanelFile:
    arrays = read_arrays(path)
    series = _stored_series(arrays, path)
    told = int(arrays["prediction_length"]) if "prediction_length" in arrays else None
    prediction = _prediction([] if told is None else [(told, "prediction_length")], prediction, path, layout)
    names = [str(name) for name in arrays["ids"].tolist()] if "ids" in arrays else [str(k) for k in range(len(series))]
    starts = np.broadcast_to(arrays.get("start", np.array("NaT")).astype(str), (len(series),))
    times = [None if text == "NaT" else start_of(text, path, "start") for text in starts.tolist()]
    frequency = _frequency(layout, [(str(arrays["freq"]), "freq")] if "freq" in arrays else [], times, path)
    trained = np.array([len(part) for part in series], dtype=np.int64)
    if "test" in arrays:
        test = _matrix(arrays["test"], len(series), "test", path)
        series = [np.concatenate([part, rest]) for part, rest in zip(series, test, strict=True)]
    _check_values(series, names, path)
    panel = Panel.of(series, names, times, frequency)
    if "test" in arrays:
        with _named(path):
            return PanelFile(panel.head(trained), panel.rolling(prediction, 1), told)
    if "test_lengths" not in arrays:
        return PanelFile(panel, None, told)
    ends = arrays["test_lengths"].astype(np.int64)
    ends = np.broadcast_to(ends if ends.ndim == 2 else ends[:, None], (len(ends), len(series)))
    with _named(path):
        entries = Entries(panel, np.tile(np.arange(len(series)), len(ends)), ends.ravel().copy(), prediction)
    first = arrays["train_length"] if "train_length" in arrays else ends.min(0) - prediction
    return PanelFile(panel.head(np.broadcast_to(first, (len(series),)).astype(np.int64)), entries, told)


def _stored_series(arrays: Mapping[str, NDArray[Any]], path: Path) -> list[Array]:
    for flat, lengths in (("flat", "lengths"), ("train_flat", "train_lengths")):
        if flat in arrays and lengths in arrays:
            if arrays[flat].dtype.kind not in "biuf" or arrays[lengths].dtype.kind not in "iu":
                what = f"{arrays[flat].dtype} and {arrays[lengths].dtype} as {lengths}"
                raise InputError(what, file=path, place=flat, mend="give numbers, and whole numbers as lengths")
            if arrays[flat].ndim != 1 or int(arrays[lengths].sum()) != len(arrays[flat]):
                raise InputError("does not hold as many values as its lengths say", file=path, place=flat)
            return np.split(arrays[flat].astype(np.float64), np.cumsum(arrays[lengths])[:-1])
    name = next((name for name in ("values", "x") if name in arrays), None)
    if name is None:
        raise InputError("holds no series", file=path, mend="name the array values [series, steps]")
    values = arrays[name]
    values = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    values = _matrix(values, None, name, path)
    found = [np.trim_zeros(~np.isnan(row), "b").size for row in values]
    return [row[:length] for row, length in zip(values, found, strict=True)]


def _matrix(values: NDArray[Any], rows: int | None, name: str, path: Path) -> Array:
    if values.ndim != 2 or len(values) != (rows or len(values)) or values.dtype.kind not in "biuf":
        what = f"{values.dtype} of shape {values.shape}"
        raise InputError(what, file=path, place=name, mend="give numbers [series, steps], one number a step")
    return values.astype(np.float64)


def _check_values(series: Sequence[Array], names: Sequence[str], path: Path) -> None:
    if len(names) != len(series):
        raise InputError(f"{len(names)} ids for {len(series)} series", file=path, place="ids")
    for name, values in zip(names, series, strict=True):
        if not len(values):
            raise InputError("the series is empty", file=path, place=f"series {name}", mend="leave such series out")
        if np.isinf(values).any():
            place = f"series {name}, value {int(np.argmax(np.isinf(values))) + 1}"
            raise InputError(
                "infinity is no finite number", file=path, place=place, mend="write NaN for what is missing"
            )


def write_panel(panel: PanelFile, path: Path) -> None:
    """Write `.npz`, which `read_panel` gives back.

    The test set must be that of series of which the training part is a beginning.

    Raises:
        InputError: the folder cannot be written to.
    """
    train, test = panel.train, panel.test
    full = train if test is None else test.panel
    starts = np.datetime_as_string(full.starts, unit="s")
    arrays: dict[str, NDArray[Any]] = {
        "flat": full.values, "lengths": full.lengths, "ids": np.array(full.names, dtype=np.str_),
        "start": starts, "freq": np.array(str(full.frequency)), "train_length": train.lengths,
    }  # fmt: skip
    if test is not None:
        arrays["test_lengths"] = test.ends.reshape(-1, len(full))
        arrays["prediction_length"] = np.array(test.prediction)
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
