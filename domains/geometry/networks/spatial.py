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

from scorefield.domains.geometry.networks.elements import Perceptron, linear
from scorefield.domains.geometry.networks.layout import Layout
from scorefield.domains.geometry.networks.spatial_written_out import SpatialWeights, written_out

__all__ = ["SpatialLayer", "lengths", "plainly"]


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
        self.pre_norm = pre_norm
        self.edge_mlp = Perceptron(2 * hidden + 1 + edge_features, hidden, hidden)
        self.coord_mlp = Perceptron(hidden, hidden, 1)
        self.node_mlp = Perceptron(2 * hidden, hidden, hidden)

    def forward(self, x: Tensor, h: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Positions `[n, T, D]` and features `[n, T, H]` after the layer."""
        weights = SpatialWeights(*self.edge_mlp.weights, *self.coord_mlp.weights, *self.node_mlp.weights)
        if torch.is_autocast_enabled(x.device.type):
            return plainly(x, h, layout, self.pre_norm, weights)
        return written_out(x, h, layout, self.pre_norm, weights, plainly)


def plainly(x: Tensor, h: Tensor, layout: Layout, pre_norm: bool, weights: SpatialWeights) -> tuple[Tensor, Tensor]:
    """The layer, differentiated by PyTorch."""
    hidden = h.shape[-1]
    to_own, to_sent, to_seen = weights.edge.split((hidden, hidden, weights.edge.shape[1] - 2 * hidden), 1)
    to_rest, to_total = weights.node.split(hidden, 1)
    difference = layout.plus_received(-layout.sent(x), x)
    squared = difference.square().sum(-1, keepdim=True)
    seen = layout.seen(lengths(squared) if pre_norm else squared)
    own, sent = linear(h, to_own, weights.edge_bias), functional.linear(h, to_sent)
    before = layout.plus_received(functional.linear(seen, to_seen) + layout.sent(sent), own)
    message = functional.silu(linear(functional.silu(before), weights.edge_last, weights.edge_last_bias))
    deep = functional.silu(linear(message, weights.coord, weights.coord_bias))
    share = linear(deep, weights.coord_last, weights.coord_last_bias).to(x.dtype)
    if not pre_norm:
        share = share / ((squared + 1e-8).sqrt() + 1)
    node = linear(h, to_rest, weights.node_bias) + functional.linear(layout.total(message), to_total)
    moved = x + layout.total(share * difference) / layout.counts
    return moved, linear(functional.silu(node), weights.node_last, weights.node_last_bias)
