"""Arrays whose last axis runs over nodes or edges and frames: turned, gathered and summed with gradients in order.

PyTorch's own gradients of transposes and sums are views, which later steps would read across the memory.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from scorefield.domains.geometry.networks.layout import Layout

__all__ = ["spread", "totals", "turned"]


def turned(values: Tensor) -> Tensor:
    """The transpose of `[rows, columns]`."""
    return cast(Tensor, _Turned.apply(values))


def spread(values: Tensor, layout: Layout, ends: Tensor, frames: int) -> Tensor:
    """What the node at one end of each edge has: `[..., m T]` from `[..., n T]`; `ends` is a row or column of edges."""
    return cast(Tensor, _Spread.apply(values, layout, ends, frames))


def totals(values: Tensor, layout: Layout, ends: Tensor, frames: int) -> Tensor:
    """The sum over edges at each node: `[..., n T]` from `[..., m T]`."""
    return cast(Tensor, _Totals.apply(values, layout, ends, frames))


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.T.contiguous()

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Tensor:
        return turned(above)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, layout: Layout, ends: Tensor, frames: int) -> Tensor:
        ctx.layout, ctx.ends, ctx.frames = layout, ends, frames
        whole: Tensor = values.unflatten(-1, (-1, frames))
        return whole.index_select(-2, ends).flatten(-2)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None, None, None]:
        return totals(above, ctx.layout, ctx.ends, ctx.frames), None, None, None


class _Totals(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, layout: Layout, ends: Tensor, frames: int) -> Tensor:
        ctx.layout, ctx.ends, ctx.frames = layout, ends, frames
        edges: Tensor = values.unflatten(-1, (-1, frames))
        if ends is layout.row and layout.degree is not None:
            total: Tensor = edges.unflatten(-2, (-1, layout.degree)).sum(-2)
        else:
            total = layout.summed(edges.movedim(-2, 0), ends).movedim(0, -2)
        return total.flatten(-2)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None, None, None]:
        return spread(above, ctx.layout, ctx.ends, ctx.frames), None, None, None
