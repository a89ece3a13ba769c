"""Moments of stochastic solvers on Gaussian data: exact recursions, their limits, and that samples follow them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from scorefield.core.langevin.corrector import Langevin
from scorefield.core.noise import Seeded
from scorefield.core.paths import VE, VP, GaussianPath, SubVP
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.solvers.solver import LinearPlan, LinearSolver
from scorefield.core.state import State
from scorefield.core.system import System
from tests.core.linear_runs import end_variance, gaussian, marginal

DATA = 0.5
END = 1e-4


@pytest.mark.parametrize(
    ("steps", "wanted"), [(50, 0.01529), (100, 0.00741), (200, 0.00365), (400, 0.00181), (800, 0.00090)]
)
def test_euler_maruyama_has_the_known_variance_errors(steps: int, wanted: float) -> None:
    path, end = VP(), 1e-3
    # The figures count the noise of the last step, which a run leaves out.
    last = torch.tensor(end + (1 - end) / steps, dtype=torch.float64)
    kick = float(path.diffusion(last)) ** 2 * (1 - end) / steps
    got = end_variance(path, make_solver("euler-maruyama", steps, grid="uniform", end=end), DATA) + kick
    assert abs(got - marginal(path, DATA, end)) == pytest.approx(wanted, abs=1e-5)


# Weak orders, from the variance at the end; the noise of the last step is left out.
WEAK: list[tuple[str, dict[str, Any], float]] = [
    ("ddpm", {}, 1),
    ("ddim", {"eta": 0.5}, 1),
    ("reverse-diffusion", {}, 1),
    ("euler-maruyama", {"grid": "uniform"}, 1),
    ("dpmpp-sde", {}, 1),
    ("exponential", {"eta": 1.0, "order": 1}, 1),
    ("exponential", {"eta": 1.0, "order": 2}, 2),
    ("exponential", {"eta": 0.3, "order": 3}, 2),
    ("dpmpp-2m-sde", {}, 2),
    ("dpmpp-2m-sde", {"eta": 0.5}, 2),
    ("dpmpp-2m-sde", {"kind": "noise"}, 2),
    ("dpmpp-2m-sde", {"kind": "noise", "eta": 0.5, "variant": "taylor"}, 2),
    ("dpmpp-3m-sde", {}, 2),
    ("dpmpp-2s-ancestral", {}, 2),
    ("dpm-2-ancestral", {}, 2),
    ("heun", {"s_churn": 20.0}, 2),
]


@pytest.mark.parametrize(("name", "arguments", "order"), WEAK, ids=[f"{n}{a}" for n, a, _ in WEAK])
def test_weak_orders(name: str, arguments: dict[str, Any], order: float) -> None:
    path = VP()
    noiseless = DATA * float(path.alpha(torch.tensor(END, dtype=torch.float64))) ** 2
    errors = []
    for steps in (160, 320) if name == "euler-maruyama" else (80, 160):
        solver = make_solver(name, steps, end=END, **arguments)
        errors.append(abs(end_variance(path, solver, DATA) - noiseless))
    observed = math.log2(errors[0] / errors[1])
    assert order - 0.25 <= observed <= order + 0.4, f"order {observed:.2f}, errors {errors}"


@pytest.mark.parametrize("variance", [0.5, 0.01])
@pytest.mark.parametrize("name", ["ddpm", "dpmpp-2m-sde", "dpmpp-2s-ancestral", "reverse-diffusion"])
@pytest.mark.parametrize("path", [VE(0.01, 5.0), SubVP()], ids=["VE", "SubVP"])
def test_other_paths_end_with_the_data_variance(path: GaussianPath, name: str, variance: float) -> None:
    left = variance * float(path.alpha(torch.tensor(1e-3, dtype=torch.float64))) ** 2
    few, many = (
        abs(end_variance(path, make_solver(name, steps, end=1e-3), variance) - left) / left for steps in (30, 120)
    )
    assert many < 0.15
    assert many < 0.6 * few or many < 0.02


EMPIRICAL: list[tuple[str, dict[str, Any]]] = [
    ("ddpm", {}),
    ("dpmpp-3m-sde", {}),
    ("dpmpp-sde", {}),
    ("heun", {"s_churn": 10.0, "s_noise": 1.1}),
    ("langevin", {"corrector_steps": 3, "final": "none"}),
    ("pc", {"sizes": "annealed"}),
]


@pytest.mark.parametrize(("name", "arguments"), EMPIRICAL, ids=[n for n, _ in EMPIRICAL])
def test_samples_have_the_moments_of_the_recursion(name: str, arguments: dict[str, Any]) -> None:
    path, mean, count = VP(), 1.0, 100_000
    solver = make_solver(name, 8, end=1e-2, **arguments)
    wanted = end_variance(path, solver, DATA)
    system = gaussian(path, DATA, mean)
    centre = mean * float(path.alpha(torch.tensor(1.0, dtype=torch.float64)))
    draws = torch.randn(count, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    start = State({"x": centre + math.sqrt(marginal(path, DATA, 1.0)) * draws})
    ends = sample(system, start, solver, Seeded(0), start=start).state["x"]
    assert float(ends.var()) == pytest.approx(wanted, rel=3 * math.sqrt(2 / count))
    # The mean takes no noise: it is the end of a run from the mean, with none.
    middle = State({"x": torch.full((1, 1), centre, dtype=torch.float64)})
    at_rest = sample(system, middle, solver, _Silent(), start=middle).state["x"].item()
    assert float(ends.mean()) == pytest.approx(at_rest, abs=3 * math.sqrt(wanted / count))


class _Silent:
    def normal(self, like: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(like)


# Langevin moves adapted to norms: with norms over a large batch, eta depends on the variance V alone. The score of
# N(0, T) at x ~ N(0, V) is -x / T, so eta = 2 kappa snr^2 T^2 / V.


def _moved(variance: float, target: float, snr: float, kappa: float) -> float:
    eta = 2 * kappa * snr**2 * target**2 / variance
    return (1 - eta / target) ** 2 * variance + 2 * eta


def test_the_corrector_comes_to_rest_where_its_recursion_does() -> None:
    target, snr, count = 0.7, 0.3, 200_000
    system, noise = gaussian(VE(0.1, 1.0), target), Seeded(0)
    corrector = Langevin(snr, norms="batch")
    state, variance = State({"x": torch.randn(count, 1, dtype=torch.float64) * 0.4}), 0.16
    for _ in range(60):
        before = float(state["x"].square().mean())
        state = corrector.move(system, state, {"x": -state["x"] / target}, {"x": 1.0}, noise)
        one_step = _moved(before, target, snr, 1.0)
        assert float(state["x"].square().mean()) == pytest.approx(one_step, rel=0.02)  # eta has errors of norms
        variance = _moved(variance, target, snr, 1.0)
    assert variance == pytest.approx(target * (1 + snr**2), rel=1e-6)
    assert float(state["x"].square().mean()) == pytest.approx(variance, rel=0.02)


def _recursion(system: System, plan: LinearPlan, kappas: list[dict[str, float]], solver: LinearSolver) -> float:
    """Variance at the end of a predictor-corrector run on N(0, DATA)."""
    path, corrector = system.components["x"].path, solver.corrector
    assert corrector is not None
    variance = marginal(path, DATA, 1.0)
    for i, t in enumerate(plan.times):
        target = marginal(path, DATA, t)
        move = plan.moves["x"][i]
        if i < len(plan.times) - 1:
            variance = _moved(variance, target, corrector.snr, kappas[i]["x"])
        alpha = float(path.alpha(torch.tensor(t, dtype=torch.float64)))
        slope = alpha * DATA / target if solver.rule.kind == "data" else -1 / target
        noise = 0.0 if i == len(plan.times) - 1 else move.noise
        variance = (move.point.x + move.point.values[0] * slope) ** 2 * variance + noise**2
    return variance


@pytest.mark.parametrize("predictor", ["sde", "reverse", "euler", "ancestral"])
def test_predictor_corrector_runs_follow_their_recursion(predictor: str) -> None:
    count, system = 50_000, gaussian(VP(), DATA)
    solver = make_solver("pc", 20, predictor=predictor, snr=0.2, norms="batch", end=1e-2)
    assert isinstance(solver, LinearSolver)
    plan = solver.plan(system)
    kappas = Langevin(0.2).kappas(system, torch.tensor(plan.times, dtype=torch.float64))
    wanted = _recursion(system, plan, kappas, solver)
    draws = torch.randn(count, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    start = State({"x": draws * math.sqrt(marginal(VP(), DATA, 1.0))})
    ends = sample(system, start, solver, Seeded(0), start=start).state["x"]
    assert float(ends.var()) == pytest.approx(wanted, rel=3.5 * math.sqrt(2 / count))


@pytest.mark.parametrize("path", [VP(), SubVP(), VE(0.01, 5.0)], ids=["VP", "SubVP", "VE"])
@pytest.mark.parametrize(("sizes", "snr"), [("adapted", 0.1), ("annealed", 0.4)])
def test_correctors_improve_few_steps_on_every_path(path: GaussianPath, sizes: str, snr: float) -> None:
    system, end = gaussian(path, DATA, dimension=32), 1e-2
    start = State({"x": torch.randn(2000, 32, dtype=torch.float64) * math.sqrt(marginal(path, DATA, 1.0))})
    left = DATA * float(path.alpha(torch.tensor(end, dtype=torch.float64))) ** 2
    ends = {
        name: float(
            sample(system, start, make_solver(name, 25, end=end, **arguments), Seeded(0), start=start).state["x"].var()
        )
        for name, arguments in (("ddpm", {}), ("pc", {"snr": snr, "sizes": sizes, "final": "none"}))
    }
    assert abs(ends["pc"] - left) < 0.8 * abs(ends["ddpm"] - left), ends
    assert ends["pc"] == pytest.approx(left, rel=0.25)
