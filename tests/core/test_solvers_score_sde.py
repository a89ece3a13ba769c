"""Every stored run of the published score-SDE code (float32), with its own noise, and its adaptive ODE solver's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield.core.grids import Explicit
from scorefield.core.langevin.corrector import Langevin
from scorefield.core.paths import VE, VP, GaussianPath, SubVP
from scorefield.core.solver_registry import make_solver
from scorefield.core.solvers.onestep import EulerMaruyama, PublishedAncestral, ReverseDiffusion
from scorefield.core.solvers.solver import LinearSolver, Solver
from scorefield.core.solvers.table import Rule, Still
from tests.core import stored

PATHS: dict[str, tuple[GaussianPath, float]] = {"vp": (VP(), 1e-3), "subvp": (SubVP(), 1e-3), "ve": (VE(), 1e-5)}
SIZES = {"langevin": "adapted", "ald": "annealed"}


def _rule(predictor: str, ode: bool) -> Rule:
    if predictor == "ancestral_sampling":
        return PublishedAncestral()
    return EulerMaruyama(published=True) if predictor == "euler_maruyama" else ReverseDiffusion(ode, published=True)


def _solver(predictor: str, corrector: str, ode: bool, steps: int, end: float) -> Solver:
    moves = None if corrector == "none" else Langevin(0.16, 1.0, 1, "batch", steps, SIZES[corrector])
    if predictor != "none":
        return LinearSolver(_rule(predictor, ode), steps, end=end, corrector=moves)
    assert moves is not None
    times = [*torch.linspace(1, end, steps, dtype=torch.float64).tolist(), 0.0]
    return LinearSolver(Still(), steps, Explicit(times), corrector=moves)


@pytest.mark.parametrize("name", sorted(PATHS))
def test_published_runs(shared_dir: Path, name: str) -> None:
    arrays = stored.load(shared_dir, "score_sde")
    path, end = PATHS[name]
    system, noise, steps = (
        stored.mixture(arrays, path),
        torch.tensor(arrays[f"{name}|noise"]).double(),
        int(arrays["N"]),
    )
    keys = [k for k in arrays if k.startswith(f"{name}|pc|") and "|denoise" in k]
    assert len(keys) == (6 if name == "subvp" else 24)
    for key in keys:
        _, _, predictor, corrector, ode, denoise = key.split("|")
        solver, draws = _solver(predictor, corrector, ode == "pf1", steps, end), iter(noise)
        ends = stored.run(system, solver, arrays[f"{name}|prior_z"] * path.prior_std, draws).state["x"]
        used = int(arrays[key.rpartition("|")[0] + "|nfe_reported_used_noise"][1])
        left = len(noise) - sum(1 for _ in draws)
        if predictor != "none":  # our runs leave the last noise out, and never draw it
            assert left == (0 if ode == "pf1" else used - 1), key
        if predictor != "none" and denoise == "denoise0" and ode == "pf0":
            ends = ends + solver.plan(system).moves["x"][-1].noise * noise[used - 1]
        wanted = torch.tensor(arrays[key]).double()
        torch.testing.assert_close(ends, wanted, atol=1e-4 * float(wanted.abs().max()), rtol=1e-4, msg=key)


@pytest.mark.parametrize("predictor", ["reverse", "euler", "ancestral"])
def test_users_reach_the_published_runs_by_name(shared_dir: Path, predictor: str) -> None:
    arrays = stored.load(shared_dir, "score_sde")
    names = {"reverse": "reverse_diffusion", "euler": "euler_maruyama", "ancestral": "ancestral_sampling"}
    solver = make_solver("pc", 50, predictor=predictor, norms="batch", published=True, end=1e-3, final="none")
    noise = torch.tensor(arrays["vp|noise"]).double()
    ends = stored.run(stored.mixture(arrays), solver, arrays["vp|prior_z"], noise).state["x"]
    wanted = torch.tensor(arrays[f"vp|pc|{names[predictor]}|langevin|pf0|denoise1"]).double()
    torch.testing.assert_close(ends, wanted, atol=1e-4 * float(wanted.abs().max()), rtol=1e-4)


@pytest.mark.parametrize(("name", "kind"), [("vp", "velocity"), ("subvp", "velocity"), ("ve", "score")])
def test_the_adaptive_ode_solver(shared_dir: Path, name: str, kind: str) -> None:
    arrays = stored.load(shared_dir, "score_sde")
    path, end = PATHS[name]
    system, start = stored.mixture(arrays, path, kind), arrays[f"{name}|prior_z"].astype(float) * path.prior_std
    exact, peer = arrays[f"{name}|ode|exact"], arrays[f"{name}|ode|peer_rk45_1e-5"]
    loose = stored.run(system, make_solver("rk45", 1, end=end), start)
    assert np.abs(loose.state["x"].numpy() - exact).max() < 2 * np.abs(peer - exact).max()
    assert 0.8 * int(arrays[f"{name}|ode|nfe"]) < loose.evaluations < 1.3 * int(arrays[f"{name}|ode|nfe"])
    tight = stored.run(system, make_solver("rk45", 1, end=end, method="dopri8", rtol=1e-9, atol=1e-9), start)
    assert np.abs(tight.state["x"].numpy() - exact).max() < 1e-7
    fixed = stored.run(system, make_solver("rk45", 60, end=end, method="rk4"), start)
    assert fixed.evaluations == 240
    assert np.abs(fixed.state["x"].numpy() - exact).max() < 2e-4
