"""Messages along edges: the costly part of the spatial layer, a cacheful of edges at a time on a CPU.

For an edge j -> i with own part u_i, sent part v_j and features f

    z_1 = u_i + v_j + W_f f,    z_2 = W_2 silu(z_1) + b_2,    m = silu(z_2),    z_3 = W_3 m + b_3,    c = W_4 silu(z_3) + b_4

and the results are sum_j m for every node and c for every edge. Written down as it stands, every line goes over all
edges, in and out of the cache; here several nodes' edges pass through all lines, forwards and backwards, before the
next ones do. Other devices, mixed precision and second derivatives take the plain form.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from scorefield.domains.geometry.networks.elements import Perceptron
from scorefield.domains.geometry.networks.layout import Layout, Part

__all__ = ["messages"]

_CACHE = 1 << 18  # numbers in one array of a part
_silu_backward = torch.ops.aten.silu_backward.grad_input


class _Weights(NamedTuple):
    seen: Tensor
    w2: Tensor
    b2: Tensor
    w3: Tensor
    b3: Tensor
    w4: Tensor
    b4: Tensor


def messages(
    own: Tensor, sent: Tensor, seen: Tensor, weight: Tensor, edge: Perceptron, coordinate: Perceptron, layout: Layout
) -> tuple[Tensor, Tensor]:
    """Sums of messages `[n, T, H]`, and a number for every edge and frame, `[m, T, 1]`.

    Args:
        own: what the first layer makes of the receiver's features, and its bias, `[n, T, H]`.
        sent: what it makes of the sender's, `[n, T, H]`.
        seen: features of edges, `[m, T, F]`.
        weight: of these in the first layer, `[H, F]`.
        edge: whose second layer follows.
        coordinate: what makes a number of a message.
        layout: nodes and edges.
    """
    last, first, end = edge.last, coordinate.first, coordinate.last
    weights = _Weights(weight, last.weight, last.bias, first.weight, first.bias, end.weight, end.bias)
    device = own.device.type
    if device != "cpu" or torch.is_autocast_enabled(device) or not len(seen):
        return _plainly(own, sent, seen, weights, layout)
    keep = torch.is_grad_enabled() and any(value.requires_grad for value in (own, sent, seen, *weights))
    total, number = _Messages.apply(layout, keep, own, sent, seen, *weights)
    return total, number


def _plainly(own: Tensor, sent: Tensor, seen: Tensor, weights: _Weights, layout: Layout) -> tuple[Tensor, Tensor]:
    before = layout.plus_received(layout.sent(sent), own) + functional.linear(seen, weights.seen)
    message = functional.silu(functional.linear(functional.silu(before), weights.w2, weights.b2))
    hidden = functional.silu(functional.linear(message, weights.w3, weights.b3))
    return layout.total(message), functional.linear(hidden, weights.w4, weights.b4)


class _Messages(torch.autograd.Function):
    """Keeps all values on the way where it will be differentiated."""

    @staticmethod
    def forward(
        ctx: Any, layout: Layout, keep: bool, own: Tensor, sent: Tensor, seen: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights = _Weights(*tensors)
        frames, hidden = own.shape[1:]
        total, number = torch.empty_like(own), seen.new_empty(*seen.shape[:2], 1)
        parts = layout.parts(max(1, _CACHE // (frames * hidden)))
        size = len(seen) if keep else max(part.size for part in parts)
        kept = [seen.new_empty(size, frames, hidden) for _ in range(6)]
        for part in parts:
            z1, a1, z2, a2, z3, a3 = (value[part.edges] if keep else value[: part.size] for value in kept)
            torch.index_select(sent, 0, part.senders, out=z1)
            part.add_received(z1, own)
            _rows(z1).addmm_(_rows(seen[part.edges]), weights.seen.T)
            torch.ops.aten.silu.out(z1, out=a1)
            torch.mm(_rows(a1), weights.w2.T, out=_rows(z2)).add_(weights.b2)
            torch.ops.aten.silu.out(z2, out=a2)
            part.put_total(a2, total)
            torch.mm(_rows(a2), weights.w3.T, out=_rows(z3)).add_(weights.b3)
            torch.ops.aten.silu.out(z3, out=a3)
            torch.addmm(weights.b4, _rows(a3), weights.w4.T, out=_rows(number[part.edges]))
        if keep:
            ctx.save_for_backward(own, sent, seen, *weights, *kept)
        ctx.layout, ctx.parts = layout, parts
        return total, number

    @staticmethod
    def backward(ctx: Any, above: Tensor, above_number: Tensor) -> tuple[Tensor | None, ...]:
        own, sent, seen, *rest = ctx.saved_tensors
        inputs = own, sent, seen, *rest[:7]
        if torch.is_grad_enabled():  # to be differentiated again
            outputs = _plainly(own, sent, seen, _Weights(*rest[:7]), ctx.layout)
            found = torch.autograd.grad(
                outputs, inputs, (above, above_number), create_graph=True, allow_unused=True, materialize_grads=True
            )
            return None, None, *found
        learning = any(ctx.needs_input_grad[5:])
        gradients = [torch.zeros_like(value) for value in inputs]
        for part in ctx.parts:
            kept = [value[part.edges] for value in rest[7:]]
            _backwards(part, kept, above.contiguous(), _rows(above_number[part.edges]), inputs, gradients, learning)
        return None, None, *gradients


def _rows(value: Tensor) -> Tensor:
    return value.flatten(0, 1)


def _backwards(
    part: Part,
    kept: list[Tensor],
    above: Tensor,
    above_number: Tensor,
    inputs: tuple[Tensor, ...],
    gradients: list[Tensor],
    learning: bool,
) -> None:
    """Add what one part gives to the gradients of all inputs."""
    z1, a1, z2, a2, z3, a3 = kept
    weights = _Weights(*inputs[3:])
    own, sent, seen, *parameters = gradients
    learnt = _Weights(*parameters)

    def through(z: Tensor, gradient: Tensor, value: Tensor, weight: Tensor, bias: Tensor) -> None:
        """Through silu, in place, and into weight and bias of the layer from `value` to z."""
        _silu_backward(gradient, z, grad_input=gradient)
        if learning:
            weight.addmm_(_rows(gradient).T, _rows(value))
            bias.add_(_rows(gradient).sum(0))

    if learning:
        learnt.w4.addmm_(above_number.T, _rows(a3))
        learnt.b4.add_(above_number.sum(0))
    first, second = torch.empty_like(z1), torch.empty_like(z1)
    torch.mm(above_number, weights.w4, out=_rows(first))
    through(z3, first, a2, learnt.w3, learnt.b3)
    torch.mm(_rows(first), weights.w3, out=_rows(second))
    part.add_received(second, above)
    through(z2, second, a1, learnt.w2, learnt.b2)
    torch.mm(_rows(second), weights.w2, out=_rows(first))
    _silu_backward(first, z1, grad_input=first)
    if learning:
        learnt.seen.addmm_(_rows(first).T, _rows(inputs[2][part.edges]))
    torch.mm(_rows(first), weights.seen, out=_rows(seen[part.edges]))
    part.put_total(first, own)
    sent.index_add_(0, part.senders, first)
