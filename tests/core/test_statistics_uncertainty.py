"""Intervals, p-values and floors on samples whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scorefield.core.statistics.distances import LinearMMD, Wasserstein1, memberships
from scorefield.core.statistics.features import pool
from scorefield.core.statistics.statistic import Measurement, Score, Statistic, generator_of
from scorefield.core.statistics.uncertainty import (
    Resampling,
    bootstrap_counts,
    permutation_counts,
    permutation_p_value,
    permuted_distances,
    real_floor,
    t_interval,
    wilson_interval,
)

SHIFT = Statistic("w1", "a shift", lambda values: values, Wasserstein1())


def test_counts_have_the_sizes():
    generator = np.random.default_rng(0)
    real, generated = permutation_counts(7, 3, 5, generator)
    assert (real + generated == 1).all()
    assert (generated.sum(axis=0) == 3).all()
    real, generated = bootstrap_counts(7, 3, 5, generator)
    assert (real.sum(axis=0) == 7).all()
    assert not real[7:].any()
    assert (generated.sum(axis=0) == 3).all()
    assert not generated[:7].any()


def test_wilson_interval_is_the_published_formula():
    interval = wilson_interval(81, 263)  # Newcombe (1998): .2553, .3662
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(10, 10).high == 1
    with pytest.raises(ValueError, match="at least one"):
        wilson_interval(0, 0)


def test_t_interval():
    interval = t_interval([1.0, 2.0, 3.0])
    assert (interval.low, interval.high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)
    with pytest.raises(ValueError, match="two repeats"):
        t_interval([1.0])


def test_ties_are_ranked_at_random():
    generator = np.random.default_rng(0)
    drawn = [permutation_p_value(1.0, np.ones(9), generator) for _ in range(2000)]
    counts = np.bincount(np.round(np.array(drawn) * 10).astype(int), minlength=11)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 0.01


def test_p_value_counts_the_farther():
    generator = np.random.default_rng(0)
    permuted = np.arange(1.0, 100.0)
    assert permutation_p_value(1000.0, permuted, generator) == pytest.approx(0.01)
    assert permutation_p_value(0.0, permuted, generator) == pytest.approx(1.0)
    assert permutation_p_value(0.0, permuted, generator, larger_is_closer=True) == pytest.approx(0.01)


@pytest.mark.parametrize("levels", [None, 3])
def test_permutation_p_values_are_uniform_at_equality(levels):
    generator, found = np.random.default_rng(3), []
    for _ in range(200):
        sample = generator.normal(size=60) if levels is None else generator.integers(levels, size=60).astype(float)
        evaluate = Wasserstein1().evaluator(sample)
        permuted = permuted_distances(evaluate, 40, 20, 99, generator)
        found.append(permutation_p_value(float(evaluate(*memberships(40, 20))[0]), permuted, generator))
    assert stats.kstest(found, "uniform").pvalue > 0.01


@pytest.mark.parametrize(("shift", "distance"), [(0.0, "w1"), (0.5, "w1"), (0.0, "mmd"), (0.5, "mmd")])
def test_intervals_cover_the_mean(shift, distance):
    generator, rows = np.random.default_rng(5), []
    kind = Wasserstein1() if distance == "w1" else LinearMMD()
    statistic = Statistic(distance, "", lambda values: values, kind)
    for seed in range(150):
        real, generated = generator.normal(size=(200, 1)), generator.normal(shift, size=(100, 1))
        rows.append(statistic.row(real, generated, Resampling(99, 100, 0), seed))
    mean = np.mean([row.value for row in rows])
    assert np.mean([row.low <= mean <= row.high for row in rows]) >= 0.91


def test_floor_is_the_mean_of_real_against_real():
    real = np.random.default_rng(0).normal(size=(400, 1))
    floor, size = real_floor(LinearMMD(), real, 100, 400, np.random.default_rng(1))
    assert size == 100
    assert floor == pytest.approx(np.var(real, ddof=1) * (1 / 100 + 1 / 300), rel=0.2)
    assert real_floor(LinearMMD(), real, 1000, 3, np.random.default_rng(1))[1] == 200


def test_rows_are_the_same_for_a_seed_and_chunks_do_not_matter(monkeypatch):
    generator = np.random.default_rng(0)
    real, generated = generator.normal(size=80), generator.normal(size=40)
    row = SHIFT.row(real, generated, Resampling(), 1)
    assert row == SHIFT.row(real, generated, Resampling(), 1)
    monkeypatch.setattr("scorefield.core.statistics.uncertainty._CHUNK_ENTRIES", 500)
    again = SHIFT.row(real, generated, Resampling(), 1)
    assert (again.low, again.p_value, again.floor) == pytest.approx((row.low, row.p_value, row.floor))
    assert SHIFT.row(real, generated, Resampling(), 2) != row


def test_row_without_resampling_has_the_value_only():
    row = SHIFT.row(np.arange(5.0), np.arange(4.0), Resampling(0, 0, 0), 0)
    assert row.value is not None
    assert (row.low, row.floor, row.p_value) == (None, None, None)
    assert SHIFT.row(np.arange(5.0), np.arange(1.0), Resampling(), 0).value is None


def test_score_floor_is_the_score_of_real_objects():
    score = Score("mean", "", lambda x, train: Measurement(float(np.mean(x)), None, len(x)), real_is_floor=True)
    row = score.row(np.ones(3), None, np.zeros(3))
    assert (row.value, row.floor, row.n_generated) == (1.0, 0.0, 3)
    nothing = Score("none", "", lambda x, train: None, absent="no flags").row(np.ones(3), None, None)
    assert (nothing.value, nothing.note) == (None, "no flags")


def test_streams_differ_by_name():
    assert generator_of(0, "a").random() != generator_of(0, "b").random()
    assert pool(np.zeros(2), np.ones(1)).tolist() == [0, 0, 1]
