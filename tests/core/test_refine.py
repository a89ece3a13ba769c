"""Refinement of a Gaussian is a linear recursion; its noise, gradients and calls are those stated."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.core.analytic import mixture_system
from scorefield.core.errors import InputError
from scorefield.core.guidance.observations import GaussianObservation, QuantileObservation
from scorefield.core.guidance.properties import Property
from scorefield.core.guidance.refine import Refine, Refinement, denoising_energy, refine, representative_time
from scorefield.core.guidance.registry import make_guide, ways_for
from scorefield.core.guide import Run
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.paths import VP, Linear
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, System

MEAN, SPREAD, TIME = 0.7, 0.4, 0.3
SEEN, ERROR = 2.0, 0.8


def graphs(rows: int, path: object = None, kind: str = "noise") -> tuple[System, State]:
    """N(MEAN, SPREAD) on the free entries of node features and adjacency, three nodes of which one may be missing."""
    path = path or VP()
    components = {"x": Component(path, Masked(), kind), "adj": Component(path, SymmetricAdjacency(), kind)}
    means = {"x": torch.full((1, 3, 1), MEAN), "adj": torch.full((1, 3, 3), MEAN)}
    system = mixture_system(components, torch.ones(1), means, dict.fromkeys(components, torch.tensor([SPREAD])))
    zeros = {"x": torch.zeros(rows, 3, 1, dtype=torch.float64), "adj": torch.zeros(rows, 3, 3, dtype=torch.float64)}
    mask = torch.tensor([True, True, False]).expand(rows, 3)
    return system, State(zeros, {"mask": mask})


def _recursion(settings: Refinement, strength: float) -> tuple[float, float]:
    """Mean and variance of an entry from 0: y' = y - eta (2 k^2 (y - m) - 2 k a eps + s (y - seen)) + noise."""
    t = torch.tensor(settings.time, dtype=torch.float64)
    alpha, sigma = float(VP().alpha(t)), float(VP().sigma(t))
    total = alpha**2 * SPREAD + sigma**2
    k, a, eta = sigma * alpha / total, alpha**2 * SPREAD / total, settings.step_size
    noise = settings.noise_scale**2 * 2 * eta if settings.method == "langevin" else 0.0
    mean, variance = 0.0, 0.0
    for _ in range(settings.steps):
        mean = mean - eta * (2 * k**2 * (mean - MEAN) + strength * (mean - SEEN))
        variance = (1 - eta * (2 * k**2 + strength)) ** 2 * variance + (2 * eta * k * a) ** 2 + noise
    return mean, variance


@pytest.mark.parametrize("method", ["langevin", "likelihood"])
@pytest.mark.parametrize(("steps", "weight"), [(3, 0.0), (40, 0.5)])
def test_a_gaussian_is_refined_as_computed(method: str, steps: int, weight: float) -> None:
    system, state = graphs(5000)
    settings = Refinement(TIME, steps, 0.1, method, 0.7, weight)
    observed = torch.tensor([[SEEN], [torch.nan], [torch.nan]], dtype=torch.float64)
    potential = GaussianObservation("x", observed, std=ERROR)
    run = Run(system, state, make_solver("ddpm", 2), make_solver("ddpm", 2).plan(system))
    result = refine(system, state, Seeded(0), potential.begin(run), settings)
    assert result.evaluations == steps
    x, adj = result.state["x"], result.state["adj"]
    strength = weight / ERROR**2
    for entries, pull in ((x[:, 0, 0], strength), (x[:, 1, 0], 0.0), (adj[:, 0, 1], 0.0)):
        mean, variance = _recursion(settings, pull)
        error = math.sqrt(variance / len(entries))
        assert float(entries.mean()) == pytest.approx(mean, abs=4 * error)
        assert float(entries.var()) == pytest.approx(variance, rel=0.08)
    assert torch.equal(adj, adj.transpose(1, 2))
    assert not bool(torch.cat([x[:, 2], adj[:, 2], adj.diagonal(dim1=1, dim2=2)], 1).any())


