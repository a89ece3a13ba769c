"""Completed series: what was given, paths of what was missing, their summaries, and files of them.

A forecast is written as a long table (`series, step, time, column, mean, q0.1, ..., q0.9`). What was imputed or
interpolated is written into the table as it came, given cells in their own text, with a long table of the filled cells
beside it. `.npz` holds arrays, with all paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.completion import Outputs, Task
from scorefield.core.errors import InputError
from scorefield.core.files import check_writable
from scorefield.domains.series.tables import format_of, suffix
from scorefield.domains.series.timestamps import later
from scorefield.domains.series.writing import write_archive, write_table

if TYPE_CHECKING:
    from scorefield.domains.series.observed import Observed

__all__ = ["LEVELS", "Answer", "Completions", "check_places", "write_answers"]

Array = NDArray[np.float64]
LEVELS = tuple(k / 10 for k in range(1, 10))
"""Levels of the quantiles in files."""


@dataclass(frozen=True)
class Answer:
    """One series.

    Attributes:
        number: which series of the file.
        x: given values, NaN where something is missing, `(T, D)`; a forecast's rows stand at the end.
        truth: what is known of the missing values, NaN elsewhere or where nothing is, `(T, D)`.
        rows: what the task is about: those of the forecast, else all.
        missing: which entries were to be filled, bool `(T, D)`.
        cells: them in order of rows, then columns, on every path, `(paths, cells)`.
    """

    number: int
    x: Array
    truth: Array
    rows: slice
    missing: NDArray[np.bool_] | None = None
    cells: Array | None = None

    def of(self, missing: NDArray[np.bool_]) -> Answer:
        """The same, with what is to be filled."""
        return replace(self, missing=missing, truth=np.where(missing, self.truth, np.nan))

    def filled(self, cells: Array) -> Answer:
        """The same, with sampled cells."""
        return replace(self, cells=cells)

    @property
    def holes(self) -> NDArray[np.bool_]:
        """`missing`, which every job has."""
        return np.isnan(self.x) if self.missing is None else self.missing

    @property
    def sampled(self) -> Array:
        """`cells`, once they are there."""
        return np.zeros((0, int(self.holes.sum()))) if self.cells is None else self.cells

    @property
    def paths(self) -> Array:
        """Whole series of the task's rows on every path, given values included, `(paths, rows, D)`."""
        x = np.repeat(self.x[None], len(self.sampled), 0)
        x[:, self.holes] = self.sampled
        return x[:, self.rows]

    def summary(self, kind: str = "median") -> Array:
        """The task's rows with mean or median in place of what was missing, `(rows, D)`."""
        x = self.x.copy()
        x[self.holes] = np.median(self.sampled, 0) if kind == "median" else self.sampled.mean(0)
        return x[self.rows]

    def quantiles(self, levels: Sequence[float] = LEVELS) -> Array:
        """`(levels, rows, D)`; given values are their own quantiles."""
        x = np.repeat(self.x[None], len(levels), 0)
        x[:, self.holes] = np.quantile(self.sampled, levels, axis=0)
        return x[:, self.rows]


@dataclass(frozen=True)
class Completions:
    """All series of a task, as a sequence of `Answer`s.

    Attributes:
        answers: the series of which something was missing, in order.
        columns: names of the features.
        ranges: lowest and highest value of each feature in training, for scores.
    """

    answers: tuple[Answer, ...]
    columns: tuple[str, ...]
    ranges: tuple[Array, Array]

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, number: int) -> Answer:
        return self.answers[number]

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    @property
    def paths(self) -> Array:
        """Of series that are equally long, `(series, paths, rows, D)`.

        Raises:
            InputError: they are not.
        """
        return _stacked([answer.paths for answer in self.answers])

    def summary(self, kind: str = "median") -> Array:
        """Of series that are equally long, `(series, rows, D)`; see `Answer.summary`."""
        return _stacked([answer.summary(kind) for answer in self.answers])

    def quantiles(self, levels: Sequence[float] = LEVELS) -> Array:
        """Of series that are equally long, `(series, levels, rows, D)`."""
        return _stacked([answer.quantiles(levels) for answer in self.answers])

    def scores(self) -> dict[str, float | int] | None:
        """How far paths are from the truth, in shares of each column's range in training; None where it is unknown.

        `mae` is of the median, `crps` the fair estimate from the paths, `coverage_80` the share of true values between
        the quantiles 0.1 and 0.9, `naive_mae` that of the last value given before a gap, or the line across it.
        """
        rows = [_errors(answer, self.ranges) for answer in self.answers]
        found = np.concatenate(rows, 1)
        if not found.shape[1]:
            return None
        names = ("mae", "crps", "coverage_80", "naive_mae")
        return {"n": found.shape[1], **{n: float(np.nanmean(v)) for n, v in zip(names, found, strict=True)}}


