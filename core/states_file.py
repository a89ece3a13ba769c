"""Reading encoded states, as `fit --export-states` writes them, into a state of a system."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.state import State
from scorefield.core.system import System

__all__ = ["read_states"]

_NOT_STATE = ("is_test", "is_validation", "meta")
_MEND = "write one with `scorefield fit --export-states`"


def read_states(path: str | Path, system: System, num: int | None = None) -> State:
    """The training rows of a file of states.

    Args:
        path: an `.npz` of the system's components, its masks and conditions, each `[n, ...]`; rows that `is_test` or
            `is_validation` mark are left out.
        system: tells the components.
        num: rows wanted, spread evenly over the file; all by default.

    Raises:
        InputError: the file is missing or damaged, lacks a component or rows, or holds numbers that are not finite.
    """
    arrays = _arrays(path)
    missing = [name for name in system.components if name not in arrays or not arrays[name].ndim]
    if missing:
        raise InputError(f"lacks {', '.join(missing)}", file=path, mend=_MEND)
    count = len(arrays[next(iter(system.components))])
    rows = _training_rows(arrays, count, path)
    if num is not None and num < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, num).round().astype(int)]
    values: dict[str, Tensor] = {}
    for name, array in arrays.items():
        if name in _NOT_STATE or not array.ndim or (len(array) != count and name not in system.components):
            continue
        if len(array) != count:
            raise InputError(f"has {len(array)} rows, others {count}", file=path, place=name)
        values[name] = torch.from_numpy(np.ascontiguousarray(array[rows]))
    for name in system.components:
        values[name] = values[name].to(torch.float32)
        if not bool(torch.isfinite(values[name]).all()):
            raise InputError("a value is not finite", file=path, place=name)
    return system.state(values)


def _arrays(path: str | Path) -> dict[str, np.ndarray]:
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise InputError("no such file", file=path, mend=_MEND) from None
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError("not an .npz of arrays", file=path, mend=_MEND) from error


def _training_rows(arrays: dict[str, np.ndarray], count: int, path: str | Path) -> np.ndarray:
    kept = np.ones(count, bool)
    for name in ("is_test", "is_validation"):
        if name in arrays and arrays[name].shape == kept.shape:
            kept &= ~arrays[name].astype(bool)
    if not kept.any():
        raise InputError("no row is left for training", file=path)
    return np.flatnonzero(kept)
