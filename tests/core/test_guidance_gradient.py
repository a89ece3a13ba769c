"""Guidance by gradients: closed forms, the stated bias of DPS, spaces, masks, origins, limits, errors."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorefield.core.errors import InputError
from scorefield.core.guidance.gradient import DPS, Gradient
from scorefield.core.guidance.observations import GaussianObservation, QuantileObservation
from scorefield.core.guidance.potentials import Potential
from scorefield.core.guidance.properties import Classifier, Expert, Property, Regressor, Reward
from scorefield.core.guide import Guide
from scorefield.core.noise import Seeded
from scorefield.core.paths import VP, Linear
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, System
from tests.core.guidance_problems import EXACT, OBSERVED, OBSERVED_STD, PRIOR, frame, moments
from tests.core.guided_systems import density, evaluated, flat, gaussian, graphs, time_of


class Density(Potential):
    """-log p_t(x_t) of an analytic system."""

    needs_state = True

    def __init__(self, system: System) -> None:
        self.system = system

    def energy(self, state, data, t):
        return -density(self.system, state, t)


class Sums(Potential):
    """Half the squared sum of each component's data prediction."""

    def energy(self, state, data, t):
        return sum(0.5 * value.flatten(1).sum(1) ** 2 for value in data.values())


def close(one, other, tolerance=1e-9):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=tolerance, rtol=tolerance)


# --- closed forms -----------------------------------------------------------------------------------------------------


def test_dps_is_biased() -> None:
    """With the likelihood's exact weight the variance comes out a third too small, as the specification states."""
    observation = GaussianObservation("x", torch.tensor([OBSERVED]), OBSERVED_STD)
    solver = make_solver("euler-maruyama", 250, grid="uniform")
    guide = Gradient(observation, limit=None)
    mean, variance, above = moments(sample(PRIOR.system(), frame(6000), solver, Seeded(0), guides=[guide]).state["x"])
    assert mean == pytest.approx(0.704, abs=0.015)
    assert variance == pytest.approx(0.0903, abs=0.006)
    assert above == pytest.approx(0.989, abs=0.006)
    assert EXACT["posterior"][1] - variance > 0.04


@pytest.mark.parametrize("std", [0.5, 1.0, 2.0])
def test_a_gaussian_posterior_is_exact_where_the_prior_is_known(std: float) -> None:
    """With `prior_std` the ODE maps x_T to the posterior mean + posterior std x_T, also in few steps."""
    y, error = torch.tensor([0.7, -0.4, math.nan]), 0.3
    start = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).double()
    guide = Gradient(GaussianObservation("x", y, error, prior_std=std), limit=None)
    system, solver = gaussian(std), make_solver("unipc", 30)
    x = sample(system, flat(2), solver, Seeded(0), start=State({"x": start}), guides=[guide]).state["x"]
    gain = std**2 / (std**2 + error**2)
    expected = torch.tensor([0.7 * gain, -0.4 * gain, 0.0]).double()
    spread = torch.tensor([error * math.sqrt(gain)] * 2 + [std]).double()
    torch.testing.assert_close(x[0], expected, atol=0.01, rtol=0)
    torch.testing.assert_close(x[1] - x[0], spread, atol=0.015, rtol=0.02)


class Silent:
    """Noise of zeros: on linear problems a run is then its own mean."""

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(like)


def test_observed_entries_move_to_the_observation_monotonically_in_the_weight() -> None:
    """As the mean of the posterior does, y w / (1 + w), but further: the bias of taking x0_hat as certain."""
    y, weights = torch.tensor([0.8, math.nan, math.nan]), (0.0, 0.1, 0.3, 1.0, 3.0)
    solver, moved = make_solver("ddpm", 200), []
    for weight in weights:
        guide = Gradient(GaussianObservation("x", y, 1.0), weight, limit=None)
        mean = sample(gaussian(), flat(1), solver, Silent(), guides=[guide]).state["x"][0]
        assert mean[1:].abs().max() == 0
        moved.append(float(mean[0]))
    assert moved[0] == 0
    assert all(a < b < 0.8 for a, b in itertools.pairwise(moved))
    assert all(mean > 1.04 * 0.8 * w / (1 + w) for mean, w in zip(moved[1:], weights[1:], strict=True))


