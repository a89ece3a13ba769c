"""Layer norm over channels that come first, and the gate of TSDiff's blocks, with gradients that pass memory rarely."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["channel_norm", "gated"]


def channel_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm of `x` `[H, ...]` over its first axis, with weights and biases `[H]`."""
    shape = [-1, *[1] * (x.ndim - 1)]
    centred = x - x.mean(0)
    scale = (centred.square().mean(0) + eps).rsqrt()
    return torch.addcmul(bias.reshape(shape), centred * scale, weight.reshape(shape))


def gated(x: Tensor) -> Tensor:
    """tanh(x) sigmoid(x)."""
    return x.tanh() * x.sigmoid()
