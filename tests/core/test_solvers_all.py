"""That `list solvers` says what the rules do, and what holds for every solver beside what `test_sampling` says."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from scorefield.core.denoiser import Denoiser
from scorefield.core.noise import Seeded
from scorefield.core.paths import VP, MeanReverting
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import SOLVERS, make_solver
from scorefield.core.solvers.solver import Solver
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System, Values
from tests.core import stored
from tests.core.linear_runs import draws_of, end_variance, gaussian
from tests.core.test_sampling import Split, _graphs, _system
from tests.core.two_components import ARGUMENTS

ADAPTIVE = {"rk45", "dpm-adaptive"}


def solver_named(name: str, steps: int, **arguments: Any) -> Solver:
    return make_solver(name, steps, **ARGUMENTS.get(name, {}), **arguments)


APART: list[tuple[str, dict[str, Any]]] = [
    ("deis-rk", {"order": 4}),
    ("heun", {"s_churn": 20.0}),
    ("dpmpp-3m", {"warm_start": True}),
    ("exponential", {"order": 3, "corrector": 3}),
    ("exponential", {"order": 3, "eta": 0.5}),
    ("unipc", {"kind": "noise"}),
    ("ghvb", {"order": 3, "averaged": "increments"}),
    ("pc", {"sizes": "annealed", "corrector_steps": 2}),
]


@pytest.mark.parametrize(("name", "arguments"), APART, ids=[f"{n}{a}" for n, a in APART])
def test_a_bundle_is_its_components_on_their_own(name: str, arguments: dict[str, Any]) -> None:
    """As in `test_sampling`, with other arguments than the default ones."""
    frame = _graphs([6, 4, 2])
    for part in ("x", "adj"):
        solver = solver_named(name, 7, end=1e-2, grid="uniform", reference=part, **arguments)
        both = sample(_system(["x", "adj"]), frame, solver, Split()).state
        single = sample(_system([part]), State({part: frame[part]}, frame.masks), solver, Split()).state
        torch.testing.assert_close(single[part], both[part], atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_a_mean_reverting_run_is_a_shifted_one(name: str) -> None:
    path, shift = MeanReverting(), 2.5
    plain = gaussian(path, 0.5)

    class Shifted(Network):
        def forward(self, state: State, t: torch.Tensor) -> Values:
            return plain.network(state.replace({"x": state["x"] - shift}), t)

    component = Component(path, Masked(), "noise", origin=lambda state: torch.full_like(state["x"], shift))
    start = State({"x": torch.randn(8, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))})
    solver = solver_named(name, 10, end=1e-2)
    moved = sample(System({"x": component}, Shifted()), start, solver, Seeded(1), start=start).state
    still = sample(plain, start, solver, Seeded(1), start=start).state
    torch.testing.assert_close(moved["x"], still["x"] + shift, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_runs_may_start_later(name: str) -> None:
    system, start = gaussian(VP(), 0.5), State({"x": torch.full((4, 1), 0.7, dtype=torch.float64)})
    plan = solver_named(name, 5, start=0.6, end=1e-2).plan(system)
    assert plan.times[0] == pytest.approx(0.6)
    ends = sample(system, start, solver_named(name, 5, start=0.6, end=1e-2), Seeded(0), start=start).state["x"]
    assert bool(torch.isfinite(ends).all())


# The table of the registry against the rules.


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Kinds of prediction that runs ask for."""
    kinds: set[str] = set()
    call, predict = Denoiser.__call__, System.predict

    def called(self: Denoiser, state: State, index: int, kind: Any) -> Values:
        kinds.add(kind)
        return call(self, state, index, kind)

    def predicted(self: System, state: State, t: torch.Tensor, kind: Any, origins: Values | None = None) -> Values:
        kinds.add(kind)
        return predict(self, state, t, kind, origins)

    monkeypatch.setattr(Denoiser, "__call__", called)
    monkeypatch.setattr(System, "predict", predicted)
    return kinds


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_the_table_tells_kind_and_noise(name: str, asked: set[str]) -> None:
    entry, solver = SOLVERS[name], solver_named(name, 6, end=1e-2)
    system = gaussian(VP(), 0.5)
    drawn = draws_of(system, solver)
    assert entry.kind in asked
    assert (drawn > 0) is entry.stochastic is solver.stochastic
    if name != "pc":  # whose corrector and predictor need not agree
        assert asked <= {entry.kind, "data"}


