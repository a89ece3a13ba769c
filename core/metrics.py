"""What is logged of a run: `metrics.csv` with one row an epoch, TensorBoard events, a line an epoch in a plain log."""

from __future__ import annotations

import csv
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from scorefield.core.files import atomic

__all__ = ["EpochLines", "Events", "MetricsFile"]

_PAUSE = 5.0  # seconds between two lines


class MetricsFile(Logger):
    """Writes one row an epoch; what training and validation log of the same epoch share a row.

    Args:
        path: the file; rows that it holds are kept until their epoch is logged again.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._rows: dict[int, dict[str, Any]] = {}
        self._changed = False
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self._rows = {int(row["epoch"]): dict(row) for row in csv.DictReader(file)}

    @property
    def name(self) -> str:
        """See Lightning's `Logger`."""
        return "metrics"

    @property
    def version(self) -> str:
        """See Lightning's `Logger`."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: `config.yaml` holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Put the values into the row of their epoch."""
        if "epoch" in metrics:
            row = self._rows.setdefault(int(metrics["epoch"]), {})
            row |= {"epoch": int(metrics["epoch"]), "step": step, **{k: v for k, v in metrics.items() if k != "epoch"}}
            self._changed = True

    @rank_zero_only
    def save(self) -> None:
        """Write the file."""
        if not self._changed:
            return
        names = list(dict.fromkeys(name for row in self._rows.values() for name in row))
        with atomic(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(row for _, row in sorted(self._rows.items()))
        self._changed = False

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """See Lightning's `Logger`."""
        self.save()


class Events(TensorBoardLogger):
    """TensorBoard events in the run folder itself, without a file of hyper-parameters.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="", version="")

    @rank_zero_only
    def save(self) -> None:
        """Flush the events."""
        self.experiment.flush()


class EpochLines(Callback):
    """Says the losses of an epoch in one line, for logs that cannot show a progress bar."""

    def __init__(self) -> None:
        self._said = -_PAUSE

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say it, but not after every short epoch."""
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if not last and time.monotonic() - self._said < _PAUSE:
            return
        self._said = time.monotonic()
        values = trainer.callback_metrics
        shown = ", ".join(f"{name} {float(values[name]):.4f}" for name in ("train_loss", "val_loss") if name in values)
        rank_zero_info(f"epoch {trainer.current_epoch}, step {trainer.global_step}: {shown}")
