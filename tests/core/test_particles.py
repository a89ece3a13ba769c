"""Particles follow densities known exactly, where plain guidance fails; resampling is fair and reproducible."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scorefield.core.analytic import mixture_system
from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.guidance.gradient import Gradient
from scorefield.core.guidance.kernels import kernels
from scorefield.core.guidance.observations import GaussianObservation
from scorefield.core.guidance.particles import Particles
from scorefield.core.guidance.properties import Expert, Property
from scorefield.core.guidance.resampling import Pools, systematic
from scorefield.core.guidance.targets import AFDPS, Target, Tempered, annealed, classifier_free, product
from scorefield.core.guide import Guide, Guides, Run
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.paths import VE, VP, Linear
from scorefield.core.sampling import Sampled, sample
from scorefield.core.solvers.registry import SOLVERS, make_solver
from scorefield.core.solvers.solver import Carry
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
    Moments,
    frame,
    moments,
)

OBSERVATION = GaussianObservation("x", torch.tensor([OBSERVED], dtype=torch.float64), std=OBSERVED_STD)
SOLVER = make_solver("euler-maruyama", 250, grid="uniform")
NOISY = make_solver("exponential", 250, order=1, eta=2.0)


class Line(Network):
    """A mixture on the line for rows that share one time: five times as quick as the general one."""

    def __init__(self, mixture: Mixture) -> None:
        super().__init__()
        parts = zip(mixture.weights, mixture.means, mixture.variances, strict=True)
        self.parts = list(parts)

    def forward(self, state: State, t: Tensor) -> Values:
        time = t[:1].double()
        alpha, variance = float(VP().alpha(time)), float(VP().variance(time))
        logits, slopes = [], []
        for weight, mean, spread in self.parts:
            total = alpha**2 * spread + variance
            offset = (state["x"] - alpha * mean) / total
            slopes.append(offset)
            logits.append(math.log(weight) - 0.5 * math.log(total) - 0.5 * total * offset.square())
        share = torch.cat(logits, 1).softmax(1)
        return {"x": math.sqrt(variance) * (share * torch.cat(slopes, 1)).sum(1, keepdim=True)}


def line(mixture: Mixture) -> System:
    return System({"x": Component(VP(), Masked(), "noise")}, Line(mixture))


def run(goal: object, num: int, seed: int = 0, solver: object = SOLVER, **arguments: object) -> Sampled:
    return sample(line(PRIOR), frame(num), solver, Seeded(seed), guides=[Particles(goal, **arguments)])


def average(goal: object, seeds: int, num: int, **arguments: object) -> Moments:
    found = [moments(run(goal, num, seed, **arguments).state["x"]) for seed in range(seeds)]
    return tuple(torch.tensor(found).double().mean(0).tolist())


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


def _property(state: State) -> Tensor:
    return -((state["x"][:, 0] - OBSERVED) ** 2) / (2 * OBSERVED_STD**2)


POSTERIOR = {
    "afdps": (AFDPS(OBSERVATION), {}),
    "by its gradient": (OBSERVATION, {}),
    "around the network": (OBSERVATION, {"proposal": Gradient(OBSERVATION, 0.5, through_network=False)}),
    "without a gradient": (Property(_property), {"every": 2}),
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
    for goal in (AFDPS(OBSERVATION), OBSERVATION, Property(_property)):
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


# Resampling


WEIGHTS = st.lists(st.floats(0, 1), min_size=1, max_size=12).filter(lambda w: sum(w) > 1e-3)


@given(weights=WEIGHTS, shift=st.floats(0, 1, exclude_max=True))
def test_each_particle_has_its_share_of_children_rounded_up_or_down(weights: list[float], shift: float) -> None:
    share = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    num = len(weights)
    parents = systematic(share[None], torch.tensor([num]), torch.tensor([shift], dtype=torch.float64))[0]
    children = torch.bincount(parents, minlength=num)
    assert int(children.sum()) == num
    assert bool((children >= (num * share - 1e-9).floor()).all())
    assert bool((children <= (num * share + 1e-9).ceil()).all())


@given(weights=WEIGHTS)
def test_children_are_fair_on_average(weights: list[float]) -> None:
    share = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    num, trials = len(weights), 4000
    shifts = (torch.arange(trials, dtype=torch.float64) + 0.5) / trials
    parents = systematic(share.expand(trials, -1), torch.full((trials,), num), shifts)
    mean = torch.nn.functional.one_hot(parents, num).double().sum(1).mean(0)
    torch.testing.assert_close(mean, num * share, atol=2 / trials, rtol=0)


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_pools_stay_apart(labels: list[int], seed: int) -> None:
    found = torch.unique(torch.tensor(labels), return_inverse=True)[1]
    pools, noise = Pools(found), Seeded(seed)
    log_weights = 30 * noise.normal(torch.zeros(len(labels), dtype=torch.float64))
    log_weights[found == 0] = -torch.inf  # a pool without weight keeps all rows
    weights = pools.weights(log_weights)
    torch.testing.assert_close(weights.sum(1), torch.ones_like(weights[:, 0]))
    chosen = torch.arange(len(weights)) % 2 == 0
    ancestors = pools.ancestors(weights, chosen, pools.shifts(noise))
    assert torch.equal(found[ancestors], found)
    rows = torch.arange(len(labels))
    assert torch.equal(ancestors[~chosen[found]], rows[~chosen[found]])
    assert torch.equal(ancestors[found == 0], rows[found == 0])


class Keeper(Guide):
    """Remembers which row each row comes from."""

    def begin(self, run: object) -> Guide:
        mine = Keeper()
        mine.rows = torch.arange(len(run.state))
        return mine

    def select(self, ancestors: Tensor) -> None:
        self.rows = self.rows[ancestors]


class Still(Network):
    """Data at the origin, if there is one."""

    def forward(self, state: State, t: Tensor) -> Values:
        return {"x": state.condition.get("place", torch.zeros(1)).expand_as(state["x"])}


def test_all_that_belongs_to_a_row_goes_with_it() -> None:
    """Mask, condition and origin; and the other guides are told."""
    component = Component(VP(), Masked(), "data", origin=lambda state: state.condition["place"])
    places = torch.arange(64.0)[:, None]
    empty = State({"x": torch.zeros(64, 1)}, {"mask": torch.ones(64, 1, dtype=torch.bool)}, {"place": places})
    system = System({"x": component}, Still())
    nearest = Property(lambda state: -((state["x"][:, 0] - 20) ** 2))
    result = sample(system, empty, make_solver("ddpm", 20), Seeded(0), guides=[Keeper(), Particles(nearest)])
    keeper, particles = result.guides
    assert torch.equal(result.state.condition["place"], places[particles.lineage])
    assert torch.equal(keeper.rows, particles.lineage)
    torch.testing.assert_close(result.state["x"], result.state.condition["place"], atol=0.1, rtol=0)
    assert float((result.state["x"] - 20).abs().max()) < 4
    assert len(particles.lineage.unique()) == int(particles.ancestor_counts[-1]) < 10


def test_a_carry_is_reindexed_whole() -> None:
    particles = Particles(Property(lambda state: state["x"][:, 0]))
    solver = make_solver("ddpm", 3)
    system, plan = line(PRIOR), solver.plan(line(PRIOR))
    begun = particles.begin(Run(system, frame(4), solver, plan))
    begun.log_weights = torch.tensor([0.0, -50.0, -50.0, -50.0], dtype=torch.float64)
    values = torch.arange(4.0, dtype=torch.float64)[:, None]
    carry = Carry(State({"x": values}), {"x": 10 * values}, ({"x": 20 * values}, {"x": 30 * values}))
    denoise = Denoiser(system, frame(4), plan.times, Guides([begun]))
    after = begun.after(carry, 0, denoise, Seeded(0))
    for tensor in (after.state["x"], after.anchor["x"], after.history[0]["x"], after.history[1]["x"]):
        assert torch.equal(tensor, torch.zeros_like(values))
    torch.testing.assert_close(begun.log_weights, torch.full((4,), -math.log(4), dtype=torch.float64))


def test_groups_of_a_condition_do_not_compete() -> None:
    series = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    empty = State(frame(7).components, condition={"series": series})
    particles = Particles(OBSERVATION, groups="series", threshold=1.0)
    result = sample(line(PRIOR), empty, make_solver("ddpm", 20), Seeded(0), guides=[particles])
    assert torch.equal(result.state.condition["series"], series)
    assert result.guides[0].effective_sizes.shape == (20, 2)
    assert bool((series[result.guides[0].lineage] == series).all())


def test_islands_keep_more_ancestors() -> None:
    one, many = (run(annealed(3.0), 1024, islands=n, final=False).guides[0] for n in (1, 8))
    assert one.effective_sizes.shape == (250, 1)
    assert many.effective_sizes.shape == (250, 8)
    places = torch.arange(1024) // 128
    assert torch.equal(places[many.lineage], places)
    assert len(many.log_weights.unique()) > 1


def test_noise_is_asked_for_in_the_stated_order() -> None:
    """Prior; then after each step's own draw one number a pool, after the last one for each group."""
    steps, rows = 4, 6
    source = Seeded(3)
    x = frame(rows)["x"]
    draws = [source.normal(x)]
    for step in range(steps):
        draws += [source.normal(x)] if step < steps - 1 else []
        draws.append(source.normal(torch.zeros(2 if step < steps - 1 else 1, dtype=torch.float64)))
    solver = make_solver("ddpm", steps)
    guides = [Particles(OBSERVATION, islands=2)]
    seeded = sample(line(PRIOR), frame(rows), solver, Seeded(3), guides=guides)
    replayed = sample(line(PRIOR), frame(rows), solver, Replayed(draws), guides=guides)
    assert torch.equal(seeded.state["x"], replayed.state["x"])


