"""Gaussian paths: identities of the linear SDE, inverses, the published flow-matching values."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scorefield.core.errors import InputError
from scorefield.core.paths import VE, VP, DiscreteChain, GaussianPath, Linear, SubVP
from scorefield.core.predictions import KINDS, Kind, conversion, convert

PATHS: list[GaussianPath] = [VP(), VP(0.1, 1.0), SubVP(), VE(), VE(0.1, 1.0), Linear(), DiscreteChain("linear", 100),
                             DiscreteChain("cosine", 250)]  # fmt: skip
NAMES = [f"{type(path).__name__}-{i}" for i, path in enumerate(PATHS)]


def _times(low: float = 0.02, high: float = 0.98) -> torch.Tensor:
    # Between the knots of the chains, whose log alpha is piecewise linear.
    return torch.linspace(low, high, 37, dtype=torch.float64) + 0.0007


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_diffusion_is_growth_of_variance_beyond_drift(path: GaussianPath) -> None:
    t, step = _times(), 1e-6
    growth = (path.variance(t + step) - path.variance(t - step)) / (2 * step)
    drift = (path.log_alpha(t + step) - path.log_alpha(t - step)) / (2 * step)
    torch.testing.assert_close(path.drift(t), drift, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(path.diffusion(t) ** 2, growth - 2 * drift * path.variance(t), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_log_snr_decreases_and_inverts(path: GaussianPath) -> None:
    t = _times()
    log_snr = path.log_snr(t)
    assert bool((log_snr[1:] < log_snr[:-1]).all())
    torch.testing.assert_close(path.time_of(log_snr), t, atol=1e-10, rtol=0)
    # g^2 = -2 sigma^2 (log SNR)'.
    slope = torch.func.jvp(path.log_snr, (t,), (torch.ones_like(t),))[1]
    torch.testing.assert_close(path.diffusion(t) ** 2, -2 * path.variance(t) * slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_transition_composes_with_the_marginal(path: GaussianPath) -> None:
    t, s = _times(0.1), _times(0.1) - 0.05
    scale, std = path.transition(t, s)
    torch.testing.assert_close(path.alpha(s), path.alpha(t) * scale)
    torch.testing.assert_close(path.variance(t), path.variance(s) / scale**2 + std**2)


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_conversions_round_trip(path: GaussianPath, source: str, target: str) -> None:
    t = _times(0.1, 0.9)
    generator = torch.Generator().manual_seed(0)
    x, value = (torch.randn(len(t), 5, generator=generator, dtype=torch.float64) for _ in range(2))
    there = convert(path, t, x, value, source, target)
    torch.testing.assert_close(convert(path, t, x, there, target, source), value, rtol=1e-10, atol=1e-10)
    if isinstance(path, VE) and path.sigma_min < 0.1:
        return  # sigma spans almost four decades: single precision cannot hold both sides of the round trip
    single = convert(path, t, x.float(), value.float(), source, target)
    torch.testing.assert_close(convert(path, t, x.float(), single, target, source), value.float(), rtol=1e-4, atol=1e-4)


@given(t=st.floats(0.05, 0.95), x0=st.floats(-3, 3), noise=st.floats(-3, 3))
def test_all_kinds_agree_on_a_known_point(t: float, x0: float, noise: float) -> None:
    for path in (VP(), VE(0.1, 1.0), Linear()):
        time = torch.tensor([t], dtype=torch.float64)
        x = path.alpha(time) * x0 + path.sigma(time) * noise
        slope = path.drift(time) * path.alpha(time) * x0 + path.sigma_derivative(time) * noise
        wanted = {"noise": noise, "data": x0, "score": -noise / path.sigma(time), "velocity": slope}
        for kind, value in wanted.items():
            got = convert(path, time, x, torch.tensor([noise], dtype=torch.float64), "noise", kind)
            assert float(got) == pytest.approx(float(value), rel=1e-8, abs=1e-8)


def test_chains_hold_their_published_tables() -> None:
    linear = DiscreteChain("linear", 1000)
    assert float(linear.betas[0]) == pytest.approx(1e-4)
    assert float(linear.betas[-1]) == pytest.approx(0.02)
    products = torch.cumprod(1 - linear.betas, 0)
    n = torch.tensor([0, 499, 999])
    torch.testing.assert_close(linear.alpha((n + 1).double() / 1000) ** 2, products[n], rtol=1e-12, atol=0)
    cosine = DiscreteChain("cosine", 250)
    assert float(cosine.betas.max()) == pytest.approx(0.999)
    half = float(cosine.alpha(torch.tensor([0.5], dtype=torch.float64)) ** 2)
    start = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert half == pytest.approx(math.cos(0.508 / 1.008 * math.pi / 2) ** 2 / start, rel=1e-9)


def test_linear_path_equals_published_conditional_transport(shared_dir: Path) -> None:
    stored = np.load(shared_dir / "fixtures" / "core" / "flow_matching_paths.npz")
    t, path = torch.tensor(stored["t"]).double(), Linear()
    prefix = next(k.removesuffix("|alpha") for k in stored if k.endswith("|alpha") and "condot" in k.lower())
    # The published library counts time from noise to data.
    torch.testing.assert_close(path.alpha(1 - t), torch.tensor(stored[f"{prefix}|alpha"]).double(), atol=1e-10, rtol=0)
    torch.testing.assert_close(path.sigma(1 - t), torch.tensor(stored[f"{prefix}|sigma"]).double(), atol=1e-10, rtol=0)


@pytest.mark.parametrize("make", [lambda: VP(2.0, 1.0), lambda: VE(0.0, 1.0), lambda: DiscreteChain("square")])
def test_impossible_paths_are_refused(make) -> None:
    with pytest.raises(InputError):
        make()


def test_a_score_does_not_exist_without_noise() -> None:
    with pytest.raises(InputError, match="t = 0"):
        conversion(VP(), torch.zeros(1, dtype=torch.float64), "noise", "score")


@pytest.mark.parametrize("t", [-1e-6, 1.5, float("nan")])
@pytest.mark.parametrize("target", ["noise", "data"])
def test_times_outside_the_range_are_refused(t: float, target: Kind) -> None:
    with pytest.raises(InputError, match=r"lies outside \[0, 1\]"):
        conversion(VP(), torch.tensor([0.5, t], dtype=torch.float64), "noise", target)


def test_times_may_be_off_by_rounding() -> None:
    t = torch.tensor([1 + 1e-10], dtype=torch.float64)
    assert all(bool(torch.isfinite(c).all()) for c in conversion(VP(), t, "noise", "data"))
