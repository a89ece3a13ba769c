"""The spatial layer of EGTN with its derivative written out: a tenth of the steps that PyTorch would record.

Second derivatives go through the layer as it is written in `spatial`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from scorefield.domains.geometry.networks.gradients import LayerGradients, again, product, silu, silu_below
from scorefield.domains.geometry.networks.layout import Layout

__all__ = ["SpatialWeights", "written_out"]


class SpatialWeights(NamedTuple):
    """Weights and biases of the perceptrons of edges, positions and nodes, by layer."""

    edge: Tensor
    edge_bias: Tensor
    edge_last: Tensor
    edge_last_bias: Tensor
    coord: Tensor
    coord_bias: Tensor
    coord_last: Tensor
    coord_last_bias: Tensor
    node: Tensor
    node_bias: Tensor
    node_last: Tensor
    node_last_bias: Tensor


Plain = Callable[[Tensor, Tensor, Layout, bool, SpatialWeights], tuple[Tensor, Tensor]]


def written_out(
    x: Tensor, h: Tensor, layout: Layout, pre_norm: bool, weights: SpatialWeights, plain: Plain
) -> tuple[Tensor, Tensor]:
    """What `plain` gives, and its derivative."""
    moved, features = _Spatial.apply(layout, pre_norm, plain, x, h, *weights)
    return moved, features


class _Spatial(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, layout: Layout, pre_norm: bool, plain: Plain, x: Tensor, h: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights, flat = SpatialWeights(*tensors), _different(h).flatten(0, 1)
        frames, hidden = h.shape[1:]
        difference = layout.sent(x).neg_()
        layout.add_received(difference, x)
        squared = difference.square().sum(-1, keepdim=True)
        size = squared.sqrt() if pre_norm else squared
        seen = layout.seen(size).flatten(0, 1)
        first = torch.cat([weights.edge[:, :hidden], weights.edge[:, hidden : 2 * hidden], weights.node[:, :hidden]])
        own, sent, rest = (flat @ first.T).unflatten(0, (len(h), -1)).split(hidden, -1)
        own, rest = own + weights.edge_bias, rest + weights.node_bias
        z1 = layout.sent(sent.expand(h.shape))
        layout.add_received(z1, own)
        z1 = z1.flatten(0, 1).addmm_(seen, weights.edge[:, 2 * hidden :].T)
        a1 = silu(z1)
        z2 = product(a1, weights.edge_last, weights.edge_last_bias)
        message = silu(z2)
        z3 = product(message, weights.coord, weights.coord_bias)
        a3 = silu(z3)
        number = product(a3, weights.coord_last, weights.coord_last_bias).unflatten(0, (-1, frames))
        share = number if pre_norm else number / (squared + 1e-8).sqrt_().add_(1)
        moved = layout.total(share * difference).div_(layout.counts).add_(x)
        total = layout.total(message.unflatten(0, (-1, frames))).flatten(0, 1)
        z4 = (total @ weights.node[:, hidden:].T).view(h.shape).add_(rest).flatten(0, 1)
        a4 = silu(z4)
        features = product(a4, weights.node_last, weights.node_last_bias)
        kept = difference, squared, seen, z1, a1, z2, message, z3, a3, number, total, z4, a4
        ctx.save_for_backward(x, h, *weights, *kept)
        ctx.layout, ctx.pre_norm, ctx.plain = layout, pre_norm, plain
        return moved, features.view(h.shape)

    @staticmethod
    def backward(ctx: Any, above_x: Tensor, above_h: Tensor) -> tuple[Tensor | None, ...]:
        inputs, kept, needed = ctx.saved_tensors[:14], ctx.saved_tensors[14:], ctx.needs_input_grad[3:]
        if torch.is_grad_enabled():  # to be differentiated again

            def plain(x: Tensor, h: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
                return cast("Plain", ctx.plain)(x, h, ctx.layout, ctx.pre_norm, SpatialWeights(*tensors))

            return None, None, None, *again(plain, inputs, (above_x, above_h), needed)
        gradients = _Gradients(ctx.layout, ctx.pre_norm, SpatialWeights(*inputs[2:]), any(needed[2:]))
        below = gradients.below(inputs[1], kept, above_x, above_h)
        return None, None, None, *below, *gradients.all()


class _Gradients(LayerGradients):
    """Gradients of one layer.

    Args:
        layout: nodes and edges.
        pre_norm: see `SpatialLayer`.
        weights: of the layer.
        learning: whether gradients of the weights are wanted.
    """

    weights: SpatialWeights

    def __init__(self, layout: Layout, pre_norm: bool, weights: SpatialWeights, learning: bool) -> None:
        super().__init__(weights, learning)
        self.layout, self.pre_norm = layout, pre_norm

    def below(self, h: Tensor, kept: tuple[Tensor, ...], above_x: Tensor, above_h: Tensor) -> tuple[Tensor, Tensor]:
        """Those of positions and features; `kept` as `_Spatial` keeps it."""
        difference, squared, seen, z1, a1, z2, message, z3, a3, number, total, z4, a4 = kept
        frames, hidden, flat, w = h.shape[1], h.shape[2], _different(h).flatten(0, 1), self.weights
        node = self.through("node_last", above_h.reshape(-1, hidden), a4, z4)
        to_difference, to_squared, to_number = self._moves(above_x, difference, squared, number)
        gradient = self.through("coord_last", to_number.flatten(0, 1), a3, z3)
        gradient = self.through("coord", gradient, message)
        to_total = (node @ w.node[:, hidden:]).unflatten(0, (-1, frames))
        self.layout.add_received(gradient.unflatten(0, (-1, frames)), to_total)
        gradient = self.through("edge_last", silu_below(gradient, z2), a1, z1)
        messages = gradient.unflatten(0, (-1, frames))
        own, sent = self.layout.total(messages), self.layout.collected(messages)
        rest, own, sent = (_common(value, h).flatten(0, 1) for value in (node.view(h.shape), own, sent))
        to_h = (rest @ w.node[:, :hidden]).addmm_(own, w.edge[:, :hidden])
        to_h.addmm_(sent, w.edge[:, hidden : 2 * hidden])
        if self.learning:
            self.found["node_bias"], self.found["edge_bias"] = rest.sum(0), own.sum(0)
            self.found["node"] = torch.cat([rest.T @ flat, node.T @ total], 1)
            self.found["edge"] = torch.cat([own.T @ flat, sent.T @ flat, gradient.T @ seen], 1)
        to_size = (gradient @ w.edge[:, 2 * hidden : 2 * hidden + 1]).view_as(squared)
        if self.pre_norm:
            size = squared.sqrt()
            to_squared = to_size.div_(2 * size).masked_fill_(size == 0, 0)
        else:
            to_squared.add_(to_size)
        to_difference.addcmul_(difference, to_squared, value=2)
        to_x = self.layout.total(to_difference).sub_(self.layout.collected(to_difference)).add_(above_x)
        to_h = to_h.unflatten(0, (len(h), -1))
        return to_x, to_h if to_h.shape == h.shape else (to_h / frames).expand(h.shape)

    def _moves(
        self, above: Tensor, difference: Tensor, squared: Tensor, number: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """From x' = x + mean_j share d: of d, of its square through the divisor, and of the divided number."""
        moves = self.layout.received(above / self.layout.counts)
        to_share = (moves * difference).sum(-1, keepdim=True)
        if self.pre_norm:
            return moves.mul_(number), torch.zeros_like(squared), to_share
        root = (squared + 1e-8).sqrt_()
        divisor = root + 1
        share, to_number = number / divisor, to_share.div_(divisor)
        return moves.mul_(share), (to_number * share).div_(root).mul_(-0.5), to_number


def _different(h: Tensor) -> Tensor:
    """Features `[n, T, H]`, or `[n, 1, H]` where they were expanded from one frame."""
    return h if h.stride(1) else h[:, :1]


def _common(gradient: Tensor, h: Tensor) -> Tensor:
    """The gradient at what `_different` gave."""
    return gradient if h.stride(1) else gradient.sum(1, keepdim=True)
