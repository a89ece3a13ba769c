"""Discrepancies by the cosine series against all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from scorefield.core.cosine_kernel import SCORING_BANDWIDTHS
from scorefield.core.statistics.distances import KernelMMD, distance_between
from scorefield.core.statistics.features import pool
from scorefield.core.statistics.spectral import DrawnMMD, SketchedMMD, SpectralMMD
from scorefield.core.statistics.uncertainty import bootstrap_counts, permutation_counts

rng = np.random.default_rng(0)
X, Y = rng.uniform(-1, 1, (30, 3)), rng.uniform(-0.7, 1, (20, 3))


def kernel(a, b):
    squared = (a.ravel()[:, None] - b.ravel()[None]) ** 2
    return sum(np.exp(-squared / (2 * w)) for w in SCORING_BANDWIDTHS)


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_discrepancy_is_that_of_all_pairs(unbiased):
    expected = [distance_between(KernelMMD(kernel, unbiased), X[:, [k]], Y[:, [k]]) for k in range(3)]
    assert distance_between(SpectralMMD(unbiased=unbiased), X, Y) == pytest.approx(np.mean(expected), abs=1e-10)
    if not unbiased:
        assert distance_between(SpectralMMD(), X, X) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("unbiased", [False, True])
def test_resampled_rows_are_repeated_rows(unbiased):
    counts = bootstrap_counts(30, 20, 3, np.random.default_rng(1))
    found = SpectralMMD(unbiased=unbiased).evaluator(pool(X, Y))(*counts)
    expected = KernelMMD(kernel, unbiased).evaluator(pool(X[:, :1], Y[:, :1]))(*counts)
    one = SpectralMMD(unbiased=unbiased).columns(pool(X, Y), *counts)
    np.testing.assert_allclose(one[0], expected, atol=1e-10)
    np.testing.assert_allclose(found, one.mean(0), atol=1e-12)


def test_bags_are_their_values():
    bags = rng.uniform(0, 1, (12, 2, 5)), rng.uniform(0, 1, (9, 2, 5))
    flat = [part.transpose(0, 2, 1).reshape(-1, 2) for part in bags]
    expected = distance_between(SpectralMMD(), *flat)
    assert distance_between(SpectralMMD(), *bags) == pytest.approx(expected, abs=1e-12)
    shuffled = np.random.default_rng(3).permutation(5)
    moved = [part[::-1][:, :, shuffled] for part in bags]
    assert distance_between(SpectralMMD(), *moved) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="one number per row"):
        distance_between(SpectralMMD(unbiased=True), *bags)


def test_many_numbers_are_summed_by_blocks():
    x, y = rng.uniform(-1, 1, (40_000, 1)), rng.uniform(-0.5, 1, (30_000, 1))
    found = distance_between(SpectralMMD(), x, y)
    ordered = distance_between(SpectralMMD(), np.sort(x, 0), np.sort(y, 0))
    assert found == pytest.approx(ordered, abs=1e-12)
    few = distance_between(SpectralMMD(), np.sort(x, 0)[20::40], np.sort(y, 0)[20::40])  # quantiles
    assert found == pytest.approx(few, rel=0.01)


def test_numbers_too_far_apart_are_refused():
    with pytest.raises(ValueError, match="apart"):
        distance_between(SpectralMMD(), X * 3, Y)


def test_a_sketch_with_room_is_the_discrepancy():
    exact, sketch = SpectralMMD().evaluator(pool(X, Y)), SketchedMMD().evaluator(pool(X, Y))
    counts = permutation_counts(30, 20, 4, np.random.default_rng(2))
    np.testing.assert_allclose(sketch(*counts), exact(*counts), rtol=1e-4)


def test_a_small_sketch_varies_like_the_discrepancy():
    x, y = rng.uniform(-1, 1, (200, 40)), rng.uniform(-1, 1, (200, 40))
    counts = permutation_counts(200, 200, 60, np.random.default_rng(2))
    exact = SpectralMMD().evaluator(pool(x, y))(*counts)
    small = SketchedMMD(most_entries=2 * 400 * 40 * 4)
    assert small.table(pool(x, y)).shape == (2 * 40 * 4, 400)
    sketched = small.evaluator(pool(x, y))(*counts)
    assert sketched.mean() == pytest.approx(exact.mean(), rel=0.15)
    assert np.corrcoef(exact, sketched)[0, 1] > 0.8


def test_drawn_values_are_the_same_in_both():
    bags = rng.uniform(0, 1, (12, 2, 5))
    assert distance_between(DrawnMMD(500), bags, bags) == pytest.approx(0, abs=1e-12)
    other = rng.uniform(0, 0.9, (12, 2, 5))
    found = [distance_between(DrawnMMD(4000, seed), bags, other) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert found[0] == pytest.approx(distance_between(SpectralMMD(), bags, other), rel=0.5)


def test_drawn_values_at_given_places():
    real, generated = rng.uniform(0, 1, (2, 40)), rng.uniform(0, 1, (2, 40))
    places = rng.integers(40, size=(2, 15))
    found = DrawnMMD().at(real, generated, places)
    for k in range(2):
        pair = real[k, places[k]][:, None], generated[k, places[k]][:, None]
        assert found[k] == pytest.approx(distance_between(KernelMMD(kernel), *pair), abs=1e-10)
