"""What `forecast`, `impute` and `interpolate` ask of series of several columns: which cells, in which windows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.completion import Task
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.given import given_steps
from scorefield.core.names import unknown
from scorefield.core.plans import Stretch, gap_plan, tail_plan, window_plan
from scorefield.domains.series.answers import Answer
from scorefield.domains.series.completion import Job, SeriesItems
from scorefield.domains.series.encoders import RangeEncoder
from scorefield.domains.series.observed import Observed, layout_of, observed
from scorefield.domains.series.range_scores import RangeScores
from scorefield.domains.series.scaling import Scaling
from scorefield.domains.series.series_file import SeriesFile

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord
    from scorefield.core.domain import Domain

__all__ = ["check_fill", "checked_options", "gaps", "open_series", "where"]

Array = NDArray[np.float64]
_OPTIONS = {
    "forecast": ("horizon", "holdout"),
    "impute": ("given", "fill"),
    "interpolate": ("given", "fill"),
}
_FILLS = ("median", "mean")


def open_series(task: Task, record: ModelRecord, domain: Domain) -> SeriesItems:
    """See `Completing.open_items`.

    Raises:
        InputError: a file or an option that does not fit.
    """
    options = checked_options(task, _OPTIONS)
    columns, length = record.tables["columns"], record.sizes["length"]
    layout = layout_of(task.reading, record.data.get("init_args", {}))
    table = observed(task.data, columns, layout, task.reading)
    if task.name == "forecast":
        options.setdefault("horizon", max(1, length // 4))
        jobs = _forecasts(table, int(options["horizon"]), length, bool(options.get("holdout")))
    else:
        check_fill(options)
        jobs = gaps(table, task.name, options.get("given"), length)
    encoder = RangeEncoder(domain, record)
    _warn_of_range(table, jobs, length, encoder.scaling)
    scoring = RangeScores(encoder.scaling.low, encoder.scaling.high)
    return SeriesItems(Task(task.name, task.data, options, task.reading), table, jobs, encoder, scoring)


def checked_options(task: Task, known: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The options that are given.

    Raises:
        InputError: the task has no such option.
    """
    options = {name: value for name, value in task.options.items() if value is not None}
    for name in options:
        if name not in known[task.name]:
            raise unknown(f"option of {task.name}", name, known[task.name])
    return options


def check_fill(options: dict[str, Any]) -> None:
    """Take the median where nothing is said.

    Raises:
        InputError: something else than median or mean is to stand for missing values.
    """
    if options.setdefault("fill", "median") not in _FILLS:
        raise unknown("value to fill with", str(options["fill"]), _FILLS)


def _forecasts(table: Observed, horizon: int, length: int, holdout: bool) -> list[Job]:
    """The rows after each series, or its last ones."""
    if not 1 <= horizon < length:
        what = f"a horizon of {horizon} steps with windows of {length}"
        raise InputError(what, mend=f"give 1 to {length - 1}: a window must hold some history")
    jobs, short = [], []
    for number in range(len(table)):
        x = table.series(number)
        x = x[: _end(x)]
        history = x[:-horizon] if holdout else x
        known = history[-(length - horizon) :]
        if not len(known) or np.isnan(known).all():
            what = "no value is given before the forecast"
            mend = "give a longer history" + (", or leave --holdout out" if holdout else "")
            raise InputError(what, file=table.file, place=table.place(number), mend=mend)
        short += [number] if len(known) < length - horizon else []
        open_rows = np.full((horizon, x.shape[1]), np.nan)
        rows = len(history) + horizon
        truth = x[-horizon:] if holdout else open_rows
        answer = Answer(
            number, np.concatenate([history, open_rows]), np.concatenate([history, truth]), slice(len(history), rows)
        )
        jobs.append(Job.of(answer, tail_plan(rows, horizon, length), answer.rows))
    if short:
        what = f"{len(jobs[short[0]].answer.x) - horizon} rows of history, a window takes {length - horizon}"
        some = f" in {len(short)} of {len(jobs)} series" if len(jobs) > 1 else ""
        _warn(f"{where(table, short[0])}: {what}{some}: the rows before them count as unknown")
    return jobs


