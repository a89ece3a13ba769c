"""Symmetric pair quantities stored once per pair of nodes.

Every adjacency channel of a GDSS network is symmetric, its diagonal never reaches an output and its padded
entries are zero. So a stack of channels on a batch of graphs is held as a matrix (channels, pairs), one column
for each pair i < j of two real nodes of one graph, and becomes a stack of (nodes, nodes) matrices only where
nodes exchange messages. With S the map from columns to matrices (both triangles), `Pairs.unpack` is S and
`Pairs.pack` is its adjoint, pack(M)_p = M_ij + M_ji: each is the other's derivative, and both are gathers,
which cost a fraction of the scattered additions that indexing would be differentiated into.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from scorefield.domains.graphs.networks.autograd import apply, normal_mode

__all__ = ["Pairs"]


@dataclass(frozen=True)
class Pairs:
    """Where the pairs of a padded batch of graphs lie.

    Attributes:
        batch: number of graphs B.
        nodes: number of nodes N, padding included.
        upper: (pairs,) position of entry (i, j), i < j, in the flattened (B, N, N) batch of matrices.
        lower: (pairs,) position of entry (j, i).
        column: (B*N*N,) for each matrix entry its column; `pairs` where the entry is zero by
            definition (padding), `pairs + 1` on the diagonal.
        absent: (pairs,) True for columns of padded pairs, where there are such columns.
    """

    batch: int
    nodes: int
    upper: Tensor
    lower: Tensor
    column: Tensor
    absent: Tensor | None = None
    _heads: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, mask: Tensor, static: bool = False) -> Pairs:
        """Pairs of a node mask.

        Args:
            mask: (batch, nodes) True for real nodes.
            static: keep columns for padded pairs too, though nothing reads them, so that all shapes
                follow from the mask's shape: no wait for the device, and nothing for a compiler to break on.
        """
        batch, nodes = mask.shape
        both = (mask[:, :, None] & mask[:, None, :]).triu(1)
        size = max(nodes, 1)
        if static:
            row, col = torch.triu_indices(nodes, nodes, 1, device=mask.device)
            start = torch.arange(batch, device=mask.device)[:, None] * (nodes * nodes)
            upper = (start + row * nodes + col).reshape(-1)
        else:
            upper = both.reshape(-1).nonzero().squeeze(1)
        within = upper % (size * size)
        lower = upper - within + within % size * size + within // size
        absent = ~both.reshape(-1)[upper] if static else None
        return cls(batch, nodes, upper, lower, _columns(both, upper, lower), absent)

    def pack(self, matrices: Tensor) -> Tensor:
        """Sum of both triangles, (channels, batch, nodes, nodes) -> (channels, pairs)."""
        flat = matrices.reshape(matrices.shape[0], self.column.shape[0])
        return apply(_Pack, flat, self.upper, self.lower, self.column, self.absent)

    def unpack(self, columns: Tensor, diagonal: float) -> Tensor:
        """Symmetric matrices with a constant diagonal, (channels, pairs) -> (channels, batch, nodes, nodes)."""
        flat = apply(_Unpack, columns, self.upper, self.lower, self.column, self.absent, diagonal)
        return flat.view(columns.shape[0], self.batch, self.nodes, self.nodes)

    def attend(self, scores: Tensor) -> Tensor:
        """Sum over heads and both directions of tanh(scores).

        Args:
            scores: (channels, batch, nodes, heads, nodes).

        Returns:
            (channels, pairs).
        """
        channels, _, _, heads, _ = scores.shape
        if heads not in self._heads:
            with normal_mode():
                self._heads[heads] = self._head_positions(heads)
        taken = apply(_Take, scores.reshape(channels, heads * self.column.shape[0]), *self._heads[heads])
        return taken.tanh_().view(channels, 2 * heads, self.upper.shape[0]).sum(1)

    def _head_positions(self, heads: int) -> tuple[Tensor, Tensor]:
        """Positions in the flattened (batch, nodes, heads, nodes) and, for each of those, where it was taken."""
        size, pairs = max(self.nodes, 1), self.upper.shape[0]
        head = torch.arange(heads, device=self.upper.device)
        both = torch.stack([self.upper, self.lower])[:, None, :]
        index = both // size * (size * heads) + head[None, :, None] * size + both % size
        column = self.column.view(self.batch, self.nodes, 1, self.nodes)
        node = torch.arange(self.nodes, device=column.device)
        flipped = (node[:, None] > node)[:, None, :]
        origin = column + pairs * (head[:, None] + heads * flipped)
        origin = origin.masked_fill(column >= pairs, 2 * heads * pairs)
        return index.reshape(-1), origin.reshape(-1)


def _columns(both: Tensor, upper: Tensor, lower: Tensor) -> Tensor:
    batch, nodes, _ = both.shape
    pairs = upper.shape[0]
    number = torch.arange(pairs, device=upper.device)
    number = torch.where(both.reshape(-1)[upper], number, pairs)
    column = torch.full((batch * nodes * nodes,), pairs, device=upper.device)
    column = column.scatter(0, upper, number).scatter(0, lower, number).view(batch, nodes, nodes)
    diagonal = torch.eye(nodes, dtype=torch.bool, device=upper.device)
    return column.masked_fill(diagonal, pairs + 1).reshape(-1)


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, flat: Tensor, upper: Tensor, lower: Tensor, column: Tensor, absent: Tensor | None) -> Tensor:
        ctx.save_for_backward(upper, lower, column, absent)
        packed = flat.index_select(1, upper).add_(flat.index_select(1, lower))
        return packed if absent is None else packed.masked_fill_(absent, 0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return apply(_Unpack, grads[0], *ctx.saved_tensors, 0.0), None, None, None, None


class _Unpack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        columns: Tensor,
        upper: Tensor,
        lower: Tensor,
        column: Tensor,
        absent: Tensor | None,
        diagonal: float,
    ) -> Tensor:
        ctx.save_for_backward(upper, lower, column, absent)
        padded = functional.pad(columns, (0, 2))
        if diagonal:
            padded[:, -1] = diagonal
        return padded.index_select(1, column)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return apply(_Pack, grads[0], *ctx.saved_tensors), None, None, None, None, None


class _Take(torch.autograd.Function):
    """Columns `index` of a matrix, no column twice; `origin` names for each column where it went."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, index: Tensor, origin: Tensor) -> Tensor:
        ctx.save_for_backward(index, origin)
        return flat.index_select(1, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        index, origin = ctx.saved_tensors
        return apply(_Give, grads[0], index, origin), None, None


class _Give(torch.autograd.Function):
    """The adjoint of `_Take`."""

    @staticmethod
    def forward(ctx: Any, taken: Tensor, index: Tensor, origin: Tensor) -> Tensor:
        ctx.save_for_backward(index, origin)
        return functional.pad(taken, (0, 1)).index_select(1, origin)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        index, origin = ctx.saved_tensors
        return apply(_Take, grads[0], index, origin), None, None
