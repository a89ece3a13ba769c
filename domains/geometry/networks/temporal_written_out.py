"""The temporal layer of EGTN with its derivative written out, in a fraction of the steps that PyTorch would record.

With a_q and a_k the activations before the last layers of queries and keys, and C = [W_k, W] the last weights of keys
and those of embedded times,

    q_t . k_s + R_t W^T q_t . g(s) = u . a_k + R_t u' . g(s) + what is the same for all s,
    [u; u'] = C^T (W_q a_q + b_q),

and C^T W_q is one small product of weights: keys themselves are never made. Second derivatives go through the layer as
it is written in `temporal`, where the formulas stand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from scorefield.domains.geometry.networks.elements import Frames
from scorefield.domains.geometry.networks.gradients import LayerGradients, again, product, silu, silu_below

__all__ = ["TemporalWeights", "written_out"]


class TemporalWeights(NamedTuple):
    """Weights and biases of embedded times, and of the perceptrons of queries, keys, values and positions."""

    time: Tensor
    time_bias: Tensor
    q: Tensor
    q_bias: Tensor
    q_last: Tensor
    q_last_bias: Tensor
    k: Tensor
    k_bias: Tensor
    k_last: Tensor
    k_last_bias: Tensor
    v: Tensor
    v_bias: Tensor
    v_last: Tensor
    v_last_bias: Tensor
    x: Tensor
    x_bias: Tensor
    x_last: Tensor
    x_last_bias: Tensor

    def of(self, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Those of one perceptron."""
        first, first_bias, last, last_bias = (
            getattr(self, f"{name}{part}") for part in ("", "_bias", "_last", "_last_bias")
        )
        return first, first_bias, last, last_bias


Plain = Callable[[Tensor, Tensor, Frames, TemporalWeights], tuple[Tensor, Tensor]]


def written_out(x: Tensor, h: Tensor, frames: Frames, weights: TemporalWeights, plain: Plain) -> tuple[Tensor, Tensor]:
    """What `plain` gives, and its derivative."""
    moved, features = _Temporal.apply(frames, plain, x, h, *weights)
    return moved, features


