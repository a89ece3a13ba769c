"""Completed series: what was given, paths of what was missing, their summaries, and files of them.

A forecast is written as a long table (what a value is, then `mean, q0.1, ..., q0.9`), with scores of each series beside
it where a truth is known. What was imputed or interpolated is written into the table as it came, given cells in their
own text, with a long table of the filled cells beside it. `.npz` holds arrays, with all paths.
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
from scorefield.domains.series.range_scores import Scoring
from scorefield.domains.series.tables import SUFFIXES, format_of, suffix
from scorefield.domains.series.writing import write_archive, write_table

if TYPE_CHECKING:
    from scorefield.domains.series.series_file import SeriesFile

__all__ = ["LEVELS", "Answer", "Completions", "check_places", "long_table", "write_answers"]

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
        before: rows of the series that stand before those of `x` and matter no more.
    """

    number: int
    x: Array
    truth: Array
    rows: slice
    missing: NDArray[np.bool_] | None = None
    cells: Array | None = None
    before: int = 0

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
        scoring: how they are judged.
    """

    answers: tuple[Answer, ...]
    columns: tuple[str, ...]
    scoring: Scoring

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

    def scores(self) -> dict[str, Any] | None:
        """How far paths are from the truth; None where it is unknown.

        Of several columns see `range_scores`, of forecasts of a panel `tsdiff.panel_scores`.
        """
        return self.scoring.scores(self.answers)


def _stacked(parts: Sequence[Array]) -> Array:
    if len({part.shape for part in parts}) > 1:
        raise InputError("series differ in length", mend="take them one by one")
    return np.stack(parts)


def check_places(outputs: Outputs, task: Task, source: SeriesFile) -> None:
    """See `Items.check`.

    Raises:
        InputError: an unknown suffix, or a place that is the input or cannot be written.
    """
    if task.name == "forecast":
        format_of(outputs.file)
    else:
        source.check_filled(outputs.file)
    places = [outputs.file, outputs.file.with_name(f"{outputs.file.name}.json")]
    places += [beside(outputs.file)] if _has_two(outputs, task) else []
    places += [scores_file(outputs.file)] if task.name == "forecast" and task.options.get("holdout") else []
    places += [] if outputs.plot is None else [outputs.plot]
    for place in places:
        if source.file is not None and place.resolve() == source.file.resolve():
            raise InputError("would replace what is read", file=place, mend="write to another file")
        check_writable(place)


def scores_file(file: Path) -> Path:
    """Where scores of each series stand: `forecast.csv.scores.csv` beside `forecast.csv`."""
    return file.with_name(f"{file.name}.scores.csv")


def beside(file: Path) -> Path:
    """Where the long table of filled cells stands: `filled.quantiles.csv` beside `filled.csv`."""
    kind = suffix(file)
    table = kind if kind in SUFFIXES else ".csv"
    return file.with_name(f"{file.name[: len(file.name) - len(kind)]}.quantiles{table}")


def _has_two(outputs: Outputs, task: Task) -> bool:
    return task.name != "forecast" and suffix(outputs.file) != ".npz"


def write_answers(
    found: Completions, outputs: Outputs, task: Task, source: SeriesFile, title: str | None = None
) -> dict[str, Any]:
    """See `Items.write`; `title` is what the picture calls them, by default by the task."""
    scores = found.scores()
    if outputs.plot is not None:
        from scorefield.domains.series.fans import draw_answers

        note = "" if scores is None else " ".join(found.scoring.told(scores))
        figures = found.scoring.figures(found.answers) if outputs.plot.suffix.lower() == ".html" else []
        draw_answers(found, outputs.plot, source, title or task.name.capitalize(), note, figures)
    each = None if scores is None else found.scoring.per_series(found.answers)
    if each is not None:
        write_table(each, scores_file(outputs.file))
    if suffix(outputs.file) == ".npz":
        write_archive(_arrays(found, source), outputs.file)
    elif task.name == "forecast":
        write_table(long_table(found, source, outputs.paths), outputs.file)
    else:
        write_table(long_table(found, source, outputs.paths), beside(outputs.file))
        source.write_filled(found, str(task.options.get("fill", "median")), outputs.file)
    return {} if scores is None else {"scores": scores}


def _arrays(found: Completions, source: SeriesFile) -> dict[str, NDArray[Any]]:
    """Arrays of all series, NaN behind those that are shorter; `x` holds the medians."""
    longest = max(answer.rows.stop - answer.rows.start for answer in found)

    def padded(parts: list[Array]) -> Array:
        return np.stack([np.pad(p, _behind(p, longest), constant_values=np.nan) for p in parts])

    names = source.names
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
        "series": np.array([names[answer.number] for answer in found], dtype=np.str_),
        "first_step": np.array([answer.before + answer.rows.start for answer in found]),
    }


def _behind(part: Array, longest: int) -> list[tuple[int, int]]:
    widths = [(0, 0)] * part.ndim
    widths[-2] = (0, longest - part.shape[-2])
    return widths


def long_table(found: Completions, source: SeriesFile, paths: bool) -> pd.DataFrame:
    """A row for each entry that was missing."""
    return pd.concat([_long(answer, source, paths) for answer in found], ignore_index=True)


def _long(answer: Answer, source: SeriesFile, paths: bool) -> pd.DataFrame:
    values = {**source.keys(answer), "mean": answer.sampled.mean(0)}
    for level, quantile in zip(LEVELS, np.quantile(answer.sampled, LEVELS, axis=0), strict=True):
        values[f"q{level:g}"] = quantile
    truth = answer.truth[answer.holes]
    if not np.isnan(truth).all():
        values["truth"] = truth
    if paths:
        values |= {f"path{k}": path for k, path in enumerate(answer.sampled)}
    return pd.DataFrame(values)
