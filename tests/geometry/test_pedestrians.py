"""ETH and UCY: samples, features and errors of constant velocity as published."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from scorefield.domains.geometry.baselines import constant_velocity
from scorefield.domains.geometry.pedestrians import (
    FRAMES,
    PAST,
    RECORDINGS,
    SCENES,
    held_part,
    pedestrian_features,
    samples_of,
)

COUNTS = {
    "eth": (30307, 5422, 364),
    "hotel": (29676, 5203, 1197),
    "univ": (9874, 2800, 24334),
    "zara1": (28577, 5184, 2356),
    "zara2": (26076, 4262, 5910),
}
ERRORS = {
    "eth": (1.0755, 2.2819),
    "hotel": (0.3194, 0.6142),
    "univ": (0.5242, 1.1651),
    "zara1": (0.4272, 0.9524),
    "zara2": (0.3239, 0.7244),
}


@pytest.fixture(scope="module")
def eth_ucy(shared_dir: Path) -> Path:
    return shared_dir / "data" / "geometry_geotdm" / "eth_ucy"


@pytest.fixture(scope="module")
def tracks(eth_ucy: Path) -> dict[str, np.ndarray]:
    return dict(np.load(eth_ucy / "tracks.npz"))


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_are_cut_where_they_were(tracks, name):
    first, rest = held_part(tracks[name])
    assert_array_equal(first, tracks[f"{name}_train"])
    assert_array_equal(rest, tracks[f"{name}_val"])


def cut(tracks, names, slots):
    found = [samples_of(track, slots) for track in (tracks[name] for name in names)]
    return np.concatenate([x for x, _ in found]), np.concatenate([mask for _, mask in found])


@pytest.mark.parametrize("scene", SCENES)
def test_tested_samples_and_their_errors_are_as_published(eth_ucy, tracks, scene):
    stored = np.load(eth_ucy / f"{scene}.npz")
    x, mask = cut(tracks, SCENES[scene].tested, SCENES[scene].slots)
    assert len(x) == COUNTS[scene][2]
    assert_allclose(x, stored["test_x"], atol=1e-6)
    assert_array_equal(mask.sum(1), stored["test_n"])
    given = np.arange(FRAMES) < PAST
    ego = x[:, :1].astype(np.float64)
    error = np.linalg.norm(constant_velocity(ego, given) - ego, axis=-1)[:, 0, PAST:]
    assert (round(error.mean(), 4), round(error[:, -1].mean(), 4)) == ERRORS[scene]


def test_training_samples_are_as_stored(eth_ucy, tracks):
    stored = np.load(eth_ucy / "zara1.npz")
    for part in ("train", "val"):
        names = [f"{name}_{part}" for name in RECORDINGS if name not in SCENES["zara1"].tested]
        x, mask = cut(tracks, names, SCENES["zara1"].slots)
        # Recordings stand in another order there.
        assert_allclose(sorted(x.sum((1, 2, 3))), sorted(stored[f"{part}_x"].sum((1, 2, 3))), atol=1e-3)
        assert_array_equal(np.bincount(mask.sum(1)), np.bincount(stored[f"{part}_n"]))


def test_who_walks_at_the_same_place_comes_second():
    agents = np.arange(3).repeat(FRAMES)
    frames = np.tile(np.arange(FRAMES), 3)
    track = np.stack([frames, agents, np.where(agents == 2, 9.0, 0), np.zeros(60)], 1)
    track = track[np.lexsort((agents, frames))]
    x, mask = samples_of(track, 2)
    assert mask.tolist() == [[True, True], [True, True], [True, False]]
    assert_array_equal(x[2, 1], 0)
    assert x[2, 0, 0, 0] == 9
    x, mask = samples_of(track[track[:, 1] != 2], 3)
    assert mask.tolist() == [[True, True, False]] * 2


def test_short_recordings_have_no_samples():
    x, mask = samples_of(np.array([[0.0, 1, 2, 3], [1, 1, 2, 3]]), 2)
    assert x.shape == (0, 2, FRAMES, 2)
    assert mask.shape == (0, 2)


def test_features():
    x = np.array([0.0, 1, 3, 9, 9])[None, :, None] * np.array([1.0, 0])
    found = pedestrian_features(x, np.array([True, True, True, False, False]))[0]
    assert_allclose(found, [[1, 1], [1, 1], [1, 2], [0, 2], [0, 2]])
    found = pedestrian_features(x, np.array([False, True, False, True, False]))[0]
    assert_allclose(found, [[0, 4], [1, 4], [0, 4], [1, 4], [0, 4]])
    assert not pedestrian_features(x, None).any()
