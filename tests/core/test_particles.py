"""Particles follow densities known exactly, where plain guidance fails."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.core.analytic import mixture_system
from scorefield.core.errors import InputError
from scorefield.core.guidance.gradient import Gradient
from scorefield.core.guidance.kernels import kernels
from scorefield.core.guidance.particles import Particles
from scorefield.core.guidance.properties import Expert, Property
from scorefield.core.guidance.targets import AFDPS, Target, Tempered, annealed, classifier_free, product
from scorefield.core.guide import Run
from scorefield.core.noise import Seeded
from scorefield.core.paths import VE, VP
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System, Values
from tests.core.guidance_problems import (
    EXACT,
    OBSERVED,
    OBSERVED_STD,
    PRIOR,
    SECOND,
    Mixture,
    frame,
)
from tests.core.lines import NOISY, OBSERVATION, SOLVER, Line, Still, average, line, reward, run


def test_the_quick_line_is_the_general_mixture() -> None:
    state = State({"x": torch.linspace(-3, 3, 11, dtype=torch.float64)[:, None]})
    t = torch.full((11,), 0.4, dtype=torch.float64)
    torch.testing.assert_close(line(SECOND)(state, t), SECOND.system()(state, t))


GUIDANCE = Tempered(-1.0, [(2.0, line(SECOND))])
PLAIN = {"threshold": 0.0, "final": False}  # the target's score, and no weights


@pytest.mark.parametrize(
    ("name", "goal", "solver"), [("guidance 2", GUIDANCE, SOLVER), ("product", product(line(SECOND)), NOISY)]
)
def test_two_models_are_combined_where_plain_guidance_fails(name: str, goal: Target, solver: object) -> None:
    mean, _, mass = average(goal, 5, 4000, solver=solver)
    assert mean == pytest.approx(EXACT[name][0], abs=0.06)
    assert mass == pytest.approx(EXACT[name][2], abs=0.02)
    mean, _, mass = average(goal, 1, 2000, solver=solver, **PLAIN)
    assert abs(mean - EXACT[name][0]) > 0.06
    assert abs(mass - EXACT[name][2]) > 0.02


def test_annealing_flattens() -> None:
    mean, variance, mass = average(annealed(0.5), 3, 4000)
    assert mean == pytest.approx(EXACT["power 0.5"][0], abs=0.06)
    assert variance == pytest.approx(EXACT["power 0.5"][1], abs=0.06)
    assert mass == pytest.approx(EXACT["power 0.5"][2], abs=0.02)
    assert average(annealed(0.5), 1, 1000, **PLAIN)[1] > 3  # 6.67 for many samples


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("power", "tolerance"), [(2, 0.03), (3, 0.06)])
def test_annealing_gathers_at_the_modes(power: int, tolerance: float) -> None:
    """More noise than the reverse SDE's keeps the scatter of these estimates down (by 7 for 20,000 particles)."""
    noisy = make_solver("exponential", 1000, order=1, eta=2.0)
    mean, variance, mass = average(annealed(float(power)), 4, 20_000, solver=noisy)
    exact = EXACT[f"power {power}"]
    assert mean == pytest.approx(exact[0], abs=tolerance)
    assert variance == pytest.approx(exact[1], abs=2 * tolerance)
    assert mass == pytest.approx(exact[2], abs=tolerance / 2)


POSTERIOR = {
    "afdps": (AFDPS(OBSERVATION), {}),
    "by its gradient": (OBSERVATION, {}),
    "around the network": (OBSERVATION, {"proposal": Gradient(OBSERVATION, 0.5, through_network=False)}),
    "without a gradient": (Property(reward), {"every": 2}),
    "on islands": (OBSERVATION, {"islands": 4}),
}


@pytest.mark.parametrize("name", POSTERIOR)
def test_the_posterior_of_an_observation(name: str) -> None:
    goal, arguments = POSTERIOR[name]
    found = average(goal, 1, 6000, **arguments)
    for value, exact, tolerance in zip(found, EXACT["posterior"], (0.02, 0.015, 0.015), strict=True):
        assert value == pytest.approx(exact, abs=tolerance)


