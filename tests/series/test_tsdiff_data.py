"""Panels of univariate series: files, published sets, windows without leaks, scaling, lags, masks, what is refused."""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import json
import tarfile
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from scorefield.core.errors import InputError, InputWarning
from scorefield.core.loading import DrawSampler
from scorefield.domains.series.tsdiff import published
from scorefield.domains.series.tsdiff.encoding import WindowPlan, encode, features, hidden_steps, mean_scale
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panel_data import PanelData
from scorefield.domains.series.tsdiff.panel_files import PanelFile, read_panel, write_panel
from scorefield.domains.series.tsdiff.panel_tables import PanelLayout
from scorefield.domains.series.tsdiff.panels import Panel
from scorefield.domains.series.tsdiff.published import PUBLISHED, PublishedPanelData

Stored = dict[str, NDArray[Any]]
HOURLY = Frequency.parse("h").lags()


@pytest.fixture(scope="module")
def fixtures(shared_dir: Path) -> Callable[[str], Stored]:
    @functools.cache
    def load(name: str) -> Stored:
        found: Stored = load_file(shared_dir / "fixtures" / "series_tsdiff" / f"{name}.safetensors")
        return found

    return load


@pytest.fixture(scope="module")
def folder(shared_dir: Path) -> Path:
    return shared_dir / "data" / "series_tsdiff"


def waves(number: int = 3, length: int = 60, frequency: str = "h") -> Panel:
    steps = np.arange(length)
    series = [5 + k + np.sin(steps / (2 + k)) for k in range(number)]
    start = pd.Timestamp("2024-01-01")
    return Panel.of(series, [f"s{k}" for k in range(number)], [start] * number, Frequency.parse(frequency))


