"""The recurrent forecaster: what it learns, that it is reproducible, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.series.forecasters import RepeatedSeason
from scorefield.domains.series.recurrent_forecaster import LEVELS, RecurrentForecaster, Training

SHORT = Training(steps=150, batch=32, width=16)


def waves(number: int, seed: int = 0) -> NDArray[np.float64]:
    """Waves of period 6 with a size of their own and noise that stays: steps of a window err together."""
    draw = np.random.default_rng(seed)
    steps = np.arange(30)
    phase = draw.uniform(0, 6, (number, 1))
    size = draw.uniform(1, 100, (number, 1))
    drift = np.where(steps >= 24, draw.normal(0, 0.2, (number, 1)), 0.0)
    return np.asarray(size * (2 + np.sin((steps + phase) * np.pi / 3) + drift))


@pytest.fixture(scope="module")
def fitted() -> RecurrentForecaster:
    return RecurrentForecaster.fit(waves(400), 24, 6, training=SHORT)


def test_paths_are_calibrated_and_hang_together(fitted: RecurrentForecaster) -> None:
    test = waves(200, 1)
    paths = fitted.forecast(test[:, :24], 60, seed=3)
    assert paths.shape == (200, 60, 6)
    median_error = np.abs(np.median(paths, 1) - test[:, 24:]).mean()
    # The drift's mean absolute value is the least error; the last season again has nothing to go by either.
    naive = np.abs(RepeatedSeason(6).forecast(test[:, :24], 6) - test[:, 24:]).mean()
    assert median_error < 1.15 * naive
    low, high = np.quantile(paths, [0.1, 0.9], axis=1)
    inside = ((low <= test[:, 24:]) & (test[:, 24:] <= high)).mean()
    assert 0.65 < inside < 0.93
    centred = paths - paths.mean(1, keepdims=True)
    together = (centred[:, :, 0] * centred[:, :, 5]).sum() / np.sqrt(
        (centred[:, :, 0] ** 2).sum() * (centred[:, :, 5] ** 2).sum()
    )
    assert together > 0.5


def test_the_seed_fixes_everything(fitted: RecurrentForecaster) -> None:
    state = torch.random.get_rng_state()
    again = RecurrentForecaster.fit(waves(400), 24, 6, training=SHORT)
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in fitted.weights.items():
        assert torch.equal(value, again.weights[name])
    contexts = waves(3, 2)[:, :24]
    assert np.array_equal(fitted.forecast(contexts, 5, 1), again.forecast(contexts, 5, 1))
    assert not np.array_equal(fitted.forecast(contexts, 5, 1), fitted.forecast(contexts, 5, 2))
    other = RecurrentForecaster.fit(waves(400), 24, 6, seed=1, training=Training(1, 32, width=16))
    assert not torch.equal(other.weights["places"], fitted.weights["places"])


def test_forecasts_scale_with_their_context(fitted: RecurrentForecaster) -> None:
    contexts = waves(4, 2)[:, :24]
    one, many = (fitted.quantiles(c) for c in (contexts, 1000 * contexts))
    np.testing.assert_allclose(many, 1000 * one, rtol=1e-4)
    assert one.shape == (4, 6, len(LEVELS))
    assert (np.diff(one, axis=2) >= 0).all()


def test_missing_values(fitted: RecurrentForecaster) -> None:
    windows = waves(50)
    windows[:, 3] = np.nan
    windows[::2, 26] = np.nan
    windows[0] = np.nan
    holed = RecurrentForecaster.fit(windows, 24, 6, training=Training(2, 8, width=4))
    assert np.isfinite(holed.forecast(windows[:, :24], 3)).all()
    assert np.isfinite(fitted.forecast(windows[:, :24], 3)).all()


@pytest.mark.parametrize(("context", "steps", "season"), [(7, 3, 24), (20, 1, 1), (5, 30, 5)])
def test_any_lengths(context: int, steps: int, season: int) -> None:
    windows = np.random.default_rng(0).normal(size=(20, context + steps))
    made = RecurrentForecaster.fit(windows, context, season, training=Training(2, 8, width=4))
    assert made.steps == steps
    assert made.forecast(windows[:2, :context], 4).shape == (2, 4, steps)


def test_what_it_refuses(fitted: RecurrentForecaster) -> None:
    with pytest.raises(InputError, match=r"\[windows, context \+ steps\]"):
        RecurrentForecaster.fit(waves(5), 30)
    infinite = waves(5)
    infinite[2, 7] = np.inf
    with pytest.raises(InputError, match="inf in window 2, step 7"):
        RecurrentForecaster.fit(infinite, 24)
    with pytest.raises(InputError, match=r"\[n, 24\]"):
        fitted.forecast(waves(2))
    with pytest.raises(InputError, match="above 0"):
        Training(steps=0)
