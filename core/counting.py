"""Fitting that is counting: passes over streamed data without gradients, whole numbers summed over the processes.

A pass is an epoch. What a pass has counted is summed by all-reduce at its end and goes into the checkpoint as the
module's extra state, since its shapes are the data's; so a run that was interrupted goes on after its last whole pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from scorefield.core.errors import InputError

__all__ = ["CountingModule", "Sums", "counting_strategy"]


class Sums(DDPStrategy):
    """Several processes without gradient synchronisation: the module stays as it is and sums what it has counted."""

    strategy_name = "sums"

    def configure_ddp(self) -> None:
        """Nothing is wrapped: there are no gradients."""


def counting_strategy(arguments: dict[str, Any]) -> Any:
    """The strategy for a trainer with these arguments.

    Raises:
        InputError: another strategy is asked for.
    """
    wanted = arguments.get("strategy") or "auto"
    if wanted not in ("auto", "ddp", "sums"):
        raise InputError(f"strategy {wanted} is for training", place="trainer.strategy", mend="leave it out")
    devices, nodes = arguments.get("devices") or "auto", int(arguments.get("num_nodes") or 1)
    gpu = arguments.get("accelerator") in (None, "auto", "gpu", "cuda") and torch.cuda.is_available()
    if devices in ("auto", -1, "-1"):
        number = torch.cuda.device_count() if gpu else 1
    else:
        number = len(devices) if isinstance(devices, list) else int(devices)
    return Sums(timeout=timedelta(days=1)) if number * nodes > 1 else "auto"


class CountingModule(pl.LightningModule, ABC):
    """A module that counts.

    Attributes:
        passes: epochs that it takes, no more and no less.
        recipe: what builds the system that holds the counts.
        ema: None; counts have no average.
    """

    passes: int
    recipe: Any
    ema = None

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether everything is counted."""

    @abstractmethod
    def weights(self) -> tuple[dict[str, Tensor], None]:
        """The counts as the state of the system, once ready."""

    @abstractmethod
    def headline(self) -> str:
        """What is counted, for the first line that `fit` says."""

    def configure_optimizers(self) -> None:
        """None."""

    def on_fit_start(self) -> None:
        """Refuse a trainer that would see a part of the data only.

        Raises:
            InputError: another number of epochs, or a limit of batches.
        """
        trainer = self.trainer
        if trainer.max_epochs != self.passes:
            what = f"counting takes {self.passes} passes, not {trainer.max_epochs}"
            raise InputError(what, place="trainer.max_epochs", mend=f"give {self.passes}")
        share = trainer.limit_train_batches
        if not isinstance(share, float) or share < 1 or trainer.max_steps not in (-1, None):
            what = "counting takes all batches"
            raise InputError(what, place="trainer", mend="leave limit_train_batches and max_steps out")

    def summed(self, counts: Tensor) -> Tensor:
        """The counts of all processes."""
        total = self.trainer.strategy.reduce(counts, reduce_op="sum")
        assert isinstance(total, Tensor)  # the strategy hands on what it gets
        return total
