"""Completion of trajectories with a run of windows: forecasts of any length, missing positions, frames in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.completion import Filled, Observing, Outputs, Task
from scorefield.core.errors import InputError
from scorefield.core.plans import Stretch
from scorefield.core.state import State
from scorefield.domains.geometry.answers import Answer, Completions, check_places, told_scores, write_answers
from scorefield.domains.geometry.encoder import Encoder, Seen
from scorefield.domains.geometry.known import Known

if TYPE_CHECKING:
    from scorefield.core.system import System

__all__ = ["Job", "TrajectoryItems", "TrajectoryWork"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Job:
    """One trajectory.

    Attributes:
        answer: the trajectory with what is missing of it.
        plan: windows.
    """

    answer: Answer
    plan: Sequence[Stretch]


class TrajectoryItems:
    """Trajectories and what is missing of them; see `core.completion.Items`.

    Args:
        task: what is asked, with all its options.
        known: the trajectories.
        jobs: those of which something is missing.
        encoder: how the run sees windows.
        tables: of the run.
    """

    noun = "trajectories"

    def __init__(
        self, task: Task, known: Known, jobs: Sequence[Job], encoder: Encoder, tables: Mapping[str, Any]
    ) -> None:
        self.task, self.known, self.jobs, self.encoder, self.tables = task, known, list(jobs), encoder, tables

    @property
    def observes(self) -> bool:
        """See `Items`."""
        return self.encoder.observes

    def __len__(self) -> int:
        return len(self.jobs)

    def system(self, system: System) -> System:
        """The run's system as these items need it."""
        return self.encoder.system(system)

    def request(self) -> dict[str, Any]:
        """See `Items.request`."""
        return {"task": self.task.name, "options": dict(self.task.options), "data": self.known.digest()}

    def facts(self) -> dict[str, Any]:
        """See `Items.facts`."""
        windows = sum(len(job.plan) for job in self.jobs)
        return {
            "task": self.task.name, "data": self.known.title if self.known.file is None else str(self.known.file),
            **self.task.options, "trajectories": len(self.jobs), "windows": windows,
        }  # fmt: skip

    def observing(self) -> Observing:
        """See `Items.observing`."""
        return self.encoder.observing

    def begin(
        self, items: range, paths: int, generator: torch.Generator, conditions: Mapping[str, Any] | None = None
    ) -> TrajectoryWork:
        """See `Items.begin`."""
        if conditions:
            what = f"condition {min(conditions)!r}"
            raise InputError(what, mend="leave it out: the data say what moves")
        return TrajectoryWork([self.jobs[k] for k in items], paths, self.encoder)

    def check(self, outputs: Outputs) -> None:
        """See `Items.check`."""
        check_places(outputs, self.known)

    def write(self, filled: Filled, outputs: Outputs) -> dict[str, Any]:
        """See `Items.write`."""
        return write_answers(self.present(filled), outputs, self.task)

    def told(self, summary: Mapping[str, Any]) -> list[str]:
        """See `Items.told`."""
        return told_scores(summary, str(self.tables.get("unit", "")))

    def present(self, filled: Filled) -> Completions:
        """See `Items.present`."""
        answers = [job.answer.filled(block) for job, block in zip(self.jobs, filled.cells, strict=True)]
        plans = tuple(tuple(job.plan) for job in self.jobs)
        return Completions(tuple(answers), self.known, dict(self.tables), plans)


class TrajectoryWork:
    """Windows of some trajectories, round by round; see `core.completion.Work`.

    Args:
        jobs: the trajectories.
        paths: of each.
        encoder: how windows are seen.
    """

    def __init__(self, jobs: Sequence[Job], paths: int, encoder: Encoder) -> None:
        self._jobs, self._paths, self._encoder = jobs, paths, encoder
        self._x = [np.repeat(job.answer.x[None], paths, 0) for job in jobs]
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
        windows = np.concatenate([self._window(k, stretch) for k, stretch in self._now])
        rows = np.array([self._jobs[k].answer.number for k, _ in self._now])
        starts = np.array([s.start + self._jobs[k].answer.before for k, s in self._now])
        self._seen = self._encoder.seen(rows, starts, windows)
        return self._seen.state

    def _window(self, number: int, stretch: Stretch) -> Array:
        """What is known of a window on every path, `[paths, N, L, D]`."""
        x, length = self._x[number], self._encoder.length
        window = np.full((*x.shape[:2], length, x.shape[3]), np.nan)
        here = slice(max(stretch.start, 0), min(stretch.start + length, x.shape[2]))
        window[:, :, here.start - stretch.start : here.stop - stretch.start] = x[:, :, here]
        return window

    def take(self, state: State) -> None:
        """See `Work.take`."""
        found = self._seen.positions(state["x"])
        found = found.reshape(len(self._now), self._paths, *found.shape[1:])
        for (number, stretch), window in zip(self._now, found, strict=True):
            x, frames = self._x[number], slice(stretch.first, stretch.last)
            missing = self._jobs[number].answer.missing[: window.shape[1], frames]
            part = window[:, :, stretch.first - stretch.start : stretch.last - stretch.start]
            x[:, : window.shape[1], frames][:, missing] = part[:, missing]

    def result(self) -> Filled:
        """See `Work.result`."""
        cells = [x[:, job.answer.missing] for x, job in zip(self._x, self._jobs, strict=True)]
        return Filled(tuple(block.reshape(len(block), -1) for block in cells))
