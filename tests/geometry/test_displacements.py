"""Errors of sampled trajectories, against stored values and by what must hold of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scorefield.core.errors import InputError
from scorefield.domains.geometry.statistics.clustering import nearest_to_centres
from scorefield.domains.geometry.statistics.error_figures import errors_svg
from scorefield.domains.geometry.statistics.errors import expected_least, paired_ratio, score_displacements

rng = np.random.default_rng(0)
TRUTH = rng.normal(size=(30, 3, 8, 2))


def around(number: int, spread: float = 0.3) -> np.ndarray:
    return TRUTH + spread * rng.normal(size=(number, *TRUTH.shape))


@pytest.fixture
def stored(shared_dir):
    """Samples and truth of graphs of different sizes, padded, and the stored scores."""
    with np.load(shared_dir / "fixtures/geometry_geotdm/metrics.npz") as file:
        values = dict(file)
    batch = values["ade_batch"]
    sizes = np.bincount(batch)
    mask = np.arange(sizes.max()) < sizes[:, None]
    place = np.arange(len(batch)) - np.searchsorted(batch, batch)
    truth = np.zeros((len(sizes), sizes.max(), 12, 3))
    samples = np.full((5, *truth.shape), np.nan)
    truth[batch, place] = values["ade_target"].transpose(0, 2, 1)
    samples[:, batch, place] = values["ade_samples"].transpose(0, 1, 3, 2)
    return samples, truth, mask, values


def test_stored_errors(stored):
    samples, truth, mask, values = stored
    found = score_displacements(samples, truth, mask=mask)
    np.testing.assert_allclose(found.ade.T, values["ADE"], rtol=1e-6)
    np.testing.assert_allclose(found.fde.T, values["FDE"], rtol=1e-6)
    for ours, theirs in (("ade", "aveADE"), ("fde", "aveFDE"), ("min_ade", "minADE"), ("min_fde", "minFDE")):
        assert found[ours] == pytest.approx(float(values[theirs]), rel=1e-6)


def test_stored_errors_of_pedestrians(stored):
    samples, truth, mask, values = stored
    found = score_displacements(samples, truth, mask=mask, first_only=True)
    assert found["min_ade"] == pytest.approx(float(values["ped_minADE"]), rel=1e-6)
    assert found["min_fde"] == pytest.approx(float(values["ped_minFDE"]), rel=1e-6)


def test_order_of_the_scores():
    found = score_displacements(around(60), TRUTH, first_only=True)
    values = found.values()
    for kind in ("ade", "fde"):
        assert values[f"min_{kind}"] <= values[f"best_of_20_{kind}"] <= values[kind]
        assert values[f"min_{kind}"] <= values[f"cluster_{kind}"] <= values[kind]
    assert values["cluster_fde"] < values["best_of_20_fde"]  # ends that lie apart: stronger than chance
    assert "cluster_ade" not in score_displacements(around(20), TRUTH).values()


def test_expected_least_is_the_mean_over_all_choices():
    errors = rng.random((6, 4))
    chosen = [errors[list(rows)].min(0) for rows in itertools.combinations(range(6), 3)]
    np.testing.assert_allclose(expected_least(errors, 3), np.mean(chosen, axis=0))


def test_clusters_are_the_seeds():
    samples = around(40)
    first, same, other = (score_displacements(samples, TRUTH, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.kept, same.kept)
    assert (first.kept != other.kept).any()


def test_clusters_are_found():
    middles = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    points = middles[np.arange(40) % 4] + 0.1 * rng.normal(size=(5, 40, 2))
    kept = nearest_to_centres(points, 4, np.random.default_rng(0))
    assert (np.sort(kept % 4, axis=1) == np.arange(4)).all()
    same = nearest_to_centres(np.zeros((2, 8, 2)), 3, np.random.default_rng(0))  # all points at one place
    assert same.shape == (2, 3)


def test_energy_is_least_for_the_law_of_the_truth():
    """Of spreads 0.1, 0.3 and 0.9 about a known middle, where the truth has 0.3; `min_ade` prefers too wide a law."""
    middle = rng.normal(size=(400, 1, 2, 2))
    truth = middle + 0.3 * rng.normal(size=middle.shape)
    found = [
        score_displacements(middle + spread * rng.normal(size=(16, *middle.shape)), truth)["energy"]
        for spread in (0.1, 0.3, 0.9)
    ]
    assert found[1] < min(found[0], found[2])


@pytest.mark.parametrize("number", [2, 5, 6])
def test_energy_by_its_definition(number):
    samples = around(number)
    apart = [
        np.linalg.norm(a - b, axis=-1).mean((1, 2)) for k, a in enumerate(samples) for b in np.delete(samples, k, 0)
    ]
    found = score_displacements(samples, TRUTH)
    np.testing.assert_allclose(found.energy, found.ade.mean(0) - np.mean(apart, axis=0) / 2)


def test_only_frames_that_count():
    samples = around(3)
    frames = np.arange(8) >= 5
    cut = score_displacements(samples[..., 5:, :], TRUTH[:, :, 5:])
    found = score_displacements(samples, TRUTH, frames=frames)
    np.testing.assert_allclose(found.ade, cut.ade)
    np.testing.assert_allclose(found.fde, cut.fde)
    assert np.isnan(found.frames[:, :5]).all()
    ragged = np.repeat(frames[None], 30, axis=0)
    ragged[0, 7] = False
    alone = np.linalg.norm(samples[:, 0, :, 6] - TRUTH[0, :, 6], axis=-1).mean(1)
    np.testing.assert_allclose(score_displacements(samples, TRUTH, frames=ragged).fde[:, 0], alone)


def test_a_scale_multiplies_every_error():
    samples = around(30)
    plain, scaled = (score_displacements(samples, TRUTH, scale=scale).values() for scale in (1.0, 1.4))
    for name, value in plain.items():
        assert scaled[name] == pytest.approx(1.4 * value)


def test_intervals_know_which_systems_belong_together():
    samples = np.repeat(around(2), 4, axis=1)
    truth = np.repeat(TRUTH, 4, axis=0)
    alone, together, single = (
        score_displacements(samples, truth, groups=groups).rows()[0]
        for groups in (None, np.repeat(np.arange(30), 4), np.zeros(120, dtype=int))
    )
    once = score_displacements(samples[:, ::4], TRUTH).rows()[0]
    assert together.high - together.low == pytest.approx(once.high - once.low)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    assert single.low is None


def test_intervals_cover_the_mean():
    covered = 0
    for _ in range(100):
        truth = np.zeros((40, 1, 1, 2))
        row = score_displacements(rng.normal(size=(3, 40, 1, 1, 2)), truth).rows()[0]
        covered += row.low <= np.sqrt(np.pi / 2) <= row.high  # the mean of a Rayleigh law
    assert covered >= 86


def test_paired_ratio():
    first, second = (score_displacements(around(5, spread), TRUTH) for spread in (0.33, 0.3))
    ratio, interval = paired_ratio(first, second, draws=300)
    assert ratio == pytest.approx(first["ade"] / second["ade"])
    assert interval.low < ratio < interval.high
    again = paired_ratio(first, second, draws=300)
    assert again == (ratio, interval)
    assert paired_ratio(first, first, "min_fde", draws=50)[0] == 1


def test_json_and_figure():
    found = score_displacements(around(3), TRUTH, frames=np.arange(8) >= 3)
    assert found.as_json()["by_frame"]["mean"][:4] == [None] * 3 + [found.frames[0, 3]]
    assert errors_svg(found, {"constant velocity": found}, dt=0.1, unit="m").startswith("<?xml")


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        (TRUTH, {}, "samples of shape"),
        (np.full((1, *TRUTH.shape), np.nan), {}, "sample 0 of system 0, node 0, frame 0"),
        (TRUTH[None], {"frames": np.zeros(8, bool)}, "no frame to score"),
        (TRUTH[None], {"mask": np.zeros((30, 3), bool)}, "no node to score"),
    ],
)
def test_what_cannot_be_scored(samples, options, message):
    with pytest.raises(InputError, match=message):
        score_displacements(samples, TRUTH, **options)