def test_weights_measure_the_evidence() -> None:
    exact = math.log(sum(_evidence(w, m, v) for w, m, v in zip(*vars(PRIOR).values(), strict=True)))
    for goal in (AFDPS(OBSERVATION), OBSERVATION, Property(reward)):
        weights = run(goal, 1500).guides[0].log_weights
        torch.testing.assert_close(weights, torch.full_like(weights, exact), atol=0.08, rtol=0)


def _evidence(weight: float, mean: float, variance: float) -> float:
    total = variance + OBSERVED_STD**2
    return weight * math.exp(-((OBSERVED - mean) ** 2) / (2 * total)) * OBSERVED_STD / math.sqrt(total)


def test_an_expert_among_the_potentials_is_a_product() -> None:
    one, two = (run(goal, 500).state["x"] for goal in (product(line(SECOND)), [Expert(line(SECOND))]))
    assert torch.equal(one, two)


def test_a_product_is_tilted_by_energies() -> None:
    """p q N(y; x, s^2) for three Gaussians: their precisions add up."""
    systems = [line(Mixture((1.0,), (mean,), (variance,))) for mean, variance in ((-1.0, 0.5), (1.0, 0.25))]
    precision = 2 + 4 + 4.0
    exact = (-1 * 2 + 1 * 4 + OBSERVED * 4) / precision
    for goal in ([product(systems[1]), OBSERVATION], AFDPS(OBSERVATION, base=product(systems[1]))):
        x = sample(systems[0], frame(4000), NOISY, Seeded(0), guides=[Particles(goal)]).state["x"]
        assert float(x.mean()) == pytest.approx(exact, abs=0.03)
        assert float(x.var()) == pytest.approx(1 / precision, abs=0.01)


class Conditional(Network):
    """The first mixture's mean is moved by the condition `y` `[B, 1]`; y = 9 stands for none: the second mixture."""

    def __init__(self) -> None:
        super().__init__()
        self.null_condition = {"y": 9.0}
        self.given, self.without = Line(SECOND), Line(PRIOR)

    def forward(self, state: State, t: Tensor) -> Values:
        absent = state.condition["y"] == 9
        return {"x": torch.where(absent, self.without(state, t)["x"], self.given(state, t)["x"])}


def conditional() -> System:
    return System({"x": Component(VP(), Masked(), "noise")}, Conditional())


def test_classifier_free_guidance_of_one_network() -> None:
    system = conditional()
    empty = State(frame(200).components, condition={"y": torch.zeros(200, 1)})
    results = [
        sample(s, state, SOLVER, Seeded(0), guides=[Particles(classifier_free(2.0, other))])
        for s, state, other in ((system, empty, None), (line(SECOND), frame(200), line(PRIOR)))
    ]
    assert torch.equal(results[0].state["x"], results[1].state["x"])
    assert results[0].evaluations == 500
    with pytest.raises(InputError, match="null condition"):
        run(classifier_free(2.0), 20)
    forgetful = System(system.components, Still())
    with pytest.raises(InputError, match="lacks the condition 'y'"):
        sample(forgetful, frame(20), SOLVER, Seeded(0), guides=[Particles(classifier_free(2.0, {"y": 9.0}))])


# Discretisation


def _miss(name: str, steps: int, powers: list[float], **arguments: object) -> tuple[float, float]:
    """By how much kernels and weights miss mean and variance of a product of powers of Gaussians, without sampling.

    Weights exp(a x^2 + b x) and kernels that are linear in x keep a Gaussian population Gaussian.
    """
    means, spreads, mass = (-1.0, 1.0), (0.5, 0.25), sum(powers)
    solver = make_solver(name, steps, **arguments)
    system = line(PRIOR)
    table = kernels(Run(system, frame(2), solver, solver.plan(system)))["x"]
    mean, variance = 0.0, 1 / mass
    for k in table:
        totals = [k.alpha**2 * v + k.sigma**2 for v in spreads]
        slopes, levels = [-1 / v for v in totals], [k.alpha * m / v for m, v in zip(means, totals, strict=True)]
        slope, level = (sum(c * v for c, v in zip(powers, values, strict=True)) for values in (slopes, levels))
        squares = [
            sum(c * a * b for c, a, b in zip(powers, u, v, strict=True))
            for u, v in ((slopes, slopes), (slopes, levels))
        ]
        precision = 1 / variance - k.gain * (slope**2 - squares[0])
        mean = (mean / variance + k.gain * (slope * level - squares[1])) / precision
        factor = k.state + k.data * (1 + k.sigma**2 * slope) / k.alpha
        mean = factor * mean + k.data * k.sigma**2 * level / k.alpha
        variance = factor**2 / precision + k.noise**2
    exact = sum(c / v for c, v in zip(powers, spreads, strict=True))
    centre = sum(c * m / v for c, m, v in zip(powers, means, spreads, strict=True)) / exact
    return abs(mean - centre) * exact**0.5, abs(variance * exact - 1)


