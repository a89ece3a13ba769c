"""Interpolants and their gammas: published tables, identities, Gaussian paths, names."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorefield.core.errors import InputError
from scorefield.core.interpolants.gammas import GAMMAS, Brownian, Sigmoid, gamma_named
from scorefield.core.interpolants.interpolant import INTERPOLANTS, interpolant_named
from scorefield.core.paths import Cosine, Linear

INNER = st.lists(st.floats(0.002, 0.998).filter(lambda r: abs(r - 0.5) > 1e-3), min_size=1, max_size=8)
FEW = settings(max_examples=8)  # each of several times
PUBLISHED = {"brownian": "brownian", "bsquared": "quadratic", "sinesquared": "sine-squared", "sigmoid": "sigmoid"}
NOISY = ("brownian", "brownian:0.3", "quadratic", "sine-squared", "sigmoid", "sigmoid:6")
FAMILIES = [(name, gamma) for name in ("linear", "trigonometric", "encoder-decoder", "mirror") for gamma in NOISY]
FAMILIES += [
    ("linear", "zero"),
    ("trigonometric", "zero"),
    ("one-sided-linear", None),
    ("one-sided-trigonometric", None),
]


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def slope_of(function, r):
    return torch.func.jvp(function, (r,), (torch.ones_like(r),))[1]


@pytest.fixture(scope="module")
def published(shared_dir):
    return {k: torch.from_numpy(v) for k, v in np.load(shared_dir / "fixtures" / "core" / "interflow.npz").items()}


@pytest.mark.parametrize("name", [*PUBLISHED, "zero"])
def test_gammas_are_the_published_ones(published, name):
    gamma, r = gamma_named(PUBLISHED.get(name, name)), published["t"]
    table = torch.stack([gamma.value(r), gamma.slope(r), gamma.product(r)])
    torch.testing.assert_close(table, published[f"gamma|{name}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("path", "name"),
    [("linear", "linear"), ("trig", "trigonometric"), ("encoding-decoding", "encoder-decoder")],
)
def test_two_sided_scales_are_the_published_ones(published, path, name):
    keys = [key for key in published if key.startswith(f"path|{path}|")]
    assert len(keys) == 2
    for key in keys:
        at = interpolant_named(name, PUBLISHED[key.split("|")[2]]).coefficients(published["t"])
        table = torch.stack([at.source, at.source_slope, at.target, at.target_slope])
        torch.testing.assert_close(table, published[key], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("path", "name"),
    [("one-sided-linear", "one-sided-linear"), ("one-sided-trig", "one-sided-trigonometric"), ("mirror", "mirror")],
)
def test_where_the_published_code_scales_its_noise_by_a_ours_is_gamma(published, path, name):
    at = interpolant_named(name).coefficients(published["t"])
    table = torch.stack([at.gamma, at.gamma_slope, at.target, at.target_slope])
    torch.testing.assert_close(table, published[f"path|{path}|brownian|a_adot_b_bdot"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [*NOISY, "zero"])
def test_gamma_vanishes_at_both_ends_and_its_product_is_finite_there(name):
    gamma, ends = gamma_named(name), double(0, 1)
    assert gamma.value(ends).abs().max() < 1e-15
    assert gamma.product(ends).isfinite().all()


@pytest.mark.parametrize("name", [*NOISY, "zero"])
@FEW
@given(r=INNER)
def test_gamma_is_consistent_with_its_slope_product_and_square(name, r):
    gamma, r = gamma_named(name), double(*r)
    torch.testing.assert_close(gamma.slope(r), slope_of(gamma.value, r), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gamma.product(r), gamma.value(r) * gamma.slope(r), rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(gamma.square(r), gamma.value(r) ** 2, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("name", "gamma"), FAMILIES)
@FEW
@given(r=INNER)
def test_slopes_are_the_derivatives_of_scales(name, gamma, r):
    interpolant, r = interpolant_named(name, gamma), double(*r)
    for i, slope in enumerate(interpolant.slopes(r)):
        expected = slope_of(lambda at, i=i: interpolant.scales(at)[i], r)
        torch.testing.assert_close(slope, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("name", "gamma"), FAMILIES)
def test_an_interpolant_starts_at_the_source_and_arrives_at_the_target(name, gamma):
    interpolant = interpolant_named(name, gamma)
    source, target, noise = double([1.0], [1.0]), double([2.0], [2.0]), double([5.0], [5.0])
    begin = {"given": source[0], "noise": noise[0], "target": target[0]}[interpolant.begins]
    points = interpolant.point(source, target, noise, double(0, 1))
    torch.testing.assert_close(points, torch.stack([begin, target[0]]), rtol=0, atol=1e-13)


def test_the_path_slope_is_the_derivative_of_the_path():
    interpolant, z = interpolant_named("trigonometric"), torch.zeros(1, 2, dtype=torch.float64)
    x0, x1, r = double([1.0, -2.0]), double([0.5, 3.0]), double(0.3)
    expected = slope_of(lambda at: interpolant.point(x0, x1, z, at), r)
    torch.testing.assert_close(interpolant.path_slope(x0, x1, r), expected, rtol=1e-12, atol=0)


def test_a_kink_of_the_scales_gives_no_nan():
    at = interpolant_named("trigonometric", "sine-squared").coefficients(double(0.5))
    assert all(bool(value.isfinite()) for value in vars(at).values())


@FEW
@given(r=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_trigonometric_scales_keep_unit_variance(r):
    interpolant, r = interpolant_named("trigonometric", "brownian:2"), double(*r)
    a, b = interpolant.scales(r)
    torch.testing.assert_close(a**2 + b**2 + interpolant.gamma.square(r), torch.ones_like(r), rtol=1e-13, atol=0)


@pytest.mark.parametrize(("name", "path"), [("one-sided-linear", Linear()), ("one-sided-trigonometric", Cosine())])
def test_a_one_sided_interpolant_is_a_known_gaussian_path(name, path):
    interpolant, t = interpolant_named(name), double(0.0, 0.2, 0.7, 1.0)
    at, own = interpolant.coefficients(1 - t), interpolant.gaussian_path()
    assert type(own) is type(path)
    for alpha, sigma in ((own.alpha(t), own.sigma(t)), (path.alpha(t), path.sigma(t))):
        torch.testing.assert_close(at.target, alpha, rtol=0, atol=1e-15)
        torch.testing.assert_close(at.gamma, sigma, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ["condot", "cosine"])
def test_one_sided_paths_are_those_of_flow_matching(shared_dir, name):
    # That library's time runs from noise to data, as r does.
    stored = np.load(shared_dir / "fixtures" / "core" / "flow_matching_paths.npz")
    interpolant = interpolant_named({"condot": "one-sided-linear", "cosine": "one-sided-trigonometric"}[name])
    values = {k: torch.from_numpy(stored[k]) for k in stored if k.startswith((f"{name}|", "t", "x0", "x1"))}
    r, noise, data = values["t"], values["x0_noise"], values["x1_data"]
    at = interpolant.coefficients(r)
    for key, own in (("alpha", at.target), ("sigma", at.gamma)):
        torch.testing.assert_close(own, values[f"{name}|{key}"], rtol=0, atol=1e-10)
        own_slope = at.target_slope if key == "alpha" else at.gamma_slope
        torch.testing.assert_close(own_slope, values[f"{name}|d_{key}"], rtol=0, atol=1e-10)
    point = interpolant.point(torch.zeros_like(data), data, noise, r)
    torch.testing.assert_close(point, values[f"{name}|x_t"], rtol=0, atol=1e-10)
    slope = interpolant.path_slope(torch.zeros_like(data), data, r) + at.over(data).gamma_slope * noise
    torch.testing.assert_close(slope, values[f"{name}|dx_t"], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "gamma"), [("linear", "brownian"), ("linear", "quadratic"), ("trigonometric", "brownian")]
)
@FEW
@given(r=INNER)
def test_a_gaussian_source_makes_any_such_interpolant_a_gaussian_path(name, gamma, r):
    interpolant, t = interpolant_named(name, gamma), 1 - double(*r)
    path, at = interpolant.gaussian_path(), interpolant.coefficients(1 - t)
    torch.testing.assert_close(path.alpha(t), at.target)
    torch.testing.assert_close(path.sigma(t), (at.source**2 + at.gamma**2).sqrt())
    assert (path.diffusion(t) > 0).all()
    torch.testing.assert_close(path.time_of(path.log_snr(t)), t, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "gamma"), [("encoder-decoder", None), ("mirror", None), ("trigonometric", "sine-squared")]
)
def test_what_is_no_gaussian_path_says_so(name, gamma):
    with pytest.raises(InputError, match="no Gaussian path"):
        interpolant_named(name, gamma).gaussian_path()


def test_weights_follow_from_what_is_known():
    interpolant, r = interpolant_named("linear"), double(0.0, 0.3)
    assert interpolant.velocity_weights(["velocity", "score"], r).keys() == {"velocity"}
    by_score = interpolant.velocity_weights(["path_velocity", "score"], r)
    torch.testing.assert_close(by_score["score"], double(-0.5, -0.2))
    by_noise = interpolant.velocity_weights(["path_velocity", "denoiser"], double(0.3))
    torch.testing.assert_close(by_noise["denoiser"], interpolant.gamma.slope(double(0.3)))
    assert interpolant_named("mirror").velocity_weights(["denoiser"], r).keys() == {"denoiser"}
    assert interpolant_named("linear", "zero").velocity_weights(["path_velocity"], r).keys() == {"path_velocity"}
    score = interpolant.score_weights(["velocity", "denoiser"], double(0.5))
    torch.testing.assert_close(score["denoiser"], double(-2.0))


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: interpolant_named("liner"), "did you mean 'linear'.*mirror"),
        (lambda: gamma_named("brown"), "did you mean 'brownian'.*sigmoid"),
        (lambda: gamma_named("brownian:-1"), "positive number"),
        (lambda: gamma_named("quadratic:2"), "unknown gamma"),
        (lambda: Sigmoid(math.inf), "positive number"),
        (lambda: interpolant_named("one-sided-linear", "brownian"), "takes no gamma"),
        (lambda: interpolant_named("trigonometric", Brownian(5.0)), "gamma <= 1"),
        (lambda: interpolant_named("encoder-decoder", "zero"), "needs noise"),
        (lambda: interpolant_named("mirror", "zero"), "needs noise"),
        (lambda: interpolant_named("linear").coefficients(double(0.5, 1.5)), r"r = 1.5 lies outside \[0, 1\]"),
        (lambda: interpolant_named("linear").coefficients(double(math.nan)), "outside"),
        (lambda: interpolant_named("linear", "zero").score_weights(["score"], double(0.5)), "gamma = 0 has no score"),
        (lambda: interpolant_named("linear").score_weights(["velocity"], double(0.5)), "gaussian_path"),
        (lambda: interpolant_named("linear").velocity_weights(["score"], double(0.5)), "path_velocity"),
        (lambda: interpolant_named("linear").velocity_weights(["path_velocity"], double(0.5)), "score or denoiser"),
    ],
)
def test_bad_input_says_what_is_right(act, words):
    with pytest.raises(InputError, match=words):
        act()


def test_every_name_builds():
    assert all(interpolant_named(name).coefficients(double(0.4)).gamma > 0 for name in INTERPOLANTS)
    assert all(gamma_named(name).value(double(0.4)) >= 0 for name in GAMMAS)
