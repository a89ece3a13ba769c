"""The published sets: counts of what is stored, and downloads from a local server."""

from __future__ import annotations

import functools
import http.server
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scorefield.core.errors import InputError
from scorefield.domains.series.tsdiff import published
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panels import Panel
from scorefield.domains.series.tsdiff.published import PUBLISHED, PublishedPanelData
from tests.series.small_panels import lines_of, waves


@pytest.fixture(scope="module")
def folder(shared_dir: Path) -> Path:
    return shared_dir / "data" / "series_tsdiff"


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
