"""What a run makes up of nothing: which systems are to move, and their way back into the units of the data.

A run keeps systems that it was trained on without their motion (`observed_systems`), and how often it met each; what is
to move is drawn from those. Conditional runs only continue what is given, so that nothing is made up by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.state import State
from scorefield.domains.geometry.trajectories import Trajectories

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NODES", "check_systems", "decode", "draw", "frame"]

NODES = "nodes"
"""Condition of `draw`: take systems of so many nodes."""
SYSTEM = "system"
"""Entry of a state's condition: number of each row's system, `[B]`; networks do not look at it."""


def draw(
    num: int, tables: Mapping[str, Any], generator: torch.Generator, condition: Mapping[str, Any] | None = None
) -> dict[str, Tensor]:
    """`system`, the number of each row's system; `nodes` of it; `frames`, where lengths differ; int64 `[num]`.

    Raises:
        InputError: an unknown condition, or no system with so many nodes.
    """
    given = dict(condition or {})
    asked = given.pop(NODES, None)
    if given:
        raise InputError(f"unknown condition {min(given)!r}", mend=f"trajectories take {NODES}")
    systems = tables["systems"]
    sizes = torch.tensor([system["nodes"] for system in systems])
    weights = torch.tensor([float(system.get("count", 1)) for system in systems], dtype=torch.float64)
    if asked is not None:
        weights = weights * (sizes == _count(asked, sizes.tolist()))
    chosen = torch.multinomial(weights, num, replacement=True, generator=generator)
    drawn = {SYSTEM: chosen, NODES: sizes[chosen]}
    if tables.get("lengths"):
        lengths = torch.tensor([int(length) for length in tables["lengths"]])
        shares = torch.tensor(list(tables["lengths"].values()), dtype=torch.float64)
        drawn["frames"] = lengths[torch.multinomial(shares, num, replacement=True, generator=generator)]
    return drawn


def _count(asked: Any, known: Sequence[int]) -> int:
    text = str(asked)
    if not text.isdecimal() or int(text) not in known:
        sizes = sorted(set(known))
        some = f"{sizes[0]}" if len(sizes) == 1 else f"one of {', '.join(map(str, sizes[:20]))}"
        raise InputError(f"{NODES}={text}", mend=f"the run knows systems of {some} nodes")
    return int(text)


def frame(drawn: Mapping[str, Tensor], sizes: Mapping[str, int], tables: Mapping[str, Any]) -> State:
    """Zeros, padded to the run's sizes, with what is told of the drawn systems.

    Conditional runs have `given_frames` too, and nothing that is given.
    """
    chosen = drawn[SYSTEM].tolist()
    number, nodes, frames = len(chosen), sizes["nodes"], sizes["frames"]
    mask = torch.arange(nodes) < drawn[NODES][:, None]
    systems: list[Mapping[str, Any]] = tables["systems"]
    features = np.zeros((len(systems), nodes, sizes["features"]), np.float32)
    ends, told = _edges(systems, tables.get("pairs", "all"), sizes.get("edge_features", 0))
    for k, system in enumerate(systems):
        if "features" in system:
            features[k, : system["nodes"]] = system["features"]
    rows = torch.tensor(chosen)
    condition: dict[str, Any] = {SYSTEM: rows}
    if sizes["features"]:
        condition["features"] = torch.from_numpy(features)[rows]
    there = torch.from_numpy(ends[..., 0] >= 0)
    condition |= {"edges": torch.from_numpy(ends).clamp(min=0)[rows], "edge_mask": there[rows]}
    if told is not None:
        condition["edge_features"] = torch.from_numpy(told)[rows]
    masks = {} if bool(mask.all()) else {"mask": mask}
    if "frames" in drawn:
        masks["frame_mask"] = torch.arange(frames) < drawn["frames"][:, None]
    if "given" in sizes:
        given = torch.zeros(frames, dtype=torch.bool)
        given[tables["given"]] = True
        masks["given_frames"] = given.expand(number, -1).clone()
    return State({"x": torch.zeros(number, nodes, frames, sizes["space"])}, masks, condition)


def _edges(
    systems: Sequence[Mapping[str, Any]], pairs: str, columns: int
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.float32]] | None]:
    """Edges of all systems, -1 where there is none, `[s, M, 2]`, and their features."""
    found = [np.asarray(s.get("edges", _pairs(s["nodes"], pairs)), dtype=np.int64).reshape(-1, 2) for s in systems]
    most = max(len(edges) for edges in found)
    ends = np.full((len(systems), most, 2), -1)
    told = np.zeros((len(systems), most, columns), np.float32) if columns else None
    for k, (system, edges) in enumerate(zip(systems, found, strict=True)):
        ends[k, : len(edges)] = edges
        if told is not None:
            told[k, : len(edges)] = system["edge_features"]
    return ends, told


def _pairs(nodes: int, pairs: str) -> list[list[int]]:
    loops = pairs == "all and self"
    return [[i, j] for i in range(nodes) for j in range(nodes) if loops or i != j]


def decode(state: State, tables: Mapping[str, Any]) -> Trajectories:
    """Trajectories of a state at t = 0."""
    x = state["x"].detach().cpu().float().numpy()
    condition = {name: value.cpu().numpy() for name, value in state.condition.items() if isinstance(value, Tensor)}
    mask, frames = (state.masks.get(name) for name in ("mask", "frame_mask"))
    there = np.ones(x.shape[:2], dtype=bool) if mask is None else mask.cpu().numpy()
    more: dict[str, Any] = {}
    if tables.get("pairs") == "file" and "edges" in condition:
        more["edges"] = np.where(condition["edge_mask"][..., None], condition["edges"], -1)
        if "edge_features" in condition:
            more["edge_features"] = condition["edge_features"]
    systems: Sequence[Mapping[str, Any]] = tables["systems"]
    if any("features" in system for system in systems):
        more["features"] = condition["features"]
    if any("numbers" in system for system in systems):
        more["numbers"] = _numbers(condition[SYSTEM], systems, x.shape[1])
    existing = None if frames is None else frames.cpu().numpy()
    return Trajectories(x, there, dt=float(tables.get("dt", 1.0)), frame_mask=existing, state=state, **more)


def _numbers(
    rows: np.ndarray[Any, np.dtype[np.int64]], systems: Sequence[Mapping[str, Any]], nodes: int
) -> np.ndarray[Any, np.dtype[np.int64]]:
    numbers = np.zeros((len(systems), nodes), dtype=np.int64)
    for k, system in enumerate(systems):
        numbers[k, : system["nodes"]] = system.get("numbers", 0)
    return np.asarray(numbers[rows])


def check_systems(tables: Mapping[str, Any], sizes: Mapping[str, int], file: Path) -> None:
    """Find tables that cannot be sampled with.

    Raises:
        InputError: a table is missing or does not fit; the file and the key are named.
    """
    for name in ("nodes", "frames", "space"):
        if not _whole(sizes.get(name)):
            raise InputError(f"{sizes.get(name)!r} is no size", file=file, place=f"sizes.{name}")
    systems = tables.get("systems")
    if not isinstance(systems, list) or not systems:
        raise InputError("needs at least one system", file=file, place="tables.systems")
    for k, system in enumerate(systems):
        if not isinstance(system, dict) or not _whole(system.get("nodes")) or system["nodes"] > sizes["nodes"]:
            raise InputError(f"is no system of 1 to {sizes['nodes']} nodes", file=file, place=f"tables.systems.{k}")
        for name, columns in (("features", "features"), ("edge_features", "edge_features")):
            told = system.get(name)
            if told is not None and (not isinstance(told, list) or any(len(row) != sizes.get(columns) for row in told)):
                what = f"needs rows of {sizes.get(columns)} {name.replace('_', ' ')}"
                raise InputError(what, file=file, place=f"tables.systems.{k}.{name}")
    given = tables.get("given")
    if "given" in sizes:
        fits = isinstance(given, list) and len(given) == sizes["given"]
        if not fits or any(frame not in range(sizes["frames"]) for frame in given or []):
            what = f"needs {sizes['given']} of {sizes['frames']} frames"
            raise InputError(what, file=file, place="tables.given")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
