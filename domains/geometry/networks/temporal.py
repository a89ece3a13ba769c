"""Attention of each node over its frames: the temporal layer of EGTN, without tensors `[frames, frames, H]`.

With r_ts = W emb(t - s) + b for frames t and s

    a_ts = softmax_s(q_t . (k_s + r_ts)),    h_t' = h_t + sum_s a_ts (v_s + r_ts),
    w_s = MLP(v_s),    x_t' = x_t + sum_s a_ts w_s (x_t - x_s),

no scale in the softmax. Sines and cosines of t - s are products of those of t and s, so q_t . W emb(t - s) is
p_t . [sin(s f); cos(s f)] with p_t a rotation of W^T q_t by the angles t f, and sum_s a_ts emb(t - s) the like of
sum_s a_ts [sin(s f); cos(s f)]: relative times cost two small products with a constant table. b moves all logits of a
frame alike, and adds to h_t' once, as the a_ts sum to 1.

Sources: Han et al. 2024 (arXiv 2410.13027); Su et al. 2021 (arXiv 2104.09864) for relative positions by rotation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorefield.domains.geometry.networks.elements import Frames, Perceptron

__all__ = ["TemporalLayer"]


class TemporalLayer(nn.Module):
    """One layer.

    Args:
        hidden: node features, H.
        embedding: size of embedded times, at least 4.
    """

    def __init__(self, hidden: int, embedding: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.time_emb = nn.Linear(embedding, hidden)
        self.q_mlp = Perceptron(hidden, hidden, hidden)
        self.k_mlp = Perceptron(hidden, hidden, hidden)
        self.v_mlp = Perceptron(hidden, hidden, hidden)
        self.x_mlp = Perceptron(hidden, hidden, 1)

    def forward(self, x: Tensor, h: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
        """Positions `[n, T, D]` and features `[n, T, H]` after the layer."""
        change, moved, _ = self.attend(x, h, frames)
        return moved, h + change

    def attend(self, x: Tensor, h: Tensor, frames: Frames) -> tuple[Tensor, Tensor, Tensor]:
        """The change of h, the new x, and the weights a `[n, T, T]`."""
        query, key, value = (part.view(h.shape) for part in self._parts(h.flatten(0, 1)))
        codes = frames.codes.to(query.dtype)
        weight = self.time_emb.weight[:, : codes.shape[-1]]
        turned = _turned(functional.linear(query, weight.T), frames)
        logits = torch.baddbmm(turned @ codes.transpose(-1, -2), query, key.transpose(1, 2))
        if frames.exist is not None:
            logits = logits.masked_fill(~frames.exist[:, None], torch.finfo(logits.dtype).min)
        attention = logits.softmax(-1)
        relative = functional.linear(_turned_back(attention.to(codes.dtype) @ codes, frames), weight, self.time_emb.bias)
        change = torch.baddbmm(relative, attention.to(value.dtype), value)
        return change, _moved(x, attention, self.x_mlp(value)), attention

    def _parts(self, h: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values; their first layers are one product."""
        perceptrons = self.q_mlp, self.k_mlp, self.v_mlp
        weight = torch.cat([perceptron.first.weight for perceptron in perceptrons])
        bias = torch.cat([perceptron.first.bias for perceptron in perceptrons])
        hidden = functional.silu(torch.addmm(bias, h, weight.T)).chunk(3, -1)
        return tuple(torch.addmm(perceptron.last.bias, part, perceptron.last.weight.T) for perceptron, part in zip(perceptrons, hidden, strict=True))


def _turned(values: Tensor, frames: Frames) -> Tensor:
    """p with p_t . [sin(s f); cos(s f)] = values_t . [sin((t - s) f); cos((t - s) f)]."""
    a, b = values.chunk(2, -1)
    sines, cosines = frames.sines, frames.cosines
    return torch.cat([b * sines - a * cosines, a * sines + b * cosines], -1).to(values.dtype)


def _turned_back(sums: Tensor, frames: Frames) -> Tensor:
    """The sums of sin((t - s) f) and cos((t - s) f) from those of sin(s f) and cos(s f)."""
    a, b = sums.chunk(2, -1)
    sines, cosines = frames.sines, frames.cosines
    return torch.cat([sines * b - cosines * a, cosines * b + sines * a], -1).to(sums.dtype)


def _moved(x: Tensor, attention: Tensor, weight: Tensor) -> Tensor:
    """x_t + sum_s a_ts w_s (x_t - x_s), in the positions' own type."""
    with torch.autocast(x.device.type, enabled=False):
        shares = attention.to(x.dtype) * weight.to(x.dtype).transpose(1, 2)
        place = x - x.mean(1, keepdim=True)  # positions far off lose no digits in the difference
        return x + place * shares.sum(-1, keepdim=True) - torch.bmm(shares, place)
