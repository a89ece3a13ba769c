"""DEIS, iPNDM and rhoRK against the stored endpoints of the published package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield.core.paths import VP
from scorefield.core.solvers.adams import DEIS, HeavyBall
from scorefield.core.solvers.rungekutta import RungeKutta
from scorefield.core.solvers.solver import LinearSolver
from scorefield.core.solvers.table import Combination, Layout, Move, Rule
from tests.core import stored

GRIDS = {"tpow1": "uniform", "tpow2": "quadratic"}
VARIABLES = {"t_ab": "t", "rho_ab": "rho"}
pytestmark = pytest.mark.filterwarnings("ignore:.*lower the order of the solver")


def _rule(family: str, order: str) -> Rule:
    if family in VARIABLES:
        return DEIS(int(order.removeprefix("ab")) + 1, VARIABLES[family])
    return HeavyBall(4, 1.0) if family == "ipndm" else RungeKutta(int(order[0]))


class LeftSums(DEIS):
    """tAB with the package's quadrature: 10 000 left sums in t over each step."""

    def moves(self, path: VP, layout: Layout) -> list[Move]:
        times, moves = layout.boundaries, []
        alpha = path.alpha(times)
        for i in range(len(times) - 1):
            at = torch.linspace(float(times[i]), float(times[i + 1]), 10_000, dtype=torch.float64)
            kernel = path.diffusion(at) ** 2 / (2 * path.alpha(at) * path.sigma(at))
            nodes = [times[i - k] for k in range(min(self.order, i + 1))]
            values = []
            for own in nodes:
                lagrange = torch.ones_like(at)
                for other in nodes:
                    lagrange = lagrange if other is own else lagrange * (at - other) / (own - other)
                values.append(float(alpha[i + 1] * ((kernel * lagrange)[:-1] * at.diff()).sum()))
            moves.append(Move(Combination(float(alpha[i + 1] / alpha[i]), values=tuple(values))))
        return moves


def test_published_endpoints_and_evaluations(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "deis_vp")
    system, keys = stored.mixture(arrays), [k for k in arrays if k.startswith("deis|")]
    assert len(keys) == 84
    for key in keys:
        _, family, order, grid, steps = key.split("|")
        solver = LinearSolver(_rule(family, order), int(steps[1:]), GRIDS[grid], end=1e-3)
        result = stored.run(system, solver, arrays["x_T"])
        # With five steps the package's quadrature alone is further off than 2e-3: see the next test.
        tolerance = 6e-3 if (family, steps) == ("t_ab", "n5") else 2e-3 if family == "t_ab" else 4e-5
        torch.testing.assert_close(result.state["x"], torch.tensor(arrays[key]), atol=tolerance, rtol=0, msg=key)
        assert result.evaluations == int(arrays[f"nfe|{key}"]), key


def test_what_is_left_is_the_quadrature_of_the_package(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "deis_vp")
    system, keys = stored.mixture(arrays), [k for k in arrays if k.startswith("deis|t_ab|")]
    for key in keys:
        _, _, order, grid, steps = key.split("|")
        solver = LinearSolver(LeftSums(int(order[2:]) + 1), int(steps[1:]), GRIDS[grid], end=1e-3)
        ends = stored.run(system, solver, arrays["x_T"]).state["x"]
        torch.testing.assert_close(ends, torch.tensor(arrays[key]), atol=5e-6, rtol=0, msg=key)


def test_published_coefficients(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "deis_vp")
    times = torch.tensor(arrays["tab3_ts_n10_tpow2"])
    moves = DEIS(4).moves(VP(), Layout(times, tuple((t,) for t in times[:-1].tolist())))
    table = np.zeros((10, 4))
    for i, move in enumerate(moves):
        table[i, : len(move.point.values)] = move.point.values
    np.testing.assert_allclose(table, arrays["tab3_coef_n10_tpow2"], atol=1e-3)
    np.testing.assert_allclose([m.point.x for m in moves], arrays["tab3_psi_n10_tpow2"], rtol=1e-12)


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (DEIS(2), 6.4e-3),
        (DEIS(3), 1.4e-3),
        (DEIS(4), 4.3e-4),
        (DEIS(4, "rho"), 3.0e-3),
        (RungeKutta(3), 1.4e-4),
        (RungeKutta(4), 2.5e-5),
    ],
    ids=["tAB1", "tAB2", "tAB3", "rhoAB3", "rhoRK3", "rhoRK4"],
)
def test_errors_with_forty_steps(shared_dir: Path, rule: Rule, error: float) -> None:
    arrays = stored.load(shared_dir, "deis_vp")
    solver = LinearSolver(rule, 40, "quadratic", end=1e-3)
    got = stored.rmse(stored.mixture(arrays), solver, arrays["x_T"], arrays["x_exact"])
    assert got == pytest.approx(error, rel=0.1)


def test_deis_of_one_value_is_ddim_on_any_path() -> None:
    times = torch.tensor([0.9, 0.5, 0.2, 0.01], dtype=torch.float64)
    layout = Layout(times, ((0.9,), (0.5,), (0.2,)))
    for variable in ("t", "rho"):
        moves = DEIS(1, variable).moves(VP(), layout)
        for move, euler in zip(moves, RungeKutta(1).moves(VP(), layout), strict=True):
            assert move.point.values == pytest.approx(euler.point.values, rel=1e-12)
