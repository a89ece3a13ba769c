"""Time grids: their points, the times that users list, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from scorefield.core.errors import InputError, InputWarning
from scorefield.core.grids import Grid, grid_named
from scorefield.core.noise import Seeded
from scorefield.core.paths import EDM, VE, VP, Cosine, GaussianPath, Linear, Polynomial
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from tests.core.linear_runs import gaussian

PATHS: list[GaussianPath] = [VP(), VE(), EDM(), Cosine()]


@pytest.mark.parametrize(
    "name", ["uniform", "quadratic", "power:7", "logsnr", "karras", "karras:3", "shift:3", "shift:0.5"]
)
@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_grids_fall_from_one_end_to_the_other(path: GaussianPath, name: str) -> None:
    for num in (1, 2, 17):
        times = grid_named(name).between(path, path.t_max, path.t_min, num)
        assert times.dtype == torch.float64
        assert len(times) == num + 1
        assert (times[0].item(), times[-1].item()) == (path.t_max, path.t_min)
        assert bool((times[1:] < times[:-1]).all())


def test_points_stand_where_the_formulas_put_them() -> None:
    path, (start, end), num = VP(), (1.0, 1e-3), 6
    grids = {n: grid_named(n).between(path, start, end, num) for n in ("quadratic", "logsnr", "karras", "shift:3")}
    share = torch.linspace(0, 1, num + 1, dtype=torch.float64)
    torch.testing.assert_close(grids["quadratic"], (1 + share * (math.sqrt(end) - 1)) ** 2)
    torch.testing.assert_close(path.log_snr(grids["logsnr"]).diff().std(), torch.zeros((), dtype=torch.float64))
    roots = (-path.log_snr(grids["karras"]) / 7).exp()
    torch.testing.assert_close(roots, roots[0] + share * (roots[-1] - roots[0]))
    u = grids["shift:3"] / (3 - 2 * grids["shift:3"])
    torch.testing.assert_close(u, 1 + share * (u[-1] - 1))
    assert bool((grids["shift:3"][1:-1] > torch.linspace(start, end, num + 1)[1:-1]).all())


@pytest.mark.parametrize("name", ["unipc", "dpm-3s", "dpm-2s", "heun", "deis-rk", "pc", "dpm-v3", "dpmpp-sde"])
def test_users_may_list_the_times(name: str) -> None:
    arguments = {"packed": False} if name.startswith("dpm-") and name.endswith("s") else {}
    arguments |= {"statistics": "none"} if name == "dpm-v3" else {}
    solver = make_solver(name, 4, grid="0.9,0.5,0.2,0.05,0.01", **arguments)
    plan = solver.plan(gaussian(VP(), 0.5))
    assert plan.times[0] == 0.9
    assert set(plan.times) >= {0.9, 0.5, 0.2, 0.05}
    assert plan.ends[-1 if name != "pc" else -2] == 0.01
    assert plan.times == sorted(plan.times, reverse=True)


BAD: list[tuple[GaussianPath, str, dict[str, Any], str]] = [
    (VP(), "ddim", {"grid": "1,0.5"}, "2 times make 1 steps, not 5; give steps=1"),
    (VP(), "ddim", {"grid": "1,0.8,0.6,0.4,0.2,0.01", "end": 0.001}, "give start=1 and end=0.01"),
    (VP(), "ddim", {"grid": "1,0.8,0.6,oops,0.2,0.01"}, "write times as in"),
    (VP(), "ddim", {"grid": "1,nan,0.6,0.5,0.2,0.01"}, "does not decrease at step 1"),
    (VP(), "ddim", {"grid": "shift:0"}, "shift 0 of a grid; give a positive number"),
    (VP(), "ddim", {"grid": "shift:three"}, "give a positive number, as in shift:2"),
    (VP(), "ddim", {"grid": "shfit:3"}, "unknown grid"),
    (Cosine(), "ddim", {"start": 1.0}, "start 1 lies outside the range of Cosine; give at most 0.99"),
    (Linear(), "ddim", {}, "no signal at t = 1, so no grid is even in log_snr from there; give grid=uniform"),
    (EDM(), "ddim", {"end": 0.0}, "no noise at t = 0, so no grid is even in log_snr to there; give grid=uniform"),
    (Linear(), "heun", {"grid": "uniform"}, "Linear has no signal at t = 1; start later"),
    (Polynomial(), "deis", {}, "Polynomial has no signal at t = 1; start later"),
    (Linear(), "dpmpp-2m", {"grid": "uniform", "kind": "noise"}, "or use a solver in data prediction"),
    (Linear(), "pc", {"published": True, "predictor": "reverse"}, "Linear has no published chain of 5 steps"),
    (Cosine(), "pc", {"published": True, "predictor": "ancestral"}, "Cosine has no published chain|begins at t = 1"),
    (VP(), "pc", {"published": True, "predictor": "sde"}, "has no published grid"),
    (VP(), "dpmpp-2m-sde", {"eta": -0.5}, "eta = -0.5; give 0"),
    (VP(), "exponential", {"warm_start": True, "eta": 1.0}, "no warm start for this solver"),
    (VP(), "exponential", {"warm_start": True, "corrector": 2}, "no warm start for this solver"),
    (VP(), "ghvb", {"beta": 0.0}, "0 < beta <= 1"),
    (VP(), "deis", {"variable": "lambda"}, "variable t or rho"),
    (VP(), "deis-rk", {"order": 5}, "give 1 to 4"),
    (VP(), "rk45", {"method": "dopri"}, "unknown method 'dopri'; did you mean"),
    (VP(), "rk45", {"rtol": 0.0}, "give positive tolerances"),
    (VP(), "dpm-adaptive", {"order": 4}, "need order 2 or 3"),
    (VP(), "langevin", {"sizes": "big"}, "give adapted or annealed"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "name", "arguments", "message"), BAD, ids=[f"{n}{a}" for _, n, a, _ in BAD])
def test_what_cannot_be_is_one_line(path: GaussianPath, name: str, arguments: dict[str, Any], message: str) -> None:
    frame = State({"x": torch.zeros(2, 1, dtype=torch.float64)})
    with pytest.raises(InputError, match=message) as caught:
        sample(gaussian(path, 0.5), frame, make_solver(name, 5, **arguments), Seeded(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "order"), [("dpmpp-3m", 3), ("unipc", 3), ("deis", 4), ("dpm-3s", 3), ("ipndm", 4), ("dpm-v3", 3)]
)
def test_fewer_steps_than_the_order_lower_it_with_a_warning(name: str, order: int) -> None:
    arguments = {"statistics": "none"} if name == "dpm-v3" else {}
    with pytest.warns(InputWarning, match=f"2 steps lower the order of the solver from {order}"):
        solver = make_solver(name, 2, **arguments)
    frame = State({"x": torch.zeros(2, 1, dtype=torch.float64)})
    ends = sample(gaussian(VP(), 0.5), frame, solver, Seeded(0)).state["x"]
    assert bool(torch.isfinite(ends).all())


def test_a_grid_of_a_user_s_own_is_checked_too() -> None:
    class Rising(Grid):
        def between(self, path: GaussianPath, start: float, end: float, num: int) -> torch.Tensor:
            return torch.linspace(end, start, num + 1, dtype=torch.float64)

    with pytest.raises(InputError, match="does not decrease at step 1"):
        make_solver("ddim", 3, grid=Rising()).plan(gaussian(VP(), 0.5))
