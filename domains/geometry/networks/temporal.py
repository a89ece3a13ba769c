"""Attention of each node over its frames: the temporal layer of EGTN, without tensors `[frames, frames, H]`.

With r_ts = W emb(t - s) + b for frames t and s

    a_ts = softmax_s(q_t . (k_s + r_ts)),    h_t' = h_t + sum_s a_ts (v_s + r_ts),
    w_s = MLP(v_s),    x_t' = x_t + sum_s a_ts w_s (x_t - x_s),

no scale in the softmax. Sines and cosines of t - s are products of those of t and s: with the code
g(s) = [sin(s f); cos(s f)] and the reflection R_t, which takes sine and cosine parts (a, b) to
(b sin(t f) - a cos(t f), a sin(t f) + b cos(t f)), it is p . emb(t - s) = R_t p . g(s), and
sum_s a_ts emb(t - s) = R_t sum_s a_ts g(s). So relative times cost two small products with a constant table. b moves
all logits of a frame alike, and adds to h_t' once, as the a_ts sum to 1.

Sources: Han et al. 2024 (arXiv 2410.13027); Su et al. 2021 (arXiv 2104.09864) for relative positions by rotation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorefield.domains.geometry.networks.elements import Frames, Perceptron, linear
from scorefield.domains.geometry.networks.temporal_written_out import TemporalWeights, written_out

__all__ = ["TemporalLayer", "plainly"]


class TemporalLayer(nn.Module):
    """One layer.

    Args:
        hidden: node features, H.
        embedding: size of embedded times, at least 4.
    """

    def __init__(self, hidden: int, embedding: int) -> None:
        super().__init__()
        self.time_emb = nn.Linear(embedding, hidden)
        self.q_mlp = Perceptron(hidden, hidden, hidden)
        self.k_mlp = Perceptron(hidden, hidden, hidden)
        self.v_mlp = Perceptron(hidden, hidden, hidden)
        self.x_mlp = Perceptron(hidden, hidden, 1)

    @property
    def weights(self) -> TemporalWeights:
        """All weights."""
        perceptrons = self.q_mlp, self.k_mlp, self.v_mlp, self.x_mlp
        flat = (weight for perceptron in perceptrons for weight in perceptron.weights)
        return TemporalWeights(self.time_emb.weight, self.time_emb.bias, *flat)

    def forward(self, x: Tensor, h: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
        """Positions `[n, T, D]` and features `[n, T, H]` after the layer."""
        if torch.is_autocast_enabled(x.device.type):
            return plainly(x, h, frames, self.weights)
        return written_out(x, h, frames, self.weights, plainly)

    def with_attention(self, x: Tensor, h: Tensor, frames: Frames) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` gives, and the weights a `[n, T, T]`."""
        return _attended(x, h, frames, self.weights)


def plainly(x: Tensor, h: Tensor, frames: Frames, weights: TemporalWeights) -> tuple[Tensor, Tensor]:
    """The layer, differentiated by PyTorch."""
    moved, changed, _ = _attended(x, h, frames, weights)
    return moved, changed


def _attended(x: Tensor, h: Tensor, frames: Frames, weights: TemporalWeights) -> tuple[Tensor, Tensor, Tensor]:
    value, change, attention = _attend(h, frames, weights)
    number = _perceptron(value, *weights.of("x"))
    with torch.autocast(x.device.type, enabled=False):
        shares = attention.to(x.dtype) * number.to(x.dtype).transpose(1, 2)
        place = x - x.mean(1, keepdim=True)  # positions far off lose no digits in the difference
        moved = x + place * shares.sum(-1, keepdim=True) - torch.bmm(shares, place)
    return moved, h + change, attention


def _attend(h: Tensor, frames: Frames, weights: TemporalWeights) -> tuple[Tensor, Tensor, Tensor]:
    """Values `[n, T, H]`, the change of h, and the weights a `[n, T, T]`."""
    query, key, value = (_perceptron(h, *weights.of(name)) for name in "qkv")
    codes = frames.codes
    time = weights.time[:, : codes.shape[-1]]
    turned = frames.reflected(functional.linear(query, time.T))
    logits = torch.baddbmm(turned @ codes.transpose(-1, -2).to(turned.dtype), query, key.transpose(1, 2))
    if frames.exist is not None:
        logits = logits.masked_fill(~frames.exist[:, None], torch.finfo(logits.dtype).min)
    attention = logits.softmax(-1)
    relative = linear(frames.reflected(attention @ codes.to(attention.dtype)), time, weights.time_bias)
    return value, relative + torch.bmm(attention.to(value.dtype), value), attention


def _perceptron(values: Tensor, first: Tensor, first_bias: Tensor, last: Tensor, last_bias: Tensor) -> Tensor:
    return linear(functional.silu(linear(values, first, first_bias)), last, last_bias)
