"""GDSS's score networks written out plainly: one module per channel, a loop over heads, dense matrices.

This is what a straightforward reading of the paper gives, and what the published code computes; the benchmark
measures the package's networks against it. Parameter names are the published ones, so that both sides compute
the same numbers.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def mask_nodes(x: Tensor, mask: Tensor) -> Tensor:
    return x * mask[:, :, None]


def mask_edges(adj: Tensor, mask: Tensor) -> Tensor:
    if adj.dim() == 4:
        mask = mask[:, None]
    return adj * mask.unsqueeze(-1) * mask.unsqueeze(-2)


def normalise(adj: Tensor) -> Tensor:
    diagonal = torch.eye(adj.shape[-1], dtype=torch.bool)
    adj = adj.masked_fill(diagonal, 1)
    root = adj.sum(-1).clamp(min=1).pow(-0.5)
    return root.unsqueeze(-1) * adj * root.unsqueeze(-2)


class Convolution(nn.Module):
    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(width_out))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor, propagator: Tensor) -> Tensor:
        return torch.bmm(propagator, torch.matmul(x, self.weight)) + self.bias


class Perceptron(nn.Module):
    def __init__(self, depth: int, width_in: int, hidden: int, width_out: int) -> None:
        super().__init__()
        widths = [width_in, *[hidden] * (depth - 1), width_out]
        self.linears = nn.ModuleList(nn.Linear(m, n) for m, n in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # flat, since in place on a view the derivative would copy
        for linear in self.linears[:-1]:
            rows = functional.elu(linear(rows), inplace=True)
        out: Tensor = self.linears[-1](rows)
        return out.view(*x.shape[:-1], -1)


class Attention(nn.Module):
    def __init__(self, width_in: int, width_attention: int, width_out: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width_out = heads, width_out
        self.gnn_q = Convolution(width_in, width_attention)
        self.gnn_k = Convolution(width_in, width_attention)
        self.gnn_v = Convolution(width_in, width_out)

    def forward(self, x: Tensor, adj: Tensor) -> tuple[Tensor, Tensor]:
        adj = normalise(adj)
        query, key, value = self.gnn_q(x, adj), self.gnn_k(x, adj), self.gnn_v(x, adj)
        width = query.shape[-1] // self.heads
        query = query / math.sqrt(self.width_out)
        total = torch.zeros_like(adj)
        for q, k in zip(query.split(width, -1), key.split(width, -1), strict=True):
            total += torch.bmm(q, k.transpose(1, 2)).tanh_()
        return value, (total + total.transpose(1, 2)).mul_(0.5 / self.heads)


class AttentionLayer(nn.Module):
    def __init__(
        self, depth: int, width_in: int, width_attention: int, width: int, c_in: int, c_out: int, heads: int
    ) -> None:
        super().__init__()
        hidden = 2 * max(c_in, c_out)
        self.attn = nn.ModuleList(Attention(width_in, width_attention, width, heads) for _ in range(c_in))
        self.mlp = Perceptron(depth, 2 * c_in, hidden, c_out)
        self.multi_channel = Perceptron(2, c_in * width, hidden, width)

    def forward(self, x: Tensor, adjs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        values, maps = [], []
        for channel, attention in enumerate(self.attn):
            value, attended = attention(x, adjs[:, channel])
            values.append(value)
            maps.append(attended)
        x = torch.tanh(mask_nodes(self.multi_channel(torch.cat(values, -1)), mask))
        new = self.mlp(torch.stack([*maps, *adjs.unbind(1)], -1)).permute(0, 3, 1, 2)
        return x, mask_edges(new + new.transpose(2, 3), mask)


class PlainX(nn.Module):
    def __init__(self, features: int, depth: int, width: int) -> None:
        super().__init__()
        widths = [features, *[width] * depth]
        self.layers = nn.ModuleList(Convolution(m, n) for m, n in pairwise(widths))
        total = features + depth * width
        self.final = Perceptron(3, total, 2 * total, features)

    def forward(self, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
        features = [x]
        adj = normalise(adj)
        for layer in self.layers:
            x = torch.tanh(layer(x, adj))
            features.append(x)
        return mask_nodes(self.final(torch.cat(features, -1)), mask)


def attention_layers(
    features: int, width: int, attention: int, channels: list[int], depth: int, heads: int
) -> nn.ModuleList:
    return nn.ModuleList(
        AttentionLayer(
            depth,
            width if number else features,
            attention if number else width,
            width,
            channels[number],
            channels[number + 1],
            heads,
        )
        for number in range(len(channels) - 1)
    )


def powers(adj: Tensor, count: int) -> Tensor:
    found = [adj]
    for _ in range(count - 1):
        found.append(torch.bmm(found[-1], adj))
    return torch.stack(found, 1)


class PlainXGMH(nn.Module):
    def __init__(
        self, features: int, depth: int, width: int, num_linears: int, channels: tuple[int, int, int],
        attention: int, heads: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        first, hidden, last = channels
        self.count = first
        counts = [first, *[hidden] * (depth - 1), last]
        self.layers = attention_layers(features, width, attention, counts, num_linears, heads)
        total = features + depth * width
        self.final = Perceptron(3, total, 2 * total, features)

    def forward(self, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
        adjs = powers(adj, self.count)
        features = [x]
        for layer in self.layers:
            x, adjs = layer(x, adjs, mask)
            x = torch.tanh(x)
            features.append(x)
        return mask_nodes(self.final(torch.cat(features, -1)), mask)


class PlainA(nn.Module):
    def __init__(
        self, features: int, num_layers: int, width: int, num_linears: int, channels: tuple[int, int, int],
        attention: int, heads: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        first, hidden, last = channels
        self.count = first
        counts = [first, *[hidden] * (num_layers - 1), last]
        self.layers = attention_layers(features, width, attention, counts, num_linears, heads)
        self.final = Perceptron(3, sum(counts), 2 * sum(counts), 1)

    def forward(self, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
        adjs = powers(adj, self.count)
        channels = [adjs]
        for layer in self.layers:
            x, adjs = layer(x, adjs, mask)
            channels.append(adjs)
        score = self.final(torch.cat([group.permute(0, 2, 3, 1) for group in channels], -1)).squeeze(-1)
        nodes = score.shape[-1]
        return mask_edges(score * (1 - torch.eye(nodes, dtype=score.dtype)), mask)
