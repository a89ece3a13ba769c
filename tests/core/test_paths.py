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
from scorefield.core.noise import Replayed
from scorefield.core.paths import (
    EDM,
    VE,
    VP,
    Cosine,
    DiscreteChain,
    GaussianPath,
    Linear,
    MeanReverting,
    Polynomial,
    SubVP,
)  # fmt: skip
from scorefield.core.predictions import KINDS, Kind, conversion, convert
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from tests.core.mixture import mixture_system

PATHS: list[GaussianPath] = [
    VP(), VP(0.1, 1.0), SubVP(), VE(), VE(0.1, 1.0), Linear(), DiscreteChain("linear", 100),
    DiscreteChain("cosine", 250), EDM(0.02, 8.0), Cosine(), Polynomial(2.0), MeanReverting(),
]  # fmt: skip
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


class VariancePreservingLinear(GaussianPath):
    """alpha = 1 - t, sigma = sqrt(1 - alpha^2): a path as a user would add it, two functions."""

    def log_alpha(self, t: torch.Tensor) -> torch.Tensor:
        return torch.log1p(-t)

    def variance(self, t: torch.Tensor) -> torch.Tensor:
        return 1 - (1 - t) ** 2


PUBLISHED = {"condot": Linear(), "poly2": Polynomial(2.0), "vp": VP(), "cosine": Cosine(),
             "linear_vp": VariancePreservingLinear()}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_paths_equal_the_published_schedulers(shared_dir: Path, name: str) -> None:
    """The published library counts time from noise to data, so that derivatives change sign."""
    stored = np.load(shared_dir / "fixtures" / "core" / "flow_matching_paths.npz")
    path, t = PUBLISHED[name], 1 - torch.tensor(stored["t"])

    def same(ours: torch.Tensor, key: str) -> None:
        torch.testing.assert_close(ours, torch.tensor(stored[f"{name}|{key}"]), atol=1e-10, rtol=1e-10, msg=key)

    same(path.alpha(t), "alpha")
    same(path.sigma(t), "sigma")
    same(-path.alpha_derivative(t), "d_alpha")
    same(-path.sigma_derivative(t), "d_sigma")
    same(1 - path.time_of(path.log_snr(t)), "snr_inverse")
    noise, data = torch.tensor(stored["x0_noise"]), torch.tensor(stored["x1_data"])
    x = path.alpha(t)[:, None] * data + path.sigma(t)[:, None] * noise
    same(x, "x_t")
    velocity = path.alpha_derivative(t)[:, None] * data + path.sigma_derivative(t)[:, None] * noise
    same(-velocity, "dx_t")
    given = {"target": ("data", data), "epsilon": ("noise", noise), "velocity": ("velocity", velocity)}
    for source, (source_kind, value) in given.items():
        for target, (target_kind, _) in given.items():
            if source != target:
                sign = -1 if target == "velocity" else 1
                same(sign * convert(path, t, x, value, source_kind, target_kind), f"{source}_to_{target}")


@pytest.mark.parametrize("name", ["condot", "poly2", "cosine"])
@pytest.mark.parametrize("steps", [10, 20, 40])
def test_euler_steps_equal_the_published_ones(shared_dir: Path, name: str, steps: int) -> None:
    stored = np.load(shared_dir / "fixtures" / "core" / "flow_matching_paths.npz")
    mixture = np.load(shared_dir / "fixtures" / "core" / "ode_solvers_vp.npz")
    system = mixture_system(PUBLISHED[name], *(torch.tensor(mixture[k]) for k in ("weights", "means", "covs")))
    begin = State({"x": torch.tensor(stored["x_init"])})
    solver = make_solver("euler-maruyama", steps, ode=True, grid="uniform", start=0.99, end=0.01)
    ended = sample(system, begin, solver, Replayed([]), start=begin).state["x"]
    torch.testing.assert_close(ended, torch.tensor(stored[f"{name}|ode|euler|n{steps}"]), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", ["condot", "poly2", "cosine"])
@pytest.mark.parametrize(
    ("method", "steps", "tolerance"), [("midpoint", 10, 1e-9), ("midpoint", 40, 1e-9), ("dopri5", 1, 1e-4)]
)
def test_torchdiffeq_s_steps_equal_the_published_ones(
    shared_dir: Path, name: str, method: str, steps: int, tolerance: float
) -> None:
    stored = np.load(shared_dir / "fixtures" / "core" / "flow_matching_paths.npz")
    mixture = np.load(shared_dir / "fixtures" / "core" / "ode_solvers_vp.npz")
    system = mixture_system(PUBLISHED[name], *(torch.tensor(mixture[k]) for k in ("weights", "means", "covs")))
    begin = State({"x": torch.tensor(stored["x_init"])})
    ended = sample(
        system, begin, make_solver("rk45", steps, method=method, start=0.99, end=0.01), Replayed([]), start=begin
    )
    key = f"{name}|ode|{method}" + ("" if method == "dopri5" else f"|n{steps}")
    torch.testing.assert_close(ended.state["x"], torch.tensor(stored[key]), atol=tolerance, rtol=0)


@pytest.mark.parametrize("make", [lambda: VP(2.0, 1.0), lambda: VE(0.0, 1.0), lambda: DiscreteChain("square"),
                                  lambda: EDM(2.0, 1.0), lambda: Polynomial(0.0), lambda: MeanReverting(0.0),
                                  lambda: MeanReverting(sigma_inf=0.0), lambda: DiscreteChain("linear", 0),
                                  lambda: Cosine(0.0), lambda: Cosine(math.nan)])  # fmt: skip
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
