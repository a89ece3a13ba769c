"""The small equivariant network that tells generated trajectories from real ones, and forecasts: EqMotion.

Xu et al. 2023 (CVPR, arXiv 2303.10876), in the form in which GeoTDM (Han et al. 2024) scores samples by it: one layer,
width and channels 16. Frames are seen by their cosine transform; a channel is a linear combination of frequencies. With
u the deviation of a position from the mean over nodes and channels, per channel c,

    x <- x + phi(h_i) u,   x <- x + sum_j f_ij (x_i - x_j),   f_ij = MLP(sum_k p_ijk MLP_k[h_i, h_j, |x_i - x_j|]),
    q, k = linear maps of u;   u <- q if <q, k> >= 0, else q - <q, k> / (|k|^2 + 1e-4) k,
    h_i <- h_i + MLP[h_i, sum_{j != i} e_ij],   e_ij = MLP[h_i, h_j, |x_i - x_j|],

where p_ij, the kind of a pair, comes once from a network of its own. Differences and distances are those at the start
of a layer. Rotations and translations of the input move the output alike and leave h as it is.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor, nn
from torch.nn.functional import linear

__all__ = ["Surrogate"]

_ANGLE_FLOOR, _KEY_FLOOR = 1e-6, 1e-4


def _perceptron(*widths: int, last: bool = True) -> nn.Sequential:
    """Linear layers with SiLU between them, and after the last one too if `last`."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers if last else layers[:-1])


def _of_pairs(network: nn.Sequential, h: Tensor, distances: Tensor) -> Tensor:
    """A network of [h_i, h_j, distances_ij], `[B, N, N, out]`; the first layer acts on nodes before pairs are made."""
    first = cast("nn.Linear", network[0])
    width = h.shape[-1]
    own, other, apart = first.weight.split([width, width, distances.shape[-1]], dim=1)
    pairs = linear(h, own, first.bias)[:, :, None] + linear(h, other)[:, None] + linear(distances, apart)
    found: Tensor = network[1:](pairs)
    return found


def _sum_of_others(edges: Tensor) -> Tensor:
    """sum_{j != i} e_ij of `[B, N, N, F]`."""
    found: Tensor = edges.sum(2) - torch.diagonal(edges, dim1=1, dim2=2).transpose(1, 2)
    return found


def _distances(x: Tensor) -> Tensor:
    """Between nodes, by channel: `[B, N, N, C]` of `[B, N, C, D]`."""
    found: Tensor = torch.linalg.vector_norm(x[:, :, None] - x[:, None], dim=-1)
    return found


