"""The data module of pedestrians: counts as published, scales, downloads from a local server."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from scorefield.core.errors import InputError
from scorefield.domains.geometry import pedestrian_tracks
from scorefield.domains.geometry.data import PedestrianData
from scorefield.domains.geometry.pedestrian_tracks import read_track
from scorefield.domains.geometry.pedestrians import RECORDINGS
from tests.geometry.serving import served
from tests.geometry.test_pedestrians import COUNTS


@pytest.fixture(scope="module")
def tracks(shared_dir: Path) -> Path:
    return shared_dir / "data" / "geometry_geotdm" / "eth_ucy" / "tracks.npz"


@pytest.mark.parametrize("scene", COUNTS)
def test_counts_and_batches(tracks, scene):
    data = PedestrianData(scene, str(tracks), batch_size=64)
    data.setup("fit")
    counts = [data.provenance[part] for part in ("train", "validation", "test")]
    assert tuple(counts) == COUNTS[scene]
    slots = {"univ": 2, "zara1": 3}.get(scene, 1)
    assert data.sizes == {
        "nodes": slots, "frames": 20, "space": 2, "features": 2, "edge_features": 0, "given": 8
    }  # fmt: skip
    batch = next(iter(data.train_dataloader()))
    assert batch["features"].shape == (64, batch["x"].shape[1], 20, 2)
    assert_array_equal(batch["features"][:, 0, :, 0], np.tile(np.arange(20) < 8, (64, 1)))
    nodes = batch["mask"].sum(1) if "mask" in batch else np.ones(64)
    assert_array_equal(batch["edge_mask"].sum(1), nodes**2)
    assert (data.tables["kind"], data.tables["dt"], data.tables["unit"]) == ("pedestrians", 0.4, "m")
    assert "features" not in data.tables["systems"][0]


def test_published_scale_of_the_test(tracks):
    plain, published = (PedestrianData("eth", str(tracks), test_scale=s) for s in (1.0, "published"))
    a, b = (next(iter(data.test_dataloader())) for data in (plain, published) if data.setup("fit") is None)
    assert_allclose(b["x"] * 1.4, a["x"], atol=1e-5)
    assert_allclose(b["features"][..., 1] * 1.4, a["features"][..., 1], atol=1e-5)
    assert_array_equal(plain.test_references().x, published.test_references().x)
    assert published.tables["test_scale"] == 1.4
    assert "test_scale" not in plain.tables
    assert_array_equal(next(iter(plain.train_dataloader()))["x"], next(iter(published.train_dataloader()))["x"])


def test_features_of_generated_frames_do_not_look_ahead(tracks):
    data = PedestrianData("zara1", str(tracks))
    data.setup("fit")
    windows = data.windows("test")
    before = windows.__getitems__([5])["features"]
    windows.source.x[:, :, 8:] += 3.0
    assert_array_equal(windows.__getitems__([5])["features"], before)


def test_unconditional_pedestrians(tracks):
    data = PedestrianData("eth", str(tracks), given=None)
    data.setup("fit")
    assert not next(iter(data.train_dataloader()))["features"].any()
    assert "given" not in data.sizes


def text_files(tracks: Path, folder: Path) -> None:
    """The recordings as they are published."""
    stored = np.load(tracks)
    for name in RECORDINGS:
        rows = stored[name] * (10, 1, 1, 1)
        np.savetxt(folder / f"{name}.txt", rows, fmt=("%.1f", "%.1f", "%.6f", "%.6f"), delimiter="\t")


def test_recordings_are_downloaded_once(tracks, tmp_path, monkeypatch):
    (tmp_path / "served").mkdir()
    text_files(tracks, tmp_path / "served")
    monkeypatch.setenv("SCOREFIELD_CACHE", str(tmp_path / "cache"))
    with served(tmp_path / "served") as address:
        PedestrianData("eth", url=address).prepare_data()
    data = PedestrianData("eth", url="http://127.0.0.1:9/nothing")
    data.prepare_data()
    data.setup("fit")
    assert data.provenance["test"] == 364
    stored = np.load(tracks)
    found = np.load(tmp_path / "cache" / "downloads" / "eth_ucy_tracks.npz")
    for name in RECORDINGS:
        assert_allclose(found[name], stored[name], atol=1e-6)
    folder = PedestrianData("eth", str(tmp_path / "served"))
    folder.setup("fit")
    assert folder.provenance["train"] == 30307


def test_downloads_that_are_not_the_recordings(tmp_path, monkeypatch):
    (tmp_path / "biwi_eth.txt").write_text("780\t1\t8\t3\n")
    monkeypatch.setenv("SCOREFIELD_CACHE", str(tmp_path / "cache"))
    with served(tmp_path) as address, pytest.raises(InputError, match="1 rows, biwi_eth as published has 5492"):
        pedestrian_tracks.fetch_tracks(address)
    assert not list((tmp_path / "cache" / "downloads").iterdir())


def test_bad_recordings(tmp_path):
    path = tmp_path / "a.txt"
    for text, words in (
        ("1 2 3\n", "give rows of frame, agent, x, y"),
        ("10 1 2 3\n10 1 2 x\n", "no table of numbers"),
        ("10 1 2 3\n20 1 nan 3\n", r"row 1: \[2.0, 1.0, nan, 3.0\] is not finite"),
        ("20 1 2 3\n10 1 2 3\n", "row 1"),
        ("10 1 2 3\n16 1 2 3\n", "not of a whole step"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words) as caught:
            read_track(path)
        assert str(path) in str(caught.value)
    with pytest.raises(InputError, match=r"biwi_eth\.txt: there is no such file"):
        PedestrianData("eth", str(tmp_path)).setup("fit")
    np.savez(tmp_path / "b.npz", biwi_eth=np.zeros((1, 4)))
    with pytest.raises(InputError, match="lacks the recordings biwi_hotel"):
        PedestrianData("eth", str(tmp_path / "b.npz")).setup("fit")
    for arguments, words in (
        ({"scene": "zara3"}, "unknown data.scene"),
        ({"scene": "eth", "slots": 0}, "data.slots is 0"),
        ({"scene": "eth", "test_scale": 0.0}, "data.test_scale is 0"),
        ({"scene": "eth", "given": "0:20"}, "gives all steps"),
    ):
        with pytest.raises(InputError, match=words):
            PedestrianData(**arguments)
