"""Windows of frames cut out of trajectories, how they are split for training and testing, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.loading import Batch
from scorefield.domains.geometry.trajectories import Trajectories

__all__ = ["Featuriser", "FramePlan", "TrajectoryWindows", "Windows"]

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]
Featuriser = Callable[[Floats, NDArray[np.bool_] | None], NDArray[np.float32]]
"""Node features `[..., N, T, F]` from positions `[..., N, T, D]` and which frames are given."""


@dataclass(frozen=True)
class Windows:
    """Where windows start.

    Args:
        rows: numbers of trajectories, `[w]`.
        starts: first frames, `[w]`.
    """

    rows: Rows
    starts: Rows

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def whole(cls, rows: Rows) -> Windows:
        """Windows that start where these trajectories do."""
        return cls(rows, np.zeros(len(rows), dtype=np.int64))

    @classmethod
    def within(cls, rows: Rows, first: Rows, last: Rows, span: int, stride: int = 1) -> Windows:
        """All windows of `span` frames in the frames `first` up to, not including, `last` of each trajectory."""
        found = [np.arange(a, b - span + 1, stride, dtype=np.int64) for a, b in zip(first, last, strict=True)]
        starts = np.concatenate([np.zeros(0, dtype=np.int64), *found])
        return cls(np.repeat(rows, [len(part) for part in found]), starts)

    def chosen(self, places: Rows | slice) -> Windows:
        """Some of them."""
        return Windows(self.rows[places], self.starts[places])

    def thinned(self, most: int) -> Windows:
        """At most so many of them, evenly spread."""
        if len(self) <= most:
            return self
        return self.chosen(np.linspace(0, len(self) - 1, most).round().astype(np.int64))


@dataclass(frozen=True)
class FramePlan:
    """What a window holds.

    Args:
        frames: frames that are generated or given.
        given: which of them are given, `[frames]`, or None in unconditional runs.
        centred_on: frames over which the mean position of unconditional windows is zero, counted from the start.
    """

    frames: int
    given: NDArray[np.bool_] | None
    centred_on: int


class TrajectoryWindows:
    """Windows as batches, padded to the largest of each batch, and conditional ones to all frames.

    Positions are relative to their mean: over the window, or in conditional runs over the given frames, which changes
    nothing for a network that follows translations, and keeps small numbers exact far from the origin.

    Args:
        source: the trajectories.
        windows: where windows start.
        plan: what they hold.
        loops: where the source tells no edges all pairs are joined; with this, each node with itself as well.
        featurise: makes the node features, in place of those of the source.
        scale: positions are divided by this.
    """

    def __init__(
        self,
        source: Trajectories,
        windows: Windows,
        plan: FramePlan,
        *,
        loops: bool = False,
        featurise: Featuriser | None = None,
        scale: float = 1.0,
    ) -> None:
        self.source, self.windows, self.plan = source, windows, plan
        self.loops, self.featurise, self.scale = loops, featurise, scale

    def __len__(self) -> int:
        return len(self.windows)

    def samples(self) -> Trajectories:
        """All windows in the units of the data; those of unconditional runs are centred."""
        source, rows, places = self.source, self.windows.rows, np.arange(len(self))
        x = self._cut(source.x, places, self.plan.frames)
        if self.plan.given is None:
            x = ((x - self._centre(places)) * self._there(places)[..., None]).astype(x.dtype)
        features = source.features
        if features is not None:
            features = features[rows] if features.ndim == 3 else self._cut(features, places, self.plan.frames)
        own = {name: None if value is None else value[rows] for name, value in self._still().items()}
        frames = None if source.frame_mask is None else np.asarray(self._there(places).any(1))
        return Trajectories(x, source.mask[rows], features, dt=source.dt, frame_mask=frames, **own)

    def _still(self) -> dict[str, Any]:
        return {name: getattr(self.source, name) for name in ("edges", "edge_features", "numbers")}

    def _cut(self, values: NDArray[Any], places: Rows, frames: int) -> NDArray[Any]:
        """`[B, N, frames, ...]` of `[n, N, T, ...]`."""
        chosen = self.windows.chosen(places)
        steps = np.minimum(chosen.starts[:, None] + np.arange(frames), values.shape[2] - 1)
        return np.asarray(values[chosen.rows[:, None], :, steps].swapaxes(1, 2))

    def _there(self, places: Rows, frames: int | None = None) -> NDArray[np.bool_]:
        """Which positions exist, `[B, N, frames]`."""
        frames = frames or self.plan.frames
        nodes = self.source.mask[self.windows.rows[places]][:, :, None]
        if self.source.frame_mask is None:
            return np.asarray(np.broadcast_to(nodes, (*nodes.shape[:2], frames)))
        return np.asarray(nodes & self._cut(self.source.frame_mask[:, None, :, None], places, frames)[..., 0])

    def _centre(self, places: Rows) -> NDArray[np.float64]:
        """What positions are relative to, `[B, 1, 1, D]`."""
        frames = self.plan.centred_on if self.plan.given is None else self.plan.frames
        there = self._there(places, frames)
        if self.plan.given is not None:
            there = there & self.plan.given
        x = self._cut(self.source.x, places, frames).astype(np.float64) * there[..., None]
        count = there.sum((1, 2))[:, None, None, None]
        return np.asarray(x.sum((1, 2), keepdims=True) / count)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        places, plan = np.asarray(indices, dtype=np.int64), self.plan
        rows, there = self.windows.rows[places], self._there(places)
        mask = self.source.mask[rows]
        # What a learned prior has for each generated frame needs all of them.
        nodes, frames = _extent(mask), plan.frames if plan.given is not None else _extent(np.asarray(there.any(1)))
        mask, there = mask[:, :nodes], there[:, :nodes, :frames]
        x = (self._cut(self.source.x, places, frames)[:, :nodes] - self._centre(places)) * there[..., None] / self.scale
        batch = {"x": _floats(x)}
        if not self.source.mask.all():
            batch["mask"] = torch.from_numpy(mask)
        if self.source.frame_mask is not None:
            batch["frame_mask"] = torch.from_numpy(there.any(1))
        if plan.given is not None:
            given = torch.from_numpy(plan.given)
            batch["given_frames"] = given.expand(len(x), frames).clone()
            batch["given_x"] = batch["x"] * given[:, None]
        features = self._features(places, x)[:, :nodes]
        batch["features"] = _floats(features * mask.reshape(*mask.shape, *[1] * (features.ndim - 2)))
        return batch | self._edges(rows, mask)

    def spread(self) -> float:
        """Root mean square of the generated positions about what windows are relative to, in the units of the data."""
        places = np.arange(len(self))
        free = self._there(places) & (True if self.plan.given is None else ~self.plan.given)
        x = self._cut(self.source.x, places, self.plan.frames) - self._centre(places)
        return float(np.sqrt((x[free] ** 2).mean()))

    def _features(self, places: Rows, x: Floats) -> Floats:
        """`[B, N, F]` or `[B, N, T, F]`; one column of zeros where nothing is known."""
        features, rows = self.source.features, self.windows.rows[places]
        if self.featurise is not None:
            return self.featurise(x, self.plan.given)
        if features is None:
            return np.zeros((*self.source.mask[rows].shape, 1), np.float32)
        return features[rows] if features.ndim == 3 else self._cut(features, places, x.shape[2])

    def _edges(self, rows: Rows, mask: NDArray[np.bool_]) -> Batch:
        source = self.source
        if source.edges is None:
            pairs = np.argwhere(
                np.ones((mask.shape[1],) * 2, bool) if self.loops else ~np.eye(mask.shape[1], dtype=bool)
            )
            there = np.asarray(mask[:, pairs].all(2))
            edges = np.where(there[..., None], pairs, 0)
            return {"edges": torch.from_numpy(edges), "edge_mask": torch.from_numpy(there)}
        there = np.asarray((source.edges[rows] >= 0).all(2))
        most = _extent(there, least=0)
        edges, there = source.edges[rows, :most], there[:, :most]
        batch = {"edges": torch.from_numpy(np.maximum(edges, 0)), "edge_mask": torch.from_numpy(there)}
        if source.edge_features is not None and source.edge_features.shape[2]:
            batch["edge_features"] = _floats(source.edge_features[rows, :most] * there[..., None])
        return batch


def _extent(mask: NDArray[np.bool_], least: int = 1) -> int:
    """Places of `[B, K]` that are needed to hold all that exists."""
    return max(int(np.flatnonzero(mask.any(0)).max(initial=-1)) + 1, least)


def _floats(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
