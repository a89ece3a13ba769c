"""Extended XYZ: trajectories come back as they were, and files of other programs are read."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_array_equal

from scorefield.core.errors import InputError
from scorefield.domains.geometry.trajectories import Trajectories
from tests.geometry.test_trajectories import same, small


@pytest.mark.parametrize("space", [2, 3])
@pytest.mark.parametrize("still", [True, False])
def test_trajectories_come_back(tmp_path: Path, space, still):
    features = None if still else np.random.default_rng(1).normal(size=(3, 4, 5, 2))
    written = small(space=space, **({} if still else {"features": features, "numbers": None}))
    written.save(tmp_path / "a.xyz")
    found = Trajectories.load(tmp_path / "a.xyz")
    same(written, found)


def test_ragged_trajectories_come_back(tmp_path: Path):
    written = Trajectories.concatenate([small(2), small(1, 3, 4, seed=1)])
    written.save(tmp_path / "a.extxyz")
    same(written, Trajectories.load(tmp_path / "a.extxyz"))


def test_other_programs_read_and_write_it(tmp_path: Path):
    written = small(1)
    written.save(tmp_path / "a.xyz")
    frames = ase.io.read(tmp_path / "a.xyz", ":")
    assert len(frames) == 5
    assert_array_equal(frames[3].positions, written.x[0, :, 3])
    assert_array_equal(frames[3].numbers, written.numbers[0])
    water = [Atoms("OH2", np.arange(9.0).reshape(3, 3) + k, info={"time": 0.5 * k}) for k in range(3)]
    ase.io.write(tmp_path / "water.xyz", water)
    found = Trajectories.load(tmp_path / "water.xyz")
    assert (found.x.shape, found.dt, found.numbers.tolist()) == ((1, 3, 3, 3), 0.5, [[8, 1, 1]])
    ase.io.write(tmp_path / "plain.xyz", water, plain=True)
    assert Trajectories.load(tmp_path / "plain.xyz").x.shape == (1, 3, 3, 3)


def test_every_element_has_its_symbol(tmp_path: Path):
    written = small(1, 119, 1, edges=None, edge_features=None, numbers=np.arange(119)[None])
    written.save(tmp_path / "a.xyz")
    assert_array_equal(ase.io.read(tmp_path / "a.xyz").numbers, np.arange(119))


def test_bad_files_say_where(tmp_path: Path):
    path = tmp_path / "bad.xyz"
    ase.io.write(path, [Atoms("H2"), Atoms("H2"), Atoms("HO")])
    with pytest.raises(InputError, match="frame 2: has other atoms"):
        Trajectories.load(path)
    ase.io.write(path, [Atoms("H", info={"time": t}) for t in (0, 1, 3)])
    with pytest.raises(InputError, match="not equally spaced"):
        Trajectories.load(path)
    path.write_text("2\n\nH 0 0 0\nH 0 0 nan\n")
    with pytest.raises(InputError, match="trajectory 0, node 1, frame 0: a position that is no finite number"):
        Trajectories.load(path)
    for text, words in (("", "holds no frame"), ("two\n", "no extended XYZ"), ("2\n\nH 0 0 0\n", "no extended XYZ")):
        path.write_text(text)
        with pytest.raises(InputError, match=words) as caught:
            Trajectories.load(path)
        assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        Trajectories.load(tmp_path / "none.xyz")
    with pytest.raises(InputError, match="200 is no element"):
        small(numbers=np.full((3, 4), 200)).save(path)


def test_without_ase_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "ase.io", None)
    small(1).save(tmp_path / "a.xyz")
    with pytest.raises(InputError, match=r"scorefield\[xyz\]"):
        Trajectories.load(tmp_path / "a.xyz")