def _apply(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear map of channels, `[B, N, C, D]`."""
    return torch.matmul(layer.weight, x)


class _Layer(nn.Module):
    """One round of messages; the parameters `coord_mlp` and `node_att_mlp` of the original stay unused.

    Args:
        width: of h.
        channels: of positions.
        kinds: of pairs.
    """

    def __init__(self, width: int, channels: int, kinds: int) -> None:
        super().__init__()
        pair = 2 * width + channels
        self.edge_mlp = _perceptron(pair, width, width)
        self.category_mlp = nn.ModuleList(_perceptron(pair, width, channels) for _ in range(kinds))
        self.factor_mlp = _perceptron(channels, channels, channels)
        self.node_mlp = _perceptron(2 * width, width, width, last=False)
        self.mlp_q = _perceptron(width, channels)
        self.coord_vel, self.layer_q, self.layer_k = (nn.Linear(channels, channels, bias=False) for _ in range(3))

    def forward(self, h: Tensor, x: Tensor, v: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
        apart = x[:, :, None] - x[:, None]
        distances = torch.linalg.vector_norm(apart, dim=-1)
        x = x + self.mlp_q(h)[..., None] * (x - x.mean((1, 2), keepdim=True))
        parts = [_of_pairs(cast("nn.Sequential", network), h, distances) for network in self.category_mlp]
        mixed = torch.einsum("bijk,kbijc->bijc", kinds, torch.stack(parts))
        x = x + torch.einsum("bijc,bijcd->bicd", self.factor_mlp(mixed), apart)
        return self.features(h, distances), self._bent(x + _apply(self.coord_vel, v))

    def features(self, h: Tensor, distances: Tensor) -> Tensor:
        """The new h, from h and the distances `[B, N, N, C]` at the start of the layer."""
        edges = _of_pairs(self.edge_mlp, h, distances)
        found: Tensor = h + self.node_mlp(torch.cat([h, _sum_of_others(edges)], -1))
        return found

    def _bent(self, x: Tensor) -> Tensor:
        mean = x.mean((1, 2), keepdim=True)
        q, k = (_apply(layer, x - mean) for layer in (self.layer_q, self.layer_k))
        product = (q * k).sum(-1, keepdim=True)
        return mean + q - product.clamp(max=0) / ((k * k).sum(-1, keepdim=True) + _KEY_FLOOR) * k


class Surrogate(nn.Module):
    """Trajectories of `frames` to `steps` further ones, and to features of nodes.

    Args:
        frames: given.
        steps: predicted.
        width: of the features, an even number.
        channels: of positions.
        layers: rounds of messages.
        kinds: of pairs.
    """

    transform: Tensor
    back: Tensor

    def __init__(
        self, frames: int, steps: int, width: int = 16, channels: int = 16, layers: int = 1, kinds: int = 2
    ) -> None:
        super().__init__()
        pair = 2 * width + 2 * channels
        self.embedding, self.embedding2 = nn.Linear(frames, width // 2), nn.Linear(frames, width // 2)
        self.coord_trans, self.vel_trans = (nn.Linear(frames, channels, bias=False) for _ in range(2))
        self.coord_mlp = _perceptron(2 * channels, width, 2 * channels)
        self.edge_mlp = _perceptron(pair, width, width)
        self.node_mlp = _perceptron(2 * width, width, width)
        self.category_mlp = _perceptron(pair, width, kinds)
        self.layers = layers
        for layer in range(layers):
            self.add_module(f"gcl_{layer}", _Layer(width, channels, kinds))
        self.predict_head = nn.Linear(channels, steps, bias=False)
        for name, size in (("transform", frames), ("back", steps)):
            table = dct(np.eye(size), norm="ortho", axis=0)
            self.register_buffer(name, torch.from_numpy(table if name == "transform" else table.T), persistent=False)

    def forward(self, nodes: Tensor, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            nodes: a number of each node at each frame, `[B, N, frames]`.
            x: positions, `[B, N, frames, D]`.
            v: velocities, likewise; zero by default.

        Returns:
            Positions `[B, N, steps, D]`, features `[B, N, width]`.
        """
        h, x, v, centre = self._embedded(nodes, x, v)
        kinds = self._kinds(h, torch.cat([x, v], 2))
        for layer in range(self.layers):
            h, x = self.get_submodule(f"gcl_{layer}")(h, x, v, kinds)
        mean = x.mean((1, 2), keepdim=True)
        x = mean + _apply(self.predict_head, x - mean)
        return self.back.to(x.dtype) @ x + centre, h

    def _embedded(self, nodes: Tensor, x: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """h, channels of positions and of velocities, and the centre of the positions."""
        v = torch.zeros_like(x) if v is None else v
        h = torch.cat([self.embedding(nodes), self.embedding2(_turns(v))], -1)
        centre = x.mean((1, 2), keepdim=True)
        transform = self.transform.to(x.dtype)
        x, v = transform @ (x - centre), transform @ v
        mean = x.mean((1, 2), keepdim=True)
        return h, mean + _apply(self.coord_trans, x - mean), _apply(self.vel_trans, v), centre

    def logits(self, nodes: Tensor, x: Tensor) -> Tensor:
        """One number a trajectory, the mean of its features, `[B]`; what only positions need is left out."""
        h, x, v, _ = self._embedded(nodes, x, None)
        kinds = self._kinds(h, torch.cat([x, v], 2)) if self.layers > 1 else None
        for layer in range(self.layers - 1):
            h, x = self.get_submodule(f"gcl_{layer}")(h, x, v, kinds)
        last = cast("_Layer", self.get_submodule(f"gcl_{self.layers - 1}"))
        return last.features(h, _distances(x)).mean((1, 2))

    def _kinds(self, h: Tensor, x: Tensor) -> Tensor:
        """Shares of the kinds of each pair, `[B, N, N, kinds]`."""
        distances = self.coord_mlp(_distances(x))
        edges = _of_pairs(self.edge_mlp, h, distances)
        h = self.node_mlp(torch.cat([h, _sum_of_others(edges)], -1))
        return _of_pairs(self.category_mlp, h, distances).softmax(-1)


def _turns(v: Tensor) -> Tensor:
    """Angle between each velocity and the one before it, `[B, N, frames]`; a right angle where one is zero."""
    before = torch.cat([v[:, :, :1], v[:, :, :-1]], 2)
    sizes = [torch.linalg.vector_norm(part, dim=-1) + _ANGLE_FLOOR for part in (before, v)]
    return torch.acos(((before * v).sum(-1) / (sizes[0] * sizes[1])).clamp(-1, 1))