def test_langevin_steps_without_noise_are_those_of_maximum_likelihood() -> None:
    system, state = graphs(4)
    draws = [draw for _ in range(3) for draw in system.noise(state, Seeded(2)).values()]
    still = Refinement(TIME, 3, 0.1, "likelihood")
    likelihood = refine(system, state, Replayed(draws), None, still).state
    doubled = [d for i in range(3) for d in (*draws[2 * i : 2 * i + 2], *draws[2 * i : 2 * i + 2])]
    langevin = refine(system, state, Replayed(doubled), None, Refinement(TIME, 3, 0.1, "langevin", 0.0)).state
    for name in ("x", "adj"):
        torch.testing.assert_close(likelihood[name], langevin[name], rtol=0, atol=0)


def test_a_step_is_the_published_one() -> None:
    """Noise for the model, then for the move; pinball energies of quantile levels; sums, not means."""
    system, state = graphs(2)
    source = Seeded(5)
    state = state.replace(system.noise(state, source))
    draws = [*system.noise(state, source).values(), *system.noise(state, source).values()]
    y = torch.full((3, 1), 0.3, dtype=torch.float64)
    potential = QuantileObservation("x", y, level=0.8)
    run = Run(system, state, make_solver("ddpm", 2), make_solver("ddpm", 2).plan(system))
    result = refine(system, state, Replayed(draws), potential.begin(run), Refinement(TIME, 1, 0.05, "langevin", 0.1))

    x = state["x"].clone().requires_grad_()
    adj = state["adj"].clone().requires_grad_()
    eps = {"x": draws[0], "adj": draws[1]}
    noised = system.perturb(state.replace({"x": x, "adj": adj}), torch.full((2,), TIME).double(), eps)
    predicted = system.predict(noised, torch.full((2,), TIME).double(), "noise")
    there = state.masks["mask"][:, :, None]
    gap = y - x
    pinball = (torch.maximum(0.8 * gap, (0.8 - 1) * gap) * there).sum()
    energy = (eps["x"] - predicted["x"]).square().sum() + (eps["adj"] - predicted["adj"]).triu().square().sum()
    slopes = torch.autograd.grad(energy + pinball, [x, adj])
    moved = state["x"] - 0.05 * slopes[0] + 0.1 * math.sqrt(0.1) * draws[2]
    torch.testing.assert_close(result.state["x"], moved.detach() * there)
    whole = slopes[1] + slopes[1].transpose(1, 2)
    moved = state["adj"] - 0.05 * whole + 0.1 * math.sqrt(0.1) * draws[3]
    torch.testing.assert_close(result.state["adj"], moved.detach())


def test_rows_do_not_touch_each_other() -> None:
    system, state = graphs(3)
    state = state.replace(system.noise(state, Seeded(1)))
    draws = [d for _ in range(4) for d in system.noise(state, Seeded(3)).values()]
    settings = Refinement(TIME, 2)
    whole = refine(system, state, Replayed(draws), None, settings).state
    alone = refine(system, state.rows(slice(1, 2)), Replayed([d[1:2] for d in draws]), None, settings).state
    torch.testing.assert_close(alone["x"], whole["x"][1:2])


@pytest.mark.parametrize("kind", ["noise", "data", "score", "velocity"])
def test_the_energy_is_the_expected_one_for_every_kind(kind: str) -> None:
    system, state = graphs(1, Linear(), kind)
    state = state.replace(system.noise(state, Seeded(1)))
    eps = system.noise(state, Seeded(2))
    alpha, sigma = 1 - TIME, TIME
    total = alpha**2 * SPREAD + sigma**2
    expected = 0.0
    for name, space in (("x", Masked()), ("adj", SymmetricAdjacency())):
        miss = alpha**2 * SPREAD / total * eps[name] - sigma * alpha / total * (state[name] - MEAN)
        expected = expected + space.project(miss, state.masks).square().sum() / space.copies
    energy = denoising_energy(system, state, TIME, eps)
    torch.testing.assert_close(energy[0], expected)


