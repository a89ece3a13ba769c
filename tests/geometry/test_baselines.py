"""Baselines: straight lines are exact, whatever is given."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from scorefield.core.errors import InputError
from scorefield.domains.geometry.baselines import (
    BASELINES,
    constant_velocity,
    linear_extrapolation,
    linear_interpolation,
)


@given(known=st.lists(st.booleans(), min_size=3, max_size=9).filter(lambda k: sum(k) > 1), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_straight_lines_are_exact_and_given_frames_stay(known, seed):
    draws, known = np.random.default_rng(seed), np.array(known)
    start, velocity = draws.normal(size=(2, 2, 3, 1, 2))
    line = start + velocity * np.arange(len(known))[:, None]
    bent = draws.normal(size=line.shape)
    for name, fill in BASELINES.items():
        assert_allclose(fill(np.where(known[:, None], line, np.nan), known), line, atol=1e-12, err_msg=name)
        assert_array_equal(fill(bent, known)[..., known, :], bent[..., known, :])


def test_what_each_looks_at():
    x = np.array([0.0, 1, 3, np.nan, np.nan])[None, :, None] * np.ones(2)
    known = np.array([True, True, True, False, False])
    assert_allclose(constant_velocity(x, known)[0, 3:, 0], [5, 7])
    assert_allclose(linear_extrapolation(x, known)[0, 3:, 0], [4 / 3 + 1.5 * 2, 4 / 3 + 1.5 * 3])
    assert_allclose(linear_interpolation(x, known)[0, 3:, 0], [5, 7])
    gap = np.array([True, False, True, False, False])
    assert_allclose(linear_interpolation(x, gap)[0, :, 0], [0, 1.5, 3, 4.5, 6])
    last = np.array([False, False, True, False, False])
    for fill in BASELINES.values():
        assert_allclose(fill(x, last)[0, :, 0], np.full(5, 3.0))


def test_frames_that_do_not_fit():
    for known, words in ((np.zeros(5, bool), "no frame is given"), (np.ones(4, bool), "there are 5")):
        with pytest.raises(InputError, match=words):
            constant_velocity(np.zeros((1, 5, 2)), known)
