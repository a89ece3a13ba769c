"""Extended XYZ: one block of atoms a frame, whose second line says what its columns are and which trajectory it is of.

Written are `trajectory`, `frame`, `dt` and `time`; node features as columns `features`; edges and their features in the
first frame of a trajectory, as JSON. What is no atom is written as `X`. Two dimensions are written as three with
`space=2`. Other programs' files are read too: frames without `trajectory` make up one trajectory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.extras import optional
from scorefield.core.files import atomic
from scorefield.domains.geometry.joining import joined
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.uniform_times import even_step

__all__ = ["read_extended_xyz", "write_extended_xyz"]

_ELEMENTS = 118


def write_extended_xyz(trajectories: Trajectories, path: Path) -> None:
    """Write trajectories, numbers with all digits, whole or not at all.

    Raises:
        InputError: the folder cannot be written to, or an atomic number is no element's.
    """
    if trajectories.numbers is not None and int(trajectories.numbers.max(initial=0)) > _ELEMENTS:
        raise InputError(f"{int(trajectories.numbers.max())} is no element's atomic number", file=path)
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        for row in range(len(trajectories)):
            stream.writelines(_blocks(trajectories, row))


def _blocks(trajectories: Trajectories, row: int) -> Iterator[str]:
    nodes = np.flatnonzero(trajectories.mask[row])
    x = trajectories.x[row, nodes]
    space = x.shape[-1]
    columns = [np.pad(x, ((0, 0), (0, 0), (0, 3 - space)))]
    kinds = "species:S:1:pos:R:3"
    if trajectories.features is not None:
        told = trajectories.features[row, nodes]
        columns.append(np.broadcast_to(told if told.ndim == 3 else told[:, None], (*x.shape[:2], told.shape[-1])))
        kinds += f":features:R:{told.shape[-1]}"
    numbers = None if trajectories.numbers is None else trajectories.numbers[row, nodes]
    symbols = ["X"] * len(nodes) if numbers is None else [_symbol(number) for number in numbers.tolist()]
    told_once = _edges(trajectories, row, nodes)
    frames = range(x.shape[1]) if trajectories.frame_mask is None else np.flatnonzero(trajectories.frame_mask[row])
    for frame in frames:
        facts = f"trajectory={row} frame={frame} dt={trajectories.dt!r} time={frame * trajectories.dt!r}"
        facts += "" if space == 3 else f" space={space}"
        lines = [f'{len(nodes)}\nProperties={kinds} {facts}{told_once} pbc="F F F"\n']
        for node, symbol in enumerate(symbols):
            numbers_told = (str(value) for column in columns for value in column[node, frame].tolist())
            lines.append(f"{symbol} {' '.join(numbers_told)}\n")
        yield "".join(lines)
        told_once = ""


def _symbol(number: int) -> str:
    from rdkit.Chem import GetPeriodicTable

    return str(GetPeriodicTable().GetElementSymbol(number)) if number else "X"


def _edges(trajectories: Trajectories, row: int, nodes: NDArray[np.int64]) -> str:
    """Edges between the nodes that are written, as numbered there, and their features."""
    if trajectories.edges is None:
        return ""
    there = (trajectories.edges[row] >= 0).all(1)
    edges = np.searchsorted(nodes, trajectories.edges[row][there])
    text = f' edges="_JSON {json.dumps(edges.tolist())}"'
    if trajectories.edge_features is not None:
        text += f' edge_features="_JSON {json.dumps(trajectories.edge_features[row][there].tolist())}"'
    return text


def read_extended_xyz(path: Path) -> Trajectories:
    """Trajectories of a file.

    Raises:
        InputError: ASE is not installed, the file cannot be read, or frames of a trajectory differ in their atoms.
    """
    reader = optional("ase.io", "extended XYZ is read by ASE", "xyz")
    if not path.is_file():
        raise InputError("there is no such file", file=path)
    try:
        frames = list(reader.iread(path, index=":", format="extxyz"))
    except Exception as error:  # the reader lets errors of every kind through
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"is no extended XYZ ({reason})", file=path) from error
    if not frames:
        raise InputError("holds no frame", file=path)
    parts, first = [], 0
    for _, group in groupby(frames, key=lambda frame: frame.info.get("trajectory", 0)):
        members = list(group)
        try:
            parts.append(_trajectory(members, first))
        except InputError as error:
            raise InputError(str(error), file=path) from None
        first += len(members)
    try:
        return joined(parts)
    except InputError as error:
        raise InputError(str(error), file=path) from None


def _trajectory(frames: list[Any], first: int) -> Trajectories:
    """One trajectory; `first` is the number of its first frame in the file, for messages."""
    start = frames[0]
    numbers = start.numbers
    for number, frame in enumerate(frames):
        place = f"frame {first + number}"
        if len(frame) != len(start) or (frame.numbers != numbers).any():
            mend = "write trajectory=0, 1, ... into the second line of each frame"
            raise InputError("has other atoms than the frame before it", place=place, mend=mend)
        if ("features" in frame.arrays) != ("features" in start.arrays):
            raise InputError("lacks features, or has some that others lack", place=place)
    if not len(start):
        raise InputError("is empty: it has no atom", place=f"frame {first}")
    x = np.stack([frame.positions for frame in frames], 1)[None, ..., : int(start.info.get("space", 3))]
    more = _edges_of(start.info)
    if "features" in start.arrays:
        told = np.stack([frame.arrays["features"].reshape(len(start), -1) for frame in frames], 1)[None]
        more["features"] = told[:, :, 0] if (told == told[:, :, :1]).all() else told
    if numbers.any():
        more["numbers"] = numbers[None].astype(np.int64)
    return Trajectories.of(x, dt=_step(frames), **more)


def _edges_of(info: Mapping[str, Any]) -> dict[str, Any]:
    if "edges" not in info:
        return {}
    edges = np.asarray(info["edges"], dtype=np.int64).reshape(-1, 2)
    found: dict[str, Any] = {"edges": edges[None]}
    if "edge_features" in info:
        found["edge_features"] = np.asarray(info["edge_features"], dtype=np.float64).reshape(1, len(edges), -1)
    return found


def _step(frames: list[Any]) -> float:
    """`dt`, or the step of `time`; 1 where a file tells neither."""
    info = frames[0].info
    if "dt" in info:
        return float(info["dt"])
    if all("time" in frame.info for frame in frames):
        return even_step(np.array([frame.info["time"] for frame in frames]))
    return 1.0
