"""Forecasts, imputation and interpolation of series with a run of windows, whatever their number of rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.completion import ITEM, OBSERVED, Filled, Observing, Outputs, Task
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.names import unknown
from scorefield.core.state import State
from scorefield.domains.series.answers import Answer, Completions, check_places, write_answers
from scorefield.domains.series.given import given_steps
from scorefield.domains.series.labels import OPEN
from scorefield.domains.series.observed import Observed, layout_of, observed
from scorefield.domains.series.plans import Stretch, gap_plan, tail_plan, window_plan
from scorefield.domains.series.scaling import Scaling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scorefield.core.checkpoints import ModelRecord
    from scorefield.core.domain import Domain

__all__ = ["OBSERVING", "SeriesItems", "open_series"]

Array = NDArray[np.float64]

OBSERVING = Observing("moments", {"iterations": 3, "bounds": 1.0}, 0.01, 0.5, "ddpm", 25, {})
"""Measured on stocks; see docs/completion.md."""
_OPTIONS = {
    "forecast": ("horizon", "holdout"),
    "impute": ("given", "fill"),
    "interpolate": ("given", "fill"),
}
_FILLS = ("median", "mean")


@dataclass(frozen=True)
class Job:
    """One series.

    Attributes:
        answer: the series with what is missing of it.
        plan: windows.
        cells: number of each missing entry, -1 where there is none, `(T, D)`.
    """

    answer: Answer
    plan: list[Stretch]
    cells: NDArray[np.int64]


class SeriesItems:
    """Series of a file and what is missing of them; see `core.completion.Items`."""

    noun = "series"

    def __init__(self, task: Task, table: Observed, jobs: Sequence[Job], domain: Domain, record: ModelRecord) -> None:
        self.task, self.table, self.jobs = task, table, list(jobs)
        self._domain, self._record = domain, record
        self.scaling = Scaling.from_tables(record.tables)

    def __len__(self) -> int:
        return len(self.jobs)

    def request(self) -> dict[str, Any]:
        """See `Items.request`."""
        return {"task": self.task.name, "options": dict(self.task.options), "data": self.table.digest()}

    def facts(self) -> dict[str, Any]:
        """See `Items.facts`."""
        windows = sum(len(job.plan) for job in self.jobs)
        file = {} if self.table.file is None else {"data": str(self.table.file)}
        return {"task": self.task.name, **file, **self.task.options, "series": len(self.jobs), "windows": windows}

    def observing(self) -> Observing:
        """See `Items.observing`."""
        return OBSERVING

    def begin(
        self, items: range, paths: int, generator: torch.Generator, conditions: Mapping[str, Any] | None = None
    ) -> SeriesWork:
        """See `Items.begin`."""
        tables, sizes = self._record.tables, self._record.sizes
        if tables.get("conditional"):  # what is observed tells more of the class than a draw would
            conditions = {"label": OPEN, **(conditions or {})}

        def frame(rows: int) -> State:
            return self._domain.frame(self._domain.draw(rows, tables, generator, conditions), sizes, tables)

        return SeriesWork([self.jobs[k] for k in items], paths, sizes["length"], self.scaling, frame)

    def check(self, outputs: Outputs) -> None:
        """See `Items.check`."""
        check_places(outputs, self.task, self.table)

    def write(self, filled: Filled, outputs: Outputs) -> dict[str, Any]:
        """See `Items.write`."""
        return write_answers(self.present(filled), outputs, self.task, self.table)

    def present(self, filled: Filled) -> Completions:
        """See `Items.present`."""
        answers = [job.answer.filled(block) for job, block in zip(self.jobs, filled.cells, strict=True)]
        return Completions(tuple(answers), self.table.columns, (self.scaling.low, self.scaling.high))


class SeriesWork:
    """Windows of some series, round by round; see `core.completion.Work`."""

    def __init__(self, jobs: Sequence[Job], paths: int, length: int, scaling: Scaling, frame: Any) -> None:
        self._jobs, self._paths, self._length, self._scaling, self._frame = jobs, paths, length, scaling, frame
        self._filled = [np.full((paths, int(job.cells.max()) + 1), np.nan) for job in jobs]
        self.rounds = 1 + max(stretch.round for job in jobs for stretch in job.plan)
        self._round = -1
        self._now: list[tuple[int, Stretch]] = []

    def next(self) -> State | None:
        """See `Work.next`."""
        self._round += 1
        self._now = [(k, s) for k, job in enumerate(self._jobs) for s in job.plan if s.round == self._round]
        if not self._now:
            return None
        windows = np.concatenate([self._window(k, stretch) for k, stretch in self._now])
        frame: State = self._frame(len(windows))
        known = {
            OBSERVED + "x": torch.from_numpy(self._scaling.scaled(windows)).float(),
            ITEM: torch.arange(len(self._now)).repeat_interleave(self._paths),
        }
        return State(frame.components, frame.masks, {**frame.condition, **known})

    def _window(self, number: int, stretch: Stretch) -> Array:
        """What is known of a window on every path, in the data's units, `(paths, L, D)`."""
        job = self._jobs[number]
        x, rows = job.answer.x, len(job.answer.x)
        window = np.full((self._paths, self._length, x.shape[1]), np.nan)
        here = slice(max(stretch.start, 0), min(stretch.start + self._length, rows))
        there = slice(here.start - stretch.start, here.stop - stretch.start)
        window[:, there] = x[here]
        cells = job.cells[here]
        filled = cells >= 0
        # Earlier windows have filled some; what none has yet is NaN there too.
        window[:, there][:, filled] = self._filled[number][:, cells[filled]]
        return window

    def take(self, state: State) -> None:
        """See `Work.take`."""
        x = self._scaling.original(state["x"].double().numpy()).reshape(len(self._now), self._paths, self._length, -1)
        for (number, stretch), window in zip(self._now, x, strict=True):
            rows = slice(stretch.first, stretch.last)
            cells = self._jobs[number].cells[rows]
            missing = cells >= 0
            part = window[:, stretch.first - stretch.start : stretch.last - stretch.start]
            self._filled[number][:, cells[missing]] = part[:, missing]

    def result(self) -> Filled:
        """See `Work.result`."""
        return Filled(tuple(self._filled))


