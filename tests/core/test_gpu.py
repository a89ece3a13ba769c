"""The sampling loop on a GPU: it never waits for the device, and it goes into a CUDA graph."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from scorefield.core.denoiser import Denoiser
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.solver_registry import SOLVERS
from scorefield.core.solvers.solver import Carry, Plan
from scorefield.core.state import State
from tests.core.test_compiled import CHOOSES_ITS_STEPS
from tests.core.two_components import make_system, solver_named

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
NAMES = sorted(SOLVERS.keys() - CHOOSES_ITS_STEPS)


@pytest.fixture
def strict() -> Iterator[None]:
    """Waiting for the device is an error."""
    yield
    torch.cuda.set_sync_debug_mode("default")


def _loop(plan: Plan, start: State, denoise: Denoiser, draws: list[torch.Tensor]) -> State:
    carry, noise = Carry(start), Replayed(draws)
    for index in range(plan.length):
        carry = plan.step(index, carry, denoise, noise)
    return carry.state


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_no_step_waits_for_the_device(strict: None, name: str) -> None:
    system, start = make_system("cuda")
    plan = solver_named(name, 6).plan(system)
    denoise, carry, noise = Denoiser(system, start, plan.times), Carry(start), Seeded(1, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    for index in range(plan.length):
        carry = plan.step(index, carry, denoise, noise)
    torch.cuda.set_sync_debug_mode("default")
    denoise.check()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_the_loop_goes_into_a_cuda_graph(name: str) -> None:
    system, start = make_system("cuda")
    plan = solver_named(name, 6).plan(system)
    denoise = Denoiser(system, start, plan.times)
    draws = [torch.randn_like(v) for _ in range(40) for v in start.components.values()]
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        expected = _loop(plan, start, denoise, draws)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = _loop(plan, start, denoise, draws)
    for value in result.components.values():
        value.zero_()
    graph.replay()
    for key, value in result.components.items():
        torch.testing.assert_close(value, expected[key])
