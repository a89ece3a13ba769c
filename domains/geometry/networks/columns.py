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


def spread(values: Tensor, layout: Layout, ends: Tensor) -> Tensor:
    """What the node at one end of each edge has: `[..., m T]` from `[..., n T]`; `ends` is a row or column of edges."""
    return cast(Tensor, _Spread.apply(values, layout, ends))


def totals(values: Tensor, layout: Layout, ends: Tensor) -> Tensor:
    """The sum over edges at each node: `[..., n T]` from `[..., m T]`."""
    return cast(Tensor, _Totals.apply(values, layout, ends))


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.T.contiguous()

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Tensor:
        return turned(above)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, layout: Layout, ends: Tensor) -> Tensor:
        ctx.layout, ctx.ends = layout, ends
        nodes = len(layout.graph)
        return values.unflatten(-1, (nodes, -1)).index_select(-2, ends).flatten(-2)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None, None]:
        return totals(above, ctx.layout, ctx.ends), None, None


class _Totals(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, layout: Layout, ends: Tensor) -> Tensor:
        ctx.layout, ctx.ends = layout, ends
        edges = values.unflatten(-1, (len(ends), -1))
        if ends is layout.row and layout.degree is not None:
            return edges.unflatten(-2, (-1, layout.degree)).sum(-2).flatten(-2)
        first = edges.movedim(-2, 0)
        return layout.summed(first, ends).movedim(0, -2).flatten(-2)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None, None]:
        return spread(above, ctx.layout, ctx.ends), None, None
