"""How a batch of graphs is cut into blocks of similar size.

On CPU each block is padded to its own largest graph and is small enough for the processor's cache: dense
products cost the square of the padded size, and elementwise work is bound by memory. Elsewhere, and where a
compiler wants fixed shapes, the whole batch is one block. The results do not depend on it beyond rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scorefield.domains.graphs.networks.autograd import normal_mode
from scorefield.domains.graphs.networks.pairs import Pairs

__all__ = ["Block", "Layout"]

# Matrix entries (graphs * nodes^2) of a block: 1.5 MB for the largest intermediate of the published sizes.
BLOCK_ENTRIES = 12_000


@dataclass(frozen=True)
class Block:
    """Graphs that are evaluated together.

    Attributes:
        rows: (graphs,) their rows in the batch, or None for the whole batch as it is.
        mask: (graphs, nodes) True for real nodes.
        pairs: where their pairs lie.
    """

    rows: Tensor | None
    mask: Tensor
    pairs: Pairs

    def crop(self, x: Tensor, adj: Tensor) -> tuple[Tensor, Tensor]:
        """The block's part of node features and adjacency matrices."""
        if self.rows is None:
            return x, adj
        nodes = self.mask.shape[1]
        return x[:, :nodes].index_select(0, self.rows), adj[:, :nodes, :nodes].index_select(0, self.rows)


@dataclass(frozen=True)
class Layout:
    """The blocks of a batch, for one mask.

    Attributes:
        mask: the mask as it came.
        version: its version counter then; None where the tensor keeps none.
        blocks: the blocks.
        back: (batch,) where each row of the batch lies in the concatenated blocks; None for a single block as is.
    """

    mask: Tensor
    version: int | None
    blocks: list[Block]
    back: Tensor | None

    @classmethod
    def of(cls, mask: Tensor) -> Layout:
        """Lay out a batch by its mask (batch, nodes)."""
        if torch.compiler.is_compiling():
            real = mask.bool()
            return cls(mask, None, [Block(None, real, Pairs.of(real, static=True))], None)
        with normal_mode():
            return cls._of(mask, mask.to(torch.bool, copy=True))

    @classmethod
    def _of(cls, mask: Tensor, real: Tensor) -> Layout:
        version = None if mask.is_inference() else mask._version
        if mask.device.type != "cpu" or not real.any():
            return cls(mask, version, [Block(None, real, Pairs.of(real))], None)
        position = torch.arange(1, mask.shape[1] + 1)
        extents, order = (real * position).amax(1).sort(stable=True)
        blocks = []
        for part in _cut(extents.clamp(min=1)):
            rows = order[part]
            cropped = real[rows, : int(extents[part][-1].clamp(min=1))]
            blocks.append(Block(rows, cropped, Pairs.of(cropped)))
        return cls(mask, version, blocks, order.argsort())

    def fits(self, mask: Tensor) -> bool:
        """Whether this is the layout of `mask`: of the same tensor, unchanged."""
        return self.mask is mask and (self.version is None or self.version == mask._version)

    def join_nodes(self, parts: list[Tensor]) -> Tensor:
        """Blocks' (graphs, block nodes, features) as the batch's (batch, nodes, features)."""
        if self.back is None:
            return parts[0]
        nodes = self.mask.shape[1]
        whole = [functional.pad(part, (0, 0, 0, nodes - part.shape[1])) for part in parts]
        return torch.cat(whole).index_select(0, self.back)

    def join_edges(self, parts: list[Tensor]) -> Tensor:
        """Blocks' (graphs, block nodes, block nodes) as the batch's (batch, nodes, nodes)."""
        if self.back is None:
            return parts[0]
        nodes = self.mask.shape[1]
        whole = [functional.pad(part, (0, nodes - part.shape[1]) * 2) for part in parts]
        return torch.cat(whole).index_select(0, self.back)


def _cut(extents: Tensor) -> list[Tensor]:
    """Positions of each block: about equally many matrix entries.

    Derivatives keep their intermediates anyway, so that training gains less from the cache and takes larger blocks.
    """
    entries = 2 * BLOCK_ENTRIES if torch.is_grad_enabled() else BLOCK_ENTRIES
    cost = extents.square().cumsum(0)
    total = int(cost[-1])
    number = (cost - 1) * -(-total // entries) // total
    return [(number == block).nonzero().squeeze(1) for block in number.unique().tolist()]
