"""Predictor-corrector runs of the published score-SDE code (float32), with its own noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield.core.noise import Replayed
from scorefield.core.paths import VE, VP, GaussianPath, SubVP
from scorefield.core.sampling import sample
from scorefield.core.solvers.registry import make_solver
from scorefield.core.state import State
from tests.core.mixture import mixture_system

PATHS: dict[str, tuple[GaussianPath, float]] = {"vp": (VP(), 1e-3), "subvp": (SubVP(), 1e-3), "ve": (VE(), 1e-5)}
PREDICTORS = {"euler_maruyama": "euler", "reverse_diffusion": "reverse"}


@pytest.mark.parametrize("corrector", ["none", "langevin"])
@pytest.mark.parametrize("predictor", sorted(PREDICTORS))
@pytest.mark.parametrize("name", sorted(PATHS))
def test_published_runs(shared_dir: Path, name: str, predictor: str, corrector: str) -> None:
    if (name, corrector) == ("subvp", "langevin"):
        pytest.skip("the published code crashes here, so nothing is stored")
    stored = np.load(shared_dir / "fixtures" / "core" / "score_sde.npz")
    path, end = PATHS[name]
    system = mixture_system(path, *(torch.tensor(stored[k]).double() for k in ("weights", "means", "covs")))
    start = State({"x": torch.tensor(stored[f"{name}|prior_z"]).double() * path.prior_std})
    noise = Replayed(torch.tensor(stored[f"{name}|noise"]).double())
    steps = int(stored["N"])
    if corrector == "langevin":
        solver = make_solver(
            "pc", steps, predictor=PREDICTORS[predictor], snr=0.16, norms="batch", published=True, end=end, final="none"
        )
    else:
        label = {"euler_maruyama": "euler-maruyama", "reverse_diffusion": "reverse-diffusion"}[predictor]
        solver = make_solver(label, steps, published=True, end=end)
    got = sample(system, start, solver, noise, start=start).state["x"]
    wanted = torch.tensor(stored[f"{name}|pc|{predictor}|{corrector}|pf0|denoise1"]).double()
    torch.testing.assert_close(got, wanted, atol=1e-4 * float(wanted.abs().max()), rtol=1e-4)
