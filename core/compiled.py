"""Compilation to machine code, in one place so that all kernels agree on its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled"]

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile a function of arrays and numbers with Numba on its first call, and keep the result on disk.

    Kernels release the interpreter's lock, use one thread and no random state but the one they are handed, so a result
    depends on the arguments only.
    """
    return cast(Kernel, numba.njit(cache=True, nogil=True)(function))
