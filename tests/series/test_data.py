"""Data of series: published counts and windows, generators, splits, scaling, what a training gets."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorefield.core.errors import InputError, InputWarning
from scorefield.core.loading import DrawSampler, EpochSampler
from scorefield.domains.series import sources
from scorefield.domains.series.data import (
    EnergyData,
    FMRIData,
    MujocoData,
    SeriesData,
    SinesData,
    StocksData,
    TraceData,
)
from scorefield.domains.series.scaling import Scaling
from scorefield.domains.series.sources import STOCKS, SeriesSource, sines
from scorefield.domains.series.windows import contiguous_split, paper_split


@pytest.fixture(scope="module")
def folder(shared_dir: Path) -> Path:
    return shared_dir / "data" / "series_pad_ts"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Forty rows of a ramp, a wave and a constant."""
    rows = np.arange(40)
    frame = pd.DataFrame({"ramp": rows * 10.0, "wave": np.sin(rows), "flat": 0.3})
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def ready(*arguments: object, **options: object) -> SeriesData:
    data = SeriesData(*arguments, **options)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        data.setup("fit")
    return data


def test_stocks_as_published(shared_dir: Path, folder: Path) -> None:
    stored = np.load(shared_dir / "fixtures" / "series_pad_ts" / "data_stock24.npz")
    data = StocksData(str(folder / "stock_data.csv"))
    data.setup("fit")
    assert data.provenance["train"] == 3662 == int(stored["n_windows"])
    assert data.tables["columns"] == ["Open", "High", "Low", "Close", "Adj_Close", "Volume"]
    np.testing.assert_array_equal(data.tables["low"], stored["data_min"])
    np.testing.assert_array_equal(data.tables["high"], stored["data_max"])
    split = paper_split(np.array([0, 3685]), 24, 1, 1.0, 123)
    np.testing.assert_array_equal(split.train[:32], stored["perm_first"])
    first = data.train_references()[slice(8)]
    np.testing.assert_allclose(data.scaling.scaled(first.x), stored["first_windows"], rtol=0, atol=1e-12)
    batch = next(iter(data.val_dataloader()))
    assert batch["x"].shape == (64, 24, 6)
    assert batch["x"].abs().max() <= 1


@pytest.mark.parametrize(
    ("kind", "file", "windows", "features"),
    [(EnergyData, "energy.csv.gz", 19711, 28), (FMRIData, "fmri_sim4.npz", 9977, 50)],
)
def test_published_counts(folder: Path, kind: type[SeriesData], file: str, windows: int, features: int) -> None:
    data = kind(str(folder / file))
    data.setup("fit")
    assert (data.provenance["train"], data.sizes) == (windows, {"length": 24, "features": features})
    assert data.provenance["name"] in ("energy", "fmri")
    assert data.provenance["licence"]


def test_sines_bit_for_bit(shared_dir: Path) -> None:
    stored = np.load(shared_dir / "fixtures" / "series_pad_ts" / "data_sine24.npz")
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1]  # noqa: NPY002
    made = sines(16, 24, 5, int(stored["seed"]))
    np.testing.assert_allclose(made, stored["raw01"], rtol=0, atol=1e-15)
    np.testing.assert_allclose(Scaling(np.zeros(5), np.ones(5)).scaled(made), stored["samples"], rtol=0, atol=1e-15)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(sines(10000, 24, 5, 123)[:16], made)


def test_sines_are_not_scaled_by_their_own_range() -> None:
    data = SinesData(number=100)
    data.setup("fit")
    assert data.tables["low"] == [0.0] * 5
    assert data.tables["high"] == [1.0] * 5
    assert data.provenance["train"] == 100
    assert data.local_files() == {}


def test_mujoco_from_a_file_has_one_range(folder: Path) -> None:
    data = MujocoData(str(folder / "mujoco_hopper_sample.npz"))
    data.setup("fit")
    stored = np.load(folder / "mujoco_hopper_sample.npz")["trajectories"]
    assert set(data.tables["low"]) == {float(stored.min())}
    assert set(data.tables["high"]) == {float(stored.max())}
    assert data.provenance["train"] == 200
    assert data.sizes["features"] == 14


def test_the_hopper_as_stored(folder: Path) -> None:
    pytest.importorskip("dm_control", reason="the extra mujoco is not installed")
    stored = np.load(folder / "mujoco_hopper_sample.npz")["trajectories"]
    np.testing.assert_array_equal(sources.hopper(len(stored), 24, 123), stored)


def test_without_the_extra_the_hopper_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dm_control", None)
    with pytest.raises(InputError, match=r"scorefield\[mujoco\].*--data.path"):
        MujocoData().setup("fit")


