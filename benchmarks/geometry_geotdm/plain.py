"""GeoTDM written down plainly: flat node batches, one product an edge, attention with all pairs of frames and channels.

The transcription that benchmarks compare with: what the published equations say, in their order, without any
rearrangement. Relative times enter keys and values as tensors `[nodes, H, frames, frames]`, as published. Parameters
have the published names, so that weights of the package's network load as they are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["Chain", "PlainEGTN", "flat"]


def sinusoids(values: Tensor, size: int) -> Tensor:
    """Sines, then cosines, of `values` times decreasing frequencies: `[..., size]`."""
    half = size // 2
    angles = values[..., None] * torch.exp(torch.arange(half) * (-math.log(10000) / (half - 1)))
    return torch.cat([angles.sin(), angles.cos()], -1)


class MLP(nn.Module):
    """Linear, SiLU, linear; and one more SiLU where told so."""

    def __init__(self, inputs: int, hidden: int, outputs: int, activated: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs)]
        self.actions = nn.Sequential(*layers, *([nn.SiLU()] if activated else []))

    def forward(self, values: Tensor) -> Tensor:
        """The outputs."""
        return self.actions(values)


class Spatial(nn.Module):
    """Messages along edges, each frame on its own."""

    def __init__(self, hidden: int, edge_dim: int) -> None:
        super().__init__()
        self.edge_mlp = MLP(2 * hidden + 1 + edge_dim, hidden, hidden, True)
        self.coord_mlp = MLP(hidden, hidden, 1)
        self.node_mlp = MLP(2 * hidden, hidden, hidden)

    def forward(self, x: Tensor, h: Tensor, edges: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """`x` `[n, T, D]`, `h` `[n, T, H]`, `edges` `[2, M]`, `features` `[M, E]`."""
        row, col = edges
        difference = x[row] - x[col]
        squared = difference.square().sum(-1, keepdim=True)
        given = features[:, None].expand(-1, x.shape[1], -1)
        message = self.edge_mlp(torch.cat([h[row], h[col], squared, given], -1))
        total = torch.zeros_like(h).index_add(0, row, message)
        weight = self.coord_mlp(message) / ((squared + 1e-8).sqrt() + 1)
        moved = torch.zeros_like(x).index_add(0, row, weight * difference)
        count = torch.zeros(len(x), dtype=x.dtype).index_add(0, row, torch.ones(len(row), dtype=x.dtype))
        return x + moved / count.clamp(min=1)[:, None, None], self.node_mlp(torch.cat([h, total], -1))


class Temporal(nn.Module):
    """Attention over the frames of a node."""

    def __init__(self, hidden: int, embedding: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.time_emb = nn.Linear(embedding, hidden)
        self.q_mlp, self.k_mlp = MLP(hidden, hidden, hidden), MLP(hidden, hidden, hidden)
        self.v_mlp, self.x_mlp = MLP(hidden, hidden, hidden), MLP(hidden, hidden, 1)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """`x` `[n, T, D]`, `h` `[n, T, H]`."""
        frames = torch.arange(x.shape[1], dtype=x.dtype)
        relative = self.time_emb(sinusoids(frames[:, None] - frames, self.embedding))
        relative = relative.permute(2, 0, 1).contiguous()
        query, key, value = self.q_mlp(h), self.k_mlp(h), self.v_mlp(h)
        weight = self.x_mlp(value)[:, None]
        query, key, value = (part.transpose(1, 2).contiguous() for part in (query, key, value))  # [n, H, T]
        keys, values = key[:, :, None] + relative, value[:, :, None] + relative  # [n, H, T, T]
        attention = (query[..., None] * keys).sum(1).softmax(-1)
        moved = attention[..., None] * weight * (x[:, :, None] - x[:, None])
        return x + moved.sum(2), h + (attention[:, None] * values).sum(-1).transpose(1, 2)


class PlainEGTN(nn.Module):
    """The network, with its learned prior where some frames are given.

    Args:
        features: node features.
        edge_dim: edge features.
        generated: frames that are generated, if the others are given.
        hidden: width.
        embedding: size of embedded times.
        layers: of the network.
        prior_layers: of the prior.
    """

    def __init__(
        self, features: int, edge_dim: int, generated: int, hidden: int = 128, embedding: int = 32, layers: int = 6,
        prior_layers: int = 2,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embedding = embedding
        self.input_linear = nn.Linear(features + embedding, hidden)
        self.s_modules = nn.ModuleList(Spatial(hidden, edge_dim) for _ in range(layers))
        self.t_modules = nn.ModuleList(Temporal(hidden, embedding) for _ in range(layers))
        self.input_linear_ref = nn.Linear(features, hidden)
        self.s_modules_ref = nn.ModuleList(Spatial(hidden, edge_dim) for _ in range(prior_layers))
        self.t_modules_ref = nn.ModuleList(Temporal(hidden, embedding) for _ in range(prior_layers))
        self.ws = nn.Parameter(torch.ones(generated))

    def prior(self, x: Tensor, h: Tensor, edges: Tensor, features: Tensor) -> Tensor:
        """x_ref `[n, T_f, D]` from the given frames `x` `[n, T_c, D]`."""
        hidden = self.input_linear_ref(h)[:, None].expand(-1, x.shape[1], -1)
        for spatial, temporal in zip(self.s_modules_ref, self.t_modules_ref, strict=True):
            x, hidden = temporal(*spatial(x, hidden, edges, features))
        weights = hidden.mean(-1)[:, :-1, None] * self.ws
        weights = torch.cat([weights, 1 - weights.sum(1, keepdim=True)], 1)
        return (weights[..., None] * x[:, :, None]).sum(1)

    def forward(self, x: Tensor, h: Tensor, edges: Tensor, features: Tensor, index: Tensor) -> Tensor:
        """x_out - x_in on all frames; `x` `[n, T, D]`, `h` `[n, F]`, `index` `[n]`."""
        hidden = self.input_linear(torch.cat([h, sinusoids(index.to(x.dtype), self.embedding)], -1))
        hidden, moved = hidden[:, None].expand(-1, x.shape[1], -1), x
        for spatial, temporal in zip(self.s_modules, self.t_modules, strict=True):
            moved, hidden = temporal(*spatial(moved, hidden, edges, features))
        return moved - x


class Chain:
    """The published chain of 1000 steps."""

    def __init__(self, num_steps: int = 1000) -> None:
        self.betas = torch.linspace(0.1 / num_steps, 20 / num_steps, num_steps, dtype=torch.float64)
        self.signal = (1 - self.betas).cumprod(0)

    def __len__(self) -> int:
        return len(self.betas)

    def reverse(self, u: Tensor, noise_estimate: Tensor, index: int) -> Tensor:
        """One ancestral step from chain index `index` with variance beta."""
        signal, beta = float(self.signal[index]), float(self.betas[index])
        before = float(self.signal[index - 1]) if index else 1.0
        data = (u - math.sqrt(1 - signal) * noise_estimate) / math.sqrt(signal)
        mean = beta * math.sqrt(before) / (1 - signal) * data + (1 - before) * math.sqrt(1 - beta) / (1 - signal) * u
        return mean + math.sqrt(beta) * torch.randn_like(u) if index else mean


def flat(edges: Tensor, nodes: int) -> Tensor:
    """Edges `[2, B M]` of one flat batch from `[B, M, 2]` of graphs with that many nodes each."""
    return (edges + nodes * torch.arange(len(edges))[:, None, None]).flatten(0, 1).T.contiguous()
