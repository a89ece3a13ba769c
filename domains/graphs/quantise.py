"""From the real numbers that a sampler ends with to atoms, bonds and edges.

Molecules: A < 0.5 → 0, [0.5, 1.5) → 1, [1.5, 2.5) → 2, ≥ 2.5 → 3. The type of an atom is its first entry
above 0.5; an atom whose entries are all ≤ 0.5 is no atom and goes with its bonds. Generic graphs: A ≥ 0.5 →
1, no self loops. A number that is not finite counts as 0. Source: GDSS (arXiv 2202.02514), its quantisation.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["quantise", "quantise_edges"]


def quantise(x: Tensor, adj: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Atom types and bond orders of molecules.

    Args:
        x: node features, `(batch, nodes, types)`.
        adj: bond orders as real numbers, `(batch, nodes, nodes)`.
        mask: which nodes there are, bool `(batch, nodes)`; all by default.

    Returns:
        Column of `x` for each node, int64 `(batch, nodes)`, -1 where there is no atom; bond orders, uint8
        `(batch, nodes, nodes)`, zero on the diagonal and where there is no atom.
    """
    chosen = x > 0.5
    there = chosen.any(-1)
    if mask is not None:
        there = there & mask.bool()
    # argmax gives the first of equal entries, which is what the published code takes when two pass the
    # threshold.
    atoms = chosen.to(torch.uint8).argmax(-1).masked_fill(~there, -1)
    orders = (adj >= 0.5).to(torch.uint8) + (adj >= 1.5).to(torch.uint8) + (adj >= 2.5).to(torch.uint8)
    return atoms, orders * _pairs(there)


def quantise_edges(adj: Tensor, mask: Tensor | None = None) -> Tensor:
    """Edges of generic graphs.

    Args:
        adj: adjacency as real numbers, `(batch, nodes, nodes)`.
        mask: which nodes there are, bool `(batch, nodes)`; all by default.

    Returns:
        0/1 adjacency, uint8 `(batch, nodes, nodes)`, zero on the diagonal and outside the mask.
    """
    there = torch.ones(adj.shape[:2], dtype=torch.bool, device=adj.device) if mask is None else mask.bool()
    return (adj >= 0.5).to(torch.uint8) * _pairs(there)


def _pairs(there: Tensor) -> Tensor:
    """Pairs of two different nodes that both exist, uint8 `(batch, nodes, nodes)`."""
    off_diagonal = ~torch.eye(there.shape[1], dtype=torch.bool, device=there.device)
    return (there[:, :, None] & there[:, None, :] & off_diagonal).to(torch.uint8)
