"""Checks of encoded states that come from a file or from a user's own arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError

__all__ = ["check_states"]


def check_states(x: NDArray[Any], adj: NDArray[Any], mask: NDArray[np.bool_], file: str | Path | None = None) -> None:
    """Refuse states that hold no proper graphs; the message names the first such row, counted from 1.

    Args:
        x: node features, `(n, N, F)`.
        adj: adjacency, `(n, N, N)`.
        mask: which nodes there are, `(n, N)`.
        file: the file they came from, for messages.

    Raises:
        InputError: shapes that do not fit, a value that is not finite, a graph without nodes, an asymmetric
        adjacency,
            a non-zero diagonal, or entries outside the mask.
    """
    number, size = mask.shape if mask.ndim == 2 else (-1, -1)
    if x.shape[:2] != (number, size) or x.ndim != 3 or adj.shape != (number, size, size):
        shapes = f"x {x.shape}, adj {adj.shape}, mask {mask.shape}"
        raise InputError(f"{shapes} do not fit together", file=file, mend="they must be (n, N, F), (n, N, N), (n, N)")
    there = mask.astype(bool)
    outside = (adj != 0) & ~(there[:, :, None] & there[:, None, :])
    diagonal = np.diagonal(adj, axis1=1, axis2=2)
    problems = {
        "a value that is not finite": ~(np.isfinite(x).all((1, 2)) & np.isfinite(adj).all((1, 2))),
        "a graph without nodes": ~there.any(1),
        "an adjacency that is not symmetric": (adj != adj.transpose(0, 2, 1)).any((1, 2)),
        "a node joined to itself": (diagonal != 0).any(1),
        "entries outside the mask": outside.any((1, 2)) | ((x != 0) & ~there[:, :, None]).any((1, 2)),
    }
    for what, wrong in problems.items():
        if wrong.any():
            raise InputError(what, file=file, place=f"row {int(np.flatnonzero(wrong)[0]) + 1}")
