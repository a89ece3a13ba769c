"""Padded training batches from packed molecules, in an order that seed and epoch alone decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from scorefield.core.errors import InputError
from scorefield.domains.graphs.packed import PackedGraphs

__all__ = ["EpochSampler", "StateDataset", "one_hot", "state_loader"]

Batch = dict[str, Tensor]


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


class EpochSampler(DistributedSampler[int]):
    """The order of an epoch, shared out over the processes.

    The permutation comes from (seed, epoch) alone. With P processes, process p takes every P-th row from the
    p-th on, so that step k of all processes together sees the rows that one process with the whole batch
    would see. The trainer calls `set_epoch`; a resumed run therefore goes on with the order of its epoch.

    Args:
        dataset: what is sampled.
        seed: seed of the order.
        shuffle: False gives the rows as they stand.
        num_replicas: number of processes.
        rank: this process.
    """

    def __init__(
        self, dataset: StateDataset, seed: int = 0, shuffle: bool = True, num_replicas: int = 1, rank: int = 0
    ) -> None:
        super().__init__(
            cast("Dataset[int]", dataset), num_replicas=num_replicas, rank=rank, shuffle=shuffle, seed=seed
        )
        self.num_rows = len(dataset)

    def __iter__(self) -> Iterator[int]:
        order = np.arange(self.num_rows)
        if self.shuffle:
            stream = np.random.SeedSequence([self.seed, self.epoch])
            order = np.random.Generator(np.random.Philox(stream)).permutation(order)
        # Every process makes the same number of steps: some rows come again where they do not share out.
        return iter(np.resize(order, self.total_size)[self.rank :: self.num_replicas].tolist())


def state_loader(
    dataset: StateDataset,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
    num_workers: int = 0,
    world_size: int = 1,
    rank: int = 0,
) -> DataLoader[Batch]:
    """A loader of padded batches.

    Args:
        dataset: the graphs.
        batch_size: graphs in a batch, over all processes together.
        shuffle: a new order in every epoch.
        seed: seed of the order.
        num_workers: loading processes; 0 loads in this one.
        world_size: number of training processes.
        rank: this training process.

    Raises:
        InputError: the batch cannot be shared out evenly over the processes.
    """
    if batch_size < 1 or batch_size % world_size:
        raise InputError(
            f"a batch of {batch_size} cannot be shared out over {world_size} processes",
            mend="choose data.batch_size as a multiple of the number of devices",
        )
    return DataLoader(
        dataset,
        batch_size=batch_size // world_size,
        sampler=EpochSampler(dataset, seed, shuffle, world_size, rank),
        num_workers=num_workers,
        collate_fn=_as_it_is,
        persistent_workers=num_workers > 0,
    )


def _as_it_is(batch: Any) -> Any:
    return batch
