"""Graph multi-head attention over several adjacency channels at once.

For each adjacency channel A_k: Q, K, V = convolutions of the node features; per head
M = tanh(Q K^T / sqrt(width of V)); mean over heads, mean with the transpose. Then

    x'  = tanh(perceptron(concat_k V_k)),
    A'  = symmetric sum of perceptron([M_1 .. M_c, A_1 .. A_c]) for each pair of nodes.

Nothing loops over channels or heads, and products of weights are formed first where that leaves less to do
with the data ("folding"): with y the propagated features and a final one, a head's scores are
y (Wq Wk^T) y^T, and the first map of the node perceptron is taken into Wv.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorefield.domains.graphs.networks.autograd import apply
from scorefield.domains.graphs.networks.convolution import glorot, inverse_root_degree
from scorefield.domains.graphs.networks.graphs import GraphBatch
from scorefield.domains.graphs.networks.perceptron import Perceptron, elu_, map_columns
from scorefield.domains.graphs.networks.stacked import Stacked

__all__ = ["AttentionLayer", "FoldedLayer", "Output"]

Output = Literal["both", "nodes", "pairs"]


class ChannelAttention(Stacked):
    """Queries, keys and values of all adjacency channels: three convolutions for each channel.

    Args:
        channels: number of adjacency channels.
        width_in: width of the node features.
        width_attention: width of queries and keys, all heads together.
        width_out: width of the values.
        heads: number of heads.
    """

    published: ClassVar[dict[str, str]] = {
        "query_weight": "gnn_q.weight",
        "query_bias": "gnn_q.bias",
        "key_weight": "gnn_k.weight",
        "key_bias": "gnn_k.bias",
        "value_weight": "gnn_v.weight",
        "value_bias": "gnn_v.bias",
    }

    def __init__(self, channels: int, width_in: int, width_attention: int, width_out: int, heads: int) -> None:
        super().__init__()
        if width_attention % heads:
            raise ValueError(f"attention width {width_attention} is not a multiple of {heads} heads")
        self.heads = heads
        self.scale = 1 / math.sqrt(width_out)
        for part, width in (("query", width_attention), ("key", width_attention), ("value", width_out)):
            weight = torch.stack([glorot(width_in, width) for _ in range(channels)])
            self.register_parameter(f"{part}_weight", nn.Parameter(weight))
            self.register_parameter(f"{part}_bias", nn.Parameter(torch.zeros(channels, width)))

    def freeze(self, *parts: str) -> None:
        """Take the named parts ("query", "key", "value") out of training."""
        for part in parts:
            self.get_parameter(f"{part}_weight").requires_grad_(False)
            self.get_parameter(f"{part}_bias").requires_grad_(False)

    def fold_scores(self) -> Tensor:
        """Wq Wk^T / sqrt(width of V) of each head, (channels, in + 1, heads*(in + 1))."""
        query, key = self._map("query") * self.scale, self._map("key")
        channels, width, _ = query.shape
        query = query.view(channels, width, self.heads, -1).transpose(1, 2)
        key = key.view(channels, width, self.heads, -1).permute(0, 2, 3, 1)
        return (query @ key).transpose(1, 2).reshape(channels, width, -1)

    def fold_values(self, weight: Tensor) -> Tensor:
        """Wv times the map (out, channels*width_out) that follows, (channels, in + 1, out)."""
        value = self._map("value")
        return value @ weight.view(weight.shape[0], value.shape[0], -1).permute(1, 2, 0)

    def _map(self, part: str) -> Tensor:
        """Weight with the bias as its last row, (channels, in + 1, out): for features that end in a one."""
        weight, bias = self._parameters[f"{part}_weight"], self._parameters[f"{part}_bias"]
        assert weight is not None
        assert bias is not None
        return torch.cat([weight, bias[:, None, :]], 1)


@dataclass(frozen=True)
class FoldedLayer:
    """Products of a layer's weights, made once per evaluation.

    Attributes:
        heads: number of attention heads.
        pairs: the forms of the attention scores and the matrices of the pair perceptron, or None.
        nodes: the folded values, their bias and the last map of the node perceptron, or None.
    """

    heads: int
    pairs: tuple[Tensor, list[Tensor]] | None
    nodes: tuple[Tensor, Tensor, nn.Linear] | None

    def __call__(
        self, x: Tensor, columns: Tensor, graphs: GraphBatch, matrices: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """New node features and adjacency channels; what the layer leaves out is returned as it came.

        Args:
            x: (batch, nodes, width_in).
            columns: (channels_in, pairs) packed adjacency channels.
            graphs: the batch they belong to.
            matrices: the channels as matrices with unit diagonals, where they are at hand.
        """
        messages = _messages(x, graphs.pairs.unpack(columns, 1.0) if matrices is None else matrices)
        if self.nodes is not None:
            x = _node_update(messages, *self.nodes)
        if self.pairs is not None:
            form, perceptron = self.pairs
            attention = graphs.pairs.attend(_scores(messages, form, self.heads))
            columns = map_columns(torch.cat([attention, columns, graphs.ones]), perceptron)
        return x, columns


class AttentionLayer(nn.Module):
    """One layer of GDSS's attention networks on node features and packed adjacency channels.

    Args:
        num_linears: depth of the pair perceptron.
        width_in: width of the node features.
        width_attention: width of queries and keys.
        width_out: width of the new node features.
        channels_in: adjacency channels taken.
        channels_out: adjacency channels given.
        heads: attention heads.
        output: what the network uses of this layer. The parameters of the rest exist, for the published
            weights hold them, but are frozen: no output depends on them.
    """

    def __init__(
        self,
        num_linears: int,
        width_in: int,
        width_attention: int,
        width_out: int,
        channels_in: int,
        channels_out: int,
        heads: int,
        output: Output = "both",
    ) -> None:
        super().__init__()
        hidden = 2 * max(channels_in, channels_out)
        self.attn = ChannelAttention(channels_in, width_in, width_attention, width_out, heads)
        self.mlp = Perceptron(num_linears, 2 * channels_in, hidden, channels_out)
        self.multi_channel = Perceptron(2, channels_in * width_out, hidden, width_out)
        self.output = output
        # The mean over heads and over both directions is a factor of the first map's weight.
        mean = torch.cat([torch.full((channels_in,), 0.5 / heads), torch.ones(channels_in)])
        self.mean: Tensor
        self.register_buffer("mean", mean, persistent=False)
        if output == "pairs":
            self.attn.freeze("value")
            self.multi_channel.requires_grad_(False)
        elif output == "nodes":
            self.attn.freeze("query", "key")
            self.mlp.requires_grad_(False)

    def fold(self) -> FoldedLayer:
        """The layer with its products of weights formed."""
        nodes = pairs = None
        if self.output != "pairs":
            first, last = self.multi_channel.maps
            nodes = (self.attn.fold_values(first.weight), first.bias, last)
        if self.output != "nodes":
            # A sum with the transpose, a sum of equal terms here, is a factor of the last map.
            pairs = (self.attn.fold_scores(), self.mlp.fold(first_scale=self.mean, last_scale=2.0))
        return FoldedLayer(self.attn.heads, pairs, nodes)


def _messages(x: Tensor, matrices: Tensor) -> Tensor:
    """Propagated features with a final one, (channels, batch, nodes, in + 1)."""
    channels, batch, nodes, _ = matrices.shape
    root = inverse_root_degree(matrices)
    scaled = (root * x).view(channels * batch, nodes, x.shape[2])
    received = torch.bmm(matrices.view(channels * batch, nodes, nodes), scaled)
    received = received.view(channels, batch, nodes, x.shape[2])
    if torch.compiler.is_compiling():
        return functional.pad(received * root, (0, 1), value=1.0)
    return apply(_Finish, received, root)


def _node_update(messages: Tensor, joined: Tensor, bias: Tensor, last: nn.Linear) -> Tensor:
    """New node features, (batch, nodes, width_out)."""
    channels, batch, nodes, width = messages.shape
    hidden = torch.addbmm(bias, messages.view(channels, batch * nodes, width), joined)
    return torch.tanh(last(elu_(hidden))).view(batch, nodes, last.out_features)


def _scores(messages: Tensor, form: Tensor, heads: int) -> Tensor:
    """Scores before the tanh, (channels, batch, nodes, heads, nodes)."""
    channels, batch, nodes, width = messages.shape
    left = torch.bmm(messages.view(channels, batch * nodes, width), form)
    left = left.view(channels * batch, nodes * heads, width)
    right = messages.view(channels * batch, nodes, width).transpose(1, 2)
    return torch.bmm(left, right).view(channels, batch, nodes, heads, nodes)


class _Finish(torch.autograd.Function):
    """Features (..., n) times a factor (..., 1), and a one after them."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(features, factor)
        *shape, width = features.shape
        out = torch.empty(*shape, width + 1, dtype=features.dtype, device=features.device)
        torch.mul(features, factor, out=out[..., :width])
        out[..., width] = 1
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        features, factor = ctx.saved_tensors
        grad = grads[0][..., :-1]
        return grad * factor, (grad * features).sum(-1, keepdim=True)