def test_one_guide_serves_many_runs_and_equal_seeds_give_equal_bytes() -> None:
    guide = Particles([OBSERVATION, Expert(line(SECOND))])
    solver = make_solver("ddpm", 30)
    first, other, again = (sample(line(PRIOR), frame(50), solver, Seeded(s), guides=[guide]) for s in (0, 1, 0))
    assert torch.equal(first.state["x"], again.state["x"])
    assert torch.equal(first.guides[0].effective_sizes, again.guides[0].effective_sizes)
    assert not torch.equal(first.state["x"], other.state["x"])
    assert not hasattr(guide, "log_weights")


def test_evaluations_count_every_network_call() -> None:
    solver = make_solver("ddpm", 10)
    for goal, each, last in ((OBSERVATION, 1, 0), (product(line(SECOND)), 2, 0), (Regression(), 2, 1)):
        result = sample(line(PRIOR), frame(8), solver, Seeded(0), guides=[Particles(goal, proposal="plain")])
        assert result.evaluations == 10 * each + last


class Regression(Property):
    """An energy that takes a network call."""

    calls = 1

    def __init__(self) -> None:
        super().__init__(_property)


def test_unweighted_rows_are_left_on_request() -> None:
    result = run(OBSERVATION, 2000, final=False, threshold=0.0)
    guide = result.guides[0]
    assert int(guide.ancestor_counts[-1]) == 2000
    share = guide.log_weights.softmax(0)
    mean = float((share * result.state["x"][:, 0]).sum())
    assert mean == pytest.approx(EXACT["posterior"][0], abs=0.04)


