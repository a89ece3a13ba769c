"""Trajectories of others, refined by noising and denoising them: forecasts after a history, or whole trajectories.

A conditional run refines the frames that it generates, with those given beside them; an unconditional one refines whole
trajectories, in whose place results come. Bases are files or the names of forecasts without a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.completion import OBSERVED, Filled, Observing, Outputs, Task
from scorefield.core.errors import InputError
from scorefield.core.plans import Stretch
from scorefield.core.state import State
from scorefield.domains.geometry.answers import Answer, Completions, check_places, told_scores, write_answers
from scorefield.domains.geometry.baselines import BASELINES
from scorefield.domains.geometry.completion import Job, TrajectoryItems
from scorefield.domains.geometry.encoder import Encoder, Seen
from scorefield.domains.geometry.known import Known
from scorefield.domains.geometry.trajectory_files import read_archive, read_trajectories

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord
    from scorefield.core.system import System

__all__ = ["RefinedTrajectories", "open_refining"]

Array = NDArray[np.float64]
_SHARE = 0.3  # of the data's spread: noise that is as large as what a base gets wrong


class RefinedTrajectories:
    """Base trajectories to refine; see `core.renoising.RenoisingItems`.

    Args:
        items: the same as items of a completion: what writes and scores them.
        base: of each, all frames of a window on every base path, `[n, S, N, L, D]`, NaN where frames are given.
        record: of the run.
    """

    noun = "trajectories"
    observes = False

    def __init__(self, items: TrajectoryItems, base: Array, record: ModelRecord) -> None:
        self.items, self.base, self.task = items, base, items.task
        self._spread = float(record.tables.get("spread", 1.0))

    def __len__(self) -> int:
        return len(self.items)

    def request(self) -> dict[str, Any]:
        """See `Items.request`."""
        digest = hashlib.sha256(np.ascontiguousarray(self.base).tobytes()).hexdigest()
        named = {name: value for name, value in self.task.options.items() if name != "base"}
        return {**self.items.request(), "options": named, "base": digest}

    def facts(self) -> dict[str, Any]:
        """See `Items.facts`."""
        base = self.task.options["base"]
        own = {"base": str(base) if isinstance(base, str | Path) else "array", "base_paths": self.base.shape[1]}
        return {**self.items.facts(), **own}

    def observing(self) -> Observing:
        """See `Items.observing`."""
        return self.items.observing()

    def time(self, system: System) -> float:
        """See `RenoisingItems.time`."""
        path = next(iter(system.components.values())).path
        wanted = -np.log(_SHARE * self._spread / self.items.encoder.scale)
        found = float(path.time_of(torch.tensor([wanted], dtype=torch.float64))[0])
        return min(max(found, 2 * path.t_min), path.t_max)

    def begin(
        self, items: range, paths: int, generator: torch.Generator, conditions: Mapping[str, Any] | None = None
    ) -> _Work:
        """See `Items.begin`."""
        if conditions:
            raise InputError(f"condition {min(conditions)!r}", mend="leave it out")
        jobs = [self.items.jobs[k] for k in items]
        return _Work(jobs, self.base[items.start : items.stop], self.items.encoder, paths)

    def check(self, outputs: Outputs) -> None:
        """See `Items.check`."""
        base = self.task.options["base"]
        also = Path(base) if isinstance(base, str | Path) and str(base) not in _names() else None
        check_places(outputs, self.items.known, also)

    def write(self, filled: Filled, outputs: Outputs) -> dict[str, Any]:
        """See `Items.write`; `base_scores` are those of the base, where a truth is known."""
        said = write_answers(self.present(filled), outputs, self.task, "Refined trajectories")
        if "scores" in said:
            missing = [job.answer.missing for job in self.items.jobs]
            cells = [block[:, m].reshape(len(block), -1) for block, m in zip(self.base, missing, strict=True)]
            scores = self.present(Filled(tuple(cells))).scores or {}
            said["base_scores"] = scores["model"].values()
        return said

    def told(self, summary: Mapping[str, Any]) -> list[str]:
        """See `Items.told`."""
        lines = told_scores(summary, str(self.items.tables.get("unit", "")))
        if "base_scores" not in summary:
            return lines
        before, after = summary["base_scores"], summary["scores"]["model"]
        pairs = [f"{name.upper()} {before[name]:.4g} -> {after[name]:.4g}" for name in ("ade", "fde")]
        return [f"base -> refined: {', '.join(pairs)}", *lines]

    def present(self, filled: Filled) -> Completions:
        """See `Items.present`."""
        return self.items.present(filled)


class _Work:
    """Base trajectories, all in one round; see `core.completion.Work`."""

    rounds = 1

    def __init__(self, jobs: Sequence[Job], base: Array, encoder: Encoder, paths: int) -> None:
        self._jobs, self._base, self._encoder, self._paths = jobs, base, encoder, paths
        self._waits = True
        self._seen: Seen
        self._found: Array

    def next(self) -> State | None:
        """See `Work.next`."""
        if not self._waits:
            return None
        self._waits = False
        chosen = np.arange(self._paths) % self._base.shape[1]
        base = self._base[:, chosen].reshape(-1, *self._base.shape[2:])
        answers = [job.answer for job in self._jobs]
        given = np.stack([answer.x for answer in answers]).repeat(self._paths, 0)
        whole = np.where(np.isnan(given), base, given)
        rows = np.array([answer.number for answer in answers])
        starts = np.array([answer.before for answer in answers])
        self._seen = self._encoder.seen(rows, starts, whole if self._encoder.given is None else given)
        state = self._seen.state
        near = self._seen.placed(whole)
        condition = {name: value for name, value in state.condition.items() if not name.startswith(OBSERVED)}
        return State({"x": torch.from_numpy(near).float()}, state.masks, condition)

    def take(self, state: State) -> None:
        """See `Work.take`."""
        found = self._seen.positions(state["x"])
        self._found = found.reshape(len(self._jobs), self._paths, *found.shape[1:])

    def result(self) -> Filled:
        """See `Work.result`."""
        cells = []
        for x, job in zip(self._found, self._jobs, strict=True):
            nodes = x.shape[1]  # those of the chunk's largest system
            cells.append(x[:, job.answer.missing[:nodes]].reshape(len(x), -1))
        return Filled(tuple(cells))


def open_refining(task: Task, known: Known, encoder: Encoder, record: ModelRecord) -> RefinedTrajectories:
    """See `Completing.open_items`; options are `base` and `holdout`.

    Raises:
        InputError: a file or an option that does not fit.
    """
    from scorefield.domains.geometry.tasks import forecast_jobs

    if "base" not in task.options:
        raise InputError("no base is named", mend=f"give a file, or {', '.join(_names())}")
    holdout = bool(task.options.get("holdout")) or known.tested
    given = encoder.given
    if given is not None and not given[: given.sum()].all():
        jobs = _windows(known, encoder, holdout, given)
    elif given is not None:
        jobs = forecast_jobs(known, int((~given).sum()), holdout, encoder)
    else:
        jobs = _windows(known, encoder, holdout, np.zeros(encoder.length, dtype=bool))
    options = {**task.options, **({"holdout": True} if holdout else {})}
    items = TrajectoryItems(replace(task, options=options), known, jobs, encoder, record.tables)
    return RefinedTrajectories(items, _base(task.options["base"], jobs, encoder), record)


def _windows(known: Known, encoder: Encoder, holdout: bool, given: NDArray[np.bool_]) -> list[Job]:
    """The last window of each trajectory, of which these frames are given and the others are the truth, or unknown."""
    found, jobs, length = known.trajectories, [], encoder.length
    for number, frames in enumerate(found.lengths.tolist()):
        if frames < length:
            what = f"{frames} frames, the run knows windows of {length}"
            raise InputError(what, file=known.file, place=known.place(number))
        mask, x = found.mask[number], found.x[number, :, frames - length : frames].astype(np.float64)
        missing = mask[:, None] & ~given
        truth = np.where(missing[..., None], x if holdout else np.nan, np.nan)
        seen = np.where(missing[..., None], np.nan, np.where(mask[:, None, None], x, 0.0))
        answer = Answer(number, seen, truth, missing, before=frames - length)
        jobs.append(Job(answer, [Stretch(0, 0, length)]))
    return jobs


def _names() -> list[str]:
    return [name.replace(" ", "-") for name in BASELINES]


def _base(asked: Any, jobs: Sequence[Job], encoder: Encoder) -> Array:
    """Base windows `[n, S, N, L, D]`.

    Raises:
        InputError: an unknown name, or positions of a shape that does not fit.
    """
    shape = (len(jobs), *jobs[0].answer.x.shape)
    if isinstance(asked, str) and asked in _names():
        if encoder.given is None:
            mend = "give a file of whole trajectories"
            raise InputError(f"nothing is given that {asked} could go on from", mend=mend)
        fill = BASELINES[asked.replace("-", " ")]
        given = ~np.stack([job.answer.missing.any(0) for job in jobs])
        known = np.nan_to_num(np.stack([job.answer.x for job in jobs]))
        filled = [fill(x, frames) for x, frames in zip(known, given, strict=True)]
        return np.asarray(np.stack(filled)[:, None], dtype=np.float64)
    file = Path(asked) if isinstance(asked, str | Path) else None
    x = _paths_of(file, len(jobs)) if file is not None else np.asarray(asked, dtype=np.float64)
    x = x[:, None] if x.ndim == 4 else x
    missing = int(jobs[0].answer.missing.any(0).sum())
    if x.ndim != 5 or (x.shape[0], x.shape[2], x.shape[4]) != (shape[0], shape[1], shape[3]):
        what = f"base trajectories of shape {x.shape}"
        raise InputError(what, file=file, mend=f"give [{shape[0]}, paths, {shape[1]}, frames, {shape[3]}]")
    if x.shape[3] == missing < shape[2]:
        whole = np.full((*x.shape[:3], shape[2], shape[3]), np.nan)
        for row, job in enumerate(jobs):
            whole[row][:, :, job.answer.missing.any(0)] = x[row]
        x = whole
    if x.shape[3] != shape[2]:
        more = f", or {shape[2]} with those given" if missing < shape[2] else ""
        mend = f"give the {missing} frames to refine{more}"
        raise InputError(f"base trajectories of {x.shape[3]} frames", file=file, mend=mend)
    for row, job in enumerate(jobs):
        if np.isnan(x[row][:, job.answer.missing]).any():
            raise InputError("a position of the base is no number", file=file, place=f"trajectory {row}")
    return x


def _paths_of(file: Path, systems: int) -> Array:
    """`paths [n, S, N, T, D]` of an archive; or a file of trajectories, several in a row for each system."""
    arrays = read_archive(file) if file.suffix.lower() == ".npz" else {}
    if "paths" in arrays:
        return arrays["paths"].astype(np.float64)
    x = read_trajectories(file).x.astype(np.float64)
    if len(x) % systems:
        what = f"{len(x)} trajectories for {systems} systems"
        raise InputError(what, file=file, mend="give one for each, or as many for each as for every other")
    return x.reshape(systems, -1, *x.shape[1:])
