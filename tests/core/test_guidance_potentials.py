"""Energies: observations, properties, sums, aims; what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorefield.core.errors import InputError
from scorefield.core.guidance.observations import GaussianObservation, QuantileObservation
from scorefield.core.guidance.potentials import Potential, Sum, energies, parts, together
from scorefield.core.guidance.properties import Classifier, Expert, Property, Regressor, Reward, aimed, read_aim
from scorefield.core.guidance.registry import WAYS, default_way, make_guide, ways_for
from scorefield.core.guide import Run
from scorefield.core.paths import VP
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.core.system import System
from tests.core.guided_systems import gaussian, graphs

T = torch.full((3,), 0.4).double()


def begun(potential: Potential, system: System, state: State) -> Potential:
    solver = make_solver("ddim", 4)
    return potential.begin(Run(system, state, solver, solver.plan(system)))


def energy(potential: Potential, state: State, system: System | None = None) -> torch.Tensor:
    """Of a state whose components serve as x_t and as data prediction."""
    return energies(begun(potential, system or gaussian(), state), state, state.components, T)


def rows(seed: int = 0) -> State:
    return State({"x": torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)).double()})


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.floats(0.1, 5))
@settings(max_examples=15)
def test_a_gaussian_energy_is_minus_the_log_likelihood(y: list[float], std: float) -> None:
    state, value = rows(), torch.tensor(y).double()
    found = energy(GaussianObservation("x", value, std), state)
    log = torch.distributions.Normal(state["x"], std).log_prob(value).sum(1)
    torch.testing.assert_close(-found - 3 * math.log(std) - 1.5 * math.log(2 * math.pi), log)


def test_only_observed_entries_count() -> None:
    state = rows()
    y, given = torch.tensor([1.0, math.nan, 2.0]), torch.tensor([True, True, False])
    expected = 0.5 * (state["x"][:, 0] - 1.0) ** 2 / 0.25
    for value, mask in ((y, given), (y[None], given[None]), (torch.tensor([1.0, math.nan, math.nan]), None)):
        torch.testing.assert_close(energy(GaussianObservation("x", value, 0.5, mask), state), expected)
    spread = torch.tensor([0.5, 1.0, 1.0])
    torch.testing.assert_close(energy(GaussianObservation("x", y, spread, given), state), expected)


def test_each_row_may_have_its_own_observation_mask_and_level() -> None:
    y, given = torch.randn(3, 3), torch.tensor([[1, 0, 0], [0, 1, 1], [1, 1, 1]])
    state = State(rows().components, {}, {"y": y, "seen": given, "level": torch.tensor([0.1, 0.5, 0.9])})
    found = energy(GaussianObservation("x", "y", 1.0, "seen"), state)
    torch.testing.assert_close(found, 0.5 * ((state["x"] - y) ** 2 * given).sum(1))
    quantile = energy(QuantileObservation("x", "y", "level", given="seen"), state)
    for row, level in enumerate((0.1, 0.5, 0.9)):
        one = energy(QuantileObservation("x", y[row], level, given=given[row].bool()), state)
        torch.testing.assert_close(quantile[row], one[row])


def test_an_operator_may_be_a_matrix_or_any_function() -> None:
    state, matrix = rows(), torch.randn(2, 3, generator=torch.Generator().manual_seed(1)).double()
    y = torch.tensor([0.3, -1.0]).double()
    expected = 0.5 * ((state["x"] @ matrix.T - y) ** 2).sum(1)
    for operator in (matrix, lambda x: x @ matrix.T):
        torch.testing.assert_close(energy(GaussianObservation("x", y, 1.0, operator=operator), state), expected)
        median = energy(QuantileObservation("x", y, 0.5, operator=operator), state)
        torch.testing.assert_close(median, 0.5 * (state["x"] @ matrix.T - y).abs().sum(1))


def test_an_edge_counts_once_and_padding_not_at_all() -> None:
    system, state = graphs(sizes=(4, 3, 2))
    y = torch.full((4, 4), 5.0)
    found = energy(GaussianObservation("adj", y, 1.0), state, system)
    for row, nodes in enumerate((4, 3, 2)):
        i, j = torch.triu_indices(nodes, nodes, 1)
        torch.testing.assert_close(found[row], 0.5 * ((state["adj"][row, i, j] - 5) ** 2).sum())
    count = begun(GaussianObservation("adj", y, 1.0), system, state).count(state)
    assert count.tolist() == [6, 3, 1]


@given(st.floats(0.05, 0.95), st.integers(0, 100))
@settings(max_examples=15)
def test_a_quantile_energy_is_least_at_the_quantile(level: float, seed: int) -> None:
    """With n values the mean energy over them falls up to their k-quantile and rises after it."""
    values = np.sort(np.random.default_rng(seed).normal(size=41))
    guesses = torch.linspace(-3, 3, 241).double()
    system, state = gaussian(entries=1), State({"x": guesses[:, None]})
    total = 0
    for value in values:
        observation = begun(QuantileObservation("x", torch.tensor([value]), level), system, state)
        total = total + observation.energy(state, state.components, torch.full((241,), 0.4))
    best = float(guesses[int(total.argmin())])
    low, high = np.quantile(values, level, method="lower"), np.quantile(values, level, method="higher")
    assert low - 0.03 <= best <= high + 0.03


def test_a_known_prior_adds_the_uncertainty_of_x0_given_xt() -> None:
    state = rows()
    plain = energy(GaussianObservation("x", torch.zeros(3), 0.5), state)
    wide = energy(GaussianObservation("x", torch.zeros(3), 0.5, prior_std=2.0), state)
    alpha, sigma = VP().alpha(T), VP().sigma(T)
    uncertain = 1 / (1 / 4 + alpha**2 / sigma**2)  # precisions add
    torch.testing.assert_close(wide, plain * 0.25 / (0.25 + uncertain))


def test_sums_and_weights() -> None:
    state = rows()
    first, second = GaussianObservation("x", torch.zeros(3), 1.0), Reward(lambda seen: seen["x"].sum(1))
    one, two = energy(first, state), energy(second, state)
    torch.testing.assert_close(energy(2 * first + second * 0.5, state), 2 * one + 0.5 * two)
    torch.testing.assert_close(energy(together([first, -1.0 * second]), state), one - two)
    whole = 3 * (first + 2 * (second + first))
    assert [(w, type(p)) for w, p in parts(whole)] == [(3, type(first)), (6, Reward), (6, type(first))]
    assert whole.name == "GaussianObservation + Reward + GaussianObservation"
    assert together([first]) is first
    mixed = Sum([first, Property(len), Classifier(lambda s, t: s["x"], 0), Expert(gaussian())])
    assert (mixed.differentiable, mixed.needs_state, mixed.valued, mixed.calls) == (False, True, False, 1)


@pytest.mark.parametrize("give", [lambda v: v, lambda v: v.numpy(), lambda v: v.tolist()])
def test_properties_of_states_and_decoded_objects(give) -> None:
    state = rows()
    total = state["x"].sum(1)
    for aim, expected in (("max", -total), ("min", total), (0.5, 0.5 * (total - 0.5) ** 2)):
        torch.testing.assert_close(energy(Property(lambda seen: give(seen["x"].sum(1)), aim), state), expected)
    decoded = Property(lambda lists: [sum(row) for row in lists], decode=lambda seen: seen["x"].tolist())
    found = energy(decoded, state.map(lambda v: v.clone().requires_grad_()))
    torch.testing.assert_close(found, -total)
    assert not found.requires_grad


def test_classifiers_take_one_class_or_one_for_each_row() -> None:
    state = State(rows().components, {}, {"label": torch.tensor([2, 0, 1])})
    log = torch.log_softmax(state["x"], 1)
    logits = Classifier(lambda seen, t: seen["x"], "label")
    torch.testing.assert_close(energy(logits, state), -log[torch.arange(3), torch.tensor([2, 0, 1])])
    torch.testing.assert_close(energy(Classifier(lambda seen, t: seen["x"], 1), state), -log[:, 1])


def test_regressors_see_clean_data_at_time_zero_or_the_noised_state_at_its_time() -> None:
    state = rows()
    data = {"x": state["x"] + 1}

    def told(seen: State, t: torch.Tensor) -> torch.Tensor:
        return seen["x"].sum(1) + 100 * t

    system = gaussian()
    on_data = begun(Regressor(told, "min"), system, state).energy(state, data, T)
    torch.testing.assert_close(on_data, data["x"].sum(1))
    on_state = begun(Regressor(told, "min", on="state"), system, state).energy(state, data, T)
    torch.testing.assert_close(on_state, state["x"].sum(1) + 40)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_aims(value: float, target: float) -> None:
    point = torch.tensor([value])
    assert float(aimed(point, "max")) == -float(point) == -float(aimed(point, "min"))
    assert float(aimed(point, target)) == pytest.approx(0.5 * (value - target) ** 2, abs=1e-5)
    assert read_aim(str(target), "x") == target


def test_ways_are_told_by_what_a_potential_is() -> None:
    seen = GaussianObservation("x", torch.zeros(3), 1.0)
    assert {"gradient", "dps", "replacement"} <= set(ways_for(seen))
    assert {"gradient", "dps"} <= set(ways_for(QuantileObservation("x", torch.zeros(3))))
    assert "replacement" not in ways_for(QuantileObservation)
    assert set(ways_for(Property)).isdisjoint({"gradient", "dps", "replacement"})
    assert ways_for([seen, Property(len)][1] + seen) == ways_for(Property)
    assert default_way(seen) == "gradient"
    assert default_way(seen + Property(len)) == "particles"
    for name, way in WAYS.items():
        assert way.description
        assert way.source
        assert way.gradient or way.exact or "gradient" not in name


def test_ways_read_their_arguments() -> None:
    seen = GaussianObservation("x", torch.zeros(3), 1.0)
    guide = make_guide("gradient", seen, {"through_network": "false", "limit": "none", "data_std": "2"})
    assert (guide.gradient, guide.limit) == (False, None)
    assert make_guide("replacement", seen, {"jump": "3", "repeat": "2", "redraw": "true"}).jump == 3


SEEN = torch.zeros(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_guide("gradeint", Reward(len)), "unknown way 'gradeint'; did you mean 'gradient'"),
        (lambda: make_guide("gradient", Reward(len), {"limits": 3}), "way gradient has no argument 'limits'; did you"),
        (lambda: make_guide("gradient", Reward(len), {"limit": "x"}), "gradient: limit: 'x' is no float"),
        (
            lambda: make_guide("replacement", Reward(len)),
            "replacement cannot use Reward: it is no observation; it works",
        ),
        (lambda: GaussianObservation("x", SEEN, 0.0), "x observed with a standard deviation that is not positive"),
        (lambda: GaussianObservation("x", SEEN, torch.tensor([1.0, -1, 1])), "standard deviation that is not positive"),
        (lambda: GaussianObservation("x", SEEN, 1.0, prior_std=0.0), "standard deviation that is not positive"),
        (
            lambda: GaussianObservation("x", SEEN, 1.0, torch.ones(2)),
            r"values of shape \(3,\), their mask of shape \(2,\)",
        ),
        (lambda: energy(GaussianObservation("x", SEEN, torch.ones(2)), rows()), r"standard deviations of shape \(2,\)"),
        (
            lambda: energy(GaussianObservation("x", SEEN[:2], 1.0), rows()),
            r"observed x has shape \(2,\); a sample's has",
        ),
        (lambda: energy(GaussianObservation("y", SEEN, 1.0), rows()), "no component 'y' to observe; there are x"),
        (lambda: QuantileObservation("x", SEEN, 1.0), "quantile level 1; give more than 0 and less than 1"),
        (lambda: QuantileObservation("x", SEEN, scale=0.0), "scale 0 of a quantile observation"),
        (lambda: energy(QuantileObservation("x", SEEN, "k"), rows()), "no 'k' to take quantile levels from"),
        (
            lambda: energy(
                QuantileObservation("x", SEEN, "k"),
                State(rows().components, condition={"k": torch.tensor([0.5, 1, 0.1])}),
            ),
            "quantile levels 'k'; give more than 0 and less than 1",
        ),
        (lambda: Sum([]), "no potential to guide by"),
        (lambda: read_aim("nan", "qed"), "qed=nan; give a number, max or min"),
        (lambda: energy(Property(lambda seen: [1.0]), rows()), r"energies of shape \(1,\) for 3 samples"),
    ],
)
def test_what_cannot_be_is_one_line(make, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