def _stacked(parts: Sequence[Array]) -> Array:
    if len({part.shape for part in parts}) > 1:
        raise InputError("series differ in length", mend="take them one by one")
    return np.stack(parts)


def _errors(answer: Answer, ranges: tuple[Array, Array]) -> Array:
    """Of every known missing entry the error of the median, CRPS, whether it is covered, the naive error; `(4, n)`."""
    low, high = ranges
    span = np.broadcast_to(np.where(high > low, high - low, 1.0), answer.x.shape)[answer.holes]
    truth = answer.truth[answer.holes]
    known, cells = ~np.isnan(truth), np.sort(answer.sampled, 0)
    number = len(cells)
    ranks = 2 * np.arange(1, number + 1) - number - 1
    inner = (ranks @ cells) / max(number * (number - 1), 1)
    lower, upper = np.quantile(cells, [0.1, 0.9], axis=0)
    errors = [
        np.abs(np.median(cells, 0) - truth) / span,
        (np.abs(cells - truth).mean(0) - inner) / span,
        ((lower <= truth) & (truth <= upper)).astype(float),
        np.abs(_naive(answer)[answer.holes] - truth) / span,
    ]
    return np.stack(errors)[:, known]


def _naive(answer: Answer) -> Array:
    """Lines across gaps, the nearest value at the ends; NaN where a column has no value."""
    naive, steps = answer.x.copy(), np.arange(len(answer.x))
    for column in naive.T:
        there = ~np.isnan(column)
        if there.any():
            column[~there] = np.interp(steps[~there], steps[there], column[there])
    return naive


def check_places(outputs: Outputs, task: Task, table: Observed) -> None:
    """See `Items.check`.

    Raises:
        InputError: an unknown suffix, or a place that is the input or cannot be written.
    """
    kind = format_of(outputs.file)
    if kind != ".npz" and task.name != "forecast" and table.frame is None:
        raise InputError("arrays have no table to fill", file=outputs.file, mend="write .npz")
    places = [outputs.file, outputs.file.with_name(f"{outputs.file.name}.json")]
    places += [beside(outputs.file)] if _has_two(outputs, task) else []
    places += [] if outputs.plot is None else [outputs.plot]
    for place in places:
        if table.file is not None and place.resolve() == table.file.resolve():
            raise InputError("would replace what is read", file=place, mend="write to another file")
        check_writable(place)


def beside(file: Path) -> Path:
    """Where the long table of filled cells stands: `filled.quantiles.csv` beside `filled.csv`."""
    kind = suffix(file)
    return file.with_name(f"{file.name[: len(file.name) - len(kind)]}.quantiles{kind}")


def _has_two(outputs: Outputs, task: Task) -> bool:
    return task.name != "forecast" and suffix(outputs.file) != ".npz"