@pytest.mark.parametrize("powers", [[1.0, 1.0], [2.0, 0.0], [0.5, 0.0], [-1.0, 2.0]])
@pytest.mark.parametrize(
    ("name", "arguments", "bound"),
    [
        ("euler-maruyama", {}, 0.02),
        ("euler-maruyama", {"grid": "uniform"}, 0.02),
        ("ddpm", {"variance": "upper"}, 0.025),
        ("ddpm", {}, 0.045),
        ("exponential", {"order": 1, "eta": 2.0}, 0.075),
        ("ddpm", {"eta": 0.7}, 0.11),
    ],
)
def test_discretisation_is_of_first_order_for_any_noise(
    name: str, arguments: dict[str, object], bound: float, powers: list[float]
) -> None:
    coarse, fine = (max(_miss(name, steps, powers, **arguments)) for steps in (250, 1000))
    assert coarse < bound
    assert fine < max(0.35 * coarse, 1e-3)


# Samples of different sizes


def _graphs(spreads: dict[str, float], masks: Tensor) -> tuple[System, State]:
    components = {
        "x": Component(VP(), Masked(), "noise"),
        "adj": Component(VE(0.01, 50.0), SymmetricAdjacency(), "score"),
    }
    rows, nodes = masks.shape
    shapes = {"x": (nodes, 1), "adj": (nodes, nodes)}
    means = {n: torch.zeros(1, *shape) for n, shape in shapes.items()}
    system = mixture_system(components, torch.ones(1), means, {n: torch.tensor([v]) for n, v in spreads.items()})
    zeros = {n: torch.zeros(rows, *shape, dtype=torch.float64) for n, shape in shapes.items()}
    return system, State(zeros, {"mask": masks})


def _mask(counts: list[int], each: int) -> Tensor:
    return torch.arange(max(counts)) < torch.tensor(counts).repeat_interleave(each)[:, None]


def _masses(system: System, spreads: dict[str, float], power: float, nodes: int) -> float:
    """log of int q_end^b / int q_1^b for Gaussians of one size."""
    total = 0.0
    for name, free in (("x", nodes), ("adj", nodes * (nodes - 1) // 2)):
        path = system.components[name].path
        ends = torch.tensor([1e-3, 1.0], dtype=torch.float64)
        first, last = (path.alpha(ends) ** 2 * spreads[name] + path.variance(ends)).log().tolist()
        total += 0.5 * (1 - power) * free * (first - last)
    return total


def test_samples_of_different_sizes_compete_by_their_densities() -> None:
    """The share of each size is what the divergence term makes it: without it all would keep equal shares."""
    counts, spreads, each = [1, 2, 3], {"x": 0.5, "adj": 400.0}, 500
    system, empty = _graphs(spreads, _mask(counts, each))
    solver = make_solver("euler-maruyama", 100, grid="uniform", end=1e-3)
    apart = sample(system, empty, solver, Seeded(0), guides=[Particles(annealed(0.7), groups="sizes")])
    exact = torch.tensor([_masses(system, spreads, 0.7, n) for n in counts], dtype=torch.float64)
    assert torch.equal(apart.state.masks["mask"], empty.masks["mask"])
    torch.testing.assert_close(apart.guides[0].log_weights[::each], exact, atol=0.05, rtol=0.2)

    together = sample(system, empty, solver, Seeded(0), guides=[Particles(annealed(0.7))])
    sizes = together.state.masks["mask"].sum(1)
    shares = torch.stack([(sizes == n).double().mean() for n in counts])
    torch.testing.assert_close(shares, exact.softmax(0), atol=0.04, rtol=0)
    for name, space in (("x", Masked()), ("adj", SymmetricAdjacency())):
        value = together.state[name]
        torch.testing.assert_close(space.project(value, together.state.masks), value)
