"""Dealing with automatic differentiation."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

__all__ = ["apply", "normal_mode"]


def apply(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    """Call a function that brings its own derivative."""
    result: Tensor = function.apply(*arguments)
    return result


def normal_mode() -> AbstractContextManager[Any]:
    """Where tensors that are kept are made: those of inference mode could never take part in a derivative."""
    if torch.compiler.is_compiling() or not torch.is_inference_mode_enabled():
        return nullcontext()
    return torch.inference_mode(False)