def write_answers(found: Completions, outputs: Outputs, task: Task, table: Observed) -> dict[str, Any]:
    """See `Items.write`."""
    if outputs.plot is not None:
        from scorefield.domains.series.fans import draw_answers

        draw_answers(found, outputs.plot, table, task)
    if suffix(outputs.file) == ".npz":
        write_archive(_arrays(found, table), outputs.file)
    elif task.name == "forecast":
        write_table(long_table(found, table, outputs.paths), outputs.file)
    else:
        write_table(long_table(found, table, outputs.paths), beside(outputs.file))
        write_table(_filled_table(found, table, str(task.options.get("fill", "median"))), outputs.file)
    scores = found.scores()
    return {} if scores is None else {"scores": scores}


def _arrays(found: Completions, table: Observed) -> dict[str, NDArray[Any]]:
    """Arrays of all series, NaN behind those that are shorter; `x` holds the medians."""
    longest = max(answer.rows.stop - answer.rows.start for answer in found)

    def padded(parts: list[Array]) -> Array:
        return np.stack([np.pad(p, _behind(p, longest), constant_values=np.nan) for p in parts])

    missing = [answer.holes[answer.rows].astype(float) for answer in found]
    truth = [answer.truth[answer.rows] for answer in found]
    return {
        "x": padded([answer.summary() for answer in found]),
        "mean": padded([answer.summary("mean") for answer in found]),
        "quantiles": padded([answer.quantiles() for answer in found]),
        "levels": np.array(LEVELS),
        "paths": padded([answer.paths for answer in found]),
        "missing": padded(missing) == 1,
        "truth": padded(truth),
        "columns": np.array(found.columns, dtype=np.str_),
        "series": np.array([table.names[answer.number] for answer in found], dtype=np.str_),
        "first_step": np.array([answer.rows.start for answer in found]),
    }


def _behind(part: Array, longest: int) -> list[tuple[int, int]]:
    widths = [(0, 0)] * part.ndim
    widths[-2] = (0, longest - part.shape[-2])
    return widths


def long_table(found: Completions, table: Observed, paths: bool) -> pd.DataFrame:
    """A row for each entry that was missing."""
    return pd.concat([_long(answer, found.columns, table, paths) for answer in found], ignore_index=True)


def _long(answer: Answer, columns: Sequence[str], table: Observed, paths: bool) -> pd.DataFrame:
    rows, features = np.nonzero(answer.holes)
    values: dict[str, Any] = {}
    if len(table) > 1 or table.group is not None:
        values[table.group or "series"] = [table.names[answer.number]] * len(rows)
    values["step"] = rows
    if table.times is not None and table.times[0] != "step":
        name, times = table.times
        own = times[table.bounds[answer.number] : table.bounds[answer.number + 1]]
        stamps = later(own.tolist(), len(answer.x))
        values[name] = [stamps[row] for row in rows]
    values["column"] = np.array(columns, dtype=object)[features]
    values["mean"] = answer.sampled.mean(0)
    for level, quantile in zip(LEVELS, np.quantile(answer.sampled, LEVELS, axis=0), strict=True):
        values[f"q{level:g}"] = quantile
    truth = answer.truth[answer.holes]
    if not np.isnan(truth).all():
        values["truth"] = truth
    if paths:
        values |= {f"path{k}": path for k, path in enumerate(answer.sampled)}
    return pd.DataFrame(values)


def _filled_table(found: Completions, table: Observed, fill: str) -> pd.DataFrame:
    """The table as it came, with its gaps filled; text stays text."""
    assert table.frame is not None  # `check_places` has refused arrays
    frame, order = table.frame[0].copy(), table.frame[1]
    for answer in found:
        own = order[table.bounds[answer.number] : table.bounds[answer.number + 1]]
        values = answer.summary(fill)
        for d, name in enumerate(found.columns):
            rows = np.flatnonzero(answer.holes[:, d])
            if not len(rows):
                continue
            position, numbers = frame.columns.get_loc(name), values[rows, d]
            if frame[name].dtype == object or isinstance(frame[name].dtype, pd.StringDtype):
                frame.iloc[own[rows], position] = [repr(float(v)) for v in numbers]
            else:
                frame[name] = frame[name].astype(np.float64)
                frame.iloc[own[rows], position] = numbers
    return frame
