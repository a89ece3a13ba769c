"""Observed orders of deterministic solvers on the mixture of the stored tensors, with exact predictions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scorefield.core.paths import MeanReverting
from scorefield.core.solver_registry import make_solver
from scorefield.core.solvers.adams import HeavyBall
from scorefield.core.solvers.exponential import DPMSolverMultistep, Exponential, UniPC
from scorefield.core.solvers.rungekutta import RungeKutta
from scorefield.core.solvers.solver import LinearSolver
from scorefield.core.solvers.stages import DPMSolverSinglestep
from scorefield.core.solvers.table import Rule
from tests.core import stored


def _orders(shared_dir: Path, rule: Rule, steps: list[int], grid: str = "logsnr") -> tuple[list[float], list[float]]:
    """Errors at these numbers of steps, and the orders between them."""
    arrays = stored.load(shared_dir, "ode_solvers_vp")
    system = stored.mixture(arrays)
    errors = [
        stored.rmse(system, LinearSolver(rule, n, grid, end=1e-3), arrays["x_T"], arrays["x_exact"]) for n in steps
    ]
    return errors, [math.log2(a / b) / math.log2(m / n) for a, b, m, n in _pairs(errors, steps)]


def _pairs(errors: list[float], steps: list[int]) -> list[tuple[float, float, int, int]]:
    return list(zip(errors, errors[1:], steps[1:], steps, strict=False))


FULL = {"lower_final": False}
# Rules, and the ranges of the orders from 20 to 40 to 80 steps (of singlestep solvers: evaluations).
ACCEPTED: list[tuple[str, Rule, list[tuple[float, float]]]] = [
    ("1", DPMSolverMultistep(1), [(0.9, 1.1), (0.9, 1.1)]),
    ("++2M", DPMSolverMultistep(2, **FULL), [(1.6, 2.6), (1.6, 2.6)]),
    ("++2M taylor", DPMSolverMultistep(2, variant="taylor", **FULL), [(1.6, 2.6), (1.6, 2.6)]),
    ("2M", DPMSolverMultistep(2, "noise", **FULL), [(1.6, 2.6), (1.6, 2.6)]),
    ("++3M", DPMSolverMultistep(3, **FULL), [(1.6, 4.0), (1.6, 4.0)]),
    ("3M", DPMSolverMultistep(3, "noise", **FULL), [(1.6, 4.0), (1.6, 4.0)]),
    ("++2S", DPMSolverSinglestep(2, packed=False), [(1.6, 2.6), (1.6, 2.6)]),
    ("2S", DPMSolverSinglestep(2, "noise", packed=False), [(1.6, 2.6), (1.6, 2.6)]),
    ("++3S", DPMSolverSinglestep(3, packed=False), [(1.4, 4.5), (2.6, 4.5)]),
    ("3S", DPMSolverSinglestep(3, "noise", packed=False), [(2.6, 4.5), (2.6, 4.5)]),
    ("UniPC-1", UniPC(1), [(1.6, 2.2), (1.6, 2.2)]),
    ("UniPC-2", UniPC(2), [(1.55, 3.1), (1.55, 3.1)]),
    ("UniPC-3", UniPC(3), [(2.9, 4.6), (2.9, 4.6)]),
    ("Heun", RungeKutta(2), [(1.9, 2.4), (1.9, 2.4)]),
    ("Kutta", RungeKutta(3), [(2.6, 3.6), (2.6, 3.6)]),
    ("Runge-Kutta", RungeKutta(4), [(3.4, 4.6), (3.4, 4.6)]),
    ("exponential 3", Exponential(3, **FULL), [(1.9, 3.4), (2.6, 3.4)]),
    ("exponential 4", Exponential(4, **FULL), [(1.9, 5.0), (3.4, 5.0)]),
    ("exponential 3, corrector 3", Exponential(3, 3, **FULL), [(2.4, 4.8), (3.0, 4.8)]),
]


@pytest.mark.parametrize(("rule", "ranges"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_orders_lie_where_they_should(shared_dir: Path, rule: Rule, ranges: list[tuple[float, float]]) -> None:
    evaluations = rule.order if isinstance(rule, DPMSolverSinglestep) else 1
    errors, orders = _orders(shared_dir, rule, [n // evaluations for n in (20, 40, 80)])
    for order, (low, high) in zip(orders, ranges, strict=True):
        assert low <= order <= high, f"orders {orders}, errors {errors}"


def test_unipc_is_as_exact_as_published(shared_dir: Path) -> None:
    errors, _ = _orders(shared_dir, UniPC(3), [80, 160])
    assert errors[0] <= 2e-4
    assert errors[0] == pytest.approx(9.3e-5, rel=0.05)


# The heavy ball on even times, 20 to 320 steps.
HEAVY: list[tuple[HeavyBall, tuple[float, float]]] = [
    (HeavyBall(2, 0.8, "increments"), (0.9, 1.12)),
    (HeavyBall(1, 0.5, "increments"), (0.9, 1.12)),
    (HeavyBall(1, 0.5), (0.9, 1.12)),
    (HeavyBall(2, 0.8), (1.6, 2.0)),
]


@pytest.mark.parametrize(
    ("rule", "accepted"), HEAVY, ids=lambda v: f"{v.averaged}-{v.order}" if isinstance(v, Rule) else ""
)
def test_orders_of_the_heavy_ball(shared_dir: Path, rule: HeavyBall, accepted: tuple[float, float]) -> None:
    errors, orders = _orders(shared_dir, rule, [20, 40, 80, 160, 320], "uniform")
    assert all(accepted[0] <= order <= accepted[1] for order in orders), f"orders {orders}, errors {errors}"


def test_without_memory_the_heavy_ball_is_adams_bashforth(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "ode_solvers_vp")
    for order in (1, 2, 3, 4, 5):
        ends = [
            stored.run(stored.mixture(arrays), LinearSolver(HeavyBall(order, 1.0, averaged), 12), arrays["x_T"])
            for averaged in ("predictions", "increments")
        ]
        torch.testing.assert_close(ends[0].state["x"], ends[1].state["x"], atol=1e-12, rtol=0)


def test_a_velocity_is_what_the_recursion_makes(shared_dir: Path) -> None:
    """The table, which unrolls velocities, against the formulas as they stand (order 3)."""
    arrays, beta, steps = stored.load(shared_dir, "ode_solvers_vp"), 0.7, 9
    system = stored.mixture(arrays)
    solver = LinearSolver(HeavyBall(3, beta), steps, "uniform", end=1e-3)
    path, times = system.components["x"].path, torch.linspace(1, 1e-3, steps + 1, dtype=torch.float64)
    rho = path.sigma(times) / path.alpha(times)
    x, past = torch.tensor(arrays["x_T"]), list[torch.Tensor]()
    for i in range(steps):
        state = stored.State({"x": x})
        eps = system.predict(state, times[i].expand(len(x)), "noise")["x"]
        past.insert(0, eps if not past else (1 - beta) * past[0] + beta * eps)
        b = beta
        if i == 0:
            mixed = past[0]
        elif i == 1:
            mixed = ((2 + b) * past[0] - (2 - b) * past[1]) / (2 * b)
        else:
            mixed = ((18 + 5 * b) * past[0] - (24 - 8 * b) * past[1] + (6 - b) * past[2]) / (12 * b)
        x = path.alpha(times[i + 1]) * (x / path.alpha(times[i]) + mixed * (rho[i + 1] - rho[i]))
    torch.testing.assert_close(stored.run(system, solver, arrays["x_T"]).state["x"], x, atol=1e-10, rtol=0)


def test_a_warm_start_lifts_the_order_where_the_first_step_matters(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "ode_solvers_vp")
    system = stored.mixture(arrays)
    settings = {"end": 1e-3, "start": 0.4}
    exact = stored.run(system, LinearSolver(UniPC(3), 1000, **settings), arrays["x_T"]).state["x"].numpy()

    def errors(rule: Rule) -> list[float]:
        return [stored.rmse(system, LinearSolver(rule, n, **settings), arrays["x_T"], exact) for n in (40, 80)]

    cold, hot = (errors(Exponential(3, warm_start=warm, **FULL)) for warm in (False, True))
    assert all(o < 2.3 for o in np.log2(np.array(cold[:-1]) / cold[1:])), cold
    assert all(2.8 < o < 3.3 for o in np.log2(np.array(hot[:-1]) / hot[1:])), hot
    # The published third order stays at 2 for its halved second difference, with a fourth of the error.
    cold, hot = (
        errors(rule) for rule in (DPMSolverMultistep(3, **FULL), DPMSolverMultistep(3, warm_start=True, **FULL))
    )
    assert all(b < 0.35 * a for a, b in zip(cold, hot, strict=True)), (cold, hot)


def test_a_warm_start_takes_its_evaluations(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "ode_solvers_vp")
    for name, more in (("dpmpp-2m", 1), ("dpmpp-3m", 4), ("exponential", 1)):
        solver = make_solver(name, 10, warm_start=True)
        assert stored.run(stored.mixture(arrays), solver, arrays["x_T"]).evaluations == 10 + more


@pytest.mark.parametrize(
    ("name", "arguments", "low", "high"),
    [
        ("dpmpp-2m", {"lower_final": False}, 1.6, 2.6),
        ("dpm-3s", {"packed": False}, 2.6, 4.5),
    ],
)
def test_orders_on_the_mean_reverting_path(
    shared_dir: Path, name: str, arguments: dict[str, Any], low: float, high: float
) -> None:
    arrays = stored.load(shared_dir, "ode_solvers_vp")
    system = stored.mixture(arrays, MeanReverting())
    exact = stored.run(system, make_solver("unipc", 500, end=1e-3), arrays["x_T"]).state["x"].numpy()
    errors = [stored.rmse(system, make_solver(name, n, end=1e-3, **arguments), arrays["x_T"], exact) for n in (40, 80)]
    assert low <= math.log2(errors[0] / errors[1]) <= high, errors
