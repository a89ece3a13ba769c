"""The three score networks of GDSS: on nodes (X, and its attention variant) and on edges (A).

None of them sees the time; the score is the output over std(t), with the sign of the parameterisation, which
the paths know. Parameter names and counts are the published ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from scorefield.domains.graphs.networks.attention import AttentionLayer, FoldedLayer, Output
from scorefield.domains.graphs.networks.convolution import GraphConvolution, inverse_root_degree
from scorefield.domains.graphs.networks.graphs import GraphBatch
from scorefield.domains.graphs.networks.pairs import Pairs
from scorefield.domains.graphs.networks.perceptron import Perceptron, map_columns

__all__ = ["Evaluation", "ScoreNetwork", "ScoreNetworkA", "ScoreNetworkX", "ScoreNetworkXGMH"]

Evaluation = Callable[[GraphBatch], Tensor]


class ScoreNetwork(nn.Module, ABC):
    """A network on a batch of graphs.

    Attributes:
        num_powers: how many powers of the adjacency matrix it takes.
    """

    num_powers: int = 1

    def forward(self, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
        """Raw output of the network.

        Args:
            x: (batch, nodes, features).
            adj: (batch, nodes, nodes); its symmetric part is used, without diagonal and padding.
            mask: (batch, nodes), True or nonzero for real nodes.

        Returns:
            (batch, nodes, features) or (batch, nodes, nodes), zero outside the mask, in the type of `x`.
        """
        mask = mask.bool()
        pairs = Pairs.of(mask, static=torch.compiler.is_compiling())
        graphs = GraphBatch.prepare(x, adj, mask, pairs, self.num_powers)
        return self.fold()(graphs).to(x.dtype)

    @abstractmethod
    def fold(self) -> Evaluation:
        """The network as a function of a prepared batch, products of its weights formed once."""


class ScoreNetworkX(ScoreNetwork):
    """Node scores from graph convolutions; all layers' features go into a final perceptron.

    Args:
        features: width of the node features.
        depth: number of convolutions.
        width: width of the hidden node features.
    """

    def __init__(self, features: int, depth: int = 2, width: int = 16) -> None:
        super().__init__()
        widths = [features, *[width] * depth]
        self.layers = nn.ModuleList(GraphConvolution(m, n) for m, n in pairwise(widths))
        total = features + depth * width
        self.final = Perceptron(3, total, 2 * total, features)

    def fold(self) -> Evaluation:
        """The network as a function of a prepared batch; there is nothing to fold."""
        return self._evaluate

    def _evaluate(self, graphs: GraphBatch) -> Tensor:
        x, with_loops = graphs.x, graphs.matrices[0]
        root = inverse_root_degree(with_loops)
        propagator = root * with_loops * root.transpose(1, 2)
        features = [x]
        for layer in self.layers:
            x = torch.tanh(layer(torch.bmm(propagator, x)))
            features.append(x)
        return graphs.clear_padding(self.final(torch.cat(features, -1)))


class ScoreNetworkXGMH(ScoreNetwork):
    """Node scores from attention layers on powers of the adjacency matrix.

    Args:
        features: width of the node features.
        depth: number of attention layers, at least 2.
        width: width of the hidden node features.
        num_linears: depth of the pair perceptrons.
        channels_in: powers of the adjacency matrix taken.
        channels_hidden: adjacency channels between layers.
        channels_out: adjacency channels of the last layer (without effect on the output).
        width_attention: width of queries and keys after the first layer.
        heads: attention heads.
    """

    def __init__(
        self,
        features: int,
        depth: int = 2,
        width: int = 16,
        num_linears: int = 3,
        channels_in: int = 2,
        channels_hidden: int = 8,
        channels_out: int = 4,
        width_attention: int = 16,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.num_powers = channels_in
        channels = [channels_in, *[channels_hidden] * (depth - 1), channels_out]
        self.layers = _attention_layers(features, width, width_attention, channels, num_linears, heads, "nodes")
        total = features + depth * width
        self.final = Perceptron(3, total, 2 * total, features)

    def fold(self) -> Evaluation:
        """The network as a function of a prepared batch."""
        layers = _fold(self.layers)

        def evaluate(graphs: GraphBatch) -> Tensor:
            x, features = graphs.x, [graphs.x]
            columns, matrices = graphs.first_powers(self.num_powers)
            for number, layer in enumerate(layers):
                x, columns = layer(x, columns, graphs, None if number else matrices)
                # A second tanh on top of the layer's own: so published.
                x = torch.tanh(x)
                features.append(x)
            return graphs.clear_padding(self.final(torch.cat(features, -1)))

        return evaluate


class ScoreNetworkA(ScoreNetwork):
    """Edge scores: all adjacency channels of all attention layers go into a final perceptron per pair.

    Args:
        features: width of the node features.
        num_layers: number of attention layers, at least 2.
        width: width of the hidden node features, and of queries and keys in the first layer.
        num_linears: depth of the pair perceptrons.
        channels_in: powers of the adjacency matrix taken.
        channels_hidden: adjacency channels between layers.
        channels_out: adjacency channels of the last layer.
        width_attention: width of queries and keys after the first layer.
        heads: attention heads.
    """

    def __init__(
        self,
        features: int,
        num_layers: int = 3,
        width: int = 16,
        num_linears: int = 3,
        channels_in: int = 2,
        channels_hidden: int = 8,
        channels_out: int = 4,
        width_attention: int = 16,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.num_powers = channels_in
        channels = [channels_in, *[channels_hidden] * (num_layers - 1), channels_out]
        self.layers = _attention_layers(features, width, width_attention, channels, num_linears, heads, "pairs")
        self.final = Perceptron(3, sum(channels), 2 * sum(channels), 1)

    def fold(self) -> Evaluation:
        """The network as a function of a prepared batch."""
        layers, final = _fold(self.layers), self.final.fold()

        def evaluate(graphs: GraphBatch) -> Tensor:
            x = graphs.x
            columns, matrices = graphs.first_powers(self.num_powers)
            channels = [columns]
            for number, layer in enumerate(layers):
                x, columns = layer(x, columns, graphs, None if number else matrices)
                channels.append(columns)
            scores = map_columns(torch.cat([*channels, graphs.ones]), final)
            return graphs.pairs.unpack(scores, 0.0)[0]

        return evaluate


def _fold(layers: nn.ModuleList) -> list[FoldedLayer]:
    return [layer.fold() for layer in layers if isinstance(layer, AttentionLayer)]


def _attention_layers(
    features: int,
    width: int,
    width_attention: int,
    channels: list[int],
    num_linears: int,
    heads: int,
    last_output: Output,
) -> nn.ModuleList:
    """Layers between consecutive channel counts; the first attends with `width`, as published."""
    count = len(channels) - 1
    if count < 2:
        raise ValueError(f"an attention network needs at least 2 layers, not {count}")
    return nn.ModuleList(
        AttentionLayer(
            num_linears,
            features if number == 0 else width,
            width if number == 0 else width_attention,
            width,
            channels[number],
            channels[number + 1],
            heads,
            last_output if number == count - 1 else "both",
        )
        for number in range(count)
    )
