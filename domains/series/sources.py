"""Published sets of series: where they can be downloaded, and the generators of those that are computed.

Sources: sines as in TimeGAN (Yoon et al. 2019) with the frequencies and phases of PaD-TS (Li et al. 2025, arXiv
2501.00910); the hopper of dm_control's suite as in the latter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scorefield.core.downloads import cache_folder, download
from scorefield.core.errors import InputError
from scorefield.domains.series.tables import Layout, SeriesTable, read_table

__all__ = ["ENERGY", "FMRI", "STOCKS", "SeriesSource", "hopper", "sines", "trace"]


@dataclass(frozen=True)
class SeriesSource:
    """A published series.

    Args:
        name: its name.
        url: where it is.
        file: the name it is stored under.
        rows: its rows.
        features: its features.
        licence: what is known about the terms of use.
        array: the array of an `.npz` or `.mat` that holds it.
    """

    name: str
    url: str
    file: str
    rows: int
    features: int
    licence: str
    array: str | None = None

    def fetch(self, url: str | None = None) -> Path:
        """The stored file, downloaded on the first call.

        Args:
            url: another address than the published one.

        Raises:
            InputError: no network, or a file of another shape.
        """
        url = url or self.url
        path = cache_folder() / "downloads" / self.file
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Under its own suffixes, by which it is read; it takes its name only once it has been.
        temporary = path.with_name(f"incoming-{url.rpartition('/')[2]}")
        try:
            download(url, temporary, self.name)
            self.read(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    def read(self, path: Path) -> SeriesTable:
        """The series of a file.

        Raises:
            InputError: it cannot be read, or has another number of features.
        """
        if path.suffix == ".mat":
            table = self._matlab(path)
        else:
            table = read_table(path, Layout(array=self.array if path.suffix == ".npz" else None))
        if len(table.columns) != self.features:
            what = f"{len(table.columns)} features, {self.name} has {self.features}"
            raise InputError(what, file=path, mend="use SeriesData for other files")
        return table

    def _matlab(self, path: Path) -> SeriesTable:
        from scipy.io import loadmat

        try:
            values = np.asarray(loadmat(path)[self.array or ""], dtype=np.float64)
        except (OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:
            what = f"is no MATLAB file with {self.array!r} ({type(error).__name__})"
            raise InputError(what, file=path) from error
        if values.ndim != 2 or not np.isfinite(values).all():
            raise InputError("is no matrix of finite numbers", file=path, place=self.array)
        return SeriesTable.of(values[None])


def sines(number: int, length: int, features: int, seed: int) -> NDArray[np.float64]:
    """Sines of random frequency and phase, (sin(f j + p) + 1) / 2 with f, p ~ U(0, 0.1), `[number, length, features]`.

    Bit for bit those of the published generator: numpy's legacy numbers, frequency before phase, features within
    series.
    """
    draws = np.random.RandomState(seed).uniform(0, 0.1, (number, features, 2))
    steps = np.arange(length)
    angles = steps[None, :, None] * draws[:, None, :, 0] + draws[:, None, :, 1]
    return np.asarray((np.sin(angles) + 1) * 0.5)


def hopper(number: int, length: int, seed: int) -> NDArray[np.float64]:
    """Trajectories of MuJoCo's hopper from random starts, positions then velocities, `[number, length, 14]`.

    They depend on the version of the engine.

    Raises:
        InputError: the optional packages are not installed.
    """
    try:
        from dm_control import suite
    except ImportError as error:
        mend = 'pip install "scorefield[mujoco]", or give trajectories with --data.path'
        raise InputError(f"the MuJoCo hopper needs dm_control ({error})", mend=mend) from error
    draws = np.random.RandomState(seed)
    physics = suite.load("hopper", "stand").physics
    found = np.empty((number, length, 14))
    for trajectory in found:
        with physics.reset_context():
            physics.data.qpos[:2] = draws.uniform(0, 0.5, 2)
            physics.data.qpos[2:] = draws.uniform(-2, 2, len(physics.data.qpos) - 2)
            physics.data.qvel[:] = draws.uniform(-5, 5, len(physics.data.qvel))
        for step in trajectory:
            step[:] = np.concatenate([physics.data.qpos, physics.data.qvel])
            physics.step()
    return found


def trace() -> tuple[SeriesTable, int]:
    """The set Trace of tslearn's package: 200 series of 275 steps in four classes, and how many are for training.

    Raises:
        InputError: tslearn is not installed.
    """
    try:
        from tslearn.datasets import CachedDatasets
    except ImportError as error:
        raise InputError(f"the set Trace comes with tslearn ({error})", mend="pip install tslearn") from error
    train, train_labels, test, test_labels = CachedDatasets().load_dataset("Trace")
    labels = tuple(str(label) for label in np.concatenate([train_labels, test_labels]).tolist())
    return SeriesTable.of(np.concatenate([train, test]).astype(np.float64), ("trace",), labels), len(train)


STOCKS = SeriesSource(
    name="stocks",
    url="https://raw.githubusercontent.com/jsyoon0823/TimeGAN/master/data/stock_data.csv",
    file="stock_data.csv",
    rows=3685,
    features=6,
    licence="daily quotes of one share, distributed with TimeGAN; see the terms of the source",
)

ENERGY = SeriesSource(
    name="energy",
    url="https://raw.githubusercontent.com/jsyoon0823/TimeGAN/master/data/energy_data.csv",
    file="energy_data.csv",
    rows=19735,
    features=28,
    licence="CC BY 4.0 (UCI Appliances Energy Prediction, Candanedo et al. 2017, doi 10.1016/j.enbuild.2017.01.083)",
)

FMRI = SeriesSource(
    name="fmri",
    url="https://raw.githubusercontent.com/wmd3i/PaD-TS/main/dataset/fMRI/sim4.mat",
    file="fmri_sim4.mat",
    rows=10000,
    features=50,
    licence="FMRIB NetSim, simulation 4 (Smith et al. 2011, doi 10.1016/j.neuroimage.2010.08.063); see its terms",
    array="ts",
)