class _Temporal(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, frames: Frames, plain: Plain, x: Tensor, h: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights, flat, codes, hidden = TemporalWeights(*tensors), h.flatten(0, 1), frames.codes, h.shape[-1]
        first = torch.cat([weights.q, weights.k, weights.v])
        deep = product(flat, first, torch.cat([weights.q_bias, weights.k_bias, weights.v_bias]))
        active = silu(deep)
        of_query, of_key, of_value = active.chunk(3, 1)
        joined = torch.cat([weights.k_last, weights.time[:, : codes.shape[-1]]], 1)
        asking = weights.q_last.T @ joined
        asked = (of_query @ asking).add_(weights.q_last_bias @ joined).unflatten(0, h.shape[:2])
        value = product(of_value, weights.v_last, weights.v_last_bias).view(h.shape)
        logits = frames.reflected(asked[..., hidden:]) @ codes.transpose(-1, -2)
        logits.baddbmm_(asked[..., :hidden], of_key.unflatten(0, h.shape[:2]).transpose(1, 2))
        if frames.exist is not None:
            logits.masked_fill_(~frames.exist[:, None], torch.finfo(logits.dtype).min)
        attention = logits.softmax(-1)
        relative = frames.reflected(attention @ codes)
        features = product(relative.flatten(0, 1), joined[:, hidden:], weights.time_bias).view(h.shape)
        features.baddbmm_(attention, value).add_(h)
        z = product(value.flatten(0, 1), weights.x, weights.x_bias)
        a = silu(z)
        number = product(a, weights.x_last, weights.x_last_bias).view(len(h), 1, -1)
        shares, place = attention * number, x - x.mean(1, keepdim=True)
        moved = torch.baddbmm(x, shares, place, alpha=-1).addcmul_(place, shares.sum(-1, keepdim=True))
        kept = first, joined, asking, deep, active, asked, value, attention, relative, z, a, number, place
        ctx.save_for_backward(x, h, *weights, *kept)
        ctx.frames, ctx.plain = frames, plain
        return moved, features

    @staticmethod
    def backward(ctx: Any, above_x: Tensor, above_h: Tensor) -> tuple[Tensor | None, ...]:
        inputs, kept, needed = ctx.saved_tensors[:20], ctx.saved_tensors[20:], ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():  # to be differentiated again

            def plain(x: Tensor, h: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
                return cast("Plain", ctx.plain)(x, h, ctx.frames, TemporalWeights(*tensors))

            return None, None, *again(plain, inputs, (above_x, above_h), needed)
        gradients = _Gradients(ctx.frames, TemporalWeights(*inputs[2:]), any(needed[2:]))
        below = gradients.below(inputs[1], kept, above_x, above_h.contiguous())
        return None, None, *below, *gradients.all()


class _Gradients(LayerGradients):
    """Gradients of one layer.

    Args:
        frames: places in time.
        weights: of the layer.
        learning: whether gradients of the weights are wanted.
    """

    weights: TemporalWeights

    def __init__(self, frames: Frames, weights: TemporalWeights, learning: bool) -> None:
        super().__init__(weights, learning)
        self.frames = frames

    def below(self, h: Tensor, kept: tuple[Tensor, ...], above_x: Tensor, above_h: Tensor) -> tuple[Tensor, Tensor]:
        """Those of positions and features; `kept` as `_Temporal` keeps it."""
        first, joined, asking, deep, active, asked, value, attention, relative, z, a, number, place = kept
        flat, hidden = h.flatten(0, 1), h.shape[-1]
        to_x, to_shares = _moves(above_x, attention * number, place)
        to_attention = torch.baddbmm(to_shares * number, above_h, value.transpose(1, 2))
        to_number = to_shares.mul_(attention).sum(1).view(-1, 1)
        to_value = self.through("x", self.through("x_last", to_number, a, z), value.flatten(0, 1)).view_as(h)
        to_value.baddbmm_(attention.transpose(1, 2), above_h)
        below = torch.empty_like(deep)
        to_query, to_key, of_value = below.chunk(3, 1)
        to_asked = self._asked(joined, active, asked, attention, to_attention, above_h, to_key)
        to_query.copy_(to_asked @ asking.T)
        self._learn(joined, active, to_asked, above_h.flatten(0, 1), relative.flatten(0, 1))
        of_value.copy_(self.through("v_last", to_value.flatten(0, 1), active[:, 2 * hidden :]))
        silu_below(below, deep)
        if self.learning:
            for name, weight, bias in zip("qkv", (below.T @ flat).chunk(3), below.sum(0).chunk(3), strict=True):
                self.found[name], self.found[f"{name}_bias"] = weight, bias
        return to_x, torch.addmm(above_h.flatten(0, 1), below, first).view_as(h)

    def _asked(
        self,
        joined: Tensor,
        active: Tensor,
        asked: Tensor,
        attention: Tensor,
        to_attention: Tensor,
        above: Tensor,
        to_key: Tensor,
    ) -> Tensor:
        """That of [u; u'], `[rows, H + 2 m]`, and, into `to_key`, that of the activations of keys."""
        codes, hidden, shape = self.frames.codes, above.shape[-1], above.shape[:2]
        to_relative = self.frames.reflected((above.flatten(0, 1) @ joined[:, hidden:]).unflatten(0, shape))
        to_attention.add_(to_relative @ codes.transpose(-1, -2))
        to_logits = to_attention.sub_((to_attention * attention).sum(-1, keepdim=True)).mul_(attention)
        to_asked = torch.empty_like(asked)
        to_asked[..., :hidden] = torch.bmm(to_logits, active[:, hidden : 2 * hidden].unflatten(0, shape))
        to_asked[..., hidden:] = self.frames.reflected(to_logits @ codes)
        to_key.copy_(torch.bmm(to_logits.transpose(1, 2), asked[..., :hidden]).flatten(0, 1))
        return to_asked.flatten(0, 1)

    def _learn(self, joined: Tensor, active: Tensor, to_asked: Tensor, above: Tensor, relative: Tensor) -> None:
        """Those of embedded times and of the last weights of queries and keys."""
        if not self.learning:
            return
        w, hidden = self.weights, above.shape[-1]
        to_asking, to_moved = active[:, :hidden].T @ to_asked, to_asked.sum(0)
        to_joined = torch.outer(w.q_last_bias, to_moved).addmm_(w.q_last, to_asking)
        to_joined[:, hidden:].addmm_(above.T, relative)
        self.found["q_last"], self.found["q_last_bias"] = joined @ to_asking.T, joined @ to_moved
        self.found["k_last"], self.found["k_last_bias"] = to_joined[:, :hidden], torch.zeros_like(w.k_last_bias)
        missing = w.time.shape[1] + hidden - joined.shape[1]
        self.found["time"] = functional.pad(to_joined[:, hidden:], (0, missing))
        self.found["time_bias"] = above.sum(0)


def _moves(above: Tensor, shares: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """From x' = x + y_t sum_s shares_ts - sum_s shares_ts y_s, y = x less its mean: of x and of shares."""
    to_sum = (above * place).sum(-1, keepdim=True)
    to_shares = torch.baddbmm(to_sum.expand_as(shares), above, place.transpose(1, 2), alpha=-1)
    to_place = torch.baddbmm(above * shares.sum(-1, keepdim=True), shares.transpose(1, 2), above, alpha=-1)
    return to_place.sub_(to_place.mean(1, keepdim=True)).add_(above), to_shares
