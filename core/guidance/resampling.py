"""Systematic resampling of weighted particles, group by group.

Of n particles with normalised weights w_i, particle i has floor(n w_i) or ceil(n w_i) children, n w_i on average: the
children are where the points (k + u) / n, k = 0 ... n - 1, fall among the cumulated weights, with one u ~ U(0, 1).

Source: Kitagawa 1996 (Journal of Computational and Graphical Statistics 5(1)); Douc and Cappe 2005 (arXiv cs/0507025).
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.core.noise import NoiseSource

__all__ = ["Pools", "systematic"]


def systematic(weights: Tensor, counts: Tensor, shifts: Tensor) -> Tensor:
    """Parents of every child, by systematic resampling.

    Args:
        weights: normalised, `[G, n]`; 0 where a group has fewer than n particles.
        counts: particles of each group, `[G]`.
        shifts: u, `[G]`, in [0, 1).

    Returns:
        Places of the parents inside their group, `[G, n]`, increasing.
    """
    children = torch.arange(weights.shape[1], device=weights.device)
    points = (children + shifts[:, None]) / counts[:, None]
    parents = torch.searchsorted(weights.cumsum(1), points, right=True)
    return parents.minimum(counts[:, None] - 1)  # rounding may leave the sum of weights a little below 1


class Pools:
    """Rows of a batch, cut into pools that are resampled each by itself.

    Args:
        labels: which pool each row belongs to, int64 `[B]`, counted from 0 without gaps.
    """

    def __init__(self, labels: Tensor) -> None:
        order = labels.argsort(stable=True)
        counts = torch.bincount(labels)
        place = torch.arange(len(labels), device=labels.device) - (counts.cumsum(0) - counts)[labels[order]]
        self.counts = counts
        self.rows = torch.zeros(len(counts), int(counts.max()), dtype=torch.long, device=labels.device)
        self.rows[labels[order], place] = order
        self.exist = torch.arange(self.rows.shape[1], device=labels.device) < counts[:, None]
        self._slots = torch.nonzero(self.exist.flatten())[:, 0]
        self._targets = self.rows.flatten()[self._slots]

    def weights(self, log_weights: Tensor) -> Tensor:
        """Normalised weights of each pool, `[G, n]`; equal ones where all of a pool's are 0."""
        table = log_weights[self.rows].masked_fill(~self.exist, -torch.inf)
        top = table.amax(1, keepdim=True)
        table = torch.where(top.isneginf(), torch.where(self.exist, 0.0, -torch.inf), table)
        return table.softmax(1)

    def means(self, log_weights: Tensor) -> Tensor:
        """Logarithm of the mean weight of each pool, `[G]`."""
        table = log_weights[self.rows].masked_fill(~self.exist, -torch.inf)
        return table.logsumexp(1) - self.counts.log()

    def spread(self, values: Tensor) -> Tensor:
        """Values of pools `[G]`, or of their places `[G, n]`, row by row: `[B]`."""
        table = values[:, None].expand(self.rows.shape) if values.ndim == 1 else values
        result = torch.empty_like(table.flatten()[: len(self._targets)])
        result[self._targets] = table.flatten()[self._slots]
        return result

    def shifts(self, noise: NoiseSource) -> Tensor:
        """One uniform number in [0, 1) for each pool, float64 `[G]`, of as many normal ones."""
        uniform: Tensor = torch.special.ndtr(noise.normal(self.counts.double()))
        return uniform.clamp(max=1 - 1e-12)

    def ancestors(self, weights: Tensor, chosen: Tensor, shifts: Tensor) -> Tensor:
        """The row that each row takes over, `[B]`; pools that are not `chosen` `[G]` keep theirs."""
        parents = systematic(weights, self.counts, shifts)
        children = torch.where(chosen[:, None], self.rows.gather(1, parents), self.rows)
        return self.spread(children)
