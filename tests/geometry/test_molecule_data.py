"""The data module of molecular dynamics: MD17's files, simulated ones, the stored peptide."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from scorefield.core.errors import InputError, InputWarning
from scorefield.domains.geometry.data import MoleculeTrajectoryData
from scorefield.domains.geometry.molecule_files import fetch_md17, read_recording
from scorefield.domains.geometry.trajectories import Trajectories
from tests.geometry.serving import served


@pytest.fixture(scope="module")
def ethanol(tmp_path_factory, shared_dir: Path) -> Path:
    """1,001 frames in the form of MD17's files, each a little farther along."""
    stored = np.load(shared_dir / "fixtures" / "geometry_geotdm" / "md_featuriser.npz")
    path = tmp_path_factory.mktemp("md17") / "md17_ethanol.npz"
    moved = np.arange(1001)[:, None, None] * 0.001
    np.savez(path, R=stored["ethanol.pos"].astype(np.float64) + moved, z=stored["ethanol.z"].astype(np.uint8))
    return path


def test_windows_of_md17(ethanol: Path, shared_dir: Path):
    data = MoleculeTrajectoryData(str(ethanol), frames=12, given="0:4", train=10, validation=3, test=3, batch_size=5)
    data.setup("fit")
    stored = np.load(shared_dir / "fixtures" / "geometry_geotdm" / "md_featuriser.npz")
    batch = next(iter(data.train_dataloader()))
    for row in range(5):
        assert_array_equal(batch["features"][row], stored["ethanol.fc0.h"])
        assert_array_equal(batch["edges"][row].T, stored["ethanol.fc0.edge_index"])
        assert_array_equal(batch["edge_features"][row], stored["ethanol.fc0.edge_attr"])
    assert data.sizes == {"nodes": 9, "frames": 12, "space": 3, "features": 30, "edge_features": 4, "given": 4}
    assert (data.tables["kind"], data.tables["dt"], data.tables["unit"]) == ("molecule", 5.0, "angstrom")
    assert len(data.tables["systems"]) == 1
    assert len(data.tables["bonds"]) == 8
    # 100 frames are left, 60 of them for training: 49 starts, 4 apart.
    starts = (data.train_references().x[:, 0, 0, 0] - stored["ethanol.pos"][0, 0]) / 0.01
    assert_allclose(starts, np.arange(10) * 4, atol=1e-6)
    tested = (data.test_references().x[:, 0, :, 0] - stored["ethanol.pos"][0, 0]) / 0.01
    assert_allclose([tested.min(), tested.max()], [80, 80 + 2 * 3 + 11], atol=1e-6)


def test_windows_of_which_the_first_frames_are_kept(ethanol: Path):
    data = MoleculeTrajectoryData(str(ethanol), frames=8, span=12, legacy_centering=True, all_pairs=True, batch_size=5)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["x"].shape == (5, 9, 8, 3)
    assert batch["edges"].shape[1] == 72
    assert data.provenance["train"] == 49
    assert batch["x"].mean((1, 2))[:, 0].numpy() == pytest.approx(-0.02, abs=1e-5)
    with pytest.raises(InputError, match=r"data\.span is 7"):
        MoleculeTrajectoryData(str(ethanol), frames=8, span=7)


def test_bonds_and_hydrogens(ethanol: Path):
    told = MoleculeTrajectoryData(str(ethanol), frames=12, bonds=[[0, 1], [1, 2]], hydrogens=False, batch_size=5)
    told.setup("fit")
    assert told.sizes["nodes"] == 3
    assert told.tables["bonds"] == [[0, 1], [1, 2]]
    assert told.tables["numbers"] == [6, 6, 8]
    with pytest.raises(InputError, match=r"md17_ethanol.npz: data.bonds\[0\]: \[0, 9\] is no bond"):
        MoleculeTrajectoryData(str(ethanol), frames=12, bonds=[[0, 9]]).setup("fit")
    with pytest.raises(InputError, match=r"data\.bonds is 'far'"):
        MoleculeTrajectoryData(str(ethanol), bonds="far")


