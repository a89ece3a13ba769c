"""Files of trajectories.

`.npz` holds the arrays of `Trajectories`. Where all trajectories share them, `mask`, `features`, `edges`,
`edge_features` and `numbers` may lack their first axis; one trajectory may be `x [N, T, D]`. `.xyz` and `.extxyz` are
extended XYZ.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.files import atomic, check_format
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.trajectory_checks import check_finite
from scorefield.domains.geometry.uniform_times import even_step

__all__ = ["SUFFIXES", "read_archive", "read_trajectories", "trajectories_of", "write_trajectories"]

SUFFIXES = (".npz", ".xyz", ".extxyz")
_SHARED = {"mask": 2, "frame_mask": 2, "features": 3, "edges": 3, "edge_features": 3, "numbers": 2}  # axes of each


def write_trajectories(trajectories: Trajectories, path: Path) -> None:
    """Write trajectories in the format of the suffix, whole or not at all.

    Raises:
        InputError: an unknown suffix, or a folder that cannot be written to.
    """
    check_format(path.suffix.lower(), SUFFIXES, "trajectories", path)
    if path.suffix.lower() == ".npz":
        stream, content = io.BytesIO(), trajectories.arrays()
        np.savez_compressed(stream, allow_pickle=False, **content)
        with atomic(path) as temporary:
            temporary.write_bytes(stream.getvalue())
    else:
        from scorefield.domains.geometry.extended_xyz import write_extended_xyz

        write_extended_xyz(trajectories, path)


def read_trajectories(path: Path, *, missing: bool = False) -> Trajectories:
    """Trajectories of a file.

    Args:
        path: the file.
        missing: whether positions may be NaN, as those that are to be filled.

    Raises:
        InputError: an unknown suffix, a file that cannot be read, arrays that do not fit, or positions that are no
            numbers.
    """
    check_format(path.suffix.lower(), SUFFIXES, "trajectories", path)
    if path.suffix.lower() == ".npz":
        found = trajectories_of(read_archive(path), path)
    else:
        from scorefield.domains.geometry.extended_xyz import read_extended_xyz

        found = read_extended_xyz(path)
    if not missing:
        check_finite(found, path)
    elif np.isinf(found.x).any():
        raise InputError("infinity is no position", file=path, mend="write NaN for what is missing")
    return found


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz`, without objects.

    Raises:
        InputError: it is missing or cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError as error:
        raise InputError("there is no such file", file=path) from error
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"is no archive of arrays ({type(error).__name__})", file=path) from error


def trajectories_of(arrays: Mapping[str, NDArray[Any]], path: Path) -> Trajectories:
    """Trajectories of an archive's arrays; those that all of them share are repeated.

    Raises:
        InputError: there are no positions, or arrays that do not fit.
    """
    if "x" not in arrays:
        raise InputError("holds no trajectories", file=path, mend="name the array x [trajectories, nodes, frames, 3]")
    x = arrays["x"]
    if x.dtype.kind not in "fiu" or x.ndim not in (3, 4):
        what = f"{x.dtype} of shape {x.shape}"
        raise InputError(what, file=path, place="x", mend="give numbers [trajectories, nodes, frames, 2 or 3]")
    x = x.astype(np.float64) if x.dtype.kind != "f" else x
    x = x[None] if x.ndim == 3 else x
    found: dict[str, Any] = {"mask": np.ones(x.shape[:2], dtype=bool)}
    for name, axes in _SHARED.items():
        if name in arrays:
            value = _kinds(name, arrays[name])
            alone = value.ndim == axes - 1
            found[name] = np.broadcast_to(value, (len(x), *value.shape)) if alone else value
    try:
        read = Trajectories(x, dt=_time_between(arrays), **found)
        there = read.present()[..., None]
        # Whatever a user fills the places of missing nodes with, often NaN, is not to reach sums over all places.
        return read if there.all() else replace(read, x=np.where(there, x, 0))
    except InputError as error:
        raise InputError(str(error), file=path) from None


def _kinds(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """Masks and numbers in the types of `Trajectories`, whatever a user wrote them as."""
    if name.endswith("mask") and value.dtype.kind in "iu":
        return value.astype(bool)
    if name in ("edges", "numbers") and value.dtype.kind in "iu":
        return value.astype(np.int64)
    if name.endswith("features") and value.dtype.kind in "iub":
        return value.astype(np.float32)
    return value


def _time_between(arrays: Mapping[str, NDArray[Any]]) -> float:
    """`dt`, or the step of `time [T]`.

    Raises:
        InputError: frames that are not equally spaced, or no number.
    """
    if "dt" in arrays:
        if arrays["dt"].size != 1 or arrays["dt"].dtype.kind not in "fiu":
            raise InputError(f"{arrays['dt'].dtype} of shape {arrays['dt'].shape}", place="dt", mend="give one number")
        return float(arrays["dt"].reshape(()))
    return 1.0 if "time" not in arrays else even_step(arrays["time"])
