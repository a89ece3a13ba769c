"""What the networks share of one batch of noisy graphs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.domains.graphs.networks.pairs import Pairs

__all__ = ["GraphBatch"]


@dataclass(frozen=True)
class GraphBatch:
    """Node features and adjacency powers of a padded batch.

    Attributes:
        x: (batch, nodes, features).
        mask: (batch, nodes) True for real nodes.
        pairs: where the pairs of real nodes lie.
        powers: (count, pairs) packed entries of A, A^2, ...
        matrices: (count, batch, nodes, nodes) the same as matrices, with ones on their diagonals.
        ones: (1, pairs), the row of ones that pair perceptrons take for their biases.
    """

    x: Tensor
    mask: Tensor
    pairs: Pairs
    powers: Tensor
    matrices: Tensor
    ones: Tensor

    @classmethod
    def prepare(cls, x: Tensor, adj: Tensor, mask: Tensor, pairs: Pairs, count: int) -> GraphBatch:
        """Take the first `count` powers of the adjacency matrix: of its symmetric part between real nodes."""
        columns = [0.5 * pairs.pack(adj[None])]
        if count > 1:
            clean = pairs.unpack(columns[0], 0.0)[0]
            power = clean
            for _ in range(count - 1):
                power = torch.bmm(power, clean)
                columns.append(0.5 * pairs.pack(power[None]))
        powers = torch.cat(columns)
        matrices = pairs.unpack(powers, 1.0)
        return cls(x, mask, pairs, powers, matrices, powers.new_ones(1, powers.shape[1]))

    def clear_padding(self, x: Tensor) -> Tensor:
        """Node features with zeros on padded nodes."""
        return x.masked_fill(~self.mask[:, :, None], 0)

    def first_powers(self, count: int) -> tuple[Tensor, Tensor]:
        """The first `count` powers, packed and as matrices."""
        return self.powers[:count], self.matrices[:count]
