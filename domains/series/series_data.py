"""The data module of series."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from scorefield.core.downloads import file_digest
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.loading import Batch, batch_loader
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.scaling import Scaling
from scorefield.domains.series.tables import Layout, SeriesTable, read_table
from scorefield.domains.series.windows import (
    Split,
    WindowDataset,
    check_enough,
    contiguous_split,
    cut,
    paper_split,
    thinned,
)

__all__ = ["Order", "SeriesData", "Splitting"]

Splitting = Literal["paper", "contiguous"]
Order = Literal["epochs", "draws"]
_VALIDATION = 512  # windows that a validation looks at: enough to see the loss, and a small part of an epoch


class SeriesData(LightningDataModule):
    """Windows of series from a file.

    Args:
        path: `.csv`, `.tsv` (also `.gz`), `.parquet`, `.npz`, or a folder of such files with one series each.
        window: steps of a window.
        stride: rows between the starts of two windows.
        split: `paper`: all windows, permuted, those for training first, and a scaling fitted on everything, as
            published; `contiguous`: without leaks, one series cut in time or several shared out whole, and a scaling
            fitted on the training part.
        proportion: share for training, in (0, 1]. With 1 there is no test part, and the training windows stand in
            for it.
        batch_size: windows in a training batch, over all processes together.
        batches: `epochs`: passes over all windows in random order; `draws`: each batch drawn on its own, as published.
        group: the column that tells series apart (by default `sample`, where `step` is there too); windows never
            reach from one series into another.
        label: the column, or the array of an `.npz`, with the class of each series; by default `label`. Classes are
            learnt, and can be asked for in sampling. Where one long series changes its label, windows end.
        time: a column with dates or times, which is left out; by default one called `date`, `time`, ... that
            holds dates.
        columns: the features; by default all other columns.
        header: False where the first line of a file holds numbers already.
        array: the array of an `.npz`.
        split_seed: seed of the permutation of `paper`.
        num_workers: processes that load batches.
        seed: seed of the order of training.
    """

    sizes: dict[str, int]
    tables: dict[str, Any]
    provenance: dict[str, Any]

    def __init__(
        self,
        path: str | None = None,
        window: int = 24,
        stride: int = 1,
        split: Splitting = "paper",
        proportion: float = 1.0,
        batch_size: int = 64,
        batches: Order = "epochs",
        group: str | None = None,
        label: str | None = None,
        time: str | None = None,
        columns: list[str] | None = None,
        header: bool = True,
        array: str | None = None,
        split_seed: int = 123,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (("window", window, 2), ("stride", stride, 1), ("batch_size", batch_size, 1)):
            if value < least:
                raise InputError(f"data.{name} is {value}", mend=f"give at least {least}")
        if not 0 < proportion <= 1:
            raise InputError(f"data.proportion is {proportion}", mend="it must lie above 0, and not above 1")
        for name, chosen, known in (("split", split, ("paper", "contiguous")), ("batches", batches, _ORDERS)):
            if chosen not in known:
                raise InputError(f"data.{name} is {chosen!r}", mend=f"give {' or '.join(known)}")
        self.path, self.window, self.stride = path, window, stride
        self.split, self.proportion, self.split_seed = split, proportion, split_seed
        self.batch_size, self.batches, self.num_workers, self.seed = batch_size, batches, num_workers, seed
        self.layout = Layout(group, label, time, tuple(columns) if columns else None, header, array)
        self._table: SeriesTable | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read the series, scale and split them; called again it does nothing.

        Raises:
            InputError: a file that cannot be read, series shorter than a window, or fewer windows than a batch.
        """
        if self._table is not None:
            return
        where, table = self.read()
        self._check_lengths(table, where)
        self._split = self.split_of(table)
        if not len(self._split.train):
            raise InputError(f"no window of {self.window} steps is left for training", file=where)
        check_enough(len(self._split.train), self.batch_size, where)
        self.scaling = self.scaling_of(table, self._split)
        self._warn_of_constants(table, where)
        self.sizes = {"length": self.window, "features": len(table.columns)}
        self.tables = {"kind": "series", "columns": list(table.columns), **self.scaling.tables()}
        self._labels = None if table.labels is None else self._classes(table, table.labels)
        self._scaled = self.scaling.scaled(table.values).astype(np.float32)
        self.provenance = self._provenance(where, table)
        self._table = table
        facts = self.provenance
        beside = "" if table.time is None else f" (the times {table.time!r} are left out)"
        rank_zero_info(
            f"{where}: {facts['series']} series, {facts['rows']} rows, {len(table.columns)} features{beside}; windows "
            f"of {self.window} steps: {facts['train']} for training, {facts['test']} for testing ({facts['split']})"
        )

    def _classes(self, table: SeriesTable, labels: tuple[str, ...]) -> NDArray[np.int64]:
        """The class of each row, for sizes and tables too; one that is not trained on counts as not known."""
        learnt = set(table.labels_at(self._split.train).tolist())
        classes = sorted(learnt, key=_natural)
        numbers = {label: number for number, label in enumerate(classes)}
        found = np.array([numbers.get(label, len(classes)) for label in labels], dtype=np.int64).repeat(table.lengths)
        self.sizes["classes"] = len(classes)
        counts = np.bincount(found[self._split.train], minlength=len(classes))
        self.tables |= {"labels": classes, "label_counts": counts.tolist()}
        return found

    def read(self) -> tuple[str, SeriesTable]:
        """The name of the source, and its series."""
        if self.path is None:
            raise InputError("no file of series is named", mend="give one with --data.path")
        return self.path, read_table(self.path, self.layout)

    def split_of(self, table: SeriesTable) -> Split:
        """Which windows are for training."""
        if self.split == "contiguous":
            return contiguous_split(table.bounds, self.window, self.stride, self.proportion, table.labels)
        return paper_split(table.bounds, self.window, self.stride, self.proportion, self.split_seed)

    def scaling_of(self, table: SeriesTable, split: Split) -> Scaling:
        """The range of each column over the rows that the scaling may see."""
        return Scaling.fit(table.values[split.scaled_on])

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the training windows, in random order."""
        self._read()
        return self._loader(self._split.train, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """At most 512 windows, evenly spread: of the test part, or of the training part where there is none."""
        self._read()
        return self._loader(thinned(np.sort(self._test_rows()), _VALIDATION), shuffle=False)

    @property
    def overlapping(self) -> bool:
        """Whether some windows share rows."""
        return self.stride < self.window and bool((self._read().lengths > self.window).any())

    def train_references(self) -> SeriesSamples:
        """The training windows in units of the data, in the order of the protocol."""
        return self._windows(self._read(), self._split.train)

    def test_references(self) -> SeriesSamples:
        """The test windows; the training windows where everything is trained on, as published."""
        return self._windows(self._read(), self._test_rows())

    def local_files(self) -> dict[str, str]:
        """Arguments that open the same file from any folder."""
        return {} if self.path is None else {"path": str(Path(self.path).absolute())}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All windows as plain arrays for `StatesData`: `x [n, L, D]` scaled, `mask`, `is_test`, `is_validation`.

        Where there are classes, `label [n]` too.
        """
        self._read()
        starts = np.concatenate([self._split.train, self._split.test])
        is_test = np.arange(len(starts)) >= len(self._split.train)
        held = np.isin(starts, thinned(self._split.test, _VALIDATION)) & is_test
        meta = {"sizes": self.sizes, "tables": self.tables, "provenance": self.provenance}
        return {
            **({} if self._labels is None else {"label": self._labels[starts]}),
            "x": cut(self._scaled, starts, self.window),
            "mask": np.ones((len(starts), self.window), dtype=bool),
            "is_test": is_test,
            "is_validation": held,
            "meta": np.array(json.dumps(meta)),
        }

    def _read(self) -> SeriesTable:
        self.setup()
        if self._table is None:
            raise RuntimeError("setup did not read the series")
        return self._table

    def _test_rows(self) -> NDArray[np.int64]:
        return self._split.test if len(self._split.test) else self._split.train

    def _windows(self, table: SeriesTable, starts: NDArray[np.int64]) -> SeriesSamples:
        labels = None if table.labels is None else table.labels_at(starts)
        return SeriesSamples(cut(table.values, starts, self.window), table.columns, labels)

    def _check_lengths(self, table: SeriesTable, where: str) -> None:
        """Refuse a series that is too short; of many, say how many are, and go on with the rest."""
        short = np.flatnonzero(table.lengths < self.window)
        if not len(short):
            return
        name = table.names[short[0]]
        what = f"{table.lengths[short[0]]} rows, shorter than the window of {self.window}"
        place = f"series {name}" if name else None
        if len(short) == len(table.lengths):
            raise InputError(what, file=where, place=place, mend="give a shorter --data.window or longer series")
        text = f"{where}: {len(short)} of {len(table.lengths)} series are left out; the first is {name} ({what})"
        _warn(text)

    def _warn_of_constants(self, table: SeriesTable, where: str) -> None:
        names = [repr(n) for n, constant in zip(table.columns, self.scaling.constant, strict=True) if constant]
        if names:
            what = "is constant: it is kept, and" if len(names) == 1 else "are constant: they are kept, and"
            _warn(f"{where}: column {', '.join(names)} {what} generated series repeat the constant")

    def _provenance(self, where: str, table: SeriesTable) -> dict[str, Any]:
        return {
            "name": Path(where).name,
            "file": where,
            "sha256": _digest(Path(where)),
            "licence": "not stated",
            "series": len(table.lengths),
            "rows": len(table.values),
            "split": self._split.made,
            "protocol": self.split,
            "train": len(self._split.train),
            "test": len(self._split.test),
        }

    def _loader(self, starts: NDArray[np.int64], *, shuffle: bool) -> DataLoader[Batch]:
        trainer = self.trainer
        return batch_loader(
            WindowDataset(self._scaled, starts, self.window, self._labels),
            self.batch_size,
            shuffle=shuffle,
            draws=shuffle and self.batches == "draws",
            seed=self.seed,
            num_workers=self.num_workers,
            world_size=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
        )


_ORDERS = ("epochs", "draws")


def _natural(label: str) -> tuple[float, str]:
    """Numbers by their value, words behind them."""
    try:
        return float(label), label
    except ValueError:
        return float("inf"), label


@rank_zero_only
def _warn(text: str) -> None:
    warnings.warn(text, InputWarning, stacklevel=2)


def _digest(path: Path) -> str | None:
    """SHA-256 of a file, or of the digests of a folder's files in order; None for what is computed."""
    if path.is_dir():
        digests = [file_digest(file) for file in sorted(path.iterdir()) if file.is_file()]
        return hashlib.sha256("".join(digests).encode()).hexdigest()
    return file_digest(path) if path.is_file() else None
