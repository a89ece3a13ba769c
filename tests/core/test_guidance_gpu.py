"""Guided loops on a GPU never wait for the device, and give what the CPU gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from scorefield.core.denoiser import Denoiser
from scorefield.core.guidance.gradient import DPS, Gradient
from scorefield.core.guidance.inpainting import Replacement
from scorefield.core.guidance.observations import GaussianObservation, QuantileObservation
from scorefield.core.guidance.properties import Reward
from scorefield.core.guide import Guide, Guides, Run
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.sampling import sample
from scorefield.core.solvers.solver import Carry
from tests.core.two_components import make_system, solver_named

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]


def _known() -> GaussianObservation:
    value = torch.full((5, 4), torch.nan)
    value[0] = 0.5
    return GaussianObservation("x", value, 0.3, prior_std=1.0)


GUIDES: dict[str, list[Guide]] = {
    "gradient": [Gradient([_known(), 0.5 * Reward(lambda state: state["adj"].flatten(1).sum(1))])],
    "around": [Gradient(QuantileObservation("adj", torch.zeros(5, 5), 0.3), through_network=False)],
    "dps": [DPS(_known())],
    "replacement": [Replacement(_known(), repeat=2)],
}


@pytest.fixture
def strict() -> Iterator[None]:
    """Waiting for the device is an error."""
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", GUIDES)
@torch.no_grad()
def test_no_guided_step_waits_for_the_device(strict: None, name: str) -> None:
    system, start = make_system("cuda")
    solver = solver_named("ddpm", 6)
    plan = solver.plan(system)
    guides = Guides([guide.begin(Run(system, start, solver, plan)) for guide in GUIDES[name]])
    denoise, carry, noise = Denoiser(system, start, plan.times, guides), Carry(start), Seeded(1, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    for index in range(plan.length):
        carry = plan.step(index, carry, denoise, noise)
        for guide in guides.after:
            carry = guide.after(carry, index, denoise, noise)
    torch.cuda.set_sync_debug_mode("default")
    denoise.check()


@pytest.mark.parametrize("name", GUIDES)
def test_a_gpu_gives_what_the_cpu_gives(name: str) -> None:
    # One draw of x for the observed part; else the prior and each step ask for x, then adj.
    order = ["x", "adj", "x"] if name == "replacement" else ["x", "adj"] * 6
    guides = [Replacement(_known(), redraw=False)] if name == "replacement" else GUIDES[name]
    solver, results = solver_named("ddim" if name == "replacement" else "ddpm", 6), []
    for device in ("cpu", "cuda"):
        system, start = make_system(device)
        source = Seeded(0)
        draws = [source.normal(start[key].cpu()) for key in order]
        results.append(sample(system, start, solver, Replayed(draws), guides=guides).state.to("cpu"))
    for key in results[0].components:
        torch.testing.assert_close(results[1][key], results[0][key], atol=1e-3, rtol=1e-3)
