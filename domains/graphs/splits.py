"""Which rows of a data set are for testing and for validation."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError

__all__ = ["choose_rows", "published_index", "read_index", "split_digest"]


def published_index(name: str, num_rows: int) -> NDArray[np.int64] | None:
    """Row numbers of a published test split that the package holds, sorted; None for data of another length.

    Args:
        name: `qm9_test_idx` or `zinc250k_test_idx`, both published with GDSS (Jo et al. 2022, arXiv 2202.02514).
        num_rows: rows of the data.
    """
    with files("scorefield.data").joinpath(f"{name}.npz").open("rb") as file, np.load(file) as stored:
        if num_rows != int(stored["rows"]):
            return None
        return np.asarray(np.cumsum(stored["steps"], dtype=np.int64))


def read_index(path: Path, num_rows: int) -> NDArray[np.int64]:
    """Row numbers from a JSON file.

    Args:
        path: a list of 0-based row numbers, or the published layout `{"valid_idxs": [...]}` whose numbers may
            be text.
        num_rows: rows of the data.

    Raises:
        InputError: a missing or malformed file, a number twice or outside the data.
    """
    try:
        content: Any = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError("there is no such file", file=path) from error
    except (OSError, ValueError) as error:
        raise InputError(f"is not a JSON file that can be read ({error})", file=path) from error
    numbers: Any = content.get("valid_idxs") if isinstance(content, dict) else content
    try:
        index = np.array([int(number) for number in numbers], dtype=np.int64)
    except (TypeError, ValueError) as error:
        raise InputError("is not a list of row numbers", file=path) from error
    outside = np.flatnonzero((index < 0) | (index >= num_rows))
    if len(outside):
        place = f"entry {outside[0] + 1}"
        raise InputError(f"row {index[outside[0]]} is outside the data of {num_rows} rows", file=path, place=place)
    if len(np.unique(index)) != len(index):
        raise InputError("names a row twice", file=path)
    return np.sort(index)


def choose_rows(rows: NDArray[np.int64], number: int, seed: int) -> NDArray[np.int64]:
    """A seeded random choice without replacement, sorted.

    Args:
        rows: what to choose from, `(n,)`.
        number: how many.
        seed: seed of the choice.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, len(rows)])))
    return np.sort(generator.choice(rows, size=number, replace=False))


def split_digest(rows: NDArray[np.int64]) -> str:
    """The SHA-256 of row numbers `(n,)`, which tells test splits apart."""
    return hashlib.sha256(np.asarray(rows, dtype="<i8").tobytes()).hexdigest()
