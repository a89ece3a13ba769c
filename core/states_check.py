"""Checks of encoded states that come from a file or from a user's own arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError

__all__ = ["check_states"]

_BLOCK = 4096  # rows looked at together, which bounds the memory
_Rows = NDArray[np.bool_]


def check_states(
    mask: NDArray[Any],
    components: Mapping[str, NDArray[Any]],
    square: Sequence[str] = (),
    file: str | Path | None = None,
) -> None:
    """Refuse states that are no proper samples; the message names the array and its first such row, counted from 0.

    Args:
        mask: which nodes there are, `[n, N]`.
        components: `[n, N, ...]`; those in `square` are symmetric `[n, N, N, ...]` without a diagonal.
        square: components with nodes on two axes.
        file: the file they came from, for messages.

    Raises:
        InputError: shapes that do not fit, values that are no finite numbers, a sample without nodes, an asymmetric
            matrix, a non-zero diagonal, or entries outside the mask.
    """
    if mask.ndim != 2 or not len(mask):
        raise InputError(f"has shape {mask.shape}", file=file, place="mask", mend="give [samples, nodes]")
    _check_numbers("mask", mask, mask.shape, file)
    for name, value in components.items():
        _check_numbers(name, value, (*mask.shape, mask.shape[1]) if name in square else mask.shape, file)
    for start in range(0, len(mask), _BLOCK):
        rows = slice(start, start + _BLOCK)
        there = mask[rows].astype(bool)
        _refuse("mask", {"no node is there": np.asarray(~there.any(1))}, start, file)
        for name, value in components.items():
            problems = _matrix_problems if name in square else _problems
            _refuse(name, problems(value[rows], there), start, file)


def _check_numbers(name: str, value: NDArray[Any], wanted: tuple[int, ...], file: str | Path | None) -> None:
    if value.shape[: len(wanted)] != wanted:
        raise InputError(f"has shape {value.shape}, where {wanted} is needed first", file=file, place=name)
    if value.dtype.kind not in "biuf":
        raise InputError(f"holds {value.dtype}, not numbers", file=file, place=name)


def _problems(value: NDArray[Any], there: _Rows) -> dict[str, _Rows]:
    flat = value.reshape(*there.shape, -1)
    finite = np.isfinite(flat) if value.dtype.kind == "f" else np.ones((1, 1, 1), dtype=bool)
    return {
        "a value is not finite": np.broadcast_to(~finite.all((1, 2)), len(value)),
        "an entry lies outside the mask": ((flat != 0).any(2) & ~there).any(1),
    }


def _matrix_problems(value: NDArray[Any], there: _Rows) -> dict[str, _Rows]:
    # Outside the mask only rows are looked at: the columns of a symmetric matrix say the same.
    found = _problems(value, there)
    diagonal = np.diagonal(value, axis1=1, axis2=2)
    rows = len(value)
    return found | {
        "the matrix is not symmetric": (value != value.swapaxes(1, 2)).reshape(rows, -1).any(1),
        "a node is joined to itself": (diagonal != 0).reshape(rows, -1).any(1),
    }


def _refuse(name: str, problems: Mapping[str, _Rows], start: int, file: str | Path | None) -> None:
    for what, wrong in problems.items():
        if wrong.any():
            raise InputError(what, file=file, place=f"{name}, row {start + int(np.flatnonzero(wrong)[0])}")