def test_the_representative_time_has_the_mean_loss() -> None:
    """Of exact models on their own data the loss is alpha^2 C / (alpha^2 C + sigma^2) of each entry."""
    system, state = graphs(20_000)
    data = {n: (MEAN + math.sqrt(SPREAD) * v) for n, v in system.noise(state, Seeded(1)).items()}
    state = state.replace({n: c.space.project(data[n], state.masks) for n, c in system.components.items()})
    times = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    signal = VP().alpha(times) ** 2 * SPREAD
    loss = signal / (signal + VP().variance(times))
    expected = float(times[(loss - loss.mean()).abs().argmin()])
    assert representative_time(system, state, Seeded(0), times.tolist()) == expected


def test_origins_stay() -> None:
    system, state = graphs(5)
    shift = torch.full((5, 3, 1), 4.0, dtype=torch.float64) * state.masks["mask"][:, :, None]
    moved = dict(system.components)
    moved["x"] = Component(VP(), Masked(), "noise", origin=lambda state: shift[: len(state)])
    away = System(moved, _Shifted(system, shift))
    start = state.replace({"x": state["x"] + shift})
    settings = Refinement(TIME, 5)
    near = refine(system, state, Seeded(0), None, settings).state
    far = refine(away, start, Seeded(0), None, settings).state
    torch.testing.assert_close(far["x"] - shift, near["x"])


class _Shifted(torch.nn.Module):
    def __init__(self, system: System, shift: torch.Tensor) -> None:
        super().__init__()
        self.network, self.shift = system.network, shift

    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.network(state.replace({"x": state["x"] - self.shift}), t)


def test_the_samples_of_a_run_are_refined_at_its_end() -> None:
    system, state = graphs(200)
    observed = torch.full((3, 1), SEEN, dtype=torch.float64)
    potential = GaussianObservation("x", observed, std=0.5)
    guide = make_guide("refine", potential, {"steps": "30", "method": "likelihood", "weight": 0.5, "time": "0.3"})
    plain = sample(system, state, make_solver("ddim", 8), Seeded(0))
    result = sample(system, state, make_solver("ddim", 8), Seeded(0), guides=[guide])
    assert result.evaluations == 8 + 30
    there = state.masks["mask"]
    gaps = [float((r.state["x"][there] - SEEN).abs().mean()) for r in (plain, result)]
    assert gaps[1] < 0.5 * gaps[0]
    found = sample(system, state, make_solver("ddim", 8), Seeded(0), guides=[Refine(potential)])
    assert found.evaluations == 8 + 25 + 20
    assert 0 < found.guides[0].time < 1
    assert "refine" in ways_for(GaussianObservation)
    assert "refine" not in ways_for(Property)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Refinement(0.0), "at t = 0"),
        (lambda: Refinement(0.3, steps=0), "0 steps"),
        (lambda: Refinement(0.3, step_size=math.nan), "steps of nan"),
        (lambda: Refinement(0.3, noise_scale=-1.0), "noise -1"),
        (lambda: Refinement(0.3, method="newton"), "method 'newton'; give langevin or likelihood"),
        (lambda: Refine(Property(len)), "refine cannot use Property: it has no gradient; it works with particles, rbf"),
        (lambda: refine(*graphs(1), Seeded(0), Property(len)), "it has no gradient; use particles"),
    ],
)
def test_what_cannot_be(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_steps_that_are_too_large_are_told() -> None:
    system, state = graphs(2)
    with pytest.raises(FloatingPointError, match="take smaller steps"):
        refine(system, state, Seeded(0), None, Refinement(TIME, 400, 1e6))
