"""Optional libraries, which are imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from scorefield.core.errors import InputError

__all__ = ["optional"]


def optional(module: str, what: str, extra: str) -> Any:
    """Import an optional library.

    Args:
        module: the module.
        what: what needs it, as the message says it: `likelihoods need torchdiffeq`.
        extra: the extra of this package that installs it.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(what, mend=f'pip install "scorefield[{extra}]"') from error
