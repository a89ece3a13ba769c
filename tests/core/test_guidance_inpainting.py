"""Inpainting: observations kept exactly, the bias on a Gaussian stated, repeats that lessen it, spaces, errors."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorefield.core.errors import InputError
from scorefield.core.guidance.gradient import Gradient
from scorefield.core.guidance.inpainting import Replacement, is_one_step
from scorefield.core.guidance.observations import GaussianObservation, QuantileObservation
from scorefield.core.noise import Seeded
from scorefield.core.paths import VP
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import ZeroCentreOfMass
from scorefield.core.state import State
from scorefield.core.system import Component, System
from tests.core.guided_systems import correlated, flat, gaussian, graphs

COVARIANCE = torch.tensor([[1.0, 0.9], [0.9, 1.0]]).double()
SEEN = GaussianObservation("x", torch.tensor([1.5, math.nan]), 0.1)


@pytest.mark.parametrize("final", ["none", "denoise"])
@pytest.mark.parametrize("name", ["ddim", "ddpm", "dpmpp-2m-sde", "unipc", "heun", "dpm-3s", "pc", "s4"])
def test_what_is_observed_stands_in_the_result(name: str, final: str) -> None:
    arguments = {"num_scales": 1000} if name == "s4" else {"final": final}
    solver = make_solver(name, 8, **arguments)
    x = sample(correlated(COVARIANCE), flat(5, 2), solver, Seeded(0), guides=[Replacement(SEEN)]).state["x"]
    assert (x[:, 0] == 1.5).all()
    assert len(x[:, 1].unique()) == 5


@pytest.mark.parametrize(
    ("steps", "repeats", "mean", "variance"),
    [(100, {}, 0.93, 0.30), (100, {"repeat": 5}, 1.28, 0.185), (50, {"jump": 5, "repeat": 5}, 1.26, 0.20)],
)
def test_replacement_is_biased_and_repeats_lessen_that(steps: int, repeats: dict, mean: float, variance: float) -> None:
    """Given x_0 = 1.5 at correlation .9 the other entry is N(1.35, .19)."""
    solver, guide = make_solver("ddpm", steps), Replacement(SEEN, **repeats)
    x = sample(correlated(COVARIANCE), flat(2000, 2), solver, Seeded(0), guides=[guide]).state["x"][:, 1]
    assert float(x.mean()) == pytest.approx(mean, abs=0.05)
    assert float(x.var()) == pytest.approx(variance, abs=0.03)


def test_inpainting_by_gradient_meets_the_conditional_where_the_prior_is_known() -> None:
    seen = GaussianObservation("x", torch.tensor([1.5, math.nan]), 0.05, prior_std=1.0)
    solver = make_solver("ddpm", 100)
    x = sample(correlated(COVARIANCE), flat(2000, 2), solver, Seeded(0), guides=[Gradient(seen)]).state["x"]
    assert float(x[:, 0].mean()) == pytest.approx(1.5, abs=0.03)
    assert float(x[:, 1].mean()) == pytest.approx(1.35, abs=0.12)
    assert float(x[:, 1].var()) == pytest.approx(0.19, abs=0.04)


def test_evaluations_count_repeats() -> None:
    for jump, repeat, calls in ((1, 1, 10), (1, 3, 10 + 2 * 9), (4, 3, 10 + 2 * 8), (20, 3, 10)):
        guide = Replacement(SEEN, jump=jump, repeat=repeat)
        done = sample(correlated(COVARIANCE), flat(3, 2), make_solver("ddpm", 10), Seeded(0), guides=[guide])
        assert done.evaluations == calls
        assert (done.state["x"][:, 0] == 1.5).all()


@given(st.integers(0, 50), st.integers(1, 4))
@settings(max_examples=10)
def test_rows_of_an_orthonormal_matrix_are_replaced_and_the_rest_is_not(seed: int, rows: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(4, 4, generator=generator).double())[0]
    y, start = torch.randn(rows, generator=generator).double(), torch.randn(2, 4, generator=generator).double()
    guide = Replacement(GaussianObservation("x", y, 1.0, operator=basis[:rows]), redraw=False)
    system, solver = gaussian(0.5, 4), make_solver("ddim", 6)
    x = sample(system, flat(2, 4), solver, Seeded(seed), start=State({"x": start}), guides=[guide]).state["x"]
    free = sample(system, flat(2, 4), solver, Seeded(seed), start=State({"x": start})).state["x"]
    torch.testing.assert_close(x @ basis[:rows].T, y.expand(2, -1))
    # Entries of this Gaussian are independent in every basis.
    torch.testing.assert_close(x @ basis[rows:].T, free @ basis[rows:].T)


def test_a_matrix_may_act_on_the_last_axis_or_on_the_whole_sample() -> None:
    mean = torch.full((1, 3), 3**-0.5).double()
    system = graphs(sizes=(4, 4, 4))[0]
    frame = State({"x": torch.zeros(3, 4, 2).double(), "adj": torch.zeros(3, 4, 4).double()})
    sums = torch.tensor([[0.6, 0.8]]).double()
    y = torch.tensor([[1.0], [math.nan], [0.5], [math.nan]])
    seen = GaussianObservation("x", y, 1.0, operator=sums)
    done = sample(system, frame, make_solver("ddim", 5), Seeded(0), guides=[Replacement(seen)]).state["x"] @ sums[0]
    torch.testing.assert_close(done[:, [0, 2]], torch.tensor([1.0, 0.5]).double().expand(3, 2))
    whole = GaussianObservation("x", torch.tensor([0.3]), 1.0, operator=mean)
    x = sample(gaussian(), flat(2), make_solver("ddim", 5), Seeded(0), guides=[Replacement(whole)]).state["x"]
    torch.testing.assert_close(x @ mean[0], torch.full((2,), 0.3).double(), atol=1e-7, rtol=0)


def test_observed_bonds_stay_symmetric_and_padding_empty() -> None:
    system, frame = graphs(sizes=(4, 3, 2))
    bonds = torch.full((4, 4), math.nan)
    bonds[0, 1] = bonds[1, 0] = 1.0
    bonds[2, 3] = bonds[3, 2] = 2.0
    guide = Replacement([GaussianObservation("adj", bonds, 1.0), GaussianObservation("x", _first_row(), 1.0)])
    state = sample(system, frame, make_solver("ddpm", 6), Seeded(0), guides=[guide]).state
    assert (state["adj"][:, 0, 1] == 1).all()
    assert (state["adj"][:, 2, 3] == torch.tensor([2.0, 0.0, 0.0])).all()
    assert (state["x"][:, 0] == torch.tensor([0.5, -0.5])).all()
    for name, component in system.components.items():
        torch.testing.assert_close(component.space.project(state[name], state.masks), state[name])


def _first_row() -> torch.Tensor:
    row = torch.full((4, 2), math.nan)
    row[0] = torch.tensor([0.5, -0.5])
    return row


def test_observations_may_come_with_each_row() -> None:
    known = torch.tensor([[1.0, math.nan], [math.nan, -1.0], [0.5, 2.0]])
    frame = State({"x": torch.zeros(3, 2).double()}, {}, {"known": known})
    guide = Replacement(GaussianObservation("x", "known", 1.0))
    x = sample(correlated(COVARIANCE), frame, make_solver("ddim", 5), Seeded(0), guides=[guide]).state["x"]
    given = ~known.isnan()
    assert (x[given] == known.double()[given]).all()


def test_the_solver_s_variable_is_about_the_origin() -> None:
    origin = torch.tensor([2.0, -1.0, 0.5]).double()
    component = Component(VP(), gaussian().components["x"].space, "noise", lambda state: origin.expand(len(state), 3))
    system = System({"x": component}, gaussian().network)
    seen = GaussianObservation("x", torch.tensor([7.0, math.nan, math.nan]), 1.0)
    x = sample(system, flat(2), make_solver("ddim", 5), Seeded(0), guides=[Replacement(seen)]).state["x"]
    assert (x[:, 0] == 7).all()


@pytest.mark.parametrize(
    ("name", "alone"), [("ddim", True), ("ddpm", True), ("pc", True), ("unipc", False), ("heun", False)]
)
def test_one_step_solvers_are_told_from_others(name: str, alone: bool) -> None:
    assert is_one_step(make_solver(name, 6).plan(gaussian())) is alone


def _run(guide: Replacement, solver: str = "ddpm") -> None:
    sample(correlated(COVARIANCE), flat(2, 2), make_solver(solver, 4), Seeded(0), guides=[guide])


def _run_graphs(value: torch.Tensor) -> None:
    system, frame = graphs()
    sample(
        system, frame, make_solver("ddpm", 4), Seeded(0), guides=[Replacement(GaussianObservation("adj", value, 1.0))]
    )


def _run_centred() -> None:
    space = {"x": Component(VP(), ZeroCentreOfMass(), "noise")}
    seen = GaussianObservation("x", torch.tensor([[1.0, 2.0], [math.nan, math.nan]]), 1.0)
    frame = State({"x": torch.zeros(2, 2, 2).double()})
    sample(System(space, gaussian().network), frame, make_solver("ddpm", 4), Seeded(0), guides=[Replacement(seen)])


LOPSIDED = torch.full((4, 4), math.nan)
LOPSIDED[0, 1] = 1.0
UNEQUAL = LOPSIDED.clone()
UNEQUAL[1, 0] = 2.0


def _x(value: torch.Tensor | str, **arguments: object) -> Replacement:
    return Replacement(GaussianObservation("x", value, 1.0, **arguments))


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (lambda: Replacement(2 * SEEN), "replacement is exact and takes no weight; leave it out, or use gradient"),
        (lambda: Replacement(SEEN, repeat=0), "jumps of 1 steps, 0 times; give at least 1 of each"),
        (lambda: Replacement(QuantileObservation("x", torch.zeros(2))), "does not say what the data are; it works"),
        (lambda: _x(torch.zeros(2), operator=torch.tanh), "has an operator that is no matrix"),
        (lambda: _run(Replacement(SEEN, repeat=2), "unipc"), "repeated steps need a solver that remembers nothing"),
        (lambda: _run(_x(torch.zeros(1), operator=torch.ones(1, 2))), "orthonormal rows; use gradient with"),
        (lambda: _run(_x(torch.zeros(1), operator=torch.ones(1, 3))), r"shape \(1, 3\) for samples of shape \(2,\)"),
        (lambda: _run(_x(torch.zeros(3))), r"observed x has shape \(3,\); a sample's has \(2,\)"),
        (lambda: _run(_x(torch.zeros(2, 2))), "observed x has 2 rows; give one for all, or the name"),
        (lambda: _run(Replacement(GaussianObservation("z", torch.zeros(2), 1.0))), "no component 'z' to observe"),
        (lambda: _run(_x("y")), "the condition has no 'y' to observe; it holds nothing"),
        (lambda: _run(_x(torch.full((2,), math.nan))), "nothing is observed of x; give some entries that are no NaN"),
        (lambda: _run_graphs(LOPSIDED), r"adj is not symmetric; observe the entries \(i, j\) and \(j, i\) together"),
        (lambda: _run_graphs(UNEQUAL), "replacing what is observed of adj leaves its space"),
        (_run_centred, "observed of x leaves its space; observe symmetric entries that exist, or use gradient"),
    ],
)
def test_what_cannot_work_is_one_line(guide, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        guide()
    assert "\n" not in str(error.value)
