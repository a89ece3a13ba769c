"""Populations of trajectories put together, and padded to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.geometry.trajectories import OPTIONAL, Trajectories

__all__ = ["joined"]


def joined(parts: Sequence[Trajectories]) -> Trajectories:
    """See `Trajectories.concatenate`."""
    if not parts:
        raise InputError("no trajectories to put together")
    _check_alike(parts)
    nodes, frames = (max(part.x.shape[axis] for part in parts) for axis in (1, 2))
    edges = max(0 if part.edges is None else part.edges.shape[1] for part in parts)
    x = np.concatenate([_padded(part.x, (nodes, frames)) for part in parts])
    mask = np.concatenate([_padded(part.mask, (nodes,)) for part in parts])
    found: dict[str, Any] = {}
    ragged = any(part.frame_mask is not None or part.x.shape[2] < frames for part in parts)
    if ragged:
        own = [np.ones((len(p), p.x.shape[2]), bool) if p.frame_mask is None else p.frame_mask for p in parts]
        found["frame_mask"] = np.concatenate([_padded(mask, (frames,)) for mask in own])
    sizes = {"numbers": (nodes,), "edges": (edges,), "edge_features": (edges,)}
    for name in ("features", "numbers", "edges", "edge_features"):
        values = [getattr(part, name) for part in parts]
        if values[0] is None:
            continue
        shape = sizes.get(name, (nodes, frames) if values[0].ndim == 4 else (nodes,))
        found[name] = np.concatenate([_padded(v, shape, -1 if name == "edges" else 0) for v in values])
    return Trajectories(x, mask, dt=parts[0].dt, **found)


def _check_alike(parts: Sequence[Trajectories]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.x.shape[3] != first.x.shape[3]:
            raise InputError(f"trajectories in {first.x.shape[3]} and {part.x.shape[3]} dimensions cannot be joined")
        if not np.isclose(part.dt, first.dt, rtol=1e-6):
            raise InputError(f"trajectories with {first.dt:g} and {part.dt:g} between frames cannot be joined")
        for name in OPTIONAL:
            if name != "frame_mask" and _kind(getattr(part, name)) != _kind(getattr(first, name)):
                raise InputError("trajectories that differ in them cannot be joined", place=name)


def _kind(value: NDArray[Any] | None) -> tuple[int, int] | None:
    """What must agree: whether there is an array, how many axes it has, and its features."""
    return None if value is None else (value.ndim, value.shape[-1] if value.ndim > 2 else 0)


def _padded(value: NDArray[Any], sizes: tuple[int, ...], fill: int = 0) -> NDArray[Any]:
    """`[n, ...]` with its axes behind the first one padded at their ends to these sizes."""
    widths = [(0, 0)] * value.ndim
    for axis, size in enumerate(sizes, 1):
        widths[axis] = (0, size - value.shape[axis])
    return np.pad(value, widths, constant_values=fill)
