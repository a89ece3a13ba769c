"""What trajectories must be: arrays that fit each other, edges within their graph, positions that are numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError

if TYPE_CHECKING:
    from scorefield.domains.geometry.trajectories import Trajectories

__all__ = ["check_finite", "check_trajectories"]


def check_trajectories(trajectories: Trajectories) -> None:
    """Refuse arrays that do not fit.

    Raises:
        InputError: shapes, kinds of numbers, edges or masks that cannot be.
    """
    x, mask = trajectories.x, trajectories.mask
    if x.ndim != 4 or x.shape[3] not in (2, 3) or x.dtype.kind != "f":
        mend = "give numbers [trajectories, nodes, frames, 2 or 3]"
        raise InputError(f"{x.dtype} of shape {x.shape}", place="x", mend=mend)
    if not all(x.shape[1:3]):
        raise InputError(f"trajectories of {x.shape[1]} nodes and {x.shape[2]} frames", place="x")
    n, nodes, frames, _ = x.shape
    _check_shape("mask", mask, (n, nodes), "b")
    if not mask.any(1).all():
        raise InputError("is empty: it has no node", place=f"trajectory {int(np.argmin(mask.any(1)))}")
    _check_frames(trajectories.frame_mask, (n, frames))
    if not (np.isfinite(trajectories.dt) and trajectories.dt > 0):
        raise InputError(f"time between frames is {trajectories.dt}", place="dt", mend="give a number above 0")
    if trajectories.numbers is not None:
        _check_shape("numbers", trajectories.numbers, (n, nodes), "iu")
    features = trajectories.features
    if features is not None:
        leading = (n, nodes) if features.ndim == 3 else (n, nodes, frames)
        _check_shape("features", features, (*leading, features.shape[-1] if features.ndim else 0), "fiub")
        if not np.isfinite(features).all():
            raise InputError("is no finite number", place=_place("features", np.isfinite(features)))
    _check_edges(trajectories)


def _check_shape(name: str, value: NDArray[Any], shape: tuple[int, ...], kinds: str) -> None:
    if value.shape != shape or value.dtype.kind not in kinds:
        what = f"{value.dtype} of shape {value.shape} where {shape} is needed"
        raise InputError(what, place=name)


def _check_frames(frames: NDArray[np.bool_] | None, shape: tuple[int, int]) -> None:
    if frames is None:
        return
    _check_shape("frame_mask", frames, shape, "b")
    if not frames.any(1).all():
        raise InputError("is empty: it has no frame", place=f"trajectory {int(np.argmin(frames.any(1)))}")


def _check_edges(trajectories: Trajectories) -> None:
    edges, told = trajectories.edges, trajectories.edge_features
    if edges is None:
        if told is not None:
            raise InputError("features of edges without edges", place="edge_features", mend="give edges too")
        return
    n, nodes = trajectories.mask.shape
    if edges.ndim != 3 or edges.shape[0] != n or edges.shape[2] != 2 or edges.dtype.kind not in "iu":
        what = f"{edges.dtype} of shape {edges.shape}"
        raise InputError(what, place="edges", mend=f"give pairs of nodes, whole numbers [{n}, edges, 2]")
    if told is not None:
        if told.ndim != 3 or told.shape[:2] != edges.shape[:2]:
            what = f"shape {told.shape} for edges of shape {edges.shape}"
            raise InputError(what, place="edge_features", mend="give one row for each edge")
        if not np.isfinite(told).all():
            raise InputError("is no finite number", place=_place("edge_features", np.isfinite(told)))
    padding = np.asarray((edges < 0).all(2))
    wrong = np.asarray(((edges < 0) | (edges >= nodes)).any(2) & ~padding)
    ends = np.where(wrong[..., None] | padding[..., None], 0, edges)
    rows = np.arange(n)[:, None, None]
    wrong |= np.asarray(~trajectories.mask[rows, ends].all(2) & ~padding)
    if wrong.any():
        row, edge = (int(index) for index in np.argwhere(wrong)[0])
        what = f"joins {edges[row, edge].tolist()}, of which the trajectory has {int(trajectories.mask[row].sum())}"
        place = f"trajectory {row}, edge {edge}"
        raise InputError(what + " nodes", place=place, mend="edges stay within a trajectory; -1, -1 for none")


def _place(name: str, good: NDArray[np.bool_]) -> str:
    return f"{name}{[int(index) for index in np.argwhere(~good)[0]]}"


def check_finite(trajectories: Trajectories, file: str | Path | None = None) -> None:
    """Refuse positions that are no finite numbers.

    Raises:
        InputError: one that exists is not; the message says which.
    """
    good = np.isfinite(trajectories.x).all(3) | ~trajectories.present()
    if not good.all():
        row, node, frame = (int(index) for index in np.argwhere(~good)[0])
        place = f"trajectory {row}, node {node}, frame {frame}"
        raise InputError("a position that is no finite number", file=file, place=place)