def test_trace_comes_with_classes_and_its_own_split() -> None:
    data = TraceData()
    data.setup("fit")
    assert data.sizes == {"length": 275, "features": 1, "classes": 4}
    assert data.tables["labels"] == ["1", "2", "3", "4"]
    assert sum(data.tables["label_counts"]) == 100
    assert (data.provenance["train"], data.provenance["test"]) == (100, 100)
    from tslearn.datasets import CachedDatasets

    train, labels, test, _ = CachedDatasets().load_dataset("Trace")
    np.testing.assert_array_equal(data.test_references().x, test)
    found = data.train_references()
    order = np.lexsort(found.x[:, :5, 0].T)
    wanted = np.lexsort(train[:, :5, 0].T)
    np.testing.assert_array_equal(found.labels[order], labels[wanted].astype(str))
    batch = next(iter(data.train_dataloader()))
    assert batch["label"].shape == (50,)
    assert set(batch["label"].tolist()) <= {0, 1, 2, 3}


def test_downloads_are_kept(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOREFIELD_CACHE", str(tmp_path / "cache"))
    data = StocksData(url=(folder / "stock_data.csv").as_uri())
    data.prepare_data()
    kept = tmp_path / "cache" / "downloads" / STOCKS.file
    assert (
        hashlib.sha256(kept.read_bytes()).hexdigest()
        == hashlib.sha256((folder / "stock_data.csv").read_bytes()).hexdigest()
    )
    again = StocksData(url="file:///nowhere.csv")
    again.setup("fit")
    assert again.provenance["train"] == 3662


def test_a_failed_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOREFIELD_CACHE", str(tmp_path))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for url, words in (("file:///nowhere.csv", "cannot be downloaded"), ((tmp_path / "other.csv").as_uri(), "2 feat")):
        with pytest.raises(InputError, match=words):
            StocksData(url=url).prepare_data()
        assert not list((tmp_path / "downloads").iterdir())


def test_matlab_files(tmp_path: Path) -> None:
    from scipy.io import savemat

    source = SeriesSource("toy", "", "toy.mat", 30, 4, "", array="ts")
    values = np.random.default_rng(0).normal(size=(30, 4))
    savemat(tmp_path / "toy.mat", {"ts": values, "other": 1})
    np.testing.assert_array_equal(source.read(tmp_path / "toy.mat").values, values)
    savemat(tmp_path / "bad.mat", {"other": 1})
    with pytest.raises(InputError, match=r"bad\.mat: is no MATLAB file with 'ts'"):
        source.read(tmp_path / "bad.mat")


def test_own_files(table: Path) -> None:
    data = ready(str(table), window=10, batch_size=8)
    assert data.sizes == {"length": 10, "features": 3}
    assert data.provenance["train"] == 31
    assert data.tables["low"] == [0.0, float(np.sin(np.arange(40)).min()), 0.3]
    assert data.local_files() == {"path": str(table)}
    assert ready(str(table), window=10, stride=5, batch_size=4).provenance["train"] == 7
    assert data.provenance["sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()


def test_constant_columns_are_kept_and_come_back_exactly(table: Path) -> None:
    data = SeriesData(str(table), window=10, batch_size=8)
    with pytest.warns(InputWarning, match=r"table\.csv: column 'flat' is constant: it is kept"):
        data.setup("fit")
    noise = np.random.default_rng(0).normal(size=(4, 10, 3))
    back = data.scaling.original(noise)
    assert set(back[..., 2].ravel()) == {0.3}
    assert set(data.scaling.scaled(data.train_references().x)[..., 2].ravel()) == {-1.0}


def test_windows_never_reach_into_another_series(tmp_path: Path) -> None:
    frame = pd.DataFrame({"who": np.repeat(["b", "a"], [12, 15]), "when": "2020-01-01", "v": np.arange(27.0)})
    frame.to_csv(tmp_path / "groups.csv", index=False)
    data = ready(str(tmp_path / "groups.csv"), window=10, batch_size=2, group="who", time="when")
    starts = sorted(data.train_references().x[:, 0, 0])
    assert starts == [0, 1, 2, 12, 13, 14, 15, 16, 17]
    assert data.sizes["features"] == 1


def test_dates_of_a_usual_name_are_no_feature(table: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    frame = pd.read_csv(table)
    for name, cells in (
        ("Date", pd.date_range("2024-01-30", periods=40)),
        ("time", [f"{k % 24}:00" for k in range(40)]),
    ):
        frame.assign(**{name: cells}).to_csv(table, index=False)
        assert ready(str(table), window=10, batch_size=8).tables["columns"] == ["ramp", "wave", "flat"]
        assert f"3 features (the times {name!r} are left out)" in caplog.text
        frame.assign(**{name: cells}).to_parquet(table.with_suffix(".parquet"))
        assert ready(str(table.with_suffix(".parquet")), window=10, batch_size=8).sizes["features"] == 3
    frame.assign(time=np.arange(40) ** 2).to_csv(table, index=False)
    assert ready(str(table), window=10, batch_size=8).tables["columns"][-1] == "time"
    frame.assign(date=["", *["2024-01-30"] * 39]).to_csv(table, index=False)
    with pytest.raises(InputError, match="'date': the cell is empty"):
        ready(str(table), window=10, batch_size=8)


def test_subjects_are_series_of_their_own_unless_as_published(folder: Path) -> None:
    data = FMRIData(str(folder / "fmri_sim4.npz"), split="contiguous", proportion=0.8)
    data.setup("fit")
    assert (data.provenance["series"], data.provenance["train"], data.provenance["test"]) == (50, 40 * 177, 10 * 177)
    assert data.provenance["split"] == "the first 40 of 50 series for training"


def test_a_folder_holds_a_series_in_each_file(tmp_path: Path) -> None:
    for name, first in (("2.csv", 100), ("1.csv", 0)):
        frame = pd.DataFrame({"a": np.arange(12.0) + first, "b": 1.0 * np.arange(12)})
        frame[["b", "a"] if first else ["a", "b"]].to_csv(tmp_path / name, index=False)
    data = ready(str(tmp_path), window=10, batch_size=2)
    assert sorted(data.train_references().x[:, 0, 0]) == [0, 1, 2, 100, 101, 102]
    assert data.tables["columns"] == ["a", "b"]


def test_series_that_are_too_short_are_counted(tmp_path: Path) -> None:
    pd.DataFrame({"g": np.repeat([1, 2, 3], [12, 4, 3]), "v": np.arange(19.0)}).to_csv(tmp_path / "g.csv", index=False)
    data = SeriesData(str(tmp_path / "g.csv"), window=10, batch_size=2, group="g")
    with pytest.warns(InputWarning, match=r"2 of 3 series are left out; the first is 2 \(4 rows"):
        data.setup("fit")
    assert data.provenance["train"] == 3


def test_padded_arrays_as_tslearn_makes_them(tmp_path: Path) -> None:
    from tslearn.utils import to_time_series_dataset

    padded = to_time_series_dataset([np.arange(12.0), np.arange(5.0)])
    np.savez(tmp_path / "p.npz", x=padded)
    data = SeriesData(str(tmp_path / "p.npz"), window=10, batch_size=2)
    with pytest.warns(InputWarning, match="1 of 2 series are left out"):
        data.setup("fit")
    assert data.provenance["train"] == 3


def test_the_contiguous_split_has_no_leak(table: Path) -> None:
    data = ready(str(table), window=10, batch_size=8, split="contiguous", proportion=0.6)
    train, test = data.train_references().x[..., 0], data.test_references().x[..., 0]
    assert train.max() < test.min()
    assert (len(train), len(test)) == (15, 7)
    assert data.tables["high"][0] == 230.0  # the scaling saw the training rows only


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    window=st.integers(2, 8),
    stride=st.integers(1, 4),
    share=st.floats(0.05, 1.0),
)
def test_splits_hold_every_window_inside_its_series(lengths, window, stride, share) -> None:
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    owner = np.repeat(np.arange(len(lengths)), lengths)
    for split in (paper_split(bounds, window, stride, share, 1), contiguous_split(bounds, window, stride, share)):
        starts = np.concatenate([split.train, split.test])
        assert len(np.unique(starts)) == len(starts)
        assert all(owner[start] == owner[start + window - 1] for start in starts)
    rows = lambda part: {int(start) + k for start in part for k in range(window)}  # noqa: E731
    assert not rows(split.train) & rows(split.test)
    assert all(split.scaled_on[row] for row in rows(split.train))
    assert not any(split.scaled_on[row] for row in rows(split.test))


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-6, 1e6), values=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_scaling_there_and_back(low: float, span: float, values: list[float]) -> None:
    scaling = Scaling(np.array([low]), np.array([low + span]))
    x = low + np.array(values)[:, None] * span
    np.testing.assert_allclose(scaling.original(scaling.scaled(x)), x, rtol=1e-9, atol=1e-9 * span)


def test_batches_drawn_on_their_own_are_whole_and_shared_out() -> None:
    rows = range(50)
    draws = [list(DrawSampler(rows, 16, seed=3))]  # type: ignore[arg-type]
    assert len(draws[0]) == 48
    batches = np.array(draws[0]).reshape(3, 16)
    assert all(len(set(batch)) == 16 for batch in batches)  # without replacement within a batch
    assert len(set(draws[0])) < 48  # but not over batches
    parts = [list(DrawSampler(rows, 16, 3, 2, rank)) for rank in (0, 1)]  # type: ignore[arg-type]
    for step in range(3):
        together = {row for part in parts for row in part[8 * step : 8 * step + 8]}
        assert together == set(batches[step])
    again = DrawSampler(rows, 16, seed=3)  # type: ignore[arg-type]
    again.set_epoch(1)
    assert list(again) != draws[0]


def test_the_order_of_batches_is_an_option(table: Path) -> None:
    for batches, kind in (("epochs", EpochSampler), ("draws", DrawSampler)):
        data = ready(str(table), window=10, batch_size=8, batches=batches)
        assert isinstance(data.train_dataloader().sampler, kind)
        assert isinstance(data.val_dataloader().sampler, EpochSampler)


def test_exported_states_train_elsewhere(table: Path) -> None:
    from scorefield.core.states_data import StatesData

    data = ready(str(table), window=10, batch_size=4, split="contiguous", proportion=0.6)
    states = StatesData(batch_size=4, square=[])
    states.values = data.arrays()
    states.setup("fit")
    assert states.sizes == data.sizes
    assert states.tables == data.tables
    assert next(iter(states.train_dataloader()))["x"].shape == (4, 10, 3)
