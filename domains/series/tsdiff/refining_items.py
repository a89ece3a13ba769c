"""Base forecasts of a panel as items of refinement, written and scored as forecasts are, beside the base.

The representative time is looked for on windows of the histories themselves that end before the forecast (96 at random,
from all series together); published code takes one batch of up to 1024 training windows, which a run need not have any
more. Where no history is as long as a window, base forecasts stand at the end of such windows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.completion import ITEM, OBSERVED, Filled, Observing, Outputs, Task
from scorefield.core.errors import InputError
from scorefield.core.guidance.refine import Held
from scorefield.core.names import unknown
from scorefield.core.noise import stream_seed
from scorefield.core.state import State
from scorefield.domains.series.completion import Job, SeriesItems
from scorefield.domains.series.synthesis import is_panel
from scorefield.domains.series.tsdiff.base_forecasts import Wanted
from scorefield.domains.series.tsdiff.bases import Known, base_forecasts
from scorefield.domains.series.tsdiff.encoding import encode
from scorefield.domains.series.tsdiff.panel_encoder import PanelEncoder
from scorefield.domains.series.tsdiff.panel_scores import told_number
from scorefield.domains.series.tsdiff.panel_source import PanelSource
from scorefield.domains.series.tsdiff.panel_tasks import open_panel
from scorefield.domains.series.tsdiff.refining import HELD, Refinable, refinable

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord
    from scorefield.domains.series.answers import Answer, Completions

__all__ = ["RefinedItems", "open_refining"]

Array = NDArray[np.float64]
_OPTIONS = ("base", "held", "holdout", "train")
_EXAMPLES = 96
_TOLD = ("crps", "nd", "nrmse", "mase")


class RefinedItems:
    """Forecasts to refine; see `core.refiner.RefiningItems`.

    Args:
        task: what is asked, with all its options.
        forecasts: the same series as items of a forecast: what reads, writes and scores them.
        source: the series.
        encoder: how the run sees windows.
        base: base paths in the units of the data, `(n, S, prediction)`.
        held: what samples are held to.
    """

    noun = "series"
    observes = True

    def __init__(
        self, task: Task, forecasts: SeriesItems, source: PanelSource, encoder: PanelEncoder, base: Array, held: Held
    ) -> None:
        self.task, self.forecasts, self.source, self.encoder = task, forecasts, source, encoder
        self.base, self.held = base, held

    def __len__(self) -> int:
        return len(self.forecasts)

    def request(self) -> dict[str, Any]:
        """See `Items.request`."""
        digest = hashlib.sha256(np.ascontiguousarray(self.base).tobytes()).hexdigest()
        own = {"task": self.task.name, "base": digest, "base_paths": self.base.shape[1], "held": self.held}
        return {**self.forecasts.request(), **own}

    def facts(self) -> dict[str, Any]:
        """See `Items.facts`."""
        base = self.task.options["base"]
        own = {"base": str(base) if isinstance(base, str) else "array", "base_paths": self.base.shape[1]}
        return {**self.forecasts.facts(), "task": self.task.name, **own, "held": self.held}

    def observing(self) -> Observing:
        """See `Items.observing`."""
        return self.forecasts.observing()

    def begin(
        self, items: range, paths: int, generator: torch.Generator, conditions: Mapping[str, Any] | None = None
    ) -> RefiningWork:
        """See `Items.begin`."""
        if conditions:
            raise InputError(f"condition {min(conditions)!r}", mend="leave it out")
        jobs = [self.forecasts.jobs[k] for k in items]
        return RefiningWork(jobs, self.base[items.start : items.stop], self.encoder, self.held, paths)

    def examples(self, seed: int) -> State:
        """See `RefiningItems.examples`."""
        plan = self.encoder.plan
        histories = [_history(job.answer, self.source) for job in self.forecasts.jobs]
        counts = np.array([max(len(history) - plan.total + 1, 0) for history in histories])
        draw = np.random.default_rng(stream_seed("examples", seed))
        if not counts.sum():
            few = slice(0, _EXAMPLES)
            return RefiningWork(self.forecasts.jobs[few], self.base[few], self.encoder, self.held, 1).state()
        chosen = draw.choice(int(counts.sum()), min(int(counts.sum()), _EXAMPLES), replace=False)
        owners = np.searchsorted(np.cumsum(counts), chosen, side="right")
        places = chosen - (np.cumsum(counts) - counts)[owners]
        windows = [histories[k][place : place + plan.total] for k, place in zip(owners, places, strict=True)]
        return State({"x": torch.from_numpy(encode(np.stack(windows), plan, self.encoder.fallback).x).float()})

    def check(self, outputs: Outputs) -> None:
        """See `Items.check`.

        Raises:
            InputError: also where the base would be replaced.
        """
        self.forecasts.check(outputs)
        base = self.task.options["base"]
        if isinstance(base, str) and outputs.file.exists() and outputs.file.resolve() == Path(base).resolve():
            raise InputError("would replace what is read", file=outputs.file, mend="write to another file")

    def write(self, filled: Filled, outputs: Outputs) -> dict[str, Any]:
        """See `Items.write`; `base_scores` are those of the base, where a truth is known."""
        said = self.forecasts.write(filled, outputs, "Refined forecast")
        if "scores" not in said:
            return said
        paths = tuple(np.ascontiguousarray(block) for block in self.base)
        scores = self.forecasts.present(Filled(paths)).scores() or {}
        return {**said, "base_scores": {name: value for name, value in scores.items() if name != "seasonal_naive"}}

    def told(self, summary: Mapping[str, Any]) -> list[str]:
        """See `Items.told`."""
        if "base_scores" not in summary:
            return []
        pairs = [(name.upper(), summary["base_scores"][name], summary["scores"][name]) for name in _TOLD]
        said = ", ".join(f"{name} {told_number(before)} -> {told_number(after)}" for name, before, after in pairs)
        return [f"base -> refined: {said}", *self.forecasts.told(summary)]

    def present(self, filled: Filled) -> Completions:
        """See `Items.present`."""
        return self.forecasts.present(filled)


class RefiningWork:
    """Some forecasts to refine, all in one round; see `core.completion.Work`.

    Args:
        jobs: the series.
        base: base paths of each.
        encoder: how windows are seen.
        held: what samples are held to.
        paths: of each.
    """

    rounds = 1

    def __init__(self, jobs: Sequence[Job], base: Array, encoder: PanelEncoder, held: Held, paths: int) -> None:
        self._start = _start(jobs, base, encoder, held, paths)
        self._paths, self._waits = paths, True
        self._found: Array

    def state(self) -> State:
        """Where samples start."""
        start = self._start
        items = torch.arange(len(start.scale)).repeat_interleave(self._paths)
        condition = {OBSERVED + "x": torch.from_numpy(start.seen).float(), ITEM: items}
        return State({"x": torch.from_numpy(start.x).float()}, {}, condition)

    def next(self) -> State | None:
        """See `Work.next`."""
        waits, self._waits = self._waits, False
        return self.state() if waits else None

    def take(self, state: State) -> None:
        """See `Work.take`."""
        self._found = self._start.paths(state["x"].double().numpy())

    def result(self) -> Filled:
        """See `Work.result`."""
        return Filled(tuple(self._found))


def _start(jobs: Sequence[Job], base: Array, encoder: PanelEncoder, held: Held, paths: int) -> Refinable:
    plan = encoder.plan
    steps = plan.history + plan.context
    values = np.full((len(jobs), steps), np.nan)
    for row, job in zip(values, jobs, strict=True):
        known = job.answer.x[: job.answer.rows.start, 0][-steps:]
        row[steps - len(known) :] = known
    return refinable(values, base, plan, encoder.fallback, paths, held)


def open_refining(task: Task, record: ModelRecord) -> RefinedItems:
    """See `Completing.open_items`.

    Options are `base` (see `bases`), `held` (`observed` or `all`), `holdout`, and `train`, the file with the training
    series where that has moved.

    Raises:
        InputError: a run, a file or an option that does not fit.
    """
    for name in task.options:
        if name not in _OPTIONS:
            raise unknown("option of refine", name, _OPTIONS)
    if not is_panel(record.tables):
        raise InputError("only runs of panels refine", mend="take a run of TSDiff")
    held = task.options.get("held", "all")
    if held not in HELD:
        raise unknown("part of a window to hold on to", str(held), HELD)
    forecast = {"holdout": True} if task.options.get("holdout") else {}
    forecasts, encoder = open_panel(Task("forecast", task.data, forecast, task.reading), record), PanelEncoder(record)
    if "base" not in task.options:
        raise InputError("no base forecast is named", mend="give a file, or seasonal-naive, ridge or recurrent")
    source, season = forecasts.source, int(record.tables["season"])
    assert isinstance(source, PanelSource)  # `open_panel` has read it
    known = _known([job.answer for job in forecasts.jobs], source)
    base = base_forecasts(task.options["base"], known, encoder.plan, season, record, task.options.get("train"))
    return RefinedItems(task, forecasts, source, encoder, base, held)


def _known(answers: Sequence[Answer], source: PanelSource) -> list[Known]:
    entries: dict[int, int] = {}
    found = []
    for answer in answers:
        row = int(source.rows[answer.number])
        entry, stamps = entries.get(row, 0), source.stamps(answer)
        entries[row] = entry + 1
        after = None if stamps is None else stamps[answer.rows.start :]
        wanted = Wanted(source.panel.names[row], answer.before + answer.rows.start, after, entry)
        found.append(Known(_history(answer, source), wanted))
    return found


def _history(answer: Answer, source: PanelSource) -> Array:
    """All values before a forecast."""
    series: Array = source.panel.series(int(source.rows[answer.number]))
    return series[: answer.before + answer.rows.start]
