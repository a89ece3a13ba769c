"""Every stored endpoint of k-diffusion and of the EDM sampler, with their noise, to 1e-7.

Their times are sigmas from 80 down to 0.002 and then 0; all of their samplers are rules here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scorefield.core.grids import Explicit
from scorefield.core.paths import EDM, VE
from scorefield.core.solvers.adams import DEIS
from scorefield.core.solvers.ancestral import Ancestral, AncestralSinglestep
from scorefield.core.solvers.exponential import DPMSolverMultistep
from scorefield.core.solvers.rungekutta import RungeKutta
from scorefield.core.solvers.solver import LinearSolver
from scorefield.core.solvers.stages import DPMSolverSinglestep
from scorefield.core.solvers.table import Rule
from tests.core import stored

RULES: dict[str, Rule] = {
    "euler": RungeKutta(1),
    "heun": RungeKutta(2),
    "lms": DEIS(4, "rho"),
    "dpm_2": DPMSolverSinglestep(2, "noise", packed=False),
    "dpmpp_2m": DPMSolverMultistep(2),
    "euler_ancestral": Ancestral(),
    "dpm_2_ancestral": AncestralSinglestep("noise"),
    "dpmpp_2s_ancestral": AncestralSinglestep(),
    "dpmpp_sde": AncestralSinglestep(inner=True),
    "dpmpp_2m_sde": DPMSolverMultistep(2, eta=1.0, lower_final=False),
    "dpmpp_2m_sde_heun": DPMSolverMultistep(2, eta=1.0, variant="taylor", lower_final=False),
    "dpmpp_3m_sde": DPMSolverMultistep(3, eta=1.0, variant="taylor", lower_final=False),
}


def _grid(arrays: stored.Stored, steps: str) -> Explicit:
    return Explicit([1.0, *(arrays[f"sigmas|{steps}"][1:] / 80).tolist()])


@pytest.mark.parametrize("name", [*RULES, "dpm_fast"])
def test_published_endpoints_and_evaluations(shared_dir: Path, name: str) -> None:
    arrays = stored.load(shared_dir, "kdiffusion_edm_ve")
    noise, system = torch.tensor(arrays["noise"]), stored.mixture(arrays, EDM())
    keys = [k for k in arrays if k.startswith(f"kd|{name}|")]
    assert keys
    for key in keys:
        steps = key.split("|")[2]
        if name == "dpm_fast":
            solver = LinearSolver(DPMSolverSinglestep(3, "noise"), int(steps[1:]))
        else:
            solver = LinearSolver(RULES[name], int(steps[1:]), _grid(arrays, steps), end=0.0)
        result = stored.run(system, solver, arrays["x_T"], noise)
        torch.testing.assert_close(result.state["x"], torch.tensor(arrays[key]), atol=1e-7, rtol=0, msg=key)
        assert result.evaluations == int(arrays.get(f"nfe|{key}", result.evaluations)), key


def test_no_stored_sampler_is_left_out(shared_dir: Path) -> None:
    names = {k.split("|")[1] for k in stored.load(shared_dir, "kdiffusion_edm_ve") if k.startswith("kd|")}
    assert names == {*RULES, "dpm_fast"}


@pytest.mark.parametrize("churn", [0.0, 20.0])
def test_edm_with_churn(shared_dir: Path, churn: float) -> None:
    arrays = stored.load(shared_dir, "kdiffusion_edm_ve")
    keys = [k for k in arrays if k.startswith("edm|heun|") and k.endswith(f"|churn{churn:g}")]
    assert len(keys) == 4
    for key in keys:
        steps = key.split("|")[2]
        # The published sampler draws at every step and throws away what it does not use.
        used = [0.05 <= sigma <= 50 for sigma in arrays[f"sigmas|{steps}"][:-1]] if churn else []
        noise = [torch.tensor(arrays["noise"][i]) for i, wanted in enumerate(used) if wanted]
        rule = RungeKutta(2, churn, 0.05, 50.0, 1.003)
        solver = LinearSolver(rule, int(steps[1:]), _grid(arrays, steps), end=0.0)
        assert solver.stochastic is (churn > 0)
        ends = stored.run(stored.mixture(arrays, EDM()), solver, arrays["x_T"], noise).state["x"]
        torch.testing.assert_close(ends, torch.tensor(arrays[key]), atol=1e-7, rtol=0, msg=key)


def test_the_same_runs_on_the_geometric_path(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "kdiffusion_edm_ve")
    for steps in (6, 36):
        # Its sigma ends at 0.002: the published step from there to 0 is a denoising evaluation.
        solver = LinearSolver(RungeKutta(2), steps - 1, "karras", end=0.0, final="denoise")
        ends = stored.run(stored.mixture(arrays, VE(0.002, 80.0)), solver, arrays["x_T"]).state["x"]
        torch.testing.assert_close(ends, torch.tensor(arrays[f"edm|heun|n{steps}|churn0"]), atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("name", "steps", "error"), [("heun", 18, 4.6e-2), ("heun", 36, 9.7e-3), ("dpm_2", 36, 6.0e-3), ("lms", 36, 9.9e-3)]
)
def test_errors_against_the_exact_end(shared_dir: Path, name: str, steps: int, error: float) -> None:
    arrays = stored.load(shared_dir, "kdiffusion_edm_ve")
    solver = LinearSolver(RULES[name], steps, _grid(arrays, f"n{steps}"), end=0.0)
    got = stored.rmse(stored.mixture(arrays, EDM()), solver, arrays["x_T"], arrays["x_exact_denoised"])
    assert got == pytest.approx(error, rel=0.05)
