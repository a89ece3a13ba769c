"""Completion of series with a run of windows, whatever their number of rows: forecasts, imputation, interpolation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.completion import ITEM, Filled, Observing, Outputs, Task
from scorefield.core.plans import Stretch
from scorefield.core.state import State
from scorefield.domains.series.answers import Answer, Completions, check_places, write_answers
from scorefield.domains.series.encoders import Seen, WindowEncoder
from scorefield.domains.series.range_scores import Scoring
from scorefield.domains.series.series_file import SeriesFile

__all__ = ["Job", "SeriesItems", "SeriesWork"]

Array = NDArray[np.float64]


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

    @classmethod
    def of(cls, answer: Answer, plan: list[Stretch], rows: slice) -> Self:
        """Number what is missing in these rows."""
        missing = np.isnan(answer.x)
        missing[: rows.start], missing[rows.stop :] = False, False
        cells = np.full(missing.shape, -1, dtype=np.int64)
        cells[missing] = np.arange(int(missing.sum()))
        return cls(answer.of(missing), plan, cells)


class SeriesItems:
    """Series of a file and what is missing of them; see `core.completion.Items`.

    Args:
        task: what is asked, with all its options.
        source: the series.
        jobs: those of which something is missing.
        encoder: how the run sees windows.
        scoring: how results are judged.
    """

    noun = "series"

    def __init__(
        self, task: Task, source: SeriesFile, jobs: Sequence[Job], encoder: WindowEncoder, scoring: Scoring
    ) -> None:
        self.task, self.source, self.jobs, self.encoder, self.scoring = task, source, list(jobs), encoder, scoring

    @property
    def observes(self) -> bool:
        """See `Items`."""
        return self.encoder.observes

    def __len__(self) -> int:
        return len(self.jobs)

    def request(self) -> dict[str, Any]:
        """See `Items.request`."""
        return {"task": self.task.name, "options": dict(self.task.options), "data": self.source.digest()}

    def facts(self) -> dict[str, Any]:
        """See `Items.facts`."""
        windows = sum(len(job.plan) for job in self.jobs)
        file = {} if self.source.file is None else {"data": str(self.source.file)}
        return {"task": self.task.name, **file, **self.task.options, "series": len(self.jobs), "windows": windows}

    def observing(self) -> Observing:
        """See `Items.observing`."""
        return self.encoder.observing

    def begin(
        self, items: range, paths: int, generator: torch.Generator, conditions: Mapping[str, Any] | None = None
    ) -> SeriesWork:
        """See `Items.begin`."""
        return SeriesWork([self.jobs[k] for k in items], paths, self.encoder, generator, conditions)

    def check(self, outputs: Outputs) -> None:
        """See `Items.check`."""
        check_places(outputs, self.task, self.source)

    def write(self, filled: Filled, outputs: Outputs, title: str | None = None) -> dict[str, Any]:
        """See `Items.write` and, for `title`, `write_answers`."""
        return write_answers(self.present(filled), outputs, self.task, self.source, title)

    def told(self, summary: Mapping[str, Any]) -> list[str]:
        """See `Items.told`."""
        return self.scoring.told(summary["scores"]) if "scores" in summary else []

    def present(self, filled: Filled) -> Completions:
        """See `Items.present`."""
        answers = [job.answer.filled(block) for job, block in zip(self.jobs, filled.cells, strict=True)]
        return Completions(tuple(answers), self.source.columns, self.scoring)


class SeriesWork:
    """Windows of some series, round by round; see `core.completion.Work`.

    Args:
        jobs: the series.
        paths: of each.
        encoder: how windows are seen.
        generator: for what is drawn of a window before sampling.
        conditions: what the user fixes of that.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        paths: int,
        encoder: WindowEncoder,
        generator: torch.Generator,
        conditions: Mapping[str, Any] | None,
    ) -> None:
        self._jobs, self._paths, self._encoder = jobs, paths, encoder
        self._generator, self._conditions = generator, conditions
        self._filled = [np.full((paths, int(job.cells.max()) + 1), np.nan) for job in jobs]
        self.rounds = 1 + max(stretch.round for job in jobs for stretch in job.plan)
        self._round = -1
        self._now: list[tuple[int, Stretch]] = []
        self._seen: Seen

    def next(self) -> State | None:
        """See `Work.next`."""
        self._round += 1
        self._now = [(k, s) for k, job in enumerate(self._jobs) for s in job.plan if s.round == self._round]
        if not self._now:
            return None
        self._seen = self._encoder.seen(np.concatenate([self._stretch(k, stretch) for k, stretch in self._now]))
        frame = self._encoder.frame(len(self._now) * self._paths, self._generator, self._conditions)
        items = {ITEM: torch.arange(len(self._now)).repeat_interleave(self._paths)}
        return State(frame.components, frame.masks, {**frame.condition, **self._seen.condition, **items})

    def _stretch(self, number: int, stretch: Stretch) -> Array:
        """What is known of a window and its history on every path, in the data's units, `(paths, history + L, D)`."""
        job, history = self._jobs[number], self._encoder.history
        x, rows = job.answer.x, len(job.answer.x)
        first, steps = stretch.start - history, history + self._encoder.length
        known = np.full((self._paths, steps, x.shape[1]), np.nan)
        here = slice(max(first, 0), min(first + steps, rows))
        there = slice(here.start - first, here.stop - first)
        known[:, there] = x[here]
        cells = job.cells[here]
        filled = cells >= 0
        # Earlier windows have filled some; what none has yet is NaN there too.
        known[:, there][:, filled] = self._filled[number][:, cells[filled]]
        return known

    def take(self, state: State) -> None:
        """See `Work.take`."""
        decoded = self._seen.decode(state["x"].double().numpy())
        x = decoded.reshape(len(self._now), self._paths, self._encoder.length, -1)
        for (number, stretch), window in zip(self._now, x, strict=True):
            rows = slice(stretch.first, stretch.last)
            cells = self._jobs[number].cells[rows]
            missing = cells >= 0
            part = window[:, stretch.first - stretch.start : stretch.last - stretch.start]
            self._filled[number][:, cells[missing]] = part[:, missing]

    def result(self) -> Filled:
        """See `Work.result`."""
        return Filled(tuple(self._filled))
