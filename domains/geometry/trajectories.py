"""Trajectories as sampling hands them on and as files hold them.

A trajectory is x in R^{N x T x D}: nodes, frames, space; with it go invariant node features, and directed edges that
stay the same over time. An edge is a pair (row, col): its message flows from `col` into `row`. Trajectories of fewer
nodes, frames or edges than the largest are padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scorefield.core.state import State

__all__ = ["Trajectories"]

Floats = NDArray[np.floating[Any]]
OPTIONAL = ("features", "edges", "edge_features", "frame_mask", "numbers")
"""Arrays that trajectories may lack."""


@dataclass(frozen=True)
class Trajectories:
    """A population of trajectories, in the units of the data.

    Args:
        x: positions `[n, N, T, D]`, D 2 or 3; zeros where nothing exists.
        mask: nodes that exist, bool `[n, N]`.
        features: node features `[n, N, F]`, or `[n, N, T, F]` where they change with time, or None.
        edges: pairs (row, col) `[n, M, 2]`, -1 where there is none, or None where no edges are told.
        edge_features: `[n, M, E]`, or None.
        dt: time between two frames.
        frame_mask: frames that exist, bool `[n, T]`, or None where all do.
        numbers: atomic numbers `[n, N]`, 0 for what is no atom, or None.
        state: the tensors they were decoded from; not part of `arrays` nor of any file.

    Raises:
        InputError: shapes that do not fit, edges between nodes that do not exist, or an empty trajectory.
    """

    x: Floats
    mask: NDArray[np.bool_]
    features: Floats | None = None
    edges: NDArray[np.int64] | None = None
    edge_features: Floats | None = None
    dt: float = 1.0
    frame_mask: NDArray[np.bool_] | None = None
    numbers: NDArray[np.int64] | None = None
    state: State | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        from scorefield.domains.geometry.trajectory_checks import check_trajectories

        check_trajectories(self)

    @classmethod
    def of(cls, x: Floats, *, dt: float = 1.0, **more: Any) -> Trajectories:
        """Trajectories `[n, N, T, D]` of which all nodes exist; `more` as of the class."""
        return cls(x, np.ones(x.shape[:2], dtype=bool), dt=dt, **more)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Trajectories:
        """Some of the trajectories, without their tensors."""
        there: dict[str, Any] = {name: value[rows] for name, value in self._present().items()}
        return replace(self, x=self.x[rows], mask=self.mask[rows], state=None, **there)

    def _present(self) -> dict[str, NDArray[Any]]:
        values = {name: getattr(self, name) for name in OPTIONAL}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each trajectory, `[n]`."""
        if self.frame_mask is None:
            return np.full(len(self), self.x.shape[2], dtype=np.int64)
        return np.asarray(self.frame_mask.sum(1), dtype=np.int64)

    def frames(self, first: int, last: int) -> Trajectories:
        """The frames from `first` up to, not including, `last`; time starts anew."""
        cut: dict[str, Any] = {"x": self.x[:, :, first:last], "state": None}
        if self.features is not None and self.features.ndim == 4:
            cut["features"] = self.features[:, :, first:last]
        if self.frame_mask is not None:
            cut["frame_mask"] = self.frame_mask[:, first:last]
        return replace(self, **cut)

    def present(self) -> NDArray[np.bool_]:
        """Which positions exist, `[n, N, T]`."""
        mask = self.mask[:, :, None]
        frames = np.ones((1, 1, self.x.shape[2]), dtype=bool) if self.frame_mask is None else self.frame_mask[:, None]
        return np.asarray(mask & frames)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`x`, `mask`, `dt`, and what there is of the other arrays."""
        return {"x": self.x, "mask": self.mask, "dt": np.array(self.dt, dtype=np.float64), **self._present()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Trajectories:
        """The inverse of `arrays`."""
        there: dict[str, Any] = {name: arrays[name] for name in OPTIONAL if name in arrays}
        return cls(arrays["x"], arrays["mask"], dt=float(arrays["dt"]), **there)

    @classmethod
    def concatenate(cls, parts: Sequence[Trajectories]) -> Trajectories:
        """One population after the other, each padded to the largest; the tensors are left out.

        Raises:
            InputError: there is no part, or they differ in their space, their features or the time between frames.
        """
        from scorefield.domains.geometry.joining import joined

        return joined(parts)

    def counts(self) -> dict[str, int | float]:
        """How many there are, of how many nodes, frames and dimensions of space at most."""
        _, nodes, frames, space = self.x.shape
        return {"trajectories": len(self), "nodes": nodes, "frames": frames, "space": space}

    def save(self, path: str | Path) -> None:
        """Write a file; the suffix says which format (`.npz`, `.xyz`, `.extxyz`).

        Raises:
            InputError: an unknown suffix, or a folder that cannot be written to.
        """
        from scorefield.domains.geometry.trajectory_files import write_trajectories

        write_trajectories(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Trajectories:
        """Read a file of any known format.

        Raises:
            InputError: the file cannot be read, or holds no trajectories of finite positions.
        """
        from scorefield.domains.geometry.trajectory_files import read_trajectories

        return read_trajectories(Path(path))
