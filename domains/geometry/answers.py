"""Completed trajectories: what was given, paths of what was missing, scores where the truth is known, and files.

Files hold every path as a trajectory of its own, so that `compare` reads them: `.npz` with `system` and `path` of each,
and of each system `missing`, `truth` (NaN where it is unknown) and `first_frame`; or extended XYZ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.completion import Outputs, Task
from scorefield.core.errors import InputError
from scorefield.core.files import atomic, check_format, check_writable
from scorefield.core.plans import Stretch
from scorefield.domains.geometry.baselines import BASELINES
from scorefield.domains.geometry.drift import drift_of, told_drift
from scorefield.domains.geometry.known import Known
from scorefield.domains.geometry.statistics.errors import DisplacementScores, score_displacements
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.trajectory_files import SUFFIXES, write_trajectories

__all__ = ["Answer", "Completions", "check_places", "told_scores", "write_answers"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """One trajectory.

    Attributes:
        number: which of those that were read.
        x: given positions, NaN where one is missing, `[N, T, D]`; forecasts stand at the end.
        truth: what is known of the missing ones, NaN elsewhere, `[N, T, D]`.
        missing: which are to be filled, `[N, T]`.
        before: frames that stand before those of `x`, and matter no more.
        cells: the missing positions on every path, `[paths, cells]`.
    """

    number: int
    x: Array
    truth: Array
    missing: NDArray[np.bool_]
    before: int = 0
    cells: Array | None = None

    def filled(self, cells: Array) -> Answer:
        """The same, with sampled positions."""
        return replace(self, cells=cells)

    @property
    def paths(self) -> Array:
        """All positions on every path, `[paths, N, T, D]`."""
        cells = np.zeros((0, self.missing.sum() * self.x.shape[2])) if self.cells is None else self.cells
        x = np.repeat(self.x[None], len(cells), 0)
        x[:, self.missing] = cells.reshape(len(cells), -1, self.x.shape[2])
        return x


@dataclass(frozen=True)
class Completions:
    """All trajectories of a task, as a sequence of `Answer`s.

    Attributes:
        answers: those of which something was missing, in order.
        known: what was read.
        tables: of the run.
        plans: windows of each.
    """

    answers: tuple[Answer, ...]
    known: Known
    tables: Mapping[str, Any]
    plans: tuple[tuple[Stretch, ...], ...]

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, number: int) -> Answer:
        return self.answers[number]

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Which of the trajectories that were read these are."""
        return np.array([answer.number for answer in self.answers])

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each."""
        return np.array([answer.x.shape[1] for answer in self.answers])

    @cached_property
    def frames(self) -> NDArray[np.bool_]:
        """Which frames exist, `[n, T]`."""
        return np.asarray(np.arange(int(self.lengths.max())) < self.lengths[:, None])

    def _padded(self, parts: list[NDArray[Any]], fill: float, axis: int) -> NDArray[Any]:
        longest = int(self.lengths.max())
        widths = [[(0, 0)] * part.ndim for part in parts]
        for width, part in zip(widths, parts, strict=True):
            width[axis] = (0, longest - part.shape[axis])
        padded = [np.pad(p, w, constant_values=fill) for p, w in zip(parts, widths, strict=True)]
        return np.stack(padded)

    @cached_property
    def paths(self) -> Array:
        """`[n, paths, N, T, D]`, zeros where nothing exists."""
        return np.asarray(np.nan_to_num(self._padded([answer.paths for answer in self.answers], 0.0, 2)))

    @cached_property
    def truth(self) -> Array:
        """What is known of missing positions, NaN elsewhere, `[n, N, T, D]`."""
        return self._padded([answer.truth for answer in self.answers], np.nan, 1)

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """Which positions were to be filled, `[n, N, T]`."""
        return self._padded([answer.missing for answer in self.answers], False, 1)

    def trajectories(self) -> Trajectories:
        """Every path as a trajectory of its own, those of one system after the other."""
        found, n, paths = self.known.trajectories[self.rows], len(self), self.paths.shape[1]
        x = self.paths.reshape(n * paths, *self.paths.shape[2:])
        more: dict[str, Any] = {}
        for name in ("features", "edges", "edge_features", "numbers"):
            value = getattr(found, name)
            if value is not None and not (name == "features" and value.ndim == 4):
                more[name] = value.repeat(paths, 0)
        frames = None if self.frames.all() else self.frames.repeat(paths, 0)
        return Trajectories(
            x.astype(found.x.dtype), found.mask.repeat(paths, 0), dt=found.dt, frame_mask=frames, **more
        )

    @cached_property
    def _scored(self) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Systems with a truth, and of them the nodes `[m, N]` and frames `[m, T]` that count."""
        told: NDArray[np.bool_] = np.asarray(~np.isnan(self.truth).any(-1))
        frames: NDArray[np.bool_] = np.asarray((told & self.missing).any(1) & ~(self.missing & ~told).any(1))
        rows = np.flatnonzero(frames.any(1))
        if not len(rows):
            return None
        nodes: NDArray[np.bool_] = np.asarray((self.missing[rows] & frames[rows][:, None]).any(2))
        return rows, nodes, frames[rows]

    @cached_property
    def scores(self) -> dict[str, DisplacementScores] | None:
        """Errors of the `model`, and of forecasts and interpolations without one; None where no truth is known.

        Of pedestrians only the first one counts.
        """
        if self._scored is None:
            return None
        rows, nodes, frames = self._scored
        truth = np.where(self.missing[rows][..., None], self.truth[rows], self.paths[rows, 0])
        truth = np.where((nodes[:, :, None] & frames[:, None])[..., None], truth, 0.0)
        first_only = self.tables.get("kind") == "pedestrians"

        def scored(samples: Array) -> DisplacementScores:
            return score_displacements(samples, truth, mask=nodes, frames=frames, first_only=first_only)

        found = {"model": scored(self.paths[rows].swapaxes(0, 1))}
        for name, fill in BASELINES.items():
            if name == "linear interpolation" and not self._between(rows):
                continue
            filled = self._without(fill, rows)
            if filled is not None:
                found[name] = scored(filled[None])
        return found

    def _between(self, rows: NDArray[np.int64]) -> bool:
        """Whether something is known after what is missing."""
        known = ~self.missing[rows].any(1) & self.frames[rows]
        missing = self.missing[rows].any(1)
        after = np.flip(np.maximum.accumulate(np.flip(known, 1), 1), 1)
        return bool((missing & after).any())

    def _without(self, fill: Any, rows: NDArray[np.int64]) -> Array | None:
        """What a baseline says, node by node where they differ in what is known; None where it can say nothing."""
        found = self.paths[rows, 0].copy()
        wanted = self.missing[rows] | ~self.frames[rows][:, None]
        patterns, which = np.unique(wanted.reshape(-1, wanted.shape[2]), axis=0, return_inverse=True)
        flat = found.reshape(-1, *found.shape[2:])
        for number, pattern in enumerate(patterns):
            mine = which.ravel() == number
            if not pattern.any():
                continue
            if pattern.all():
                exists = self.known.trajectories.mask[self.rows[rows]].ravel()
                if (mine & exists).any():
                    return None
                continue
            flat[mine] = fill(flat[mine][:, None], ~pattern)[:, 0]
        return np.asarray(flat.reshape(found.shape))


