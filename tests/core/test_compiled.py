"""One step of every fixed-grid solver compiles whole, and computes the same."""

from __future__ import annotations

import pytest
import torch

from scorefield.core.denoiser import Denoiser
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.solver_registry import SOLVERS
from scorefield.core.solvers.solver import Carry
from tests.core.two_components import make_system, solver_named

CHOOSES_ITS_STEPS = {"rk45", "dpm-adaptive"}
"""What they do next depends on values: there is no step to compile."""


@pytest.mark.parametrize("name", sorted(SOLVERS.keys() - CHOOSES_ITS_STEPS))
@torch.no_grad()
def test_a_step_compiles_whole(name: str) -> None:
    system, start = make_system()
    plan = solver_named(name, 6).plan(system)
    denoise, carry = Denoiser(system, start, plan.times), Carry(start)
    for index in range(3):
        carry = plan.step(index, carry, denoise, Seeded(1))
    draws = [torch.randn_like(v) for v in start.components.values()] * 3

    def step(carry: Carry, draws: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        return plan.step(3, carry, denoise, Replayed(draws)).state.components

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    for key, value in step(carry, draws).items():
        torch.testing.assert_close(compiled(carry, draws)[key], value)
