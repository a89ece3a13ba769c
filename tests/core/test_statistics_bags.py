"""Distances of bags of numbers and of profiles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from scorefield.core.statistics.bags import BagWasserstein1, JensenShannon, Marginal, ProfileDistance
from scorefield.core.statistics.distances import distance_between, memberships
from scorefield.core.statistics.statistic import Statistic
from scorefield.core.statistics.uncertainty import Resampling

rng = np.random.default_rng(0)
REAL, OTHER = rng.normal(size=(40, 2, 7)), 0.4 + 1.2 * rng.normal(size=(30, 2, 7))


def test_wasserstein_of_pooled_values():
    wanted = np.mean([wasserstein_distance(REAL[:, k].ravel(), OTHER[:, k].ravel()) for k in range(2)])
    assert distance_between(BagWasserstein1(), REAL, OTHER) == pytest.approx(wanted)


def test_bags_may_have_holes():
    holed = OTHER.copy()
    holed[::3, :, 4:] = np.nan
    wanted = np.mean([wasserstein_distance(REAL[:, k].ravel(), holed[:, k][~np.isnan(holed[:, k])]) for k in range(2)])
    assert distance_between(BagWasserstein1(), REAL, holed) == pytest.approx(wanted)


@pytest.mark.parametrize("distance", [BagWasserstein1(), Marginal(), Marginal(total_variation=True)])
def test_multiplicities_are_repeated_rows(distance):
    real, generated = (rng.integers(0, 3, (70, 4)) for _ in range(2))
    real[40:], generated[:40] = 0, 0
    pool = np.concatenate([REAL, OTHER])
    found = distance.evaluator(pool)(real, generated)
    for draw in range(4):
        rows = [np.repeat(pool, counts[:, draw], axis=0) for counts in (real, generated)]
        assert found[draw] == pytest.approx(distance_between(distance, *rows))


def test_marginal_score_by_its_definition():
    low, high = REAL.min((0, 2)), REAL.max((0, 2))
    wanted = []
    for k in range(2):
        width = (high[k] - low[k]) / 50
        centres = low[k] + width * (np.arange(50) + 0.5)
        inside = np.abs(OTHER[:, k].ravel() - centres[:, None]) < width / 2
        real = np.histogram(REAL[:, k], 50)[0] / REAL[:, k].size
        wanted.append(np.abs(inside.mean(1) - real).mean() / width)
    assert distance_between(Marginal(), REAL, OTHER) == pytest.approx(np.mean(wanted))
    assert distance_between(Marginal(), REAL, REAL) == 0


def test_total_variation_sees_what_lies_outside_and_no_unit():
    distance = Marginal(total_variation=True)
    assert distance_between(distance, REAL, REAL + 100) == pytest.approx(1)
    assert distance_between(distance, REAL, OTHER) == pytest.approx(distance_between(distance, 7 * REAL, 7 * OTHER))
    assert distance_between(Marginal(), REAL, OTHER) == pytest.approx(
        7 * distance_between(Marginal(), 7 * REAL, 7 * OTHER)
    )


def test_no_range_is_no_score():
    assert np.isnan(distance_between(Marginal(), np.ones((5, 1, 3)), REAL[:, :1, :3]))


@pytest.mark.parametrize("distance", [BagWasserstein1, Marginal])
def test_groups_are_near_the_exact_distance(distance):
    real, other = rng.normal(size=(200, 1, 50)), 0.3 + rng.normal(size=(200, 1, 50))
    exact = distance_between(distance(), real, other)
    assert distance_between(distance(cells=2000), real, other) == pytest.approx(exact, rel=0.05)


def test_jensen_shannon():
    histograms = rng.dirichlet(np.ones(6), size=(20, 3))
    means = [part.mean(0) for part in (histograms[:8], histograms[8:])]
    wanted = np.mean([jensenshannon(p, q, 2) ** 2 for p, q in zip(*means, strict=True)])
    assert distance_between(JensenShannon(), histograms[:8], histograms[8:]) == pytest.approx(wanted)
    apart = np.zeros((2, 1, 2))
    apart[0, 0, 0] = apart[1, 0, 1] = 1
    assert JensenShannon().evaluator(apart)(*memberships(1, 1))[0] == pytest.approx(1)


def test_profile_distance():
    profiles = rng.random((9, 4))
    a, b = profiles[:4].mean(0), profiles[4:].mean(0)
    wanted = np.abs(b - a).sum() / a.sum()
    assert distance_between(ProfileDistance(), profiles[:4], profiles[4:]) == pytest.approx(wanted)


def test_two_axes_are_no_bags():
    with pytest.raises(ValueError, match="bags"):
        BagWasserstein1().evaluator(np.zeros((4, 2)))


def test_p_values_are_even_under_equality():
    """Of 40 comparisons of one law, two expected below 0.05; more than eight would be a chance of 1 in 2000."""
    found = []
    for seed in range(40):
        pair = np.random.default_rng(seed).normal(size=(2, 30, 1, 5))
        statistic = Statistic("x", "", lambda part: part, Marginal(), Marginal(cells=100))
        found.append(statistic.row(*pair, Resampling(39, 0, 0), seed).p_value)
    assert np.mean(np.array(found) <= 0.05) <= 0.2
    assert 0.3 < np.mean(found) < 0.7
