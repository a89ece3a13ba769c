"""Distances against definitions computed another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, sparse, stats

from scorefield.core.statistics.distances import (
    CosineSimilarity,
    Energy,
    KernelMMD,
    KolmogorovSmirnov,
    LinearMMD,
    TotalVariation,
    Wasserstein1,
    distance_between,
)
from scorefield.core.statistics.features import TokenCounts, pool
from scorefield.core.statistics.frechet import Frechet, frechet_distance
from scorefield.core.statistics.uncertainty import bootstrap_counts

rng = np.random.default_rng(0)
values = st.lists(st.integers(-3, 3), min_size=2, max_size=12)


def dot(a, b):
    return a @ b.T


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("form", ["array", "sparse", "kernel"])
def test_mmd_is_its_definition(unbiased, form):
    x, y = rng.poisson(0.4, (9, 30)).astype(float), rng.poisson(0.6, (6, 30)).astype(float)
    xx, yy, xy = x @ x.T, y @ y.T, x @ y.T
    if unbiased:
        mean = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))  # noqa: E731
        expected = mean(xx) + mean(yy) - 2 * xy.mean()
    else:
        expected = xx.mean() + yy.mean() - 2 * xy.mean()
    if form == "kernel":
        found = distance_between(KernelMMD(dot, unbiased), x, y)
    elif form == "sparse":
        found = distance_between(LinearMMD(unbiased), sparse.csr_matrix(x), sparse.csr_matrix(y))
    else:
        found = distance_between(LinearMMD(unbiased), x, y)
    assert found == pytest.approx(expected, abs=1e-12)


def test_resampled_mmd_is_that_of_the_repeated_rows():
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    real, generated = bootstrap_counts(7, 5, 4, np.random.default_rng(1))
    drawn = LinearMMD().evaluator(pool(x, y))(real, generated)
    for column in range(4):
        repeated = np.repeat(x, real[:7, column], axis=0), np.repeat(y, generated[7:, column], axis=0)
        assert drawn[column] == pytest.approx(distance_between(LinearMMD(), *repeated))


def test_merging_private_columns_changes_nothing():
    dense = (rng.random((20, 400)) < 0.02) * rng.random((20, 400))
    counts = np.ones((20, 1), dtype=int)
    counts[:8] = 0
    found = LinearMMD().evaluator(sparse.csr_matrix(dense))(counts, 1 - counts)
    assert found == pytest.approx(LinearMMD().evaluator(dense)(counts, 1 - counts))


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_one_dimensional_distances_agree_with_scipy(a, b):
    x, y = np.array(a, dtype=float), np.array(b, dtype=float)
    assert distance_between(Wasserstein1(), x, y) == pytest.approx(stats.wasserstein_distance(x, y), abs=1e-12)
    assert distance_between(KolmogorovSmirnov(), x, y) == pytest.approx(stats.ks_2samp(x, y).statistic, abs=1e-12)
    energy = distance_between(Energy(), x, y)
    assert energy == pytest.approx(stats.energy_distance(x, y) ** 2, abs=1e-12)
    assert distance_between(Energy(), x[:, None], y[:, None]) == pytest.approx(energy, abs=1e-12)


def test_one_dimensional_distances_refuse_vectors():
    with pytest.raises(ValueError, match="one number per row"):
        distance_between(Wasserstein1(), np.zeros((4, 2)), np.zeros((4, 2)))


def test_total_variation_and_cosine():
    x, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    assert distance_between(TotalVariation(), x, y) == pytest.approx(0.5)
    assert distance_between(CosineSimilarity(), x, y) == pytest.approx(1 / np.sqrt(2))
    assert distance_between(CosineSimilarity(), x, np.zeros((1, 2))) == 0


def test_frechet_is_its_formula():
    x, y = rng.normal(size=(40, 5)) * [1, 2, 3, 1, 1], rng.normal(size=(60, 5)) + 0.3
    s, t = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(s @ t).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s + t - 2 * root)
    assert distance_between(Frechet(), x, y) == pytest.approx(expected)
    assert frechet_distance(x.mean(0), s, y.mean(0), t) == pytest.approx(expected)
    assert distance_between(Frechet(), x, x) == pytest.approx(0, abs=1e-9)
    assert distance_between(Frechet(5), x, y) == pytest.approx(expected)
    assert distance_between(Frechet(2), x, y) <= expected
    few = distance_between(Frechet(), x[:3], y)  # singular covariance
    assert np.isfinite(few)


def test_frechet_shares_out_the_pool_either_way():
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(10, 4))
    assert distance_between(Frechet(), x, y) == pytest.approx(distance_between(Frechet(), y, x))


def test_token_counts_share_their_columns():
    left = TokenCounts.from_lists([["a", "b", "b"], []])
    right = TokenCounts.from_lists([["b"]])
    assert left.shape[0] == 2
    assert pool(left, right).toarray().tolist() == [[1, 2], [0, 0], [0, 1]]
    assert distance_between(CosineSimilarity(), left, right) == pytest.approx(2 / np.sqrt(5))
