"""What is known of trajectories that a run is to complete: files, arrays, or the run's own test part.

What tells a run's nodes apart (features, edges) is read as its training data were: a file of simulated springs tells
its springs, a molecule is known by its atoms, pedestrians by their speeds.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield.core.checkpoints import instantiate
from scorefield.core.completion import Task
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.names import unknown
from scorefield.domains.geometry.molecular_graph import atom_features
from scorefield.domains.geometry.molecule_files import read_recording
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.trajectory_data import thinned_in_time
from scorefield.domains.geometry.trajectory_files import read_archive, read_trajectories

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord

__all__ = ["TEST", "Known", "read_known"]

TEST = "test"
"""Stands for the run's own test part in place of a file."""
_READING = ("every", "number")
_ALIKE = 1e-3  # relative difference of times between frames


@dataclass(frozen=True)
class Known:
    """Trajectories of which something is to be completed.

    Attributes:
        trajectories: NaN where a position is missing, with the features and edges that the run's network takes.
        file: where they came from, None for arrays and the test part.
        scale: positions are divided by it before the network sees them.
        tested: whether they are whole windows of the run's test part.
    """

    trajectories: Trajectories
    file: Path | None = None
    scale: float = 1.0
    tested: bool = False

    def digest(self) -> str:
        """Of all that results depend on."""
        digest = hashlib.sha256(f"{self.scale}".encode())
        for name, value in sorted(self.trajectories.arrays().items()):
            digest.update(f"{name}|{value.dtype}|{value.shape}|".encode() + np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()

    def place(self, row: int) -> str:
        """How messages call a trajectory."""
        return f"trajectory {row}"

    @property
    def title(self) -> str:
        """How messages and pictures call all of them."""
        return "the run's test part" if self.tested else "data" if self.file is None else self.file.name


def read_known(task: Task, record: ModelRecord) -> Known:
    """The trajectories of a task.

    Raises:
        InputError: a file that cannot be read, or lacks what the run's network takes; or an unknown word of reading.
    """
    for name in task.reading:
        if name not in _READING:
            raise unknown("argument of --read", name, _READING)
    every, number = (_count(task.reading, name) for name in _READING)
    if isinstance(task.data, str | Path) and str(task.data) == TEST and not Path(TEST).exists():
        if every is not None:
            raise InputError(f"--read every={every}", mend="the test part is read as it was for training")
        found = _tested(record)
    else:
        file = Path(task.data) if isinstance(task.data, str | Path) else None
        found = Known(_read(task.data, file, record, every), file)
    if number is not None and number < len(found.trajectories):
        rows = np.linspace(0, len(found.trajectories) - 1, number).round().astype(np.int64)
        found = replace(found, trajectories=found.trajectories[rows])
    fitted = _fitted(found.trajectories, record, found.file)
    _warn_of_time(fitted, record, found)
    return replace(found, trajectories=fitted)


def _count(reading: Mapping[str, Any], name: str) -> int | None:
    if name not in reading:
        return None
    text = str(reading[name])
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--read {name}={text}", mend="give a number, at least 1")
    return int(text)


def _tested(record: ModelRecord) -> Known:
    """The windows of the run's test part."""
    if "class_path" not in record.data:
        what = "does not say which data it was trained on"
        raise InputError(f"the run {what}", place="--data test", mend="name a file")
    module = instantiate({key: record.data[key] for key in ("class_path", "init_args") if key in record.data})
    module.setup("fit")
    windows = module.windows("test")
    if not len(windows):
        raise InputError("the run's data have no test part", place="--data test", mend="name a file")
    return Known(windows.samples(), None, float(record.tables.get("test_scale", 1.0)), tested=True)


def _read(data: Any, file: Path | None, record: ModelRecord, every: int | None) -> Trajectories:
    if isinstance(data, Trajectories):
        return thinned_in_time(data, every or 1)
    if file is None:
        x = np.asarray(data)
        if x.ndim not in (3, 4) or x.dtype.kind != "f":
            what = f"{x.dtype} of shape {x.shape}"
            raise InputError(what, mend="give numbers [trajectories, nodes, frames, 2 or 3], or Trajectories")
        own = record.tables.get("dt", 1.0)
        return thinned_in_time(Trajectories.of(x[None] if x.ndim == 3 else x, dt=own / (every or 1)), every or 1)
    usual = record.data.get("init_args", {}).get("every")
    if file.is_dir() or (file.suffix.lower() == ".npz" and {"R", "positions"} & set(read_archive(file))):
        return read_recording(file, every or usual).trajectories
    return thinned_in_time(read_trajectories(file, missing=True), every or usual or 1)


def _fitted(found: Trajectories, record: ModelRecord, file: Path | None) -> Trajectories:
    """With the features and edges that the network takes."""
    sizes, tables = record.sizes, record.tables
    if found.x.shape[3] != sizes["space"]:
        what = f"positions in {found.x.shape[3]} dimensions"
        raise InputError(what, file=file, mend=f"the run knows {sizes['space']}")
    if tables.get("kind") == "molecule":
        return _molecule(found, tables["systems"][0], file)
    if tables.get("kind") == "pedestrians":
        return replace(found, features=None, edges=None, edge_features=None)
    if found.features is None and found.numbers is not None:
        found = replace(found, features=atom_features(found.numbers))
    if tables.get("pairs") != "file":
        found = replace(found, edges=None, edge_features=None)
    elif found.edges is None:
        mend = "give edges [trajectories, M, 2] as the run's own data have them"
        raise InputError("tells no edges", file=file, mend=mend)
    columns = 1 if found.features is None else found.features.shape[-1]
    told = 0 if found.edge_features is None else found.edge_features.shape[-1]
    for what, number, name in (("features of nodes", columns, "features"), ("of edges", told, "edge_features")):
        if number != sizes.get(name, 0):
            mend = f"the run's network takes {sizes.get(name, 0)}"
            raise InputError(f"{number} {what}", file=file, place=name, mend=mend)
    return found


def _molecule(found: Trajectories, system: Mapping[str, Any], file: Path | None) -> Trajectories:
    own = np.array(system.get("numbers", []), dtype=np.int64)
    if found.numbers is None or found.numbers.shape[1] != len(own) or (found.numbers != own).any():
        what = "tells no atomic numbers" if found.numbers is None else "holds another molecule than the run knows"
        raise InputError(what, file=file, place="numbers", mend=f"the run knows atoms {', '.join(map(str, own))}")

    def shared(name: str, kind: type) -> Any:
        value: np.ndarray[Any, np.dtype[Any]] = np.array(system[name], dtype=kind)
        return np.broadcast_to(value, (len(found), *value.shape))

    return replace(
        found, features=shared("features", np.float32), edges=shared("edges", np.int64),
        edge_features=shared("edge_features", np.float32),
    )  # fmt: skip


def _warn_of_time(found: Trajectories, record: ModelRecord, known: Known) -> None:
    own = float(record.tables.get("dt", found.dt))
    if abs(found.dt - own) > _ALIKE * own:
        unit = record.tables.get("time_unit", "")
        what = f"frames {found.dt:g} {unit} apart".replace("  ", " ")
        hint = "" if own <= found.dt else f"; --read every={round(own / found.dt)} takes every so manyth"
        warnings.warn(f"{known.title}: {what}, the run knows {own:g}{hint}", InputWarning, stacklevel=3)