def check_places(outputs: Outputs, known: Known, also: Path | None = None) -> None:
    """See `Items.check`.

    Raises:
        InputError: an unknown suffix, or a place that is an input or cannot be written.
    """
    check_format(outputs.file.suffix.lower(), SUFFIXES, "trajectories", outputs.file)
    places = [outputs.file, outputs.file.with_name(f"{outputs.file.name}.json")]
    for place in [*places, *([] if outputs.plot is None else [outputs.plot])]:
        if any(read is not None and place.resolve() == read.resolve() for read in (known.file, also)):
            raise InputError("would replace what is read", file=place, mend="write to another file")
        check_writable(place)


def write_answers(found: Completions, outputs: Outputs, task: Task, title: str | None = None) -> dict[str, Any]:
    """See `Items.write`; `title` is what the picture calls them, by default by the task."""
    scores, drift = found.scores, drift_of(found) if task.name == "forecast" else None
    if outputs.plot is not None:
        from scorefield.domains.geometry.pictures import draw_completions

        draw_completions(found, outputs.plot, title or task.name.capitalize())
    trajectories = found.trajectories()
    if outputs.file.suffix.lower() == ".npz":
        n, paths = found.paths.shape[:2]
        more = {
            "system": np.arange(n).repeat(paths), "path": np.tile(np.arange(paths), n), "missing": found.missing,
            "truth": found.truth, "first_frame": np.array([answer.before for answer in found]),
        }  # fmt: skip
        with atomic(outputs.file) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **trajectories.arrays(), **more)
    else:
        write_trajectories(trajectories, outputs.file)
    said: dict[str, Any] = {}
    if scores is not None:
        said["scores"] = {name: _summary(part) for name, part in scores.items()}
    return said if drift is None else {**said, "drift": drift}


def _summary(scores: DisplacementScores) -> dict[str, Any]:
    rows = {row.name: row for row in scores.rows()}
    found: dict[str, Any] = {name: row.value for name, row in rows.items()}
    intervals = {name: [row.low, row.high] for name, row in rows.items() if row.low is not None}
    by_frame = [None if np.isnan(value) else float(value) for value in scores.frames[0]]
    return {**found, "intervals": intervals, "samples": len(scores.ade), "systems": len(scores), "by_frame": by_frame}


def told_scores(summary: Mapping[str, Any], unit: str) -> list[str]:
    """Lines for the user about scores and drift."""
    lines = []
    if "scores" in summary:
        scores = summary["scores"]
        own = scores["model"]
        of = f"{own['samples']} samples of {own['systems']} systems"
        said = f"against the truth, {of}: ADE {_number(own, 'ade')}, FDE {_number(own, 'fde')}"
        least = f"; best sample {own['min_ade']:.4g}, {own['min_fde']:.4g}" if own["samples"] > 1 else ""
        lines.append(f"{said}{f' {unit}' if unit else ''}{least}")
        others = [f"{name} {s['ade']:.4g}, {s['fde']:.4g}" for name, s in scores.items() if name != "model"]
        lines += [f"without a model: {'; '.join(others)}"] if others else []
    if "drift" in summary:
        lines.append(told_drift(summary["drift"]))
    return lines


def _number(scores: Mapping[str, Any], name: str) -> str:
    interval = scores["intervals"].get(name)
    return f"{scores[name]:.4g}" + (f" ({interval[0]:.4g} to {interval[1]:.4g})" if interval else "")
