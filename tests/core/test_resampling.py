"""Resampling is fair, reproducible and takes everything along; what particles cannot do is told."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.guidance.particles import Particles
from scorefield.core.guidance.properties import Expert, Property
from scorefield.core.guidance.resampling import Pools, systematic
from scorefield.core.guidance.targets import AFDPS, Tempered, annealed, product
from scorefield.core.guide import Guide, Guides, Run
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.paths import VE, VP, Linear
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import SOLVERS, make_solver
from scorefield.core.solvers.solver import Carry
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, System
from tests.core.guidance_problems import (
    EXACT,
    PRIOR,
    SECOND,
    frame,
)
from tests.core.lines import OBSERVATION, Line, Still, line, reward, run

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
        super().__init__(reward)


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
        (lambda: Particles(NoGradient(reward)), "has no value"),
        (lambda: Particles([AFDPS(OBSERVATION), Expert(line(SECOND))]), "give it as `base`"),
        (lambda: AFDPS(Property(reward)), "no gradient to tilt by"),
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