def lines_of(panel: Panel) -> str:
    rows = [
        {"start": str(panel.starts[k]), "target": panel.series(k).tolist(), "item_id": name}
        for k, name in enumerate(panel.names)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def table_of(panel: Panel) -> pd.DataFrame:
    parts = []
    for k, name in enumerate(panel.names):
        times = panel.frequency.stamps(panel.starts[k], int(panel.lengths[k]))
        parts.append(pd.DataFrame({"item_id": name, "timestamp": times, "target": panel.series(k)}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def panel_file(tmp_path: Path) -> Path:
    write_panel(PanelFile(waves()), tmp_path / "waves.npz")
    return tmp_path / "waves.npz"


def ready(path: Path | str | None, **options: Any) -> PanelData:
    settings: dict[str, Any] = {"context": 8, "prediction": 4, "lags": "none", "batch_size": 4, "epoch_batches": 5}
    data = PanelData(None if path is None else str(path), **{**settings, **options})
    data.setup("fit")
    return data


# Frequencies and lags


@pytest.mark.parametrize(
    ("aliases", "season"),
    [
        (("H", "h", "1H", "1h"), 24), (("B",), 5), (("D", "1D"), 1), (("T", "min", "1T"), 1440),
        (("15T", "15min"), 96), (("M", "ME"), 12), (("Q", "QE"), 4), (("A", "Y", "YE"), 1), (("W", "w"), 1),
        (("W-MON",), 1), (("5h", "5H"), 1), (("S", "s"), 3600),
    ],
)  # fmt: skip
def test_aliases_of_any_version(aliases: tuple[str, ...], season: int) -> None:
    assert len({Frequency.parse(alias) for alias in aliases}) == 1
    found = Frequency.parse(aliases[0])
    assert found.season == season
    assert Frequency.parse(str(found)) == found
    assert len(found.stamps("2024-01-01", 3)) == 3


def test_lags_and_seasons_as_published(fixtures: Callable[[str], Stored]) -> None:
    stored = fixtures("transforms")
    for unit in "HBD":
        frequency = Frequency.parse(unit)
        assert list(frequency.lags()) == stored[f"lags.{unit}"].tolist()
        assert frequency.season == int(stored[f"seasonality.{unit}"])


# Encoding


def test_the_scaler_as_published(fixtures: Callable[[str], Stored]) -> None:
    stored = fixtures("transforms")
    data, observed = stored["scaler.data"], stored["scaler.weights"] > 0
    scale = mean_scale(data, observed, None)
    np.testing.assert_allclose(scale[:, None], stored["scaler.scale"], rtol=1e-12)
    np.testing.assert_allclose(data / scale[:, None], stored["scaler.scaled"], rtol=1e-12)
    fixed = mean_scale(data, observed, 7.0)
    np.testing.assert_array_equal(fixed[[1, 3]], [7.0, 7.0])
    np.testing.assert_array_equal(fixed[[0, 2, 4]], scale[[0, 2, 4]])
    np.testing.assert_array_equal(mean_scale(data[1:2], observed[1:2], 7.0), fixed[1:2])  # neighbours say nothing


@pytest.mark.parametrize("kind", ["BM-B", "BM-E", "RM"])
def test_missing_values_as_published(fixtures: Callable[[str], Stored], kind: Any) -> None:
    stored = fixtures("transforms")
    observed = stored[f"mask.{kind}.past_observed"]
    context = 48
    hidden = hidden_steps(kind, 1, context, None, [np.random.default_rng(0)])[0]
    published = observed[-context:] == 0
    assert hidden.sum() == published.sum() == context // 2
    assert (observed[:-context] == 1).all()
    if kind != "RM":
        np.testing.assert_array_equal(hidden, published)
    again, other = (hidden_steps("RM", 1, context, 5, [np.random.default_rng(seed)])[0] for seed in (0, 1))
    assert again.sum() == other.sum() == 5
    assert (again != other).any()


def test_windows_with_lags_as_published(fixtures: Callable[[str], Stored]) -> None:
    stored, plan = fixtures("tsdiff_loss"), WindowPlan(48, 12, HOURLY)
    values = np.concatenate([stored["data.past_target"], stored["data.future_target"]], 1)
    found = encode(values, plan, None)
    assert values.shape[1] == plan.total
    np.testing.assert_allclose(found.scale, stored["scale"].ravel(), rtol=1e-12)
    np.testing.assert_allclose(found.x, stored["x"], rtol=0, atol=1e-12)
    assert found.observed.all()


def test_observations_are_lagged_too() -> None:
    plan = WindowPlan(4, 3, (2, 5))
    values = np.arange(1.0, 13.0)[None]
    values[0, -3:] = np.nan  # to be forecast
    hidden = np.zeros((1, 4), dtype=bool)
    hidden[0, 1] = True
    found = encode(values, plan, 1.0, hidden)
    known = ~np.isnan(values[0])
    known[5 + 1] = False
    for channel, lag in enumerate((0, 2, 5)):
        steps = np.arange(5, 12) - lag
        np.testing.assert_array_equal(found.observed[0, :, channel], known[steps])
        expected = np.where(known[steps], np.nan_to_num(values[0, steps]) / found.scale[0], 0.0)
        np.testing.assert_allclose(found.x[0, :, channel], expected)
    assert found.scale[0] == pytest.approx((6 + 8 + 9) / 3)


def test_conditions_as_published(fixtures: Callable[[str], Stored]) -> None:
    stored, plan = fixtures("tsdiff_cond"), WindowPlan(48, 12, HOURLY)
    whole = np.concatenate([stored["data.orig_past_target"], stored["data.future_target"]], 1)
    hidden = stored["data.past_observed_values"][:, -48:] == 0
    found = features(whole, plan, None, hidden)
    np.testing.assert_allclose(found.scale, stored["scale"].ravel(), rtol=1e-12)
    np.testing.assert_allclose(found.x, stored["features"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(whole[:, 672:] / found.scale[:, None], stored["x"][..., 0], rtol=0, atol=1e-12)


def test_conditions_know_nothing_of_the_future() -> None:
    """With 48 steps to forecast, a lag of 24 hours points at what is to be forecast."""
    plan, draws = WindowPlan(60, 48, (24, 72)), np.random.default_rng(0)
    values = draws.normal(5, 1, (3, plan.total))
    changed = values.copy()
    changed[:, -48:] = draws.normal(100, 9, (3, 48))
    before, after = (features(rows, plan, 1.0) for rows in (values, changed))
    np.testing.assert_array_equal(before.x, after.x)
    np.testing.assert_array_equal(before.scale, after.scale)
    assert (before.x[:, -24:, 0] == 0).all()
    assert (encode(values, plan, 1.0).x[:, -24:, 1] != encode(changed, plan, 1.0).x[:, -24:, 1]).all()


# Published sets


def test_exchange_as_published(folder: Path) -> None:
    data = PublishedPanelData("exchange_rate_nips", str(folder / "exchange_rate_nips.npz"))
    data.setup("fit")
    values = np.load(folder / "exchange_rate_nips.npz")["values"]
    assert (data.sizes, str(data.panel.frequency)) == ({"length": 390, "features": 13}, "B")
    assert data.provenance["test"] == 40 == len(data.test or ())
    assert data.provenance["train"] == 8 * (6071 - 30 - 750 + 1)
    assert data.test is not None
    truth, recent = data.test.truth(), data.test.recent(360)
    for window in range(5):
        for series in range(8):
            end = 6101 + 30 * window
            np.testing.assert_array_equal(truth[8 * window + series], values[series, end - 30 : end])
            np.testing.assert_array_equal(recent[8 * window + series], values[series, end - 390 : end - 30])
    assert data.test.stamps(0)[0] == pd.Timestamp("1990-01-01") + pd.offsets.BusinessDay(6071)  # type: ignore[index]
    batch = next(iter(data.train_dataloader()))
    assert batch["x"].shape == (64, 390, 13)
    assert batch["x"][:, :360, 0].abs().mean(1).numpy() == pytest.approx(1, abs=1e-4)


def test_m4_as_published(folder: Path) -> None:
    data = PublishedPanelData("m4_hourly", str(folder / "m4_hourly.npz"))
    data.setup("fit")
    stored = np.load(folder / "m4_hourly.npz")
    assert data.sizes == {"length": 360, "features": 1}
    assert len(data.test or ()) == 414
    assert data.provenance["train"] == int((stored["train_lengths"] - 48 - 360 + 1).sum())
    assert data.test is not None
    np.testing.assert_array_equal(data.test.truth(), stored["test"])
    np.testing.assert_array_equal(
        data.test.history(3), np.split(stored["train_flat"], stored["train_lengths"].cumsum())[3]
    )
    assert len(data.val_dataloader().dataset) == 414  # type: ignore[arg-type]
    assert len(data.tables["scales"]) == 512
    assert json.loads(json.dumps(data.tables)) == data.tables
    assert [len(part.x) for part in (data.train_references(), data.test_references())] == [8192, 414]


def test_every_published_set_is_as_in_the_table() -> None:
    facts = {n: (p.frequency, p.context, p.prediction, p.lags, p.series, p.windows) for n, p in PUBLISHED.items()}
    assert facts == {
        "solar_nips": ("h", 336, 24, True, 137, 7),
        "electricity_nips": ("h", 336, 24, True, 370, 7),
        "traffic_nips": ("h", 336, 24, True, 963, 7),
        "exchange_rate_nips": ("B", 360, 30, True, 8, 5),
        "m4_hourly": ("h", 312, 48, False, 414, 1),
        "uber_tlc_hourly": ("h", 336, 24, True, 262, 1),
        "kdd_cup_2018_without_missing": ("h", 312, 48, True, 270, 1),
        "wiki2000_nips": ("D", 360, 30, False, 2000, 5),
    }


def rolling_archive(whole: Panel, prediction: int, windows: int, path: Path) -> None:
    """As GluonTS stores rolling tests: every window with all series, from their beginnings."""
    train = whole.head(whole.lengths - windows * prediction)
    cuts = [whole.head(whole.lengths - back * prediction) for back in range(windows - 1, -1, -1)]
    parts = {"set/train/train.json": lines_of(train), "set/test/test.json": "".join(map(lines_of, cuts))}
    with tarfile.open(path, "w:gz") as archive:
        for name, text in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))


def published_files(folder: Path) -> dict[str, Panel]:
    """Small sets in the form of the published ones, and what they hold."""
    whole = waves(3, 60)
    rolling_archive(whole, 4, 2, folder / "exchange_rate_nips.tar.gz")
    for part in ("Train", "Test"):
        (folder / part).mkdir()
    short = whole.head(np.array([60, 50, 60]))
    rows = [short.series(k) for k in range(3)]
    for part, cut in (("Train", slice(None, -4)), ("Test", slice(-4, None))):
        frame = pd.DataFrame([pd.Series(row[cut]) for row in rows], index=list(short.names))
        frame.to_csv(folder / part / f"Hourly-{part.lower()}.csv", index_label="V1")
    text = "# about\n@relation x\n@attribute series_name string\n@attribute start_timestamp date\n"
    text += "@frequency hourly\n@data\n"
    text += "".join(
        f"{name}:2024-01-01 00-00-00:{','.join(map(repr, whole.series(k).tolist()))}\n"
        for k, name in enumerate(whole.names)
    )
    with zipfile.ZipFile(folder / "kdd_cup_2018_dataset_without_missing_values.zip", "w") as archive:
        archive.writestr("kdd.tsf", text)
    pickups = [
        (f"2015-01-0{1 + h // 24} {h % 24:02}:30:0{n}", p) for p in (7, 2) for h in range(60) for n in range(1 + h % p)
    ]
    frame = pd.DataFrame(pickups, columns=["Pickup_date", "locationID"]).sample(frac=1, random_state=0)
    with zipfile.ZipFile(folder / "uber-raw-data-janjune-15.csv.zip", "w") as archive:
        archive.writestr("uber-raw-data-janjune-15.csv", frame.to_csv(index=False))
    counts = [1.0 + np.arange(60) % place for place in (2, 7)]
    start = pd.Timestamp("2015-01-01")
    taxis = Panel.of(counts, ["2", "7"], [start, start], Frequency("h"))
    return {
        "exchange_rate_nips": whole,
        "m4_hourly": short,
        "kdd_cup_2018_without_missing": whole,
        "uber_tlc_hourly": taxis,
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Panel]]]:
    root = tmp_path_factory.mktemp("served")
    made = published_files(root)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root))) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}", made
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "windows"),
    [("exchange_rate_nips", 2), ("m4_hourly", 1), ("kdd_cup_2018_without_missing", 1), ("uber_tlc_hourly", 1)],
)
def test_sets_are_downloaded_once(
    server: tuple[str, dict[str, Panel]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: Any, windows: int
) -> None:
    address, made = server
    monkeypatch.setenv("SCOREFIELD_CACHE", str(tmp_path))
    number = len(made[name])
    small = replace(PUBLISHED[name], frequency="h", context=8, prediction=4, lags=False, series=number, windows=windows)
    monkeypatch.setitem(published.PUBLISHED, name, small)
    for url in (address, "http://127.0.0.1:9/nothing"):  # the second time it is there already
        data = PublishedPanelData(name, url=url, batch_size=4)
        data.prepare_data()
        data.setup("fit")
        assert data.test is not None
        assert len(data.test) == windows * number
        assert list(data.test.panel.names) == list(made[name].names)
        np.testing.assert_array_equal(data.test.panel.values, made[name].values)
        np.testing.assert_array_equal(data.panel.lengths, made[name].lengths - 4 * windows - 4)
        assert data.provenance["name"] == name
    assert [file.name for file in (tmp_path / "downloads").iterdir()] == [f"{name}.npz"]


def test_downloads_that_are_not_the_set_are_refused(
    server: tuple[str, dict[str, Panel]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOREFIELD_CACHE", str(tmp_path))
    small = replace(PUBLISHED["exchange_rate_nips"], prediction=4)
    with pytest.raises(InputError, match="3 series, exchange_rate_nips has 8"):
        small.fetch(server[0])
    with pytest.raises(InputError, match=r"give the file with --data\.path"):
        PUBLISHED["solar_nips"].fetch(server[0])
    assert not list((tmp_path / "downloads").iterdir())


def test_archives_as_published_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = published_files(tmp_path)
    small = replace(PUBLISHED["m4_hourly"], context=8, prediction=4, series=3)
    monkeypatch.setitem(published.PUBLISHED, "m4_hourly", small)
    data = PublishedPanelData("m4_hourly", str(tmp_path), batch_size=4)
    data.setup("fit")
    assert data.test is not None
    np.testing.assert_array_equal(data.test.panel.values, made["m4_hourly"].values)


# Files


@pytest.mark.parametrize(
    "kind", ["lines.jsonl", "lines.json.gz", "long.csv", "long.parquet", "long.tsv.gz", "panel.npz"]
)
def test_formats_hold_the_same(tmp_path: Path, kind: str) -> None:
    panel, path = waves().head(np.array([60, 41, 60])), tmp_path / kind
    panel.values[7] = np.nan
    if "lines" in kind:
        text = lines_of(panel).replace("NaN", "null").encode()
        path.write_bytes(gzip.compress(text) if kind.endswith(".gz") else text)
    elif kind == "long.parquet":
        table_of(panel).sample(frac=1, random_state=0).sort_values("item_id", kind="stable").to_parquet(path)
    elif kind == "panel.npz":
        write_panel(PanelFile(panel), path)
    else:
        table_of(panel).to_csv(path, index=False, sep="\t" if ".tsv" in kind else ",")
    found = read_panel(path, PanelLayout("H" if "lines" in kind else None), 4).train
    assert found.names == panel.names
    np.testing.assert_array_equal(found.values, panel.values)
    np.testing.assert_array_equal(found.bounds, panel.bounds)
    np.testing.assert_array_equal(found.starts, panel.starts)
    assert found.frequency == panel.frequency


def test_wide_tables_and_business_days(tmp_path: Path) -> None:
    times = pd.bdate_range("2024-01-01", periods=30)
    frame = pd.DataFrame({"date": times, "a": np.arange(30.0), "b": -np.arange(30.0)})
    frame.to_csv(tmp_path / "wide.csv", index=False)
    found = read_panel(tmp_path / "wide.csv", PanelLayout(), 4).train
    assert (found.names, str(found.frequency)) == (("a", "b"), "B")
    np.testing.assert_array_equal(found.series(1), frame["b"])
    one = read_panel(tmp_path / "wide.csv", PanelLayout(target="b"), 4).train
    assert one.names == ("b",)


def test_a_test_set_of_its_own(tmp_path: Path) -> None:
    whole = waves()
    (tmp_path / "train.jsonl").write_text(lines_of(whole.head(whole.lengths - 4)))
    (tmp_path / "test.jsonl").write_text(lines_of(whole))
    data = ready(tmp_path / "train.jsonl", test_path=str(tmp_path / "test.jsonl"), frequency="h")
    assert data.test is not None
    np.testing.assert_array_equal(data.test.truth(), whole.values.reshape(3, 60)[:, -4:])
    assert data.panel.lengths.tolist() == [52] * 3  # 4 held out for validation
    assert set(data.local_files()) == {"path", "test_path"}


# Windows


def test_nothing_of_what_is_held_out_is_trained_on(tmp_path: Path) -> None:
    whole = waves()
    marked = whole.values.reshape(3, 60).copy()
    marked[:, -4:], marked[:, -8:-4] = 2000.0, 1000.0
    changed = replace(whole, values=marked.ravel())
    write_panel(PanelFile(changed), tmp_path / "marked.npz")
    data = ready(tmp_path / "marked.npz")
    assert data.train_windows(10**6).max() < 100
    assert data.fallback < 100
    assert data.provenance["train"] == 3 * (60 - 8 - 12 + 1)
    held = data.val_dataloader()
    assert [b["x"].shape[0] for b in held] == [3]
    assert float(next(iter(held))["x"][:, -4:].min()) > 100  # 1000 over about 6
    assert data.test is not None
    assert (data.test.truth() == 2000).all()
    published = ready(tmp_path / "marked.npz", holdout=0)
    assert published.train_windows(10**6).max() == 1000  # as published, only the test set is kept apart
    assert ready(tmp_path / "marked.npz", holdout=0, windows=0).train_windows(10**6).max() == 2000


def test_draws_are_the_same_for_any_number_of_processes(panel_file: Path) -> None:
    data = ready(panel_file)
    whole = data.train_dataloader()
    sampler = whole.sampler
    assert isinstance(sampler, DrawSampler)
    windows = whole.dataset
    assert len(whole) == 5
    for epoch in (0, 3):
        sampler.set_epoch(epoch)
        every = np.array(list(sampler)).reshape(5, 4)
        parts = []
        for rank in range(2):
            part = DrawSampler(windows, 4, 0, 2, rank, 5)  # type: ignore[arg-type]
            part.set_epoch(epoch)
            parts.append(np.array(list(part)).reshape(5, 2))
        np.testing.assert_array_equal(np.stack(parts, 2).reshape(5, 4), every)
        assert all(len(set(batch)) == 4 for batch in every.tolist())
    first, again = (next(iter(ready(panel_file).train_dataloader()))["x"] for _ in range(2))
    assert (first == again).all()
    other = next(iter(ready(panel_file, seed=1).train_dataloader()))["x"]
    assert (first != other).any()


def test_all_windows_are_drawn_alike_and_mixed(panel_file: Path) -> None:
    data = ready(panel_file, epoch_batches=1000)
    draws = np.array(list(data.train_dataloader().sampler))
    counts = np.bincount(draws, minlength=data.provenance["train"])
    expected = 4000 / len(counts)
    assert ((counts - expected) ** 2 / expected).sum() < 1.5 * len(counts)
    assert len(set((draws.reshape(-1, 4) // (len(counts) / 3)).astype(int)[0])) > 1


def test_conditional_batches(panel_file: Path) -> None:
    options = {"conditional": True, "lags": [2, 6], "context": 10, "prediction": 4}
    data = ready(panel_file, missing="RM", missing_count=3, **options)
    assert data.sizes == {"length": 14, "features": 1, "given": 4}
    batch = next(iter(data.train_dataloader()))
    assert (batch["x"].shape, batch["given"].shape) == ((4, 14, 1), (4, 14, 4))
    assert (batch["given"][:, :10, 3].sum(1) == 7).all()
    assert (batch["given"][:, 10:, 2:] == 0).all()
    assert (batch["x"] != 0).all()  # what is learnt is whole
    again = next(iter(ready(panel_file, missing="RM", missing_count=3, **options).train_dataloader()))
    assert (batch["given"] == again["given"]).all()


def test_states_can_be_exported(panel_file: Path) -> None:
    data = ready(panel_file, lags=[2])
    arrays = data.arrays()
    number = data.provenance["train"]
    assert arrays["x"].shape == (number + 3, 12, 2)
    assert arrays["is_validation"].sum() == 3
    assert json.loads(str(arrays["meta"]))["tables"]["context"] == 8


def test_short_and_silent_series_are_told(tmp_path: Path) -> None:
    whole = waves()
    series = [whole.series(0), whole.series(1)[:15], np.zeros(60), np.where(np.arange(60) == 20, np.nan, 3.0)]
    panel = Panel.of(series, list("abcd"), [None] * 4, Frequency("h"))
    write_panel(PanelFile(panel), tmp_path / "mixed.npz")
    with pytest.warns(InputWarning) as told:
        data = ready(tmp_path / "mixed.npz", holdout=0)
    texts = [str(warning.message) for warning in told]
    assert any("1 of 4 series are left out; the first is b (11 values" in text for text in texts)
    assert any("45 of 135 windows have a context of zeros" in text for text in texts)
    assert data.provenance["short"] == 1
    batch = data.train_dataloader().dataset.__getitems__(range(135))["x"]  # type: ignore[attr-defined]
    assert bool(batch.isfinite().all())
    assert (batch[45:90] == 0).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        padded = ready(tmp_path / "mixed.npz", windows=1).test
    assert padded is not None
    recent = padded.recent(20)[1]
    assert np.isnan(recent[:9]).all()  # before its start nothing is observed
    assert (
        not encode(np.pad(recent[None], ((0, 0), (0, 4)), constant_values=np.nan), WindowPlan(20, 4), 1.0)
        .observed[0, :9]
        .any()
    )


# What is refused


def json_line(**entry: Any) -> str:
    return json.dumps({"start": "2024-01-01 00:00:00", "target": list(range(1, 41)), "item_id": "a", **entry})


@pytest.mark.parametrize(
    ("name", "content", "options", "text"),
    [
        ("a.json", json_line(target=[]), {}, "line 1: the series is empty"),
        ("a.json", json_line(target=[1, "x"]), {}, "no number"),
        ("a.json", json_line() + "\n{", {}, "line 2: is no JSON"),
        ("a.json", '{"target": 3}', {}, "no list as its target"),
        ("a.json", json_line(target=[[1, 2], [3, 4]]), {}, "more than one dimension"),
        ("a.json", json_line().replace("17", "Infinity"), {}, "line 1, value 17: infinity"),
        ("a.json", json_line(start="2024-01-01T00:00:00+02:00"), {}, "has a time zone"),
        ("a.json", json_line(start="soon"), {}, "'soon' is no time"),
        ("a.json", json_line(), {"frequency": None}, "--data.frequency"),
        ("a.json", json_line(), {"frequency": "fortnight"}, "unknown frequency 'fortnight'"),
        ("a.json", json_line(freq="D"), {}, "has the frequency D, not h"),
        ("a.json", json_line(), {"frequency": "W", "lags": "frequency"}, "--data.lags"),
        ("a.json", json_line(target=[1] * 12), {}, "a window takes 8 \\+ 4"),
        ("a.json", json_line(target=[1] * 15), {"lags": [2, 5]}, "a window takes 5 \\+ 8 \\+ 4"),
        ("a.json", json_line(target=[1] * 3), {}, "leave no history"),
        ("a.json", json_line(), {"lags": [0]}, "lags \\[0\\]"),
        ("a.json", json_line(), {"batch_size": 1000}, "fewer than the batch of 1000"),
        ("a.json", "", {}, "holds no series"),
        ("a.txt", "", {}, "no format of panels"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01,1\na,2024-01-02,2\na,2024-01-04,3\n", {"frequency": None},
         "--data.frequency"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01,1\na,2024-01-02,2\na,2024-01-04,3\n", {"frequency": "D"},
         "series a: 2024-01-04 .* has 2024-01-03"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01,1\na,2024-01-02,2\na,2024-01-02,3\n", {"frequency": "D"},
         "comes twice"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01 00:00+01:00,1\na,2024-01-01 01:00+01:00,2\n", {},
         "time zone"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01 00:00,1\na,noon,2\n", {}, "'noon' is no time"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01 00:00,1\na,2024-01-01 01:00,inf\n", {}, "'inf' is not a"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01 00:00,one\n", {}, "'one' is not a finite number"),
        ("a.csv", "item_id,timestamp,b,c\na,2024-01-01 00:00,1,2\n", {}, "--data.target, one of b, c"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01 00:00,1\n", {"target": "x"}, "unknown column as data.target"),
        ("a.csv", "item_id,target\na,1\n", {"frequency": None}, "no column of times"),
    ],
)  # fmt: skip
def test_bad_files_are_told_in_one_line(
    tmp_path: Path, name: str, content: str, options: dict[str, Any], text: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=text) as caught:
        ready(path, **{"frequency": "h", **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"values": np.ones((2, 40)), "prediction_length": np.array(7), "freq": np.array("h")}, "--data.prediction=7"),
        ({"values": np.full((2, 40), np.inf), "freq": np.array("h")}, "series 0, value 1: infinity"),
        ({"values": np.ones((2, 40))}, "--data.frequency"),
        ({"values": np.full((2, 40), np.nan), "freq": np.array("h")}, "series 0: the series is empty"),
        ({"values": np.ones((2, 40)), "freq": np.array("h"), "ids": np.array(["a"])}, "1 ids for 2 series"),
        ({"other": np.ones(3)}, "values \\[series, steps\\]"),
        ({"flat": np.ones(9), "lengths": np.array([4, 4]), "freq": np.array("h")}, "as its lengths say"),
        ({"values": np.ones((2, 40, 3)), "freq": np.array("h")}, "one number a step"),
    ],
)
def test_bad_archives_are_told_in_one_line(tmp_path: Path, arrays: dict[str, Any], text: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=text) as caught:
        ready(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"context": 0}, "data.context is 0"),
        ({"prediction": -1}, "data.prediction is -1"),
        ({"windows": -1}, "data.windows is -1"),
        ({"holdout": -2}, "data.holdout is -2"),
        ({"lags": "all"}, "data.lags is 'all'"),
        ({"missing": "RM"}, "without a condition"),
        ({"missing": "BM-X", "conditional": True}, "unknown scenario"),
        ({"missing": "BM-E", "missing_count": 99, "conditional": True}, "99 missing steps"),
        ({"path": None}, "--data.path"),
    ],
)
def test_bad_settings_are_told_in_one_line(panel_file: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        ready(**{"path": panel_file, **options})
    assert "\n" not in str(caught.value)
