"""Where two-sided interpolants start: laws that samples x_0 are drawn from without knowing x_1.

A base asks its source of randomness for standard normal numbers only, so the same law is drawn in training (from the
step's streams) and in sampling (from the chunk's). One that draws from training data keeps a bounded number of them as
a buffer, which is stored with the weights: a run samples anywhere.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from scorefield.core.errors import InputError
from scorefield.core.noise import NoiseSource
from scorefield.core.state import State

__all__ = ["Base", "Moments", "PoolBase", "uniforms"]

Moments = dict[str, tuple[Tensor, Tensor]]
"""Mean and standard deviation by component; they broadcast over it."""


class Base(nn.Module, ABC):
    """A law of source samples."""

    @abstractmethod
    def draw(self, state: State, noise: NoiseSource) -> dict[str, Tensor]:
        """Source samples by component, shaped as in `state`, whose values are not looked at.

        Raises:
            InputError: it cannot draw such samples.
        """

    def moments(self, state: State) -> Moments:
        """Mean and deviation of its samples, where they follow from masks and condition alone; by default of none."""
        return {}

    def prepare(self, data: Any) -> None:
        """Take what it keeps of the training data: nothing, by default."""


class PoolBase(Base):
    """A base that draws from samples x of the training set.

    Args:
        size: how many to keep at most, evenly spread over the training set.

    Attributes:
        pool: the samples, `[n, ...]`; empty until `prepare`, or until stored weights are loaded.

    Raises:
        InputError: the size is not positive.
    """

    pool: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < 1:
            raise InputError(f"pool is {size}", mend="give at least 1")
        self.size = size
        self.register_buffer("pool", torch.zeros(0))

    def prepare(self, data: Any) -> None:
        """Fill the pool from the data module's training set.

        Raises:
            InputError: samples are padded.
        """
        dataset = data.train_dataloader().dataset
        rows = torch.linspace(0, len(dataset) - 1, min(self.size, len(dataset)), dtype=torch.float64)
        batch = dataset.__getitems__(rows.round().long().tolist())
        if "mask" in batch and not bool(batch["mask"].all()):
            raise InputError("a base cannot draw from padded samples", mend="give samples of one size")
        self.pool = batch["x"].to(torch.float32)

    def rows(self, like: Tensor, number: int, noise: NoiseSource) -> Tensor:
        """Rows of the pool at random, int64 `[B, number]`.

        Raises:
            InputError: the pool is empty, or its samples are shaped unlike those asked for.
        """
        if not len(self.pool):
            raise InputError("the base has no samples to draw from", mend="train the run, or load its weights")
        if self.pool.shape[1:] != like.shape[1:]:
            what = f"samples of shape {tuple(like.shape[1:])}, the base holds {tuple(self.pool.shape[1:])}"
            raise InputError(what, mend="ask for samples like those of the training")
        return (uniforms(like, number, noise) * len(self.pool)).long().clamp(max=len(self.pool) - 1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """The stored pool decides how large it is."""
        stored = state_dict.get(f"{prefix}pool")
        if stored is not None and stored.shape != self.pool.shape:
            self.pool = torch.zeros_like(stored, device=self.pool.device)
        super()._load_from_state_dict(state_dict, prefix, *args)


def uniforms(like: Tensor, number: int, noise: NoiseSource) -> Tensor:
    """Numbers in [0, 1], float64 `[B, number]` for a batch like `like`, from normal ones."""
    normal = noise.normal(like.new_empty(()).expand(len(like), number)).double()
    return 0.5 * (1 + torch.erf(normal / math.sqrt(2)))