def _evaluations(name: str, steps: int) -> int:
    system = gaussian(VP(), 0.5)
    start = State({"x": torch.ones(2, 1, dtype=torch.float64)})
    final = {} if name in ADAPTIVE | {"s4"} else {"final": "none"}
    return sample(system, start, solver_named(name, steps, end=1e-2, **final), Seeded(0), start=start).evaluations


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_the_table_tells_evaluations(name: str) -> None:
    told = SOLVERS[name].evaluations
    if told == "adaptive":
        assert _evaluations(name, 6) == _evaluations(name, 12)
        return
    once = 1 if told.startswith("corrector") else int(re.match(r"\d+", told)[0]) + ("corrector" in told)
    assert _evaluations(name, 6) == 6 * once
    assert _evaluations(name, 12) == 12 * once


@pytest.mark.parametrize("name", sorted(n for n, e in SOLVERS.items() if not e.stochastic and n not in ADAPTIVE))
def test_the_table_tells_orders_of_endpoints(shared_dir: Path, name: str) -> None:
    arrays = stored.load(shared_dir, "ode_solvers_vp")
    errors = [
        stored.rmse(stored.mixture(arrays), solver_named(name, n, end=1e-3), arrays["x_T"], arrays["x_exact"])
        for n in (40, 160)
    ]
    low, high = _told(name)
    assert low - 0.3 <= math.log2(errors[0] / errors[1]) / 2 <= high + 0.45, errors


@pytest.mark.parametrize(("name", "tolerances"), [("dpm-adaptive", (1e-3, 1e-5)), ("rk45", (1e-6, 1e-9))])
def test_the_table_tells_orders_of_adaptive_solvers(
    shared_dir: Path, name: str, tolerances: tuple[float, float]
) -> None:
    """How the error falls with the evaluations; it may fall faster than steps of one width would let it."""
    arrays, errors, calls = stored.load(shared_dir, "ode_solvers_vp"), [], []
    for tolerance in tolerances:
        solver = make_solver(name, 1, rtol=tolerance, atol=tolerance, end=1e-3)
        done = stored.run(stored.mixture(arrays), solver, arrays["x_T"])
        errors.append(float((done.state["x"] - torch.tensor(arrays["x_exact"])).square().mean().sqrt()))
        calls.append(done.evaluations)
    assert math.log(errors[0] / errors[1]) / math.log(calls[1] / calls[0]) >= _told(name)[0] - 0.3, (errors, calls)


@pytest.mark.parametrize("name", sorted(n for n, e in SOLVERS.items() if e.stochastic and e.order != "-"))
def test_the_table_tells_weak_orders(name: str) -> None:
    if name in ("pc", "s4"):  # with an adapted corrector a run is not linear: it is left out, up to its evaluations
        arguments: dict[str, Any] = {"snr": 1e-6} | ({"num_scales": 1000, "end": 1e-4} if name == "s4" else {})
    else:
        arguments = {}
    grid = {"grid": "uniform"} if name == "euler-maruyama" else {}
    path, ends = VP(), {} if name in ("s4",) else {"end": 1e-4}
    final = {"final": "none"} if name == "pc" else {}
    noiseless = 0.5 * float(path.alpha(torch.tensor(1e-4, dtype=torch.float64))) ** 2
    errors = [
        abs(end_variance(path, make_solver(name, n, **arguments, **grid, **ends, **final)) - noiseless)
        for n in (80, 160)
    ]
    low, high = _told(name)
    observed = math.log2(errors[0] / errors[1])
    assert low - 0.4 <= observed <= high + 0.4, (observed, errors)


def _told(name: str) -> tuple[float, float]:
    numbers = [float(word) for word in SOLVERS[name].order.split("-")]
    return numbers[0], numbers[-1]


def test_sources_and_names() -> None:
    assert all(re.search(r"\d{4}", entry.source) for entry in SOLVERS.values())
    wanted = "ddim ddpm dpmpp-2m dpmpp-3m dpmpp-2m-sde dpm-2s dpm-3s unipc deis dpm-v3 heun ghvb pc s4 rk45"
    assert set(wanted.split()) <= SOLVERS.keys()
