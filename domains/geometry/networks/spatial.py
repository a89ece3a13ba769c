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
from scorefield.domains.geometry.networks.messages import messages

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
        edge, node = self.edge_mlp.first, self.node_mlp.first
        to_own, to_sent, to_seen = edge.weight.split((self.hidden, self.hidden, 1 + self.edge_features), 1)
        to_rest, to_total = node.weight.split(self.hidden, 1)
        difference = layout.plus_received(-layout.sent(x), x)
        squared = difference.square().sum(-1, keepdim=True)
        seen = self._seen(lengths(squared) if self.pre_norm else squared, layout)
        own, sent = functional.linear(h, to_own, edge.bias), functional.linear(h, to_sent)
        total, share = messages(own, sent, seen, to_seen, self.edge_mlp, self.coord_mlp, layout)
        share = share.to(x.dtype)
        if not self.pre_norm:
            share = share / ((squared + 1e-8).sqrt() + 1)
        hidden = _added(functional.linear(h, to_rest, node.bias), total, to_total)
        return x + layout.total(share * difference) / layout.counts, self.node_mlp.finished(hidden)

    def _seen(self, size: Tensor, layout: Layout) -> Tensor:
        """[n; e] of every edge and frame, `[m, T, 1 + E]`."""
        if not self.edge_features or layout.features is None:
            return size
        return torch.cat([size, layout.features[:, None].expand(-1, size.shape[1], -1)], -1)


def _added(start: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    """start + values weight^T, over the last axis."""
    return torch.addmm(start.flatten(0, 1), values.flatten(0, 1), weight.T).unflatten(0, start.shape[:2])
