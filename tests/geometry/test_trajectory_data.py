"""Data modules of particles and of a user's trajectories: batches, splits, centring, what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule
from numpy.testing import assert_allclose, assert_array_equal

from scorefield.core.errors import InputError, InputWarning
from scorefield.core.experiment import build
from scorefield.core.spaces import Masked, ZeroCentreOfMass
from scorefield.core.state import State
from scorefield.domains.geometry.data import NBodyData, TrajectoryData
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.windows import FramePlan, TrajectoryWindows, Windows
from tests.geometry.test_trajectories import small


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """Twelve trajectories of three and four nodes, far from the origin."""
    parts = [small(6, 4, 8), small(6, 3, 8, seed=1)]
    found = Trajectories.concatenate(parts)
    path = tmp_path_factory.mktemp("mixed") / "mixed.npz"
    Trajectories.from_arrays(found.arrays() | {"x": (found.x + 100) * found.mask[:, :, None, None]}).save(path)
    return path


def first(data, part="train_dataloader"):
    data.setup("fit")
    return next(iter(getattr(data, part)()))


def prepared(data):
    data.setup("fit")
    return data.train_dataloader()


def test_unconditional_batches_lie_in_their_space(mixed):
    data = TrajectoryData(str(mixed), batch_size=4)
    state = State.from_dict(first(data), ["x"])
    assert_allclose(ZeroCentreOfMass().project(state["x"], state.masks), state["x"], atol=1e-5)
    assert state.masks.keys() == {"mask"}
    assert state.condition.keys() == {"features", "edges", "edge_mask", "edge_features"}
    assert data.sizes == {"nodes": 4, "frames": 8, "space": 3, "features": 2, "edge_features": 1}
    assert data.tables["nodes"] == {"3": 2, "4": 6}
    assert "given" not in data.tables
    assert json.loads(json.dumps(data.tables)) == data.tables
    assert [data.provenance[part] for part in ("train", "validation", "test")] == [8, 2, 2]


def test_conditional_batches_say_what_is_given(mixed):
    data = TrajectoryData(str(mixed), given="0:2,5", batch_size=4)
    batch = first(data)
    known = np.array([1, 1, 0, 0, 0, 1, 0, 0], bool)
    assert_array_equal(batch["given_frames"], np.tile(known, (4, 1)))
    assert_array_equal(batch["given_x"], batch["x"] * torch.from_numpy(known)[:, None])
    state = State.from_dict(batch, ["x"])
    free = Masked().project(state["x"], state.masks)
    assert not free[:, :, known].any()
    assert data.sizes["given"] == 3
    assert data.tables["given"] == [0, 1, 5]


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_batches_hold_what_the_trajectories_do(seed):
    draws = np.random.default_rng(seed)
    sizes = [(1, int(nodes), int(frames)) for nodes, frames in draws.integers(1, 5, (4, 2))]
    source = Trajectories.concatenate([small(*size, seed=k) for k, size in enumerate(sizes)])
    windows = TrajectoryWindows(
        source, Windows.whole(np.arange(4)), FramePlan(source.x.shape[2], None, source.x.shape[2])
    )
    rows = draws.integers(0, 4, 2)
    batch = windows.__getitems__(rows.tolist())
    for place, row in enumerate(rows):
        _, nodes, frames = sizes[row]
        x = source.x[row, :nodes, :frames]
        found = batch["x"][place].numpy()
        assert_allclose(found[:nodes, :frames], x - x.mean((0, 1)), atol=1e-6)
        assert not found[nodes:].any()
        assert not found[:, frames:].any()
        edges = batch["edges"][place][batch["edge_mask"][place]]
        assert_array_equal(edges, source.edges[row][: nodes * (nodes - 1)])
        assert_allclose(batch["features"][place, :nodes], source.features[row, :nodes])
        assert batch.get("mask", torch.ones(2, 9))[place].sum() in (nodes, 9)
    assert batch["x"].shape[1:3] == tuple(max(sizes[row][axis] for row in rows) for axis in (1, 2))


def test_all_pairs_stand_in_for_edges_that_are_not_told():
    source = Trajectories.concatenate([small(1, n, edges=None, edge_features=None) for n in (3, 2, 1)])
    for loops in (False, True):
        plan = FramePlan(5, None, 5)
        windows = TrajectoryWindows(source, Windows.whole(np.arange(3)), plan, loops=loops)
        batch = windows.__getitems__([0, 1, 2])
        assert batch["edge_mask"].sum(1).tolist() == [n * n if loops else n * (n - 1) for n in (3, 2, 1)]
        assert "edge_features" not in batch
        pairs = [[i, j] for i in range(2) for j in range(2) if loops or i != j]
        assert batch["edges"][1][batch["edge_mask"][1]].tolist() == pairs
    assert windows.__getitems__([2])["edges"].shape == (1, 1, 2)


def test_order_follows_seed_and_epoch_alone(mixed):
    def rows(seed, epoch):
        data = TrajectoryData(str(mixed), batch_size=8, seed=seed)
        data.setup("fit")
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        return next(iter(loader))["x"]

    torch.manual_seed(0)
    found = rows(1, 2)
    torch.manual_seed(5)
    assert_array_equal(found, rows(1, 2))
    assert not torch.equal(found, rows(1, 3))
    assert not torch.equal(found, rows(2, 2))


def test_time_is_split_without_overlap(tmp_path):
    x = np.arange(100.0)[None, None, :, None] * np.ones(3)
    Trajectories.of(x).save(tmp_path / "a.npz")
    data = TrajectoryData(str(tmp_path / "a.npz"), frames=5, given="0:3", every=2, stride=3, validation=0.2)
    data.setup("fit")
    seen = {part: set(data.windows(part).samples().x[..., 0].ravel()) for part in ("train", "validation", "test")}
    assert max(seen["train"]) < min(seen["validation"])
    assert max(seen["validation"]) < min(seen["test"])
    assert data.train_references().x[1, 0, :, 0].tolist() == [6, 8, 10, 12, 14]
    assert data.tables["dt"] == 2
    assert data.tables["spread"] == pytest.approx(np.sqrt((4**2 + 6**2) / 2))
    assert data.local_files() == {"path": str(tmp_path / "a.npz")}


def test_atoms_become_features(tmp_path):
    small(4, features=None, numbers=np.full((4, 4), 6)).save(tmp_path / "a.xyz")
    data = TrajectoryData(str(tmp_path / "a.xyz"), edges="all")
    batch = first(data)
    assert batch["features"].shape == (3, 4, 30)
    assert "edge_features" not in batch
    assert data.tables["pairs"] == "all"
    small(4, features=None, numbers=np.full((4, 4), 16)).save(tmp_path / "b.npz")
    with pytest.raises(InputError, match=r"b\.npz: atom 0 has the atomic number 16"):
        TrajectoryData(str(tmp_path / "b.npz")).setup("fit")


def test_trajectories_of_different_lengths(tmp_path):
    found = Trajectories.concatenate([small(2, 4, 8), small(4, 4, 6, seed=1)])
    found.save(tmp_path / "a.npz")
    path = str(tmp_path / "a.npz")
    data = TrajectoryData(path, given="0:3", batch_size=1)
    batch = first(data)
    assert batch["x"].shape[2] == 8
    batches = [batch["frame_mask"] for batch in data.train_dataloader()]
    assert sorted(int(mask.sum()) for mask in batches) == [6, 6, 8, 8]
    assert sorted(batch["x"].shape[2] for batch in prepared(TrajectoryData(path, batch_size=1))) == [6, 6, 8, 8]
    assert data.tables["lengths"] == {"6": 2, "8": 2}
    with pytest.warns(InputWarning, match="4 of 6 trajectories are shorter than 8 frames"):
        TrajectoryData(path, frames=8).setup("fit")
    with pytest.raises(InputError, match="trajectory 2: its 6 frames hold not all that are given"):
        TrajectoryData(path, given="0:6").setup("fit")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"frames": 9}, "8 frames at most, shorter than the window of 9"),
        ({"given": "0:8"}, "data.given: '0:8' gives all steps"),
        ({"given": "3:3"}, "data.given: '3:3' gives no step"),
        ({"given": "0:9"}, "data.given: step 9 of '0:9' lies beyond a window of 8"),
        ({"given": "0:9", "frames": 5}, "data.given: step 9"),
        ({"given": "first"}, "data.given: 'first' is no step"),
        ({"every": 0}, "data.every is 0"),
        ({"stride": 0}, "data.stride is 0"),
        ({"frames": 0}, "data.frames is 0"),
        ({"batch_size": 0}, "data.batch_size is 0"),
        ({"validation": 0.5, "test": 0.5}, "data.validation is 0.5"),
        ({"test": -1.0}, "data.test is -1"),
        ({"split": "half"}, "data.split is 'half'"),
        ({"edges": "none"}, "data.edges is 'none'"),
        ({"split": "time"}, "give data.frames"),
        ({"path": None}, "no file of trajectories is named"),
        ({"path": "/nowhere.npz"}, "/nowhere.npz: there is no such file"),
        ({"validation": 0.0, "test": 0.99}, "no window of 8 frames is left for training"),
    ],
)
def test_bad_arguments(mixed, arguments, words):
    with pytest.raises(InputError, match=words) as caught:
        TrajectoryData(**{"path": str(mixed)} | arguments).setup("fit")
    assert "\n" not in str(caught.value)


def test_edges_that_a_file_does_not_tell(tmp_path):
    small(4, edges=None, edge_features=None).save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="tells no edges"):
        TrajectoryData(str(tmp_path / "a.npz"), edges="file").setup("fit")


@pytest.mark.parametrize("system", ["charged", "springs", "gravity"])
def test_particles_are_simulated_on_the_spot(system):
    data = NBodyData(system, frames=4, given="0:2", train=6, validation=2, test=3, batch_size=6)
    batch = first(data)
    nodes = 10 if system == "gravity" else 5
    assert batch["x"].shape == (6, nodes, 4, 3)
    assert batch["edges"].shape == (6, nodes * (nodes - 1), 2)
    assert batch["edges"].dtype == torch.int64
    assert data.sizes == {
        "nodes": nodes, "frames": 4, "space": 3, "features": 1, "edge_features": 1, "given": 2
    }  # fmt: skip
    assert (data.tables["kind"], len(data.test_references())) == (system, 3)
    assert data.tables["dt"] == pytest.approx(0.1)
    if system == "charged":
        assert set(batch["features"].unique().tolist()) == {-1, 1}
        i, j = batch["edges"][..., 0], batch["edges"][..., 1]
        charges = batch["features"][..., 0]
        assert_array_equal(batch["edge_features"][..., 0], charges.gather(1, i) * charges.gather(1, j))
    systems = data.tables["systems"]
    assert sum(one["count"] for one in systems) == 6
    assert len(systems) == 1 if system == "gravity" else len(systems) > 1


def test_particles_of_a_file_are_shared_out_as_published(tmp_path):
    small(28, 3, 12).save(tmp_path / "a.npz")
    whole = NBodyData("charged", str(tmp_path / "a.npz"), 8, train=99, batch_size=4)
    whole.setup("fit")
    assert [len(whole.windows(part)) for part in ("train", "validation", "test")] == [20, 4, 4]
    few = NBodyData("charged", str(tmp_path / "a.npz"), 8, train=7, validation=2, batch_size=4)
    few.setup("fit")
    assert [len(few.windows(part)) for part in ("train", "validation", "test")] == [7, 2, 4]
    assert_array_equal(few.test_references().x, whole.test_references().x)


def test_published_centring_looks_at_more_frames(tmp_path):
    source = small(28, 3, 12)
    source.save(tmp_path / "a.npz")
    ours, published = (
        NBodyData("charged", str(tmp_path / "a.npz"), 8, span=12, legacy_centering=legacy, batch_size=4)
        for legacy in (False, True)
    )
    for data, frames in ((ours, 8), (published, 12)):
        found, x = data.__class__.test_references(data), source.x[24:]
        assert found.x.shape[2] == 8
        assert_allclose(found.x, x[:, :, :8] - x[:, :, :frames].mean((1, 2), keepdims=True), atol=1e-12)
        centre = first(data)["x"].mean((1, 2)).abs().max()
        assert (centre < 1e-6) == (frames == 8)
    with pytest.raises(InputError, match="12 frames at most, shorter than the window of 13"):
        NBodyData("charged", str(tmp_path / "a.npz"), 8, span=13, legacy_centering=True).setup("fit")


@pytest.mark.parametrize("known", [None, "0:2,5"])
def test_far_from_the_origin_nothing_is_lost(tmp_path, known):
    source = small(6, 3, 8)
    found = []
    for number, far in enumerate((0.0, 2.0**20)):
        path = tmp_path / f"{number}.npz"
        Trajectories.from_arrays(source.arrays() | {"x": source.x + far}).save(path)
        found.append(first(TrajectoryData(str(path), given=known))["x"])
    assert_allclose(found[1], found[0], atol=1e-6)


def test_configurations_build_them(mixed):
    part = {
        "class_path": "scorefield.domains.geometry.data.TrajectoryData",
        "init_args": {"path": str(mixed), "given": "0:5,6:8", "batch_size": 3},
    }
    data = build(part, place="data")
    assert first(data)["given_frames"][0].tolist() == [True] * 5 + [False] + [True] * 2
    for change, words in (
        ({"given": "0:8"}, r"data\.given"),
        ({"batch_size": 0}, r"data: batch_size is 0|data\.batch"),
    ):
        with pytest.raises(InputError, match=words):
            build({**part, "init_args": {**part["init_args"], **change}}, place="data").setup("fit")


@pytest.mark.parametrize("name", ["TrajectoryData", "NBodyData", "MoleculeTrajectoryData", "PedestrianData"])
def test_every_argument_is_typed_for_the_command_line(name):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data", fail_untyped=True, required=True)
    values = {
        "TrajectoryData": ["--data.frames=5", "--data.given=0:2"],
        "NBodyData": ["--data.system=springs", "--data.legacy_centering=true"],
        "MoleculeTrajectoryData": ["--data.molecule=aspirin", "--data.bonds=[[0, 1]]"],
        "PedestrianData": ["--data.scene=eth", "--data.test_scale=published", "--data.given=null"],
    }[name]
    path = f"scorefield.domains.geometry.data.{name}"
    found = parser.parse_args([f"--data={path}", *values]).data
    assert type(build(found.as_dict(), place="data")).__name__ == name


def test_unknown_systems():
    with pytest.raises(InputError, match="did you mean 'springs'"):
        NBodyData("spring")
    with pytest.raises(InputError, match=r"data\.train is 0"):
        NBodyData("springs", train=0)
