"""Trajectories: what they refuse, how they are joined, and that NPZ files give them back."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from scorefield.core.errors import InputError
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.trajectory_files import read_trajectories


def small(n=3, nodes=4, frames=5, space=3, seed=0, **more) -> Trajectories:
    """Trajectories with everything that they may have."""
    draws = np.random.default_rng(seed)
    pairs = np.argwhere(~np.eye(nodes, dtype=bool))
    content = {
        "features": draws.normal(size=(n, nodes, 2)).astype(np.float32),
        "edges": np.broadcast_to(pairs, (n, *pairs.shape)).astype(np.int64),
        "edge_features": draws.normal(size=(n, len(pairs), 1)),
        "numbers": draws.integers(1, 9, (n, nodes)),
    } | more
    return Trajectories.of(draws.normal(size=(n, nodes, frames, space)), dt=0.5, **content)


def same(a: Trajectories, b: Trajectories) -> None:
    """Whether all arrays agree, bit for bit."""
    assert a.arrays().keys() == b.arrays().keys()
    for name, value in a.arrays().items():
        assert_array_equal(value, b.arrays()[name], err_msg=name)


def test_npz_gives_the_same_back(tmp_path: Path):
    written = small()
    written.save(tmp_path / "a.npz")
    same(written, Trajectories.load(tmp_path / "a.npz"))
    same(written, Trajectories.from_arrays(written.arrays()))


@given(sizes=st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_joined_populations_keep_every_part(sizes):
    parts = [small(n, nodes, frames, seed=k) for k, (n, nodes, frames) in enumerate(sizes)]
    whole, first = Trajectories.concatenate(parts), 0
    assert len(whole) == sum(len(part) for part in parts)
    for part in parts:
        n, nodes, frames, _ = part.x.shape
        rows = whole[slice(first, first + n)]
        assert_array_equal(rows.x[:, :nodes, :frames], part.x)
        assert_array_equal(rows.mask.sum(1), part.mask.sum(1))
        assert_array_equal(rows.lengths, part.lengths)
        assert_array_equal(rows.edges[:, : part.edges.shape[1]], part.edges)
        assert (rows.edges[:, part.edges.shape[1] :] == -1).all()
        first += n


def test_what_all_share_is_repeated(tmp_path: Path):
    draws = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", x=draws.normal(size=(2, 3, 4, 2)), edges=np.array([[0, 1], [1, 2]]), numbers=[6, 1, 1])
    found = Trajectories.load(tmp_path / "a.npz")
    assert found.edges.shape == (2, 2, 2)
    assert found.numbers.tolist() == [[6, 1, 1]] * 2
    np.savez(tmp_path / "b.npz", x=draws.normal(size=(3, 4, 2)), time=np.arange(4) * 0.25)
    assert Trajectories.load(tmp_path / "b.npz").dt == 0.25


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.zeros((2, 3, 4, 5))}, "2 or 3"),
        ({"x": np.full((2, 3, 4, 3), np.nan)}, "trajectory 0, node 0, frame 0: a position that is no finite number"),
        ({"x": np.array([["a"]])}, "of shape"),
        ({"edges": np.full((2, 1, 2), 3)}, r"trajectory 0, edge 0: joins \[3, 3\], of which the traj.* 3 nodes"),
        ({"edges": np.array([[[0, -1]], [[0, 1]]])}, "trajectory 0, edge 0"),
        ({"edges": np.zeros((2, 1, 2), int), "edge_features": np.zeros((2, 2, 1))}, "one row for each edge"),
        ({"edge_features": np.zeros((2, 2, 1))}, "without edges"),
        ({"mask": np.array([[True] * 3, [False] * 3])}, "trajectory 1: is empty"),
        ({"frame_mask": np.zeros((2, 4), bool)}, "trajectory 0: is empty"),
        ({"features": np.full((2, 3, 1), np.inf)}, r"features\[0, 0, 0\]"),
        ({"features": np.zeros((2, 4, 1))}, "features"),
        ({"time": np.array([0.0, 1, 2, 4])}, "frame 2: frames are not equally spaced: 1 and 2 apart"),
        ({"dt": np.array(0.0)}, "time between frames is 0"),
        ({"y": np.zeros(1), "x": None}, "holds no trajectories"),
    ],
)  # fmt: skip
def test_bad_archives_say_where(tmp_path: Path, change, words):
    arrays = {"x": np.zeros((2, 3, 4, 3))} | change
    path = tmp_path / "bad.npz"
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(InputError, match=words) as caught:
        Trajectories.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_edges_do_not_cross_into_nodes_that_are_not_there():
    mask = np.array([[True, True, False]])
    with pytest.raises(InputError, match="edge 1"):
        Trajectories(np.zeros((1, 3, 2, 3)), mask, edges=np.array([[[0, 1], [1, 2]]]))


def test_unreadable_files(tmp_path: Path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    for name, words in (("a.npz", "no archive"), ("b.npz", "no such file"), ("a.csv", "no format of trajectories")):
        with pytest.raises(InputError, match=words):
            Trajectories.load(tmp_path / name)


def test_parts_that_differ_are_not_joined():
    for other in (small(space=2), small(features=None), small(features=np.zeros((3, 4, 3)))):
        with pytest.raises(InputError, match="cannot be joined"):
            Trajectories.concatenate([small(), other])
    with pytest.raises(InputError, match="no trajectories"):
        Trajectories.concatenate([])


def test_frames_and_rows():
    whole = small(features=np.zeros((3, 4, 5, 2)))
    part = whole[np.array([2])].frames(1, 3)
    assert_array_equal(part.x, whole.x[[2], :, 1:3])
    assert part.features.shape == (1, 4, 2, 2)
    assert part.counts() == {"trajectories": 1, "nodes": 4, "frames": 2, "space": 3}


def test_places_of_nodes_that_are_not_there_may_hold_anything(tmp_path: Path):
    x = np.ones((1, 2, 3, 3))
    x[:, 1] = np.nan
    np.savez(tmp_path / "a.npz", x=x, mask=np.array([[1, 0]]))
    assert_array_equal(Trajectories.load(tmp_path / "a.npz").x[0, 1], 0)


def test_positions_to_be_filled_may_be_missing(tmp_path: Path):
    x = np.ones((1, 2, 3, 3))
    x[:, :, 1] = np.nan
    for name in ("a.npz", "a.xyz"):
        Trajectories.of(x).save(tmp_path / name)
        assert_array_equal(read_trajectories(tmp_path / name, missing=True).x, x)
    Trajectories.of(np.where(np.isnan(x), np.inf, x)).save(tmp_path / "b.npz")
    with pytest.raises(InputError, match="infinity is no position"):
        read_trajectories(tmp_path / "b.npz", missing=True)
