"""The eight sets on which TSDiff was published: where they are, how they are cut, and their data module.

Sources: Kollovieh et al. 2023 (arXiv 2307.11494), table 4, for lengths; GluonTS (Alexandrov et al. 2020) for the sets.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lightning.pytorch.utilities import rank_zero_info

from scorefield.core.downloads import cache_folder, download
from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.domains.series.tsdiff.encoding import Missing
from scorefield.domains.series.tsdiff.panel_data import Lags, PanelData
from scorefield.domains.series.tsdiff.panel_files import PanelFile, write_panel
from scorefield.domains.series.tsdiff.panel_tables import PanelLayout
from scorefield.domains.series.tsdiff.raw_files import M4_FILES, read_raw

__all__ = ["PUBLISHED", "PublishedPanel", "PublishedPanelData", "PublishedSet"]

PublishedSet = Literal[
    "solar_nips", "electricity_nips", "traffic_nips", "exchange_rate_nips", "m4_hourly", "uber_tlc_hourly",
    "kdd_cup_2018_without_missing", "wiki2000_nips",
]  # fmt: skip
_ROLLING = "https://raw.githubusercontent.com/mbohlkeschneider/gluon-ts/mv_release/datasets"
_WIKI = "https://github.com/awslabs/gluonts/raw/b89f203595183340651411a41eeb0ee60570a4d9/datasets"
_M4 = "https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset"
_UBER = "https://raw.githubusercontent.com/fivethirtyeight/uber-tlc-foil-response/master/uber-trip-data"
_MONASH = "https://zenodo.org/record/4656756/files"


@dataclass(frozen=True)
class PublishedPanel:
    """A published set.

    Attributes:
        name: its name.
        url: the folder where its files are.
        files: their names.
        frequency: its step.
        context: steps that forecasts look back on.
        prediction: steps to forecast.
        lags: whether lagged channels are learnt.
        series: how many there are.
        windows: stretches to forecast at the end of each series.
        licence: what is known about the terms of use.
    """

    name: str
    url: str
    files: tuple[str, ...]
    frequency: str = "h"
    context: int = 336
    prediction: int = 24
    lags: bool = True
    series: int = 0
    windows: int = 1
    licence: str = "not stated; see the source"

    def fetch(self, url: str | None = None) -> Path:
        """The stored set, downloaded on the first call.

        Args:
            url: another folder than the published one.

        Raises:
            InputError: no network, or files that are not as published.
        """
        path = cache_folder() / "downloads" / f"{self.name}.npz"
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            targets = [Path(folder) / Path(file).name for file in self.files]
            for file, target in zip(self.files, targets, strict=True):
                download(f"{url or self.url}/{file}", target, self.name)
            found = self.read(targets[0] if len(targets) == 1 else Path(folder))
            number = len(found.train)
            if number != self.series:
                what = f"{number} series, {self.name} has {self.series}"
                raise InputError(what, file=targets[0].name, mend="use PanelData for other files")
            write_panel(found, path)
        return path

    def read(self, path: Path) -> PanelFile:
        """The set from files as they are published, or from any file of panels, with its test set.

        Raises:
            InputError: they cannot be read, or are cut otherwise.
        """
        return self.cut(read_raw(path, PanelLayout(self.frequency), self.prediction), self.prediction)

    def cut(self, found: PanelFile, prediction: int) -> PanelFile:
        """Whole series cut into training part and test set; what is cut already stays."""
        if found.test is not None:
            return found
        whole = found.train
        entries = whole.rolling(prediction, self.windows)
        return PanelFile(whole.head(whole.lengths - self.windows * prediction), entries, prediction)


PUBLISHED: dict[str, PublishedPanel] = {
    panel.name: panel
    for panel in (
        PublishedPanel("solar_nips", _ROLLING, ("solar_nips.tar.gz",), series=137, windows=7),
        PublishedPanel("electricity_nips", _ROLLING, ("electricity_nips.tar.gz",), series=370, windows=7),
        PublishedPanel("traffic_nips", _ROLLING, ("traffic_nips.tar.gz",), series=963, windows=7),
        PublishedPanel(
            "exchange_rate_nips", _ROLLING, ("exchange_rate_nips.tar.gz",), "B", 360, 30, series=8, windows=5
        ),
        PublishedPanel(
            "m4_hourly", _M4, (f"Train/{M4_FILES[0]}", f"Test/{M4_FILES[1]}"), "h", 312, 48, lags=False, series=414
        ),
        PublishedPanel("uber_tlc_hourly", _UBER, ("uber-raw-data-janjune-15.csv.zip",), series=262),
        PublishedPanel(
            "kdd_cup_2018_without_missing", _MONASH, ("kdd_cup_2018_dataset_without_missing_values.zip",), "h", 312, 48,
            series=270, licence="CC BY 4.0 (Monash Time Series Forecasting Archive, doi 10.5281/zenodo.4656756)",
        ),
        PublishedPanel(
            "wiki2000_nips", _WIKI, ("wiki2000_nips.tar.gz",), "D", 360, 30, lags=False, series=2000, windows=5
        ),
    )
}  # fmt: skip


class PublishedPanelData(PanelData):
    """A published set, from a file or downloaded.

    Args:
        dataset: which.
        path: a file of the set, as published or in any format of `PanelData`; by default it is downloaded.
        test_path: its test set, where it is a file of its own.
        url: another folder to download from.
        context: see `PanelData`; this and the next two by default as published.
        prediction: see `PanelData`.
        lags: see `PanelData`.
        holdout: see `PanelData`.
        batch_size: see `PanelData`.
        epoch_batches: see `PanelData`.
        conditional: see `PanelData`.
        missing: see `PanelData`.
        missing_count: see `PanelData`.
        num_workers: see `PanelData`.
        seed: see `PanelData`.
    """

    def __init__(
        self,
        dataset: PublishedSet,
        path: str | None = None,
        test_path: str | None = None,
        url: str | None = None,
        context: int | None = None,
        prediction: int | None = None,
        lags: Lags | list[int] | None = None,
        holdout: int | None = None,
        batch_size: int = 64,
        epoch_batches: int = 128,
        conditional: bool = False,
        missing: Missing = "none",
        missing_count: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        if dataset not in PUBLISHED:
            raise unknown("data.dataset", dataset, get_args(PublishedSet))
        self.source = PUBLISHED[dataset]
        told: Lags | list[int] = ("frequency" if self.source.lags else "none") if lags is None else lags
        super().__init__(
            path,
            test_path,
            self.source.frequency,
            context or self.source.context,
            prediction or self.source.prediction,
            told,
            self.source.windows,
            holdout,
            batch_size,
            epoch_batches,
            conditional,
            missing,
            missing_count,
            num_workers=num_workers,
            seed=seed,
        )
        self.dataset, self.url = dataset, url

    def prepare_data(self) -> None:
        """Download the set, unless a file is given."""
        if self.path is None:
            self.source.fetch(self.url)

    def read(self) -> tuple[str, PanelFile]:
        """See `PanelData.read`."""
        file = self.source.fetch(self.url) if self.path is None else Path(self.path)
        found = read_raw(file, self.layout, self.prediction)
        if self.test_path is None:
            found = self.source.cut(found, self.prediction)
        if len(found.train) != self.source.series:
            rank_zero_info(f"{file}: {len(found.train)} series, {self.dataset} as published has {self.source.series}")
        return str(file), found

    def described(self, where: str) -> dict[str, Any]:
        """See `PanelData.described`."""
        return super().described(where) | {"name": self.dataset, "licence": self.source.licence}