def test_simulated_molecules_know_their_bonds(tmp_path: Path):
    bonds = np.array([[0, 1], [1, 0]])
    draws = np.random.default_rng(0)
    x = draws.normal(size=(2, 3, 40, 3))
    numbers = np.broadcast_to([6, 8, 1], (2, 3))
    Trajectories.of(x, dt=5.0, edges=np.broadcast_to(bonds, (2, 2, 2)), numbers=numbers).save(tmp_path / "a.npz")
    data = MoleculeTrajectoryData(str(tmp_path / "a.npz"), frames=6, batch_size=4)
    data.setup("fit")
    assert data.tables["bonds"] == [[0, 1]]
    assert data.tables["dt"] == 5
    assert data.provenance["train"] == 2 * (24 - 6 + 1)
    heavy = MoleculeTrajectoryData(str(tmp_path / "a.npz"), frames=6, hydrogens=False, batch_size=4)
    heavy.setup("fit")
    assert heavy.tables["bonds"] == [[0, 1]]
    assert heavy.sizes["nodes"] == 2


def test_stored_peptide(shared_dir: Path):
    folder = shared_dir / "data" / "geometry_geotdm" / "peptide_md"
    path = folder / "2olx_implicit_200frames.npz"
    data = MoleculeTrajectoryData(str(path), frames=8, given="0:3", every=4, batch_size=2)
    # Two hydrogens of the charged end are closer than 1.6 angstrom, and two bonds between carbons are longer.
    words = r"hydrogen atom 1 has 2 bonds and the atoms fall into 3 parts in the first frame; name .* data\.bonds"
    with pytest.warns(InputWarning, match=words):
        data.setup("fit")
    assert data.sizes == {"nodes": 65, "frames": 8, "space": 3, "features": 30, "edge_features": 4, "given": 3}
    assert data.tables["dt"] == pytest.approx(500)
    assert data.provenance["train"] == 30 - 8 + 1
    batch = next(iter(data.train_dataloader()))
    assert batch["x"].shape == (2, 65, 8, 3)
    assert batch["features"].sum((1, 2)).numpy() == pytest.approx(
        sum(1 + z / 10 + z * z / 100 for z in data.tables["numbers"])
    )
    with pytest.raises(InputError, match=r"2olx_implicit.*not equally spaced.*data\.every"):
        read_recording(path)


def test_bad_recordings(tmp_path: Path):
    path = tmp_path / "bad.npz"
    good = np.zeros((5, 2, 3))
    broken = good.copy()
    broken[1, 1, 0] = np.inf
    for arrays, words in (
        ({"R": good}, "z: needs an atomic number"),
        ({"R": good, "z": np.array([1, 1, 1])}, "z: needs an atomic number"),
        ({"R": good[..., :2], "z": np.array([1, 1])}, "R: float64 of shape"),
        ({"R": broken, "z": np.array([1, 1])}, "frame 1, atom 1: a position that is no finite number"),
        ({"R": good, "z": np.array([1, 17])}, "atom 1 has the atomic number 17"),
        ({"x": good[None]}, "tells no atomic numbers"),
        ({"x": np.zeros((2, 1, 4, 3)), "numbers": np.array([[1], [6]])}, "several molecules"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=words) as caught:
            MoleculeTrajectoryData(str(path), frames=2, every=1).setup("fit")
        assert str(path) in str(caught.value)
    np.savez(path, R=np.random.default_rng(0).normal(size=(9, 2, 3)), z=np.array([1, 1]))
    with pytest.raises(InputError, match="nothing but hydrogen"):
        MoleculeTrajectoryData(str(path), frames=2, every=1, hydrogens=False).setup("fit")
    with pytest.raises(InputError, match="no molecule is named"):
        MoleculeTrajectoryData().setup("fit")
    with pytest.raises(InputError, match="did you mean 'aspirin'"):
        MoleculeTrajectoryData(molecule="asprin")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds 0 archives"):
        read_recording(tmp_path / "empty")


def test_md17_is_downloaded_once(ethanol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCOREFIELD_CACHE", str(tmp_path))
    with served(ethanol.parent) as address:
        data = MoleculeTrajectoryData(molecule="ethanol", frames=12, url=address, batch_size=4)
        data.prepare_data()
        with pytest.raises(InputError, match="cannot be downloaded"):
            fetch_md17("aspirin", address)
    data.setup("fit")
    assert data.provenance["train"] == 49
    assert [file.name for file in (tmp_path / "downloads").iterdir()] == ["md17_ethanol.npz"]


def test_the_folder_of_torch_geometric(ethanol: Path, tmp_path: Path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / ethanol.name).write_bytes(ethanol.read_bytes())
    assert_array_equal(read_recording(tmp_path).trajectories.x, read_recording(ethanol).trajectories.x)
