"""What `forecast`, `impute`, `interpolate` and `refine` ask of trajectories: which positions, in which windows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.completion import Task
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.given import given_steps
from scorefield.core.names import unknown
from scorefield.core.plans import Stretch, gap_plan, window_plan
from scorefield.domains.geometry.answers import Answer
from scorefield.domains.geometry.completion import Job, TrajectoryItems
from scorefield.domains.geometry.encoder import Encoder
from scorefield.domains.geometry.known import Known, read_known

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord

__all__ = ["forecast_jobs", "open_trajectories"]

Array = NDArray[np.float64]
_OPTIONS: Mapping[str, Sequence[str]] = {
    "forecast": ("horizon", "holdout"),
    "impute": ("given",),
    "interpolate": ("given",),
    "refine": ("base", "holdout", "held", "train"),
}
_LEAST = 4  # a quarter of a window at least is history


def open_trajectories(task: Task, record: ModelRecord) -> Any:
    """See `Completing.open_items`.

    Raises:
        InputError: a file or an option that does not fit.
    """
    options = {name: value for name, value in task.options.items() if value is not None}
    for name in options:
        if name not in _OPTIONS[task.name]:
            raise unknown(f"option of {task.name}", name, _OPTIONS[task.name])
    known = read_known(task, record)
    encoder = Encoder(record, known)
    if task.name == "refine":
        from scorefield.domains.geometry.refining import open_refining

        return open_refining(replace(task, options=options), known, encoder, record)
    if task.name == "forecast":
        options = _forecast_options(options, encoder, known)
        jobs = forecast_jobs(known, options["horizon"], bool(options.get("holdout")), encoder)
    else:
        jobs = _gaps(known, task.name, options, encoder)
    for job in jobs:
        _check_given(job, encoder, known)
    _warn_of_given(jobs, encoder, known)
    return TrajectoryItems(replace(task, options=options), known, jobs, encoder, record.tables)


def _forecast_options(options: dict[str, Any], encoder: Encoder, known: Known) -> dict[str, Any]:
    """With what the user left open; windows of the test part end with the truth."""
    usual = encoder.length // _LEAST if encoder.given is None else int((~encoder.given).sum())
    horizon = int(options.get("horizon", max(usual, 1)))
    if horizon < 1:
        raise InputError(f"a horizon of {horizon} frames", mend="give at least 1")
    found = {**options, "horizon": horizon}
    if known.tested and "holdout" not in options:
        if horizon >= known.trajectories.x.shape[2]:
            frames = known.trajectories.x.shape[2]
            what = f"a horizon of {horizon} frames, windows of the test part have {frames}"
            raise InputError(what, mend="name a file with longer trajectories")
        found["holdout"] = True
    return found


def _block(horizon: int, encoder: Encoder) -> int:
    """Frames that one window forecasts."""
    if encoder.given is not None:
        return int((~encoder.given).sum())
    most = encoder.length - max(encoder.length // _LEAST, 1)
    return horizon if horizon <= most else max(encoder.length // 2, 1)


def forecast_jobs(known: Known, horizon: int, holdout: bool, encoder: Encoder) -> list[Job]:
    """The frames after each trajectory, or its last ones; each block of them looks at what the one before filled.

    Raises:
        InputError: positions that are missing, or a history that is too short.
    """
    found, block = known.trajectories, _block(horizon, encoder)
    context, short, jobs = encoder.length - block, [], []
    for number, length in enumerate(found.lengths.tolist()):
        mask, x = found.mask[number], found.x[number, :, :length].astype(np.float64)
        end = length - horizon if holdout else length
        first = max(end - context, 0)
        least = context if encoder.given is not None else 1
        if end < least:
            what = f"{max(end, 0)} frames of history, the run looks at {context}"
            mend = "give longer trajectories" + (", a shorter --horizon, or leave --holdout out" if holdout else "")
            raise InputError(what, file=known.file, place=known.place(number), mend=mend)
        history = np.where(mask[:, None, None], x[:, first:end], 0.0)
        if encoder.given is not None and np.isnan(history).any():
            what = "a position is missing in the frames that are given"
            raise InputError(what, file=known.file, place=known.place(number), mend="impute it first")
        if np.isnan(history[mask]).all():
            raise InputError("no position is given", file=known.file, place=known.place(number))
        short += [number] if end < context else []
        jobs.append(_forecast(number, history, x[:, end : end + horizon] if holdout else None, mask, horizon, block))
        jobs[-1] = replace(jobs[-1], answer=replace(jobs[-1].answer, before=first))
        plan = [replace(stretch, start=stretch.first - context) for stretch in jobs[-1].plan]
        jobs[-1] = replace(jobs[-1], plan=plan)
    if short:
        some = f" in {len(short)} of {len(jobs)} trajectories" if len(jobs) > 1 else ""
        _warn(f"{known.title}: fewer than {context} frames of history{some}: the frames before count as unknown")
    return jobs


def _forecast(
    number: int, history: Array, truth: Array | None, mask: NDArray[np.bool_], horizon: int, block: int
) -> Job:
    nodes, frames, space = history.shape
    ahead = np.where(mask[:, None, None], np.full((nodes, horizon, space), np.nan), 0.0)
    x = np.concatenate([history, ahead], 1)
    missing = np.zeros(x.shape[:2], dtype=bool)
    missing[mask, frames:] = True
    missing |= np.isnan(x).any(-1)
    told = np.full(x.shape, np.nan)
    if truth is not None:
        told[mask, frames:] = truth[mask]
    last = frames + horizon
    starts = range(frames, last, block)
    plan = [Stretch(0, first, min(first + block, last), k) for k, first in enumerate(starts)]
    missing[:, :frames] = False  # what history lacks is no part of a forecast
    return Job(Answer(number, x, told, missing), plan)


def _gaps(known: Known, name: str, options: Mapping[str, Any], encoder: Encoder) -> list[Job]:
    """What is missing within each trajectory: positions that are NaN, or frames of each window that are not given."""
    found, jobs, left = known.trajectories, [], 0
    given = None if "given" not in options else given_steps(options["given"], encoder.length)
    nothing = given is None and not np.isnan(found.x[found.mask]).any()
    if nothing and encoder.given is not None:
        given = encoder.given
    for number, length in enumerate(found.lengths.tolist()):
        mask, truth = found.mask[number], found.x[number, :, :length].astype(np.float64)
        truth = np.where(mask[:, None, None], truth, 0.0)
        x = truth.copy()
        if given is None:
            plan = gap_plan(np.asarray(np.isnan(x).any((0, 2))), encoder.length)
            rows = length
        else:
            plan = window_plan(length, encoder.length)
            rows = plan[-1].last if plan else 0
            left += length - rows
            x[:, :rows][:, ~np.tile(given, len(plan))] = np.nan
            x[~mask] = 0.0
        missing: NDArray[np.bool_] = np.asarray(np.isnan(x).any(-1))
        missing[:, rows:] = False
        if given is not None and not plan:
            what = f"{length} frames, fewer than a window of {encoder.length}"
            raise InputError(what, file=known.file, place=known.place(number), mend="--given counts frames of windows")
        if not missing.any():
            continue
        if np.isnan(x[mask]).all():
            raise InputError("no position is given", file=known.file, place=known.place(number))
        _check_whole(missing[mask], name, known, number)
        x[missing] = np.nan
        told = np.where(missing[..., None], truth, np.nan)
        jobs.append(Job(Answer(number, x, told, missing), plan))
    if left:
        _warn(f"{known.title}: {left} frames at the ends of trajectories fill no window: left as they are")
    if not jobs:
        mend = "write NaN for what to fill, or say with --given which frames are given"
        raise InputError("nothing is missing", file=known.file, mend=mend)
    return jobs


def _check_whole(missing: NDArray[np.bool_], name: str, known: Known, number: int) -> None:
    partly = np.flatnonzero(missing.any(0) & ~missing.all(0))
    if name == "interpolate" and len(partly):
        place = f"{known.place(number)}, frame {partly[0]}"
        what = "only some of its positions are missing"
        raise InputError(what, file=known.file, place=place, mend="interpolate fills whole frames; use impute")


def _known_frames(job: Job, encoder: Encoder) -> list[NDArray[np.bool_]]:
    """Which frames of each window are known when its turn comes."""
    missing: NDArray[np.bool_] = np.asarray(job.answer.missing.any(0) | np.isnan(job.answer.x).any((0, 2)))
    found = []
    for stretch in sorted(job.plan, key=lambda stretch: stretch.round):
        frames = np.arange(stretch.start, stretch.start + encoder.length)
        inside = (frames >= 0) & (frames < len(missing))
        found.append(inside & ~missing[np.clip(frames, 0, len(missing) - 1)])
        missing[stretch.first : stretch.last] = False
    return found


def _check_given(job: Job, encoder: Encoder, known: Known) -> None:
    """A conditional run has weights for as many generated frames as it was trained on, and needs some that are given.

    Raises:
        InputError: a window with fewer given frames.
    """
    if encoder.given is None:
        return
    least = int(encoder.given.sum())
    for frames in _known_frames(job, encoder):
        if int(frames.sum()) < least:
            what = f"a window of {encoder.length} frames in which {int(frames.sum())} are given"
            mend = f"the run needs {least} given frames"
            raise InputError(what, file=known.file, place=known.place(job.answer.number), mend=mend)


def _warn_of_given(jobs: Sequence[Job], encoder: Encoder, known: Known) -> None:
    if encoder.given is None:
        return
    other = {frames.tobytes() for job in jobs for frames in _known_frames(job, encoder)} - {encoder.given.tobytes()}
    if other:
        _warn(f"{known.title}: other frames are given than in the run's training: errors may be larger")


def _warn(text: str) -> None:
    warnings.warn(text, InputWarning, stacklevel=3)
