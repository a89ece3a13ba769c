"""Standardisation over channels that come first, and the gate of TSDiff's blocks, with few passes over memory."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["gated", "standardised"]


def standardised(x: Tensor, eps: float) -> Tensor:
    """Layer norm of `x` `[H, ...]` over its first axis, without weights."""
    return cast(Tensor, _Standardised.apply(x, eps))


def gated(x: Tensor) -> Tensor:
    """tanh(x) sigmoid(x)."""
    if torch.is_grad_enabled() and x.requires_grad:
        return x.tanh() * x.sigmoid()
    return x.tanh().mul_(x.sigmoid())


def _plainly(x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(0)
    return centred * (centred.square().mean(0) + eps).rsqrt()


class _Standardised(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps); keeps its input, which others hold anyway, and not its result."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        mean = x.mean(0)
        result = x - mean
        scale = (torch.linalg.vector_norm(result, dim=0).square_().div_(len(x)) + eps).rsqrt_()
        ctx.save_for_backward(x, mean, scale)
        ctx.eps = eps
        return result.mul_(scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        x, mean, scale = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again
            (again,) = torch.autograd.grad(_plainly(x, ctx.eps), x, gradient, create_graph=True)
            return again, None
        result = (x - mean).mul_(scale)
        share = (gradient * result).mean(0)
        return result.mul_(share).neg_().add_(gradient).sub_(gradient.mean(0)).mul_(scale), None
