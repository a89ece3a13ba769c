"""Training batches in an order that seed and epoch alone decide, shared out over processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from scorefield.core.errors import InputError

__all__ = ["Batch", "BatchDataset", "DrawSampler", "EpochSampler", "batch_loader"]

Batch = dict[str, Tensor]


class BatchDataset(Sized, Protocol):
    """A data set that makes a padded batch of several rows at once."""

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The batch of these rows."""
        ...


class EpochSampler(DistributedSampler[int]):
    """The order of an epoch, shared out over the processes.

    The permutation comes from (seed, epoch) alone. Of P processes, process p takes rows p, p + P, ...: step k of all
    together sees the rows that one process with the whole batch would see. The trainer calls `set_epoch`, so that a
    resumed run goes on with the order of its epoch.

    Args:
        dataset: what is sampled.
        seed: seed of the order.
        shuffle: False gives the rows as they stand.
        num_replicas: number of processes.
        rank: this process.
    """

    def __init__(
        self, dataset: BatchDataset, seed: int = 0, shuffle: bool = True, num_replicas: int = 1, rank: int = 0
    ) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[int]:
        order = np.arange(len(self.dataset))  # type: ignore[arg-type]
        if self.shuffle:
            order = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, self.epoch]))).permutation(
                order
            )
        # Every process makes the same number of steps: the first rows come again where they do not share out evenly.
        return iter(np.resize(order, self.total_size)[self.rank :: self.num_replicas].tolist())


class DrawSampler(DistributedSampler[int]):
    """Batches that are drawn anew at every step, without replacement within a batch, as PaD-TS was trained.

    There are no passes over the data; an epoch is as many batches as would make one. Draws come from (seed, epoch)
    alone, and are shared out as those of `EpochSampler`.

    Args:
        dataset: what is sampled.
        batch_size: samples in a batch, over all processes together; at most those of the data set.
        seed: seed of the draws.
        num_replicas: number of processes.
        rank: this process.
        batches: those of an epoch, where it is not to be as many as would make a pass.
        tell_epoch: whether row r of epoch e is asked for as r + e n, of n rows, by data sets that draw anew with each.
    """

    def __init__(
        self,
        dataset: BatchDataset,
        batch_size: int,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        batches: int | None = None,
        tell_epoch: bool = False,
    ) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, seed=seed)  # type: ignore[arg-type]
        self.batch_size, self.tell_epoch = batch_size, tell_epoch
        self.total_size = (len(dataset) // batch_size if batches is None else batches) * batch_size
        self.num_samples = self.total_size // num_replicas

    def __iter__(self) -> Iterator[int]:
        source = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, self.epoch])))
        rows = len(self.dataset)  # type: ignore[arg-type]
        first = self.epoch * rows if self.tell_epoch else 0
        for _ in range(self.total_size // self.batch_size):
            drawn = source.choice(rows, self.batch_size, replace=False)[self.rank :: self.num_replicas]
            yield from (first + drawn).tolist()


def batch_loader(
    dataset: BatchDataset,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
    draws: bool = False,
    batches: int | None = None,
    tell_epoch: bool = False,
    num_workers: int = 0,
    world_size: int = 1,
    rank: int = 0,
) -> DataLoader[Batch]:
    """A loader of padded batches.

    Args:
        dataset: makes the batches.
        batch_size: samples in a batch, over all processes together.
        shuffle: a new order in every epoch.
        seed: seed of the order.
        draws: each batch is drawn on its own (`DrawSampler`), in place of passes over the data.
        batches: drawn batches in an epoch; by default as many as would make a pass.
        tell_epoch: of drawn batches, see `DrawSampler`; loading processes learn of epochs in no other way.
        num_workers: loading processes; 0 loads in this one.
        world_size: number of training processes.
        rank: this training process.

    Raises:
        InputError: the batch is empty or cannot be shared out evenly over the processes.
    """
    _check_share(batch_size, world_size)
    sampler: DistributedSampler[int] = (
        DrawSampler(dataset, batch_size, seed, world_size, rank, batches, tell_epoch)
        if draws
        else EpochSampler(dataset, seed, shuffle, world_size, rank)
    )
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=batch_size // world_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=_as_it_is,
        persistent_workers=num_workers > 0,
        multiprocessing_context="spawn" if num_workers else None,
        generator=torch.Generator().manual_seed(seed),  # else each epoch draws from the global state
    )


def _check_share(batch_size: int, world_size: int) -> None:
    if batch_size < 1:
        raise InputError(f"data.batch_size is {batch_size}", mend="give at least 1")
    if batch_size % world_size:
        raise InputError(
            f"a batch of {batch_size} cannot be shared out over {world_size} processes",
            mend="choose data.batch_size as a multiple of the number of devices",
        )


def _as_it_is(batch: Any) -> Any:
    return batch
