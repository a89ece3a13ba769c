"""Standardisation over channels that come first, and the gate of TSDiff's blocks, with few passes over memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["gated", "standardised"]

_CACHE = 1 << 17  # numbers that are worked on at a time on a CPU


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
        flat = x.flatten(1)
        mean, scale, result = torch.empty_like(flat[0]), torch.empty_like(flat[0]), torch.empty_like(flat)
        for part in _parts(flat):
            torch.mean(flat[:, part], 0, out=mean[part])
            centred = flat[:, part] - mean[part]
            scale[part] = (centred.square().mean(0) + eps).rsqrt_()
            torch.mul(centred, scale[part], out=result[:, part])
        ctx.save_for_backward(x, mean, scale)
        ctx.eps = eps
        return result.view(x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        x, mean, scale = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again
            (again,) = torch.autograd.grad(_plainly(x, ctx.eps), x, gradient, create_graph=True)
            return again, None
        flat, above = x.flatten(1), gradient.flatten(1)
        result = torch.empty_like(flat)
        for part in _parts(flat):
            normal = (flat[:, part] - mean[part]).mul_(scale[part])
            share = (above[:, part] * normal).mean(0)
            left = torch.addcmul(above[:, part], normal, share, value=-1)
            torch.mul(left.sub_(above[:, part].mean(0)), scale[part], out=result[:, part])
        return result.view(x.shape), None


def _parts(flat: Tensor) -> Iterator[slice]:
    """Columns that are worked on at a time: on a CPU what stays in its cache, elsewhere all."""
    columns = flat.shape[1]
    number = max(1, _CACHE // len(flat) if flat.device.type == "cpu" else columns)
    return (slice(first, first + number) for first in range(0, columns, number))
