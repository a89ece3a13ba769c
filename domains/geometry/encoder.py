"""Windows of partly known trajectories before a run's network.

Positions are put relative to the mean of what is known of each window. An unconditional run is held to what is known of
all positions; a conditional one is given the frames of which everything is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.completion import ITEM, OBSERVED, Observing
from scorefield.core.state import State
from scorefield.domains.geometry.floating import floating
from scorefield.domains.geometry.known import Known
from scorefield.domains.geometry.pedestrians import pedestrian_features
from scorefield.domains.geometry.windows import FramePlan, TrajectoryWindows, Windows

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord
    from scorefield.core.system import System

__all__ = ["TRAJECTORY_OBSERVING", "Encoder", "Seen"]

Array = NDArray[np.float64]

TRAJECTORY_OBSERVING = Observing(
    way="moments",
    arguments={"iterations": 3},
    std=0.005,
    prior_std=1.0,
    solver="dpmpp-3m-sde",
    steps=20,
    solver_arguments={"grid": "karras", "final": "denoise"},
)
"""How unconditional runs are held to what is known; see docs/trajectories.md."""
_GIVEN_OBSERVING = Observing("self", {}, 1.0, 1.0, None, None, {})  # of it only the sampler counts: the run's own


@dataclass(frozen=True)
class Seen:
    """Windows as a network sees them.

    Attributes:
        state: paths of a window in consecutive rows.
        centre: what positions are relative to, `[B, 1, 1, D]`.
        scale: what they are divided by besides.
    """

    state: State
    centre: Array
    scale: float

    def positions(self, x: torch.Tensor) -> Array:
        """Sampled positions `[B, N, L, D]` in the units of the data."""
        return np.asarray(x.double().numpy() * self.scale + self.centre)

    def placed(self, x: Array) -> Array:
        """Positions `[B, N, L, D]` in the units of the data as the network sees them, cut to the state's nodes."""
        return np.nan_to_num((x[:, : self.state["x"].shape[1]] - self.centre) / self.scale)


class Encoder:
    """How a run sees windows of these trajectories.

    Args:
        record: of the run.
        known: the trajectories.

    Attributes:
        length: frames of a window.
        given: which of them were given in training, or None in unconditional runs.
        scale: positions are divided by it.
    """

    def __init__(self, record: ModelRecord, known: Known) -> None:
        self.length: int = record.sizes["frames"]
        self.given: NDArray[np.bool_] | None = None
        if "given" in record.sizes:
            self.given = np.isin(np.arange(self.length), record.tables["given"])
        self.kind = str(record.tables.get("kind", "trajectories"))
        self.observes = self.given is None
        self.observing = TRAJECTORY_OBSERVING if self.observes else _GIVEN_OBSERVING
        # On the scale of the states, where all that is known of a mean is that it is not far from what is known.
        self._spread = float(record.tables.get("spread", 1.0))
        self.observing = replace(self.observing, std=self.observing.std * self._spread)
        whole = replace(known.trajectories, x=np.nan_to_num(known.trajectories.x), frame_mask=None, state=None)
        self._source, self.scale = whole, known.scale
        self._loops = record.tables.get("pairs") == "all and self"

    def system(self, system: System) -> System:
        """The run's system as completion uses it."""
        return floating(system, 2 * self._spread) if self.observes else system

    def seen(self, rows: NDArray[np.int64], starts: NDArray[np.int64], x: Array) -> Seen:
        """Windows of trajectories `rows` from the frames `starts` on.

        Args:
            rows: `[R]`.
            starts: `[R]`; windows may reach beyond either end.
            x: what is known on each path, NaN elsewhere, `[R * paths, N, L, D]`, paths of a window one after the other.
        """
        paths = len(x) // len(rows)
        windows = Windows(rows, np.maximum(starts, 0))
        told = TrajectoryWindows(self._source, windows, FramePlan(self.length, None, self.length), loops=self._loops)
        batch = told.__getitems__(range(len(rows)))
        nodes = batch.pop("x").shape[1]
        exists = self._source.mask[rows].repeat(paths, 0)[:, :nodes]
        x = x[:, :nodes] / self.scale
        known = ~np.isnan(x).any(-1) & exists[:, :, None]
        count = np.maximum(known.sum((1, 2)), 1)[:, None, None, None]
        centre = np.where(known[..., None], x, 0.0).sum((1, 2), keepdims=True) / count
        near = np.where(known[..., None], x - centre, np.nan)
        repeated = {name: value.repeat_interleave(paths, 0) for name, value in batch.items()}
        masks = {"mask": repeated.pop("mask")} if "mask" in repeated else {}
        condition: dict[str, Any] = {**repeated, ITEM: torch.arange(len(rows)).repeat_interleave(paths)}
        if self.given is None:
            condition[OBSERVED + "x"] = torch.from_numpy(near).float()
        else:
            given: NDArray[np.bool_] = np.asarray((known | ~exists[:, :, None]).all(1))
            masks["given_frames"] = torch.from_numpy(given)
            condition["given_x"] = torch.from_numpy(np.where(given[:, None, :, None], np.nan_to_num(near), 0.0)).float()
        if self.kind == "pedestrians":
            condition["features"] = self._speeds(near, masks.get("given_frames"))
        state = State({"x": torch.zeros(near.shape)}, masks, condition)
        return Seen(state, centre * self.scale, self.scale)

    @staticmethod
    def _speeds(near: Array, given: torch.Tensor | None) -> torch.Tensor:
        """Features of pedestrians, which follow from their motion."""
        if given is None:
            return torch.from_numpy(pedestrian_features(near, None))
        found = np.zeros((*near.shape[:-1], 2), np.float32)
        patterns, which = np.unique(given.numpy(), axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            mine = which.ravel() == number
            found[mine] = np.nan_to_num(pedestrian_features(near[mine], pattern))
        return torch.from_numpy(found)
