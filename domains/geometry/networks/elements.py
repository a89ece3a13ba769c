"""What both backbones are made of: perceptrons of two layers, sinusoids, and the frames of a batch.

An embedded number u is emb(u) = [sin(u f_k), cos(u f_k)] with f_k = 10000^(-k / (m - 1)), k = 0, ..., m - 1, for a size
of 2 m (a zero behind it where the size is odd).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Frames", "Perceptron", "linear", "sinusoids"]


class Perceptron(nn.Module):
    """Linear, SiLU, linear; the layers have the names of the published code.

    Args:
        inputs: features that come in.
        hidden: features between.
        outputs: features that go out.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.actions = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))

    @property
    def first(self) -> nn.Linear:
        """The layer before the SiLU."""
        return cast(nn.Linear, self.actions._modules["0"])

    @property
    def last(self) -> nn.Linear:
        """The layer behind it."""
        return cast(nn.Linear, self.actions._modules["2"])

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weight and bias of the first layer, and of the last."""
        first, last = self.first, self.last
        return first.weight, first.bias, last.weight, last.bias

    def forward(self, values: Tensor) -> Tensor:
        """`[..., outputs]` from `[..., inputs]`."""
        return linear(functional.silu(linear(values, self.first.weight, self.first.bias)), *self.weights[2:])


def linear(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """values weight^T + bias, over the last axis; on a CPU a sum in place costs less than a product onto the bias."""
    if values.device.type != "cpu":
        return functional.linear(values, weight, bias)
    product = functional.linear(values.flatten(0, -2), weight).add_(bias)
    return product.view(*values.shape[:-1], len(weight))


def _angles(values: Tensor, size: int) -> Tensor:
    """u f_k, float64 `[..., m]`."""
    half = size // 2
    steps = torch.arange(half, device=values.device, dtype=torch.float64)
    return values.double()[..., None] * torch.exp(steps * (-math.log(10000) / (half - 1)))


def sinusoids(values: Tensor, size: int) -> Tensor:
    """emb(u) `[..., size]` of numbers `[...]`, which may be negative, in their type."""
    angles = _angles(values, size)
    embedded = torch.cat([angles.sin(), angles.cos()], -1).to(values.dtype)
    return functional.pad(embedded, (0, size % 2))


@dataclass(frozen=True)
class Frames:
    """The frames that attention runs over.

    Attributes:
        codes: g(s) = [sin(s f_k); cos(s f_k)] at each frame's place s in time, `[T, 2 m]`, or `[n, T, 2 m]` where nodes
            differ.
        own: [-cos(s f_k); cos(s f_k)], likewise.
        other: [sin(s f_k); sin(s f_k)], likewise.
        steps: time since the frame before, in frames, `[T, 1]` or `[n, T, 1]`; 1 for the first.
        exist: frames that exist, bool `[n, T]`; None where all do.
    """

    codes: Tensor
    own: Tensor
    other: Tensor
    steps: Tensor
    exist: Tensor | None = None

    @classmethod
    def at(cls, places: Tensor, size: int, dtype: torch.dtype, exist: Tensor | None = None) -> Frames:
        """Frames at these places in time, `[T]` or `[n, T]`, for embeddings of that size."""
        angles = _angles(places, size)
        steps = functional.pad(places.diff(dim=-1), (1, 0), value=1).clamp(min=1)
        sines, cosines = angles.sin().to(dtype), angles.cos().to(dtype)
        codes, own, other = (torch.cat(pair, -1) for pair in ((sines, cosines), (-cosines, cosines), (sines, sines)))
        return cls(codes, own, other, steps.to(dtype)[..., None], exist)

    def reflected(self, values: Tensor) -> Tensor:
        """R_s of values `[..., T, 2 m]`: parts (a, b) become (b sin(s f) - a cos(s f), a sin(s f) + b cos(s f)).

        It is its own inverse and its own transpose.
        """
        found = (values * self.own).addcmul_(values.roll(values.shape[-1] // 2, -1), self.other)
        return found.to(values.dtype)
