"""What `compare` takes in this domain: files of trajectories, runs, decoded samples, arrays `[n, N, T, D]`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.references import open_data
from scorefield.core.runs import Run
from scorefield.domains.geometry.statistics.population import TrajectoryPopulation
from scorefield.domains.geometry.trajectories import Trajectories

__all__ = ["population", "read_population", "recognises", "reference"]

_XYZ = (".xyz", ".extxyz")


def recognises(path: Path) -> bool:
    """Whether a file holds trajectories: extended XYZ by its name, an archive of arrays by its `x` with four axes."""
    suffix = path.suffix.lower()
    return suffix in _XYZ or (suffix == ".npz" and _axes(path) == 4)


def _axes(path: Path) -> int:
    """Of `x` in an archive, 0 where that cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("x.npy") as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return len(read(stream)[0])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return 0


def read_population(path: Path) -> TrajectoryPopulation:
    """The trajectories of a file.

    Raises:
        InputError: the file cannot be read; it names the place.
    """
    return TrajectoryPopulation(Trajectories.load(path))


def population(
    samples: TrajectoryPopulation | Trajectories | NDArray[np.floating[Any]], *, progress: bool = False
) -> TrajectoryPopulation:
    """A population that keeps its features."""
    return samples if isinstance(samples, TrajectoryPopulation) else TrajectoryPopulation(samples)


def reference(run: Run) -> tuple[TrajectoryPopulation, TrajectoryPopulation]:
    """The test split and the training set of a run.

    Raises:
        InputError: the run does not say which data it was trained on, or they are not there or not as they were.
    """
    module = open_data(run, "trajectories")
    tables = run.model["tables"]
    kind, bonds = tables.get("kind"), tables.get("bonds")
    test, train = module.test_references(), module.train_references()
    return TrajectoryPopulation(test, kind, bonds), TrajectoryPopulation(train, kind, bonds)
