"""The data modules that configurations name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from scorefield.core.errors import InputError
from scorefield.domains.series.scaling import Scaling
from scorefield.domains.series.series_data import Order, SeriesData, Splitting
from scorefield.domains.series.sources import ENERGY, FMRI, STOCKS, SeriesSource, hopper, sines, trace
from scorefield.domains.series.tables import Layout, SeriesTable, read_table
from scorefield.domains.series.windows import Split, contiguous_split

__all__ = ["EnergyData", "FMRIData", "MujocoData", "SeriesData", "SinesData", "StocksData", "TraceData"]


class _PublishedData(SeriesData):
    """A published series, from a file or downloaded."""

    source: SeriesSource

    def __init__(
        self,
        path: str | None = None,
        window: int = 24,
        stride: int = 1,
        split: Splitting = "paper",
        proportion: float = 1.0,
        batch_size: int = 64,
        batches: Order = "epochs",
        url: str | None = None,
        split_seed: int = 123,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """See `SeriesData`.

        Args:
            path: the file; by default it is downloaded.
            window: steps of a window.
            stride: rows between the starts of two windows.
            split: `paper` or `contiguous`.
            proportion: share for training; 1 as published.
            batch_size: windows in a training batch, over all processes together.
            batches: `epochs` or `draws`.
            url: another address of the file.
            split_seed: seed of the published permutation.
            num_workers: processes that load batches.
            seed: seed of the order of training.
        """
        super().__init__(
            path, window, stride, split, proportion, batch_size, batches,
            split_seed=split_seed, num_workers=num_workers, seed=seed,
        )  # fmt: skip
        self.url = url

    def prepare_data(self) -> None:
        """Download the file, unless one is given."""
        if self.path is None:
            self.source.fetch(self.url)

    def read(self) -> tuple[str, SeriesTable]:
        """See `SeriesData.read`."""
        file = self.source.fetch(self.url) if self.path is None else Path(self.path)
        table = self.source.read(file)
        if len(table.values) != self.source.rows:
            rows = f"{len(table.values)} rows, {self.source.name} as published has {self.source.rows}"
            rank_zero_info(f"{file}: {rows}: numbers of windows differ")
        return str(file), table

    def setup(self, stage: str | None = None) -> None:
        """See `SeriesData.setup`."""
        super().setup(stage)
        self.provenance |= {"name": self.source.name, "licence": self.source.licence}


class StocksData(_PublishedData):
    """Stocks: daily quotes of one share, 3,685 rows of 6 columns."""

    source = STOCKS


class EnergyData(_PublishedData):
    """Energy: a house and its weather every ten minutes, 19,735 rows of 28 columns."""

    source = ENERGY


class FMRIData(_PublishedData):
    """fMRI: simulated signals of 50 regions, of 50 subjects one after the other, 200 rows each.

    The published windows take them for one series. With the contiguous split each subject is a series of its own.
    """

    source = FMRI
    subject_rows = 200

    def read(self) -> tuple[str, SeriesTable]:
        """See `SeriesData.read`."""
        where, table = super().read()
        if self.split == "paper":
            return where, table
        bounds = np.append(np.arange(0, len(table.values), self.subject_rows), len(table.values))
        return where, replace(table, bounds=bounds, names=tuple(f"subject {k + 1}" for k in range(len(bounds) - 1)))


class SinesData(SeriesData):
    """Sines of random frequency and phase, the same for everyone; needs no file.

    Args:
        window: steps of a series.
        features: sines of a series, independent of each other.
        number: series.
        split: see `SeriesData`.
        proportion: share for training; 1 as published.
        batch_size: series in a training batch, over all processes together.
        batches: see `SeriesData`.
        generator_seed: seed of the sines; 123 as published.
        num_workers: processes that load batches.
        seed: seed of the order of training.
    """

    def __init__(
        self,
        window: int = 24,
        features: int = 5,
        number: int = 10000,
        split: Splitting = "paper",
        proportion: float = 1.0,
        batch_size: int = 64,
        batches: Order = "epochs",
        generator_seed: int = 123,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            None, window, 1, split, proportion, batch_size, batches, num_workers=num_workers, seed=seed
        )  # fmt: skip
        for name, count in (("features", features), ("number", number)):
            if count < 1:
                raise InputError(f"data.{name} is {count}", mend="give at least 1")
        self.features, self.number, self.generator_seed = features, number, generator_seed

    def read(self) -> tuple[str, SeriesTable]:
        """See `SeriesData.read`."""
        return "sines", SeriesTable.of(sines(self.number, self.window, self.features, self.generator_seed))

    def scaling_of(self, table: SeriesTable, split: Split) -> Scaling:
        """From [0, 1], in which sines are published, whatever range these take."""
        features = len(table.columns)
        return Scaling(np.zeros(features), np.ones(features))

    def setup(self, stage: str | None = None) -> None:
        """See `SeriesData.setup`."""
        super().setup(stage)
        self.provenance |= {"name": "sines", "licence": "none needed: computed"}


class MujocoData(SeriesData):
    """Trajectories of MuJoCo's hopper: 7 positions and 7 velocities, scaled with one range for all.

    Args:
        path: trajectories `[n, L, 14]` in an `.npz`; by default they are computed (extra `mujoco`).
        window: steps of a trajectory.
        number: trajectories to compute.
        split: see `SeriesData`.
        proportion: share for training; 1 as published.
        batch_size: trajectories in a training batch, over all processes together.
        batches: see `SeriesData`.
        generator_seed: seed of the starts; 123 as published.
        num_workers: processes that load batches.
        seed: seed of the order of training.
    """

    def __init__(
        self,
        path: str | None = None,
        window: int = 24,
        number: int = 10000,
        split: Splitting = "paper",
        proportion: float = 1.0,
        batch_size: int = 64,
        batches: Order = "epochs",
        generator_seed: int = 123,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            path, window, 1, split, proportion, batch_size, batches, num_workers=num_workers, seed=seed
        )  # fmt: skip
        self.number, self.generator_seed = number, generator_seed

    def read(self) -> tuple[str, SeriesTable]:
        """See `SeriesData.read`."""
        if self.path is not None:
            return self.path, read_table(self.path, Layout())
        return "mujoco", SeriesTable.of(hopper(self.number, self.window, self.generator_seed))

    def scaling_of(self, table: SeriesTable, split: Split) -> Scaling:
        """One range over all columns, as published."""
        values, features = table.values[split.scaled_on], len(table.columns)
        return Scaling(np.full(features, values.min()), np.full(features, values.max()))

    def setup(self, stage: str | None = None) -> None:
        """See `SeriesData.setup`."""
        super().setup(stage)
        self.provenance |= {"name": "mujoco"} | ({} if self.path else {"licence": "none needed: computed"})


class TraceData(SeriesData):
    """The set Trace of the UCR archive as tslearn ships it: 200 series of one feature in four classes.

    Args:
        window: steps of a window, at most 275.
        stride: steps between the starts of two windows of a series.
        batch_size: windows in a training batch, over all processes together.
        num_workers: processes that load batches.
        seed: seed of the order of training.
    """

    def __init__(
        self, window: int = 275, stride: int = 1, batch_size: int = 50, num_workers: int = 0, seed: int = 0
    ) -> None:
        super().__init__(
            None, window, stride, "contiguous", 0.5, batch_size, num_workers=num_workers, seed=seed
        )  # fmt: skip

    def read(self) -> tuple[str, SeriesTable]:
        """See `SeriesData.read`; the archive's own training part comes first."""
        table, train = trace()
        self.proportion = train / len(table.lengths)
        return "trace", table

    def split_of(self, table: SeriesTable) -> Split:
        """The archive's own, whose classes are not shared out evenly."""
        return contiguous_split(table.bounds, self.window, self.stride, self.proportion)

    def setup(self, stage: str | None = None) -> None:
        """See `SeriesData.setup`."""
        super().setup(stage)
        licence = "UCR Time Series Archive (Dau et al. 2018), as tslearn ships it"
        self.provenance |= {"name": "trace", "licence": licence}
