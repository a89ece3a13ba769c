"""What `forecast`, `impute` and `interpolate` ask of panels: which values, in which windows.

A forecast looks at the last `context` values of each history (and, through lags, at those before), which also give the
scale; a shorter horizon is the beginning of a longer one. Gaps are filled as in other series (`core.plans`).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from scorefield.core.completion import Task
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.noise import stream_seed
from scorefield.core.plans import Stretch
from scorefield.domains.series.answers import Answer
from scorefield.domains.series.completion import Job, SeriesItems
from scorefield.domains.series.range_scores import RangeScores
from scorefield.domains.series.tsdiff.encoding import Missing, WindowPlan, hidden_steps
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panel_encoder import PanelEncoder
from scorefield.domains.series.tsdiff.panel_scores import PanelScores
from scorefield.domains.series.tsdiff.panel_source import PanelSource, panel_layout, read_source
from scorefield.domains.series.window_tasks import check_fill, checked_options, gaps, where

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord

__all__ = ["open_panel"]

Array = NDArray[np.float64]
_OPTIONS = {
    "forecast": ("horizon", "holdout", "missing"),
    "impute": ("given", "fill"),
    "interpolate": ("given", "fill"),
}
_SHOWN = 3  # horizons of history that a picture shows


def open_panel(task: Task, record: ModelRecord) -> SeriesItems:
    """See `Completing.open_items`.

    Raises:
        InputError: a file or an option that does not fit.
    """
    options, tables = checked_options(task, _OPTIONS), record.tables
    encoder = PanelEncoder(record)
    frequency = Frequency.parse(str(tables.get("frequency", "D")))
    layout = panel_layout(task.reading, str(frequency), record.data.get("init_args", {}))
    source = read_source(task.data, layout, encoder.plan.prediction, task.reading)
    scoring: Any = RangeScores()
    if task.name == "forecast":
        options.setdefault("horizon", encoder.plan.prediction)
        source, ends = _entries(source, options, encoder.plan)
        jobs = _forecasts(source, ends, options, encoder.plan)
        scoring = PanelScores(source, int(tables.get("season", frequency.season)))
    else:
        check_fill(options)
        jobs = gaps(source, task.name, options.get("given"), encoder.length, encoder.history, blind=True)
    _warn_of_names(source)
    _warn_of_silence(source, jobs, encoder)
    return SeriesItems(Task(task.name, task.data, options, task.reading), source, jobs, encoder, scoring)


def _entries(source: PanelSource, options: dict[str, Any], plan: WindowPlan) -> tuple[PanelSource, NDArray[np.int64]]:
    """The items of a forecast, and where the history of each ends."""
    horizon, test = int(options["horizon"]), source.found.test
    if not 1 <= horizon <= plan.prediction:
        what = f"a horizon of {horizon} steps, the run forecasts {plan.prediction}"
        raise InputError(what, mend=f"give 1 to {plan.prediction}")
    if not options.get("holdout"):
        return source, source.panel.lengths[source.rows]
    if test is not None:
        return source.of(test.panel, test.rows), test.ends - test.prediction
    short = np.flatnonzero(source.panel.lengths <= horizon)
    if len(short):
        what = f"{source.panel.lengths[short[0]]} values leave no history before {horizon} steps"
        mend = "leave such series out, or leave --holdout out"
        raise InputError(what, file=source.file, place=source.place(int(short[0])), mend=mend)
    return source, source.panel.lengths - horizon


def _forecasts(source: PanelSource, ends: NDArray[np.int64], options: dict[str, Any], plan: WindowPlan) -> list[Job]:
    horizon, jobs, short = int(options["horizon"]), [], []
    hidden = _hidden(options.get("missing"), len(source), plan.context)
    for number, end in enumerate(ends.tolist()):
        series = source.panel.series(int(source.rows[number]))
        first = max(0, end - max(plan.context + plan.history, _SHOWN * horizon))
        known, truth = series[first:end].copy(), np.full(horizon, np.nan)
        recent = known[-plan.context :]
        recent[hidden[number][plan.context - len(recent) :]] = np.nan
        after = series[end : end + horizon]
        truth[: len(after)] = after
        short += [number] if len(recent) < plan.context else []
        x = np.concatenate([known, np.full(horizon, np.nan)])[:, None]
        rows = slice(len(known), len(x))
        answer = Answer(number, x, np.concatenate([known, truth])[:, None], rows, before=first)
        jobs.append(Job.of(answer, [Stretch(len(known) - plan.context, rows.start, rows.stop)], rows))
    if short:
        what = f"{ends[short[0]]} values of history, a window takes {plan.context}"
        some = f" in {len(short)} of {len(jobs)} series" if len(jobs) > 1 else ""
        _warn(f"{where(source, short[0])}: {what}{some}: the steps before them count as unknown")
    return jobs


def _hidden(asked: str | None, items: int, context: int) -> NDArray[np.bool_]:
    """Which steps of each context are hidden, `(items, context)`; the same whatever the seed of sampling.

    Raises:
        InputError: an unknown scenario, or a number of steps that cannot be.
    """
    kind, _, count = (asked or "none").partition(":")
    if count and not count.isdecimal():
        raise InputError(f"--missing {asked}", mend="write it as RM, BM-B or BM-E, or with a number of steps as RM:24")
    draws = [np.random.default_rng(stream_seed("missing", 0, number)) for number in range(items)]
    return hidden_steps(cast(Missing, kind), items, context, int(count) if count else None, draws)


def _warn_of_names(source: PanelSource) -> None:
    """Say once that series have the same name, so that results cannot be told apart by it."""
    counts = Counter(source.panel.names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        what = f"{len(twice)} names stand for several series each, as {twice[0]}"
        _warn(f"{where(source, None)}: {what}: their results stand in the order of the file")


def _warn_of_silence(source: PanelSource, jobs: Sequence[Job], encoder: PanelEncoder) -> None:
    """Say once which windows tell nothing of the scale, or nothing at all."""
    plan, silent, blank, windows = encoder.plan, 0, 0, 0
    for job in jobs:
        values = np.nan_to_num(np.abs(job.answer.x[:, 0]))
        known = ~np.isnan(job.answer.x[:, 0])
        for stretch in job.plan:
            context = slice(max(stretch.start, 0), max(stretch.start + plan.context, 0))
            whole = slice(max(stretch.start - plan.history, 0), stretch.start + plan.length)
            windows += 1
            silent += int(not values[context].any())
            blank += int(not known[whole].any())
            # Windows come after those that they look at; what those fill is known to them.
            values[stretch.first : stretch.last], known[stretch.first : stretch.last] = np.inf, True
    size = f"the scale {encoder.fallback:.4g}, the mean size of the training values"
    if blank:
        what = f"of {blank} of {windows} windows nothing is known: their paths are the model's own, with {size}"
        _warn(f"{where(source, None)}: {what}")
    if silent > blank:
        what = f"{silent - blank} of {windows} contexts hold zeros or missing values only: they have {size}"
        _warn(f"{where(source, None)}: {what}")


def _warn(text: str) -> None:
    warnings.warn(text, InputWarning, stacklevel=4)