def test_clipping_bounds_what_one_step_weighs() -> None:
    free, clipped = (
        run(annealed(0.5), 200, clip=clip, threshold=0.0, final=False).guides[0].log_weights for clip in (None, 1e-3)
    )
    assert float(clipped.abs().max()) < 250 * 1.01e-3
    assert float(free.abs().max()) > 250 * 1.01e-3


# What cannot be


def _refusal(name: str) -> str:
    """What particles say of a solver; nothing where it can."""
    solver = make_solver(name, 24, **({"order": 1, "eta": 1.0} if name == "exponential" else {}))
    try:
        sample(line(PRIOR), frame(4), solver, Seeded(0), guides=[Particles(OBSERVATION)])
    except InputError as error:
        return str(error)
    return ""


def test_the_solvers_that_can_are_those_named() -> None:
    refusals = {name: _refusal(name) for name in SOLVERS}
    can = [name for name, refusal in refusals.items() if not refusal]
    assert set(can) == {"ddpm", "euler-maruyama", "exponential", "reverse-diffusion"}
    for refusal in refusals.values():
        assert not refusal or all(name in refusal for name in [*can, "order=1 eta=1"])


class NoGradient(Property):
    valued = False


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Particles([]), "no target and no potential"),
        (lambda: Particles([annealed(2.0), annealed(0.5)]), "2 targets"),
        (lambda: Particles(OBSERVATION, threshold=1.5), "threshold"),
        (lambda: Particles(OBSERVATION, clip=0.0), "clip"),
        (lambda: Particles(OBSERVATION, islands=0), "islands"),
        (lambda: Particles(OBSERVATION, every=0), "every 0"),
        (lambda: Particles(OBSERVATION, ramp=-1.0), "ramp"),
        (lambda: Particles(NoGradient(_property)), "has no value"),
        (lambda: Particles([AFDPS(OBSERVATION), Expert(line(SECOND))]), "give it as `base`"),
        (lambda: AFDPS(Property(_property)), "no gradient to tilt by"),
        (lambda: annealed(0.0), "sum to 0"),
        (lambda: Tempered(-1.0, [(0.5, line(SECOND))]), "sum to -0.5"),
    ],
)
def test_goals_that_cannot_be(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_runs_that_cannot_be() -> None:
    with pytest.raises(InputError, match="no condition 'series'"):
        run(OBSERVATION, 4, groups="series")
    with pytest.raises(InputError, match="alone"):
        run(OBSERVATION, 1)
    with pytest.raises(InputError, match="another path"):
        run(product(PRIOR.system(VE())), 4)
    other = System({"y": Component(VP(), Masked(), "noise")}, Line(PRIOR))
    with pytest.raises(InputError, match="an expert on y"):
        run(product(other), 4)
    flow, solver = PRIOR.system(Linear()), make_solver("exponential", 8, order=1, eta=1.0, grid="uniform")
    with pytest.raises(InputError, match="vanishes at an end of the run"):
        sample(flow, frame(4), solver, Seeded(0), guides=[Particles(annealed(2.0))])
    with pytest.raises(FloatingPointError, match="weights of particles are NaN"):
        run(Property(lambda state: state["x"][:, 0] * math.nan), 4)


def test_a_prior_that_is_not_the_path_s_end_is_told() -> None:
    short = PRIOR.system(VP(0.1, 1.0))
    with pytest.warns(InputWarning, match="keeps a signal"):
        sample(short, frame(4), make_solver("ddpm", 4), Seeded(0), guides=[Particles(annealed(2.0))])