def open_series(task: Task, record: ModelRecord, domain: Domain) -> SeriesItems:
    """See `Completing.open_items`.

    Raises:
        InputError: a file or an option that does not fit.
    """
    for name, value in task.options.items():
        if name not in _OPTIONS[task.name] and value is not None:
            raise unknown(f"option of {task.name}", name, _OPTIONS[task.name])
    options = {name: value for name, value in task.options.items() if value is not None}
    columns, length = record.tables["columns"], record.sizes["length"]
    layout = layout_of(task.reading, record.data.get("init_args", {}))
    table = observed(task.data, columns, layout, task.reading)
    if task.name == "forecast":
        options.setdefault("horizon", max(1, length // 4))
        jobs = _forecasts(table, int(options["horizon"]), length, bool(options.get("holdout")))
    else:
        if options.setdefault("fill", "median") not in _FILLS:
            raise unknown("value to fill with", str(options["fill"]), _FILLS)
        jobs = _gaps(table, task.name, options.get("given"), length)
    _warn_of_range(table, jobs, length, Scaling.from_tables(record.tables))
    return SeriesItems(Task(task.name, task.data, options, task.reading), table, jobs, domain, record)


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
        jobs.append(_job(answer, tail_plan(rows, horizon, length), answer.rows))
    if short:
        what = f"{len(jobs[short[0]].answer.x) - horizon} rows of history, a window takes {length - horizon}"
        some = f" in {len(short)} of {len(jobs)} series" if len(jobs) > 1 else ""
        _warn(f"{_where(table, short[0])}: {what}{some}: the rows before them count as unknown")
    return jobs


def _end(x: Array) -> int:
    """The row after the last one that holds a value: other rows fill a shorter series up."""
    there = np.flatnonzero(~np.isnan(x).all(1))
    return int(there[-1]) + 1 if len(there) else 0


def _gaps(table: Observed, name: str, given: str | None, length: int) -> list[Job]:
    """What is missing within each series: cells without a value, or steps of each window that are not given."""
    jobs = []
    steps = None if given is None else given_steps(given, length)
    for number in range(len(table)):
        truth = table.series(number)
        place = table.place(number)
        if name == "interpolate":
            _check_whole_rows(truth, table, number)
        if steps is None:
            x, plan, rows = truth, gap_plan(np.asarray(np.isnan(truth).any(1)), length), slice(0, len(truth))
        else:
            plan = window_plan(len(truth), length)
            if not plan:
                what = f"{len(truth)} rows, fewer than a window of {length}"
                raise InputError(what, file=table.file, place=place, mend="--given counts the steps of whole windows")
            rows = slice(0, plan[-1].last)
            if rows.stop < len(truth):
                _warn(
                    f"{_where(table, number)}: the last {len(truth) - rows.stop} rows fill no window: left as they are"
                )
            x = truth.copy()
            x[rows][~np.tile(steps, len(plan))] = np.nan
        if not plan:
            continue
        if np.isnan(x).all():
            raise InputError("no value is given", file=table.file, place=place, mend="leave such series out")
        jobs.append(_job(Answer(number, x, truth, slice(0, len(x))), plan, rows))
    if not jobs:
        mend = "empty the cells to fill, or say with --given which steps are given"
        raise InputError("nothing is missing", file=table.file, mend=mend)
    return jobs


def _check_whole_rows(x: Array, table: Observed, number: int) -> None:
    partly = np.flatnonzero(np.isnan(x).any(1) & ~np.isnan(x).all(1))
    if len(partly):
        where = [table.place(number), f"row {partly[0] + 1}"]
        place = ", ".join(part for part in where if part is not None)
        what = "only some of its values are missing"
        raise InputError(what, file=table.file, place=place, mend="interpolate fills whole steps; use impute")


def _job(answer: Answer, plan: list[Stretch], rows: slice) -> Job:
    """Number what is missing in these rows."""
    missing = np.isnan(answer.x)
    missing[: rows.start], missing[rows.stop :] = False, False
    cells = np.full(missing.shape, -1, dtype=np.int64)
    cells[missing] = np.arange(int(missing.sum()))
    return Job(answer.of(missing), plan, cells)


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
        _warn(f"{_where(table, None)}: {what}: {names}")


def _where(table: Observed, number: int | None) -> str:
    place = None if number is None else table.place(number)
    return ": ".join(str(part) for part in (table.file or "data", place) if part is not None)


def _warn(text: str) -> None:
    warnings.warn(text, InputWarning, stacklevel=3)