def _end(x: Array) -> int:
    """The row after the last one that holds a value: other rows fill a shorter series up."""
    there = np.flatnonzero(~np.isnan(x).all(1))
    return int(there[-1]) + 1 if len(there) else 0


def gaps(
    table: SeriesFile, name: str, given: str | None, length: int, history: int = 0, *, blind: bool = False
) -> list[Job]:
    """What is missing within each series: cells without a value, or steps of each window that are not given.

    Args:
        table: the series.
        name: the task.
        given: these steps of each window are given.
        length: steps of a window.
        history: steps before a window that are looked at besides.
        blind: whether series of which nothing is given may be filled.

    Raises:
        InputError: nothing is missing, or nothing is given of a series that must not be filled blindly.
    """
    steps = None if given is None else given_steps(given, length)
    found = []
    for number in range(len(table)):
        truth = table.series(number)
        if name == "interpolate":
            _check_whole_rows(truth, table, number)
        if steps is None:
            x, rows = truth, slice(0, len(truth))
            plan = gap_plan(np.asarray(np.isnan(truth).any(1)), length, history)
        else:
            x, plan, rows = _masked(table, number, steps)
        if not plan:
            continue
        if np.isnan(x).all() and not blind:
            mend = "leave such series out"
            raise InputError("no value is given", file=table.file, place=table.place(number), mend=mend)
        found.append(Job.of(Answer(number, x, truth, slice(0, len(x))), plan, rows))
    if not found:
        mend = "empty the cells to fill, or say with --given which steps are given"
        raise InputError("nothing is missing", file=table.file, mend=mend)
    return found


def _masked(table: SeriesFile, number: int, steps: NDArray[np.bool_]) -> tuple[Array, list[Stretch], slice]:
    """A series without what is not given of its windows, the windows, and their rows."""
    truth, length = table.series(number), len(steps)
    plan = window_plan(len(truth), length)
    if not plan:
        what = f"{len(truth)} rows, fewer than a window of {length}"
        mend = "--given counts the steps of whole windows"
        raise InputError(what, file=table.file, place=table.place(number), mend=mend)
    rows = slice(0, plan[-1].last)
    if rows.stop < len(truth):
        _warn(f"{where(table, number)}: the last {len(truth) - rows.stop} rows fill no window: left as they are")
    x = truth.copy()
    x[rows][~np.tile(steps, len(plan))] = np.nan
    return x, plan, rows


def _check_whole_rows(x: Array, table: SeriesFile, number: int) -> None:
    partly = np.flatnonzero(np.isnan(x).any(1) & ~np.isnan(x).all(1))
    if len(partly):
        row = [table.place(number), f"row {partly[0] + 1}"]
        place = ", ".join(part for part in row if part is not None)
        what = "only some of its values are missing"
        raise InputError(what, file=table.file, place=place, mend="interpolate fills whole steps; use impute")


def _warn_of_range(table: Observed, jobs: Sequence[Job], length: int, scaling: Scaling) -> None:
    """Tell which columns leave the range that the run was trained on, within the windows that are sampled."""
    wrong = np.zeros(len(table.columns), dtype=bool)
    for job in jobs:
        for stretch in job.plan:
            x = job.answer.x[max(stretch.start, 0) : stretch.start + length]
            slack = 1e-9 * (scaling.high - scaling.low)
            # A comparison with NaN is false.
            wrong |= ((x < scaling.low - slack) | (x > scaling.high + slack)).any(0)
    if wrong.any():
        names = ", ".join(
            f"{table.columns[d]!r} ({scaling.low[d]:g} to {scaling.high[d]:g})" for d in np.flatnonzero(wrong)
        )
        what = "values lie outside of what the run was trained on, where it cannot follow them"
        _warn(f"{where(table, None)}: {what}: {names}")


def where(table: SeriesFile, number: int | None) -> str:
    """How warnings call a file, or a series of it."""
    place = None if number is None else table.place(number)
    return ": ".join(str(part) for part in (table.file or "data", place) if part is not None)


def _warn(text: str) -> None:
    warnings.warn(text, InputWarning, stacklevel=3)
