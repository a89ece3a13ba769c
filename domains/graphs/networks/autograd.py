"""Dealing with automatic differentiation."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

__all__ = ["apply", "normal_mode"]


class _NoContext:
    """Takes the place of a function's context where no derivative will be asked for."""

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Nothing is kept."""

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Nothing is noted."""


_NO_CONTEXT = _NoContext()


def apply(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    """Call a function that brings its own derivative; directly, which is quicker, where none will be asked for."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        result: Tensor = function.apply(*arguments)
    else:
        result = function.forward(_NO_CONTEXT, *arguments)
    return result


def normal_mode() -> AbstractContextManager[Any]:
    """Where tensors that are kept are made: those of inference mode could never take part in a derivative."""
    if torch.compiler.is_compiling() or not torch.is_inference_mode_enabled():
        return nullcontext()
    return torch.inference_mode(False)
