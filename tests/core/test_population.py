"""Features of windows, and the population term against all pairs."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scorefield.core.cosine_kernel import SCORING_BANDWIDTHS, TRAINING_BANDWIDTHS, cosine_expansion
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.population import (
    Autocorrelations,
    LaggedCorrelations,
    PopulationTerm,
    ValueQuantiles,
    Values,
    WindowCorrelations,
    brute_force_mmd,
    population_mmd,
    window_correlations,
)

FEATURES = [WindowCorrelations(), LaggedCorrelations((1, 3)), Autocorrelations(), Values(), ValueQuantiles()]


def windows(seed: int, number: int = 12, steps: int = 10, features: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(number, steps, features, generator=generator, dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("bandwidths", [TRAINING_BANDWIDTHS, SCORING_BANDWIDTHS])
def test_the_cosine_series_is_the_kernel(bandwidths):
    series = cosine_expansion(bandwidths, 2.0)
    frequency, weights = series.frequency, np.array(series.weights)
    d = np.linspace(-2, 2, 401)
    kernel = sum(np.exp(-(d**2) / (2 * w)) for w in bandwidths)
    modes = np.arange(1, len(weights) + 1)
    constant = frequency / (2 * math.pi) * sum(math.sqrt(2 * math.pi * w) for w in bandwidths)
    found = constant + np.cos(d[:, None] * frequency * modes) @ weights
    assert np.abs(found - kernel).max() < 1e-11
    assert series.at_zero == len(bandwidths)
    assert len(weights) < 160


@pytest.mark.parametrize("arguments", [((), 2.0), ((0.1, 0.0), 2.0), ((0.1,), -1.0), ((0.1,), 1.0, 0.0)])
def test_a_series_needs_positive_numbers(arguments):
    with pytest.raises(ValueError, match="positive"):
        cosine_expansion(*arguments)


@pytest.mark.parametrize("feature", FEATURES)
def test_the_term_is_the_mean_over_all_pairs(feature):
    real, generated = windows(1), windows(2, 9)
    term = PopulationTerm(feature)
    expected = brute_force_mmd(feature(real), feature(generated), TRAINING_BANDWIDTHS)
    torch.testing.assert_close(term.columns(real, generated), expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(term(real, generated), expected.mean(), atol=1e-10, rtol=0)
    assert term(real, real).abs() < 1e-12
    single = PopulationTerm(feature)(real.float(), generated.float())
    torch.testing.assert_close(single.double(), expected.mean(), atol=2e-6, rtol=0)


@pytest.mark.parametrize("feature", FEATURES)
def test_gradients_are_those_of_all_pairs(feature):
    real, generated = windows(1), windows(2).requires_grad_()
    (found,) = torch.autograd.grad(PopulationTerm(feature)(real, generated), generated)
    value = brute_force_mmd(feature(real), feature(generated), TRAINING_BANDWIDTHS).mean()
    (expected,) = torch.autograd.grad(value, generated)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-7)


def test_the_stored_loss(shared_dir):
    stored = load_file(shared_dir / "fixtures/series_pad_ts/loss_s.safetensors")
    feature = WindowCorrelations()
    for windows_name, name in (("x0", "cc_target"), ("model_output", "cc_pred")):
        torch.testing.assert_close(feature(stored[windows_name]), stored[name], atol=1e-6, rtol=0)
    term = PopulationTerm(feature)
    columns = term.columns(stored["x0"], stored["model_output"])
    torch.testing.assert_close(columns, stored["mmd_per_pair"], atol=2e-6, rtol=0)
    torch.testing.assert_close(term(stored["x0"], stored["model_output"]), stored["mmd"], atol=2e-6, rtol=0)


@pytest.mark.parametrize("constant", [0.1, 0.3, 0.7, 0.9, 1 / 3, -1.0, 0.25])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_channel_has_no_correlation_and_a_finite_gradient(constant, dtype):
    x = windows(3, steps=24).to(dtype)
    x[:, :, :2] = constant
    x.requires_grad_()
    found = window_correlations(x)
    assert (found[:, :2] == 0).all()
    PopulationTerm(WindowCorrelations())(windows(4, steps=24).to(dtype), x).backward()
    assert x.grad.isfinite().all()
    assert (x.grad[:, :, :2] == 0).all()
    assert (x.grad[:, :, 2:] != 0).any()


def test_correlations_are_numpys_and_follow_the_features():
    x = windows(5)
    expected = np.stack([np.corrcoef(window.T.numpy()) for window in x])
    np.testing.assert_allclose(window_correlations(x).numpy(), expected, atol=1e-12)
    pairs = WindowCorrelations()(x)
    order = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    np.testing.assert_allclose(pairs.numpy(), np.stack([expected[:, i, j] for i, j in order], 1), atol=1e-12)
    turned = WindowCorrelations()(x[:, :, [1, 0, 3, 2]])
    names = [tuple(sorted(([1, 0, 3, 2][i], [1, 0, 3, 2][j]), reverse=True)) for i, j in order]
    torch.testing.assert_close(turned, pairs[:, [order.index(name) for name in names]])


def test_lagged_correlations_are_their_definition():
    x = windows(6, 3, 9, 2)
    z = (x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)
    expected = torch.einsum("bti,btj->bij", z[:, :-2], z[:, 2:]) / 9
    torch.testing.assert_close(window_correlations(x, lag=2), expected)
    torch.testing.assert_close(LaggedCorrelations((2,))(x), torch.stack([expected[:, 0, 1], expected[:, 1, 0]], 1))
    torch.testing.assert_close(Autocorrelations((2,))(x), expected.diagonal(dim1=1, dim2=2))


@pytest.mark.parametrize("feature", FEATURES)
def test_masked_steps_do_not_count(feature):
    x = windows(7)
    longer = torch.cat([x, torch.full_like(x[:, :3], 9.0)], 1)
    mask = torch.arange(13).expand(12, -1) < 10
    torch.testing.assert_close(feature(longer, mask), feature(x))


def test_quantiles_are_numpys():
    x = windows(8)
    levels = (0.1, 0.5, 0.9)
    expected = np.quantile(x.numpy(), levels, axis=1)
    found = ValueQuantiles(levels)(x).reshape(12, 3, 4).permute(1, 0, 2)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_one_feature_has_no_pairs():
    one = windows(9, features=1).requires_grad_()
    with pytest.warns(InputWarning, match="WindowCorrelations has nothing to compare"):
        value = PopulationTerm(WindowCorrelations())(windows(1, features=1), one)
    value.backward()
    assert value == 0
    assert (one.grad == 0).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PopulationTerm(Values())(windows(1, features=1), one)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PopulationTerm(Values(), -1.0),
        lambda: PopulationTerm(Values(), 1.0, ()),
        lambda: PopulationTerm(Values(), 1.0, (0.1, 0.0)),
        lambda: ValueQuantiles((1.5,)),
        lambda: Autocorrelations(()),
        lambda: LaggedCorrelations((0,)),
    ],
)
def test_settings_that_cannot_be(make):
    with pytest.raises(InputError):
        make()


def test_values_beyond_the_bound_count_as_at_it():
    real, far = windows(1), windows(2) + 100
    term = PopulationTerm(Values(bound=1.0))
    torch.testing.assert_close(term(real, far), term(real, torch.ones_like(far)))


def test_the_expected_value_at_equality_falls_with_the_batch():
    values = [
        PopulationTerm(Values())(windows(2 * seed, 1, size, 1), windows(2 * seed + 1, 1, size, 1)).item()
        for size in (16, 64)
        for seed in range(20)
    ]
    small, large = np.mean(values[:20]), np.mean(values[20:])
    assert 2 < small / large < 8


def test_one_brute_force_kernel_of_each_kind():
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    assert brute_force_mmd(zero, one, (0.5,)).item() == pytest.approx(2 - 2 * math.exp(-1))
    found = brute_force_mmd(zero, one, (0.5,), inverse_multiquadric=True)
    assert found.item() == pytest.approx(2 - 2 * 0.25 / 1.25)
    series = cosine_expansion((0.5,), 2.0)
    assert population_mmd(zero.double(), one.double(), series).item() == pytest.approx(2 - 2 * math.exp(-1))
