"""Particles, search and refinement on a GPU: steps never wait for the device, and give what the CPU gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from scorefield.core.denoiser import Denoiser
from scorefield.core.guidance.particles import Particles
from scorefield.core.guidance.properties import Reward
from scorefield.core.guidance.refine import Refinement, refine
from scorefield.core.guidance.search import RolloverSearch
from scorefield.core.guidance.targets import AFDPS, annealed
from scorefield.core.guide import Guides, Run
from scorefield.core.noise import Seeded
from scorefield.core.sampling import sample
from scorefield.core.solvers.solver import Carry
from scorefield.core.state import State
from tests.core.two_components import make_system, solver_named

DEVICE = "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:.*keeps a signal"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]


def _reward(state: State) -> torch.Tensor:
    return -state["x"].square().flatten(1).sum(1)


GOALS = {"energy": Reward(_reward), "afdps": AFDPS(Reward(_reward)), "annealed": annealed(1.5)}


class Drawn:
    """The same numbers on every device."""

    def __init__(self) -> None:
        self.source = Seeded(3)

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        return self.source.normal(like.cpu()).to(like)


@pytest.fixture
def strict() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", GOALS)
@torch.no_grad()
def test_no_step_but_the_last_waits_for_the_device(strict: None, name: str) -> None:
    system, start = make_system(DEVICE)
    solver = solver_named("ddpm", 8)
    plan = solver.plan(system)
    guides = Guides([Particles(GOALS[name], threshold=1.0).begin(Run(system, start, solver, plan))])
    denoise, carry, noise = Denoiser(system, start, plan.times, guides), Carry(start), Seeded(1, device=DEVICE)
    torch.cuda.set_sync_debug_mode("error")
    for index in range(plan.length - 1):
        carry = plan.step(index, carry, denoise, noise)
        carry = guides.all[0].after(carry, index, denoise, noise)
    torch.cuda.set_sync_debug_mode("default")
    denoise.check()


@pytest.mark.parametrize("name", [*GOALS, "search", "refine"])
def test_a_gpu_gives_what_the_cpu_gives(name: str) -> None:
    solver, results = solver_named("ddpm", 8), []
    for device in ("cpu", DEVICE):
        system, start = make_system()
        system, start = system.double().to(device), start.to(device, torch.float64)
        if name == "search":
            result = RolloverSearch(Reward(_reward), 40, 4).run(system, start, solver, Drawn())
        elif name == "refine":
            result = refine(system, start, Drawn(), Reward(_reward), Refinement(0.3, 5, 0.01))
        else:
            result = sample(system, start, solver, Drawn(), guides=[Particles(GOALS[name])])
        results.append(result.state.to("cpu"))
    for key in results[0].components:
        torch.testing.assert_close(results[1][key], results[0][key], atol=1e-6, rtol=1e-6)
