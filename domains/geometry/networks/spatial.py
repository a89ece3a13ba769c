"""Messages along edges, on each frame on its own: the spatial layer of EGTN.

With d = x_i - x_j and n = |d|^2 (or |d|, where positions count by their norm)

    m_ij = silu(MLP([h_i; h_j; n; e_ij])),    h_i' = MLP([h_i; sum_j m_ij]),
    c_ij = MLP(m_ij) / (sqrt(|d|^2 + 1e-8) + 1),    x_i' = x_i + mean_j c_ij d,

the last without its divisor where positions count by their norm. The first linear layer of m_ij is one of the nodes:
W [h_i; h_j; n; e] = W_1 h_i + W_2 h_j + W_3 [n; e], so its large products are made once a node and not once an edge.

Source: Han et al. 2024 (arXiv 2410.13027); Satorras et al. 2021 (arXiv 2102.09844).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorefield.domains.geometry.networks.elements import Perceptron
from scorefield.domains.geometry.networks.layout import Layout

__all__ = ["SpatialLayer", "lengths"]


def lengths(squared: Tensor) -> Tensor:
    """Square roots, with derivative 0 at 0."""
    apart = squared > 0
    return torch.where(apart, squared, 1.0).sqrt() * apart


class SpatialLayer(nn.Module):
    """One layer.

    Args:
        hidden: node features, H.
        edge_features: E.
        pre_norm: whether positions count by their norm.
    """

    def __init__(self, hidden: int, edge_features: int, pre_norm: bool = False) -> None:
        super().__init__()
        self.hidden, self.edge_features, self.pre_norm = hidden, edge_features, pre_norm
        self.edge_mlp = Perceptron(2 * hidden + 1 + edge_features, hidden, hidden)
        self.coord_mlp = Perceptron(hidden, hidden, 1)
        self.node_mlp = Perceptron(2 * hidden, hidden, hidden)

    def forward(self, x: Tensor, h: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Positions `[n, T, D]` and features `[n, T, H]` after the layer."""
        own, sent, rest = self._parts(h)
        difference = layout.plus_received(-layout.sent(x), x)
        squared = difference.square().sum(-1, keepdim=True)
        size = lengths(squared) if self.pre_norm else squared
        weight = self.edge_mlp.first.weight[:, 2 * self.hidden :]
        before = layout.plus_received(layout.sent(sent), own)
        message = functional.silu(self.edge_mlp.finished(_added(before, self._seen(size, layout), weight)))
        node = _added(rest, layout.total(message), self.node_mlp.first.weight[:, self.hidden :])
        share = self.coord_mlp(message).to(x.dtype)
        if not self.pre_norm:
            share = share / ((squared + 1e-8).sqrt() + 1)
        return x + layout.total(share * difference) / layout.counts, self.node_mlp.finished(node)

    def _parts(self, h: Tensor) -> tuple[Tensor, ...]:
        """What the first layers make of h: for the edges that a node receives, for those it sends, for the node."""
        edge, node = self.edge_mlp.first, self.node_mlp.first
        whole = edge.weight[:, : 2 * self.hidden].unflatten(1, (2, -1)).transpose(0, 1)
        weight = torch.cat([whole[0], whole[1], node.weight[:, : self.hidden]])
        bias = torch.cat([edge.bias, torch.zeros_like(edge.bias), node.bias])
        return functional.linear(h, weight, bias).split(self.hidden, -1)

    def _seen(self, size: Tensor, layout: Layout) -> Tensor:
        """[n; e] of every edge and frame, `[m, T, 1 + E]`."""
        if not self.edge_features or layout.features is None:
            return size
        return torch.cat([size, layout.features[:, None].expand(-1, size.shape[1], -1)], -1)


def _added(start: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    """start + values weight^T, over the last axis."""
    return torch.addmm(start.flatten(0, 1), values.flatten(0, 1), weight.T).unflatten(0, start.shape[:2])