@pytest.mark.parametrize("label", [0, 1])
def test_an_exact_classifier_turns_a_mixture_into_its_part(label: int) -> None:
    path, means, variances = VP(), torch.tensor([-1.5, 1.0]).double(), torch.tensor([0.25, 0.16]).double()

    def classes(state: State, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = path.alpha(t)[:, None], path.sigma(t)[:, None]
        variance = alpha**2 * variances + sigma**2
        prior = torch.tensor([0.4, 0.6]).double().log()
        return prior - 0.5 * ((state["x"] - alpha * means) ** 2 / variance + variance.log())

    state = State({"x": torch.linspace(-2, 2, 9).double()[:, None]})
    part = gaussian(float(variances[label].sqrt()), 1)
    part.network.clouds["x"].means += means[label]
    for index in (2, 5, 9):
        guided = evaluated(PRIOR.system(), state, [Gradient(Classifier(classes, label), limit=None)], index=index)
        close(guided, evaluated(part, state, [], index=index), 1e-7)


def test_an_expert_s_score_is_added_on_every_space_and_under_masks() -> None:
    (system, state), (other, _) = graphs(0), graphs(7)
    plain, second = (evaluated(s, state, []) for s in (system, other))
    for guide in (Gradient(Expert(other), 0.5, limit=None), Gradient(0.5 * Density(other), limit=None)):
        close(evaluated(system, state, [guide]), {n: plain[n] + 0.5 * second[n] for n in plain}, 1e-8)


def test_the_way_around_the_network_is_exact_for_independent_gaussians() -> None:
    system, state = gaussian(0.6), State({"x": torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()})
    both = [Gradient(Sums(), through_network=through, data_std=0.6, limit=None) for through in (True, False)]
    assert [guide.gradient for guide in both] == [True, False]
    close(*(evaluated(system, state, [guide], "data") for guide in both), 1e-7)


def test_dps_pushes_by_zeta_over_the_residual_times_the_gradient_of_its_square() -> None:
    system, state = gaussian(0.6), State({"x": torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()})
    observation = GaussianObservation("x", torch.tensor([0.2, math.nan, -5.0]), 0.5)
    data = evaluated(system, state, [], "data")["x"]
    residual = torch.where(torch.tensor([True, False, True]), data - torch.tensor([0.2, 0, -5.0]), 0.0)
    norm = residual.norm(dim=1, keepdim=True)
    t = torch.tensor(time_of(system)).double()
    alpha, sigma = VP().alpha(t), VP().sigma(t)
    jacobian = alpha * 0.36 / (alpha**2 * 0.36 + sigma**2)
    for scale, zeta in ((0.7, 0.7), (None, math.sqrt(2) / (2 * 0.5))):
        guided = evaluated(system, state, [DPS(2 * observation, scale)], "score")["x"]
        plain = evaluated(system, state, [])["x"]
        torch.testing.assert_close(guided, plain - 2 * zeta / norm * 2 * jacobian * residual)


def test_rewards_and_regressors_push_by_their_gradients() -> None:
    system, state = gaussian(0.6), State({"x": torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()})
    plain = evaluated(system, state, [])["x"]
    t = torch.tensor(time_of(system)).double()
    alpha, sigma = VP().alpha(t), VP().sigma(t)
    jacobian = alpha * 0.36 / (alpha**2 * 0.36 + sigma**2)
    total = evaluated(system, state, [], "data")["x"].sum(1, keepdim=True)

    def summed(seen: State, times: torch.Tensor | None = None) -> torch.Tensor:
        return seen["x"].sum(1)

    cases = {
        Reward(summed): jacobian,
        Regressor(summed): jacobian,
        Regressor(summed, "min"): -jacobian,
        Regressor(summed, 0.25): -jacobian * (total - 0.25),
        Regressor(summed, "max", on="state"): torch.ones(()),
    }
    for potential, push in cases.items():
        guided = evaluated(system, state, [Gradient(potential, limit=None)])["x"]
        torch.testing.assert_close(guided, plain + push * torch.ones_like(plain))


# --- composition, spaces, batches -------------------------------------------------------------------------------------


def test_two_potentials_are_their_sum() -> None:
    system, state = graphs()
    first, second = Sums(), Density(graphs(7)[0])
    listed = evaluated(system, state, [Gradient([first, 2 * second], limit=None)])
    close(listed, evaluated(system, state, [Gradient(first + second * 2, limit=None)]), 1e-12)
    close(listed, evaluated(system, state, [Gradient([2 * second, first], limit=None)]), 1e-9)
    one_by_one = [Gradient(second, 2.0, limit=None), Gradient(Density(graphs(3)[0]), limit=None)]
    together = Gradient([2 * second, Density(graphs(3)[0])], limit=None)
    close(evaluated(system, state, one_by_one), evaluated(system, state, [together]), 1e-9)


@given(st.permutations(range(4)), st.booleans())
@settings(max_examples=10)
def test_guided_predictions_follow_permutations_of_the_nodes(order: list[int], through: bool) -> None:
    system, state = graphs()

    def permuted(values):
        return {"x": values["x"][:, order], "adj": values["adj"][:, order][:, :, order]}

    moved = State(permuted(state.components), {"mask": state.masks["mask"][:, order]})
    guides = [Gradient([Sums(), Density(graphs(7)[0])], through_network=through)]
    close(evaluated(system, moved, guides), permuted(evaluated(system, state, guides)))


def test_guided_predictions_stay_in_their_spaces_and_ignore_padding_and_the_batch() -> None:
    system, state = graphs(sizes=(3, 2, 3))
    guides = [Gradient([Sums(), Density(graphs(7)[0])], 10.0)]
    guided = evaluated(system, state, guides)
    for name, component in system.components.items():
        close({name: component.space.project(guided[name], state.masks)}, {name: guided[name]}, 1e-12)
    alone = evaluated(system, state.rows(slice(1, 2)), guides)
    close(alone, {n: v[1:2] for n, v in guided.items()}, 1e-12)
    small = State({"x": state["x"][:, :3], "adj": state["adj"][:, :3, :3]}, {"mask": state.masks["mask"][:, :3]})
    system.network.clouds["x"].means = system.network.clouds["x"].means[:, :3]
    system.network.clouds["adj"].means = system.network.clouds["adj"].means[:, :3, :3]
    other = graphs(7)[0]
    other.network.clouds["x"].means = other.network.clouds["x"].means[:, :3]
    other.network.clouds["adj"].means = other.network.clouds["adj"].means[:, :3, :3]
    tight = evaluated(system, small, [Gradient([Sums(), Density(other)], 10.0)])
    close(tight, {"x": guided["x"][:, :3], "adj": guided["adj"][:, :3, :3]})


@given(st.floats(0.1, 5), st.floats(0.1, 1e4))
@settings(max_examples=15)
def test_pushes_are_held_within_the_limit(limit: float, weight: float) -> None:
    system, state = graphs()
    t = torch.tensor(time_of(system)).double()
    plain = evaluated(system, state, [], "data")
    free, held = (
        {n: v - plain[n] for n, v in evaluated(system, state, [Gradient(Sums(), weight, limit=bound)], "data").items()}
        for bound in (None, limit)
    )
    for name, component in system.components.items():
        alpha, sigma = component.path.alpha(t), component.path.sigma(t)
        largest = limit * sigma / (alpha**2 + sigma**2).sqrt()
        entries = component.space.dimension(state[name], state.masks) * component.space.copies
        size, wanted = ((p[name].flatten(1).square().sum(1) / entries).sqrt() for p in (held, free))
        torch.testing.assert_close(size, wanted.clamp(max=float(largest)))
        torch.testing.assert_close(held[name] * wanted[:, None, None], free[name] * size[:, None, None])


def test_nothing_is_pushed_where_there_is_no_noise() -> None:
    solver = make_solver("ddim", 4, grid="uniform", start=0.9, end=0.0, final="denoise")
    y = GaussianObservation("x", torch.tensor([0.5, math.nan, math.nan]), 0.5)
    result = sample(gaussian(path=Linear()), flat(2), solver, Seeded(0), guides=[Gradient(y)])
    assert result.state["x"].isfinite().all()


def test_energies_see_the_origin() -> None:
    """A run about an origin with y is a run about zero with y - origin."""
    origin = torch.tensor([2.0, -1.0, 0.5]).double()
    system = gaussian(0.6)
    moved = Component(VP(), Masked(), "noise", lambda state: origin.expand(len(state), 3))

    class Shifted(type(system.network)):
        def forward(self, state, t):
            return super().forward(state.replace({"x": state["x"] - origin}), t)

    shifted = System({"x": moved}, system.network)
    shifted.network.__class__ = Shifted
    y, start = torch.tensor([2.3, math.nan, 0.9]).double(), State({"x": torch.ones(2, 3).double()})
    for way in (Gradient, DPS):
        about = sample(shifted, flat(2), make_solver("unipc", 8), Seeded(0), start=start, guides=[way(_observed(y))])
        zero = sample(
            gaussian(0.6), flat(2), make_solver("unipc", 8), Seeded(0), start=start, guides=[way(_observed(y - origin))]
        )
        torch.testing.assert_close(about.state["x"], zero.state["x"] + origin)


def _observed(y: torch.Tensor) -> GaussianObservation:
    return GaussianObservation("x", y, 0.5)


@pytest.mark.parametrize("name", ["pc", "s4", "heun", "unipc", "dpm-3s"])
def test_every_kind_of_solver_can_be_guided(name: str) -> None:
    guide = Gradient(GaussianObservation("x", torch.tensor([0.9, math.nan, math.nan]), 0.2, prior_std=0.5), limit=None)
    solver = make_solver(name, 40, **({"num_scales": 1000} if name == "s4" else {}))
    result = sample(gaussian(0.5), flat(300), solver, Seeded(0), guides=[guide])
    assert float(result.state["x"][:, 0].mean()) == pytest.approx(0.9 * 0.25 / 0.29, abs=0.05)
    assert abs(float(result.state["x"][:, 1].mean())) < 0.1


def test_one_guide_serves_interleaved_runs() -> None:
    guide = Gradient([Sums(), Reward(lambda state: state["x"].flatten(1).sum(1))])
    solver = make_solver("dpmpp-2m", 4)
    first, second = (sample(gaussian(), flat(rows), solver, Seeded(1), guides=[guide]) for rows in (2, 5))
    again = sample(gaussian(), flat(2), solver, Seeded(1), guides=[guide])
    assert torch.equal(first.state["x"], again.state["x"])
    assert len(second.state) == 5
    assert not first.state["x"].requires_grad


def test_calls_of_experts_are_counted() -> None:
    guides = [Gradient([Expert(gaussian(2.0)), Expert(gaussian(3.0)), Sums()])]
    assert sample(gaussian(), flat(2), make_solver("ddim", 6), Seeded(0), guides=guides).evaluations == 18


# --- what cannot be ---------------------------------------------------------------------------------------------------


class Flat(Potential):
    def energy(self, state, data, t):
        return torch.zeros(len(state), requires_grad=True)


class Rounded(Potential):
    def energy(self, state, data, t):
        return data["x"].detach().sum(1)


class Total(Potential):
    def energy(self, state, data, t):
        return data["x"].sum()


def _square() -> System:
    component = {"x": Component(VP(), SymmetricAdjacency(), "noise")}
    return System(component, gaussian().network)


def _run(guide: Guide, system: System | None = None, rows: int = 2) -> None:
    sample(system or gaussian(), flat(rows), make_solver("ddim", 4, grid="uniform"), Seeded(0), guides=[guide])


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (lambda: Gradient(Property(len, name="qed")), "gradient cannot use qed: it has no gradient; "),
        (lambda: DPS(Sums()), "dps cannot use Sums: it is no observation; it works with gradient"),
        (lambda: DPS([_observed(torch.zeros(3)), Sums()]), "dps cannot use Sums"),
        (lambda: DPS(QuantileObservation("x", torch.zeros(3))), "no single standard deviation; give DPS a scale"),
        (lambda: DPS(_observed(torch.zeros(3)), 0.0), "scale 0 of DPS"),
        (lambda: Gradient([]), "no potential to guide by"),
        (lambda: Gradient(Sums(), math.nan), "weight nan of Sums"),
        (lambda: Gradient(Sums(), limit=0.0), "limit 0 of gradient guidance"),
        (lambda: Gradient(Sums(), data_std=-1.0), "data_std -1 of gradient guidance"),
        (lambda: _run(Gradient(Flat())), "Flat depends neither on the state nor on the data prediction"),
        (lambda: _run(Gradient(Rounded())), "Rounded gave an energy without a gradient; mark it"),
        (lambda: _run(Gradient(Total())), r"Total gave energies of shape \(\) for 2 samples"),
        (lambda: _run(Gradient(Sums()), gaussian(path=Linear())), "x has none at t = 1; start the run later"),
        (lambda: _run(Gradient(Expert(gaussian(path=Linear())))), "the expert's x is noised along another path"),
        (lambda: _run(Gradient(Expert(_square()))), "the expert's x lives in another space"),
        (lambda: _run(Gradient(Expert(System({}, gaussian().network)))), "an expert on nothing; give a model on x"),
        (lambda: _run(Gradient(Classifier(lambda s, t: s["x"], 3))), "class 3 of 3; classes count from 0"),
        (lambda: _run(Gradient(Classifier(lambda s, t: s["x"], "y"))), "no 'y' to take classes from"),
        (lambda: Regressor(len, on="time"), "a regressor on 'time'; give data or state"),
        (lambda: Regressor(len, "up"), "aim=up; give a number, max or min"),
    ],
)
def test_what_cannot_work_is_one_line(guide, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        guide()
    assert "\n" not in str(error.value)
