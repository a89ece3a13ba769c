"""The temporal layer of EGTN with its derivative written out: a tenth of the steps that PyTorch would record.

Second derivatives go through the layer as it is written in `temporal`, where the formulas stand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from scorefield.domains.geometry.networks.elements import Frames
from scorefield.domains.geometry.networks.gradients import LayerGradients, again, product, silu

__all__ = ["TemporalWeights", "reflected", "written_out"]


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


def reflected(values: Tensor, frames: Frames) -> Tensor:
    """R_t of values `[..., T, 2 m]`; its own inverse and its own transpose."""
    a, b = values.chunk(2, -1)
    sines, cosines = frames.sines, frames.cosines
    return torch.cat([b * sines - a * cosines, a * sines + b * cosines], -1).to(values.dtype)


def written_out(
    x: Tensor, h: Tensor, frames: Frames, weights: TemporalWeights, plain: Plain
) -> tuple[Tensor, Tensor]:
    """What `plain` gives, and its derivative."""
    moved, features = _Temporal.apply(frames, plain, x, h, *weights)
    return moved, features


class _Temporal(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, frames: Frames, plain: Plain, x: Tensor, h: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights, flat, codes = TemporalWeights(*tensors), h.flatten(0, 1), frames.codes
        time = weights.time[:, : codes.shape[-1]]
        deep = h.new_empty(3, *flat.shape)
        for number, name in enumerate("qkv"):
            first, first_bias, _, _ = weights.of(name)
            torch.mm(flat, first.T, out=deep[number]).add_(first_bias)
        active = silu(deep)
        query, key, value = (
            product(active[number], *weights.of(name)[2:]).view(h.shape) for number, name in enumerate("qkv")
        )
        logits = reflected(query @ time, frames) @ codes.transpose(-1, -2)
        logits.baddbmm_(query, key.transpose(1, 2))
        if frames.exist is not None:
            logits.masked_fill_(~frames.exist[:, None], torch.finfo(logits.dtype).min)
        attention = logits.softmax(-1)
        relative = reflected(attention @ codes, frames)
        features = (relative.flatten(0, 1) @ time.T).add_(weights.time_bias).view(h.shape)
        features.baddbmm_(attention, value).add_(h)
        first, first_bias, last, last_bias = weights.of("x")
        z = product(value.flatten(0, 1), first, first_bias)
        a = silu(z)
        number = product(a, last, last_bias).view(len(h), 1, -1)
        shares, place = attention * number, x - x.mean(1, keepdim=True)
        moved = torch.baddbmm(x, shares, place, alpha=-1).addcmul_(place, shares.sum(-1, keepdim=True))
        kept = deep, active, query, key, value, attention, relative, z, a, number, place
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
        deep, active, query, key, value, attention, relative, z, a, number, place = kept
        to_x, to_shares = _moves(above_x, attention * number, place)
        to_attention = torch.baddbmm(to_shares * number, above_h, value.transpose(1, 2))
        to_number = to_shares.mul_(attention).sum(1).view(-1, 1)
        to_value = self.through("x", self.through("x_last", to_number, a, z), value.flatten(0, 1)).view_as(h)
        to_value.baddbmm_(attention.transpose(1, 2), above_h)
        above = *self._queries(query, key, attention, to_attention, above_h, relative), to_value
        to_h = above_h.flatten(0, 1).clone()
        for number_of, name in enumerate("qkv"):
            last = self.through(f"{name}_last", above[number_of].flatten(0, 1), active[number_of], deep[number_of])
            to_h.add_(self.through(name, last, h.flatten(0, 1)))
        return to_x, to_h.view_as(h)

    def _queries(
        self, query: Tensor, key: Tensor, attention: Tensor, to_attention: Tensor, above: Tensor, relative: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Those of queries and keys, and of embedded times."""
        codes = self.frames.codes
        time = self.weights.time[:, : codes.shape[-1]]
        to_attention.add_(reflected(above @ time, self.frames) @ codes.transpose(-1, -2))
        to_logits = to_attention.sub_((to_attention * attention).sum(-1, keepdim=True)).mul_(attention)
        to_turned = reflected(to_logits @ codes, self.frames)
        if self.learning:
            flat = above.flatten(0, 1)
            found = (flat.T @ relative.flatten(0, 1)).addmm_(query.flatten(0, 1).T, to_turned.flatten(0, 1))
            self.found["time"] = functional.pad(found, (0, self.weights.time.shape[1] - found.shape[1]))
            self.found["time_bias"] = flat.sum(0)
        return (to_turned @ time.T).baddbmm_(to_logits, key), torch.bmm(to_logits.transpose(1, 2), query)


def _moves(above: Tensor, shares: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """From x' = x + y_t sum_s shares_ts - sum_s shares_ts y_s, y = x less its mean: of x and of shares."""
    to_sum = (above * place).sum(-1, keepdim=True)
    to_shares = torch.baddbmm(to_sum.expand_as(shares), above, place.transpose(1, 2), alpha=-1)
    to_place = torch.baddbmm(above * shares.sum(-1, keepdim=True), shares.transpose(1, 2), above, alpha=-1)
    return to_place.sub_(to_place.mean(1, keepdim=True)).add_(above), to_shares
