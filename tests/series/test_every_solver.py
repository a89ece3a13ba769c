"""Every solver samples series."""

from __future__ import annotations

import pytest
import torch

from scorefield.core.noise import Seeded
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import SOLVERS, make_solver
from scorefield.core.state import State
from scorefield.domains.series.pad_ts.recipe import PaDTS

# The cosine chain has hardly any signal at t = 1.
ARGUMENTS = {"s4": {"num_scales": 1000}}


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_windows_come_out(name: str) -> None:
    torch.manual_seed(0)
    system = PaDTS(width=16, heads=2, decoder_layers=1, num_steps=50).build({"length": 8, "features": 3}).eval()
    solver, frame = make_solver(name, 6, **ARGUMENTS.get(name, {})), State({"x": torch.zeros(4, 8, 3)})
    solver = solver.prepared(system, frame, Seeded(1))
    x = sample(system, frame, solver, Seeded(0)).state["x"]
    assert x.shape == (4, 8, 3)
    assert torch.isfinite(x).all()
