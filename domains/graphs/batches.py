"""Padded training batches from packed graphs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from scorefield.core.loading import Batch
from scorefield.domains.graphs.packed import PackedGraphs

__all__ = ["StateDataset", "one_hot"]


def one_hot(types: NDArray[np.uint8], features: int) -> NDArray[np.uint8]:
    """One-hot rows of node types, zero for padding.

    Args:
        types: node types, `(..., nodes)`; anything from `features` on is padding.
        features: number of types F.

    Returns:
        uint8 `(..., nodes, F)`.
    """
    rows: NDArray[np.uint8] = (types[..., None] == np.arange(features, dtype=np.uint8)).astype(np.uint8)
    return rows


class StateDataset(Dataset[Batch]):
    """Some rows of packed graphs as dictionaries `x`, `adj`, `mask`.

    The loader asks for a whole batch at once: `x` float32 `(B, N, F)`, `adj` float32 `(B, N, N)`, `mask` bool
    `(B, N)`, padded to the largest graph of the batch.

    Args:
        packed: the graphs; node types index the features.
        features: number of node types F.
        rows: which of the graphs, `(n,)`.
    """

    def __init__(self, packed: PackedGraphs, features: int, rows: NDArray[np.int64]) -> None:
        self.packed = packed
        self.features = features
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        return {name: tensor[0] for name, tensor in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        types, adjacency, counts = self.packed.dense(self.rows[np.asarray(indices, dtype=np.int64)])
        return {
            "x": torch.from_numpy(one_hot(types, self.features)).float(),
            "adj": torch.from_numpy(adjacency).float(),
            "mask": torch.from_numpy(np.arange(types.shape[1]) < counts[:, None]),
        }
