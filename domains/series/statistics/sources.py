"""What `compare` takes in this domain: files of series, runs, decoded samples, arrays `(n, L, D)`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scorefield.core.columns import column_names
from scorefield.core.errors import InputError
from scorefield.core.references import open_data
from scorefield.core.runs import Run
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.scaling import Scaling
from scorefield.domains.series.statistics.panel import PanelTest, shaped
from scorefield.domains.series.statistics.population import SeriesPopulation, table_of
from scorefield.domains.series.synthesis import is_panel
from scorefield.domains.series.tables import SUFFIXES, read_table, suffix

if TYPE_CHECKING:
    from scorefield.domains.series.tsdiff.panel_data import PanelData

__all__ = ["population", "read_population", "recognises", "reference"]


def recognises(path: Path) -> bool:
    """Whether a file with this name holds series; one with SMILES, or with the ends of edges, does not."""
    names = {name.lower() for name in column_names(path) or _array_names(path)}
    return suffix(path) in SUFFIXES and "smiles" not in names and not {"src", "dst"} <= names


def _array_names(path: Path) -> list[str]:
    """Of an `.npz`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return []


def read_population(path: Path) -> SeriesPopulation:
    """The series of a file.

    Raises:
        InputError: the file cannot be read; it names the place.
    """
    return SeriesPopulation(read_table(path))


def population(
    samples: SeriesPopulation | SeriesSamples | npt.NDArray[np.floating], *, progress: bool = False
) -> SeriesPopulation:
    """A population that keeps its windows and their features."""
    return samples if isinstance(samples, SeriesPopulation) else SeriesPopulation(table_of(samples))


def reference(run: Run) -> tuple[SeriesPopulation, SeriesPopulation]:
    """The test split and the training set of a run, on the scale of its training; of a panel, windows as shapes.

    Raises:
        InputError: the run does not say which data it was trained on, or they are not there or not as they were.
    """
    module = open_data(run, "series")
    if is_panel(run.model["tables"]):
        return _panel_reference(module, run)
    scaling = Scaling.from_tables(run.model["tables"])
    test, train = (
        SeriesPopulation(table_of(part()), scaling, overlapping=module.overlapping)
        for part in (module.test_references, module.train_references)
    )
    return test, train


def _panel_reference(module: PanelData, run: Run) -> tuple[SeriesPopulation, SeriesPopulation]:
    test = module.test
    if test is None or not len(test):
        mend = "give a file of real windows in place of the run"
        raise InputError("holds no test set to compare with", file=run.model_file, place="data.windows", mend=mend)
    entries = PanelTest(
        module.context,
        int(run.model["tables"]["season"]),
        tuple(_at_least(test.history(k), module.context) for k in range(len(test))),
        test.truth(),
        test.rows,
    )
    train = shaped(population(module.train_references()), entries, "the training windows")
    rolling = len(np.unique(test.rows)) < len(test)
    real = SeriesPopulation(table_of(module.test_references()), overlapping=rolling)
    return shaped(real, entries, "the test set", train.scaling), train


def _at_least(history: npt.NDArray[np.float64], context: int) -> npt.NDArray[np.float64]:
    """A history, with unknown values before it where it is shorter than a context."""
    return np.pad(history, (max(context - len(history), 0), 0), constant_values=np.nan)
