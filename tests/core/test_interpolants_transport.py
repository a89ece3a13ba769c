"""Transport along interpolants between Gaussians, where every velocity, score and moment is known."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorefield.core.analytic import mixture_system
from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.guide import ClampData
from scorefield.core.interpolants.analytic import gaussian_bridge
from scorefield.core.interpolants.interpolant import interpolant_named
from scorefield.core.interpolants.sampling import Transport, transport
from scorefield.core.interpolants.system import Bridge, Heads, InterpolantSystem
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.objectives import DenoisingScoreMatching
from scorefield.core.paths import VP
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked, SymmetricAdjacency, ZeroCentreOfMass
from scorefield.core.state import State
from scorefield.core.system import Component, Network

FAMILIES = [
    ("linear", "brownian"), ("linear", "quadratic"), ("trigonometric", "sigmoid"), ("encoder-decoder", None),
    ("one-sided-linear", None), ("one-sided-trigonometric", None), ("mirror", "brownian"),
]  # fmt: skip


def normal(mean, variance):
    return torch.tensor([mean], dtype=torch.float64), torch.tensor([[variance]], dtype=torch.float64)


def line(interpolant="linear", gamma="brownian", predicts=("velocity", "score")):
    """The spec's problem: N(0, 1) to N(2, 0.25)."""
    return gaussian_bridge(interpolant_named(interpolant, gamma), normal(0.0, 1.0), normal(2.0, 0.25), None, predicts)


def plane(name, gamma, predicts=("velocity", "score"), cross=False):
    """Two correlated Gaussians in the plane."""
    first = torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=torch.float64)
    last = torch.tensor([[0.4, -0.2], [-0.2, 0.8]], dtype=torch.float64)
    joint = torch.tensor([[0.2, 0.1], [-0.1, 0.3]], dtype=torch.float64) if cross else None
    means = torch.tensor([[0.5, -1.0], [2.0, 1.0]], dtype=torch.float64)
    return gaussian_bridge(interpolant_named(name, gamma), (means[0], first), (means[1], last), joint, predicts)


def moments(system, steps, begin, **options):
    """Mean and covariance after a run with exact linear fields, without any sampling error.

    A run is affine in its start and in each draw, so feeding it unit vectors reads off all its coefficients.
    """
    mean, covariance = begin
    size, draws = len(mean), steps if options.get("diffusion") else 0
    rows = 1 + size + draws * size
    x = torch.zeros(rows, size, dtype=torch.float64)
    x[1 : 1 + size] = torch.eye(size, dtype=torch.float64)
    noise = torch.zeros(draws, rows, size, dtype=torch.float64)
    for k in range(draws):
        noise[k, 1 + size * (k + 1) : 1 + size * (k + 2)] = torch.eye(size, dtype=torch.float64)
    ended = transport(system, State({"x": x}), steps, noise=Replayed(noise), **options).state["x"]
    linear = (ended[1:] - ended[0]).reshape(1 + draws, size, size).mT
    spread = linear[1:] @ linear[1:].mT
    return ended[0] + linear[0] @ mean, linear[0] @ covariance @ linear[0].T + spread.sum(0)


def exact(system, r):
    mean, covariance = system.network.moments(torch.tensor([r], dtype=torch.float64))
    return mean[0], covariance[0]


def variance_errors(method, diffusion, counts):
    system = line()
    start, (mean, variance) = exact(system, 0.001), exact(system, 0.999)
    errors = []
    for steps in counts:
        found = moments(system, steps, start, method=method, diffusion=diffusion, start=0.001, end=0.999)
        assert abs(float(found[0] - mean)) < 1e-12
        errors.append(float(found[1] - variance))
    return errors


@pytest.mark.parametrize(
    ("diffusion", "expected"),
    [
        (0.0, [0, 0, 0, 0]),
        (0.1, [7.3e-4, 3.7e-4, 1.8e-4, 9.1e-5]),
        (1.0, [6.2e-3, 3.1e-3, 1.5e-3, 7.6e-4]),
        (5.0, [2.9e-2, 1.4e-2, 6.7e-3, 3.3e-3]),
    ],
)
def test_euler_maruyama_has_the_known_variance_error_for_every_diffusion(diffusion, expected):
    errors = variance_errors("euler", diffusion, (100, 200, 400, 800))
    assert errors == pytest.approx(expected, rel=0.02, abs=1e-12)


@pytest.mark.parametrize("diffusion", [0.1, 1.0, lambda r: 2 * r * (1 - r) + 0.1])
def test_heun_has_weak_order_two(diffusion):
    errors = variance_errors("heun", diffusion, (50, 100, 200))
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert all(1.85 < order < 2.2 for order in orders), (errors, orders)


@pytest.mark.parametrize(("name", "gamma"), FAMILIES)
@pytest.mark.parametrize("diffusion", [0.0, 0.5])
@pytest.mark.parametrize("backwards", [False, True])
def test_every_family_carries_the_laws_both_ways(name, gamma, diffusion, backwards):
    system = plane(name, gamma, cross=True)
    start, end = (0.95, 0.05) if backwards else (0.05, 0.95)
    coarse, fine = (
        moments(system, n, exact(system, start), method="heun", diffusion=diffusion, start=start, end=end)
        for n in (30, 60)
    )
    mean, covariance = exact(system, end)
    assert (fine[0] - mean).abs().max() < 5e-3
    assert (fine[1] - covariance).abs().max() < 5e-3
    assert (fine[1] - covariance).abs().max() < 0.4 * (coarse[1] - covariance).abs().max() + 1e-9


@pytest.mark.parametrize(
    "predicts", [("velocity", "denoiser"), ("path_velocity", "score"), ("path_velocity", "denoiser")]
)
def test_what_the_network_predicts_makes_no_difference(predicts):
    options = {"method": "heun", "diffusion": 0.7, "start": 0.1, "end": 0.9}
    found, expected = (
        moments(plane("linear", "brownian", kinds), 20, exact(plane("linear", "brownian"), 0.1), **options)
        for kinds in (predicts, ("velocity", "score"))
    )
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("predicts", [("velocity", "score"), ("path_velocity", "denoiser")])
def test_runs_between_the_very_ends_stay_finite_where_gamma_prime_is_not(predicts):
    system = line(predicts=predicts)
    mean, variance = moments(system, 400, normal(0.0, 1.0), method="heun", diffusion=0.2)
    assert abs(float(mean) - 2.0) < 1e-5
    assert abs(float(variance) - 0.25) < 1e-3


def test_euler_is_of_first_and_heun_of_second_order_for_the_ode():
    system = plane("trigonometric", "quadratic")
    for method, order in (("euler", 1), ("heun", 2)):
        errors = []
        for steps in (20, 40):
            found = moments(system, steps, exact(system, 0.0), method=method)
            errors.append(float((found[1] - exact(system, 1.0)[1]).abs().max()))
        assert order - 0.2 < math.log2(errors[0] / errors[1]) < order + 0.35


@pytest.mark.parametrize(
    ("name", "gamma"), [("linear", "brownian"), ("trigonometric", "quadratic"), ("linear", "zero")]
)
def test_the_adaptive_ode_arrives_at_the_target_and_comes_back(name, gamma):
    system = plane(name, gamma, ("velocity",))
    x = torch.randn(16, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean, covariance = moments(system, 1, exact(system, 0.0), method="dopri5", tolerance=1e-10)
    torch.testing.assert_close(mean, exact(system, 1.0)[0], rtol=0, atol=1e-7)
    torch.testing.assert_close(covariance, exact(system, 1.0)[1], rtol=0, atol=1e-7)
    there = transport(system, State({"x": x}), method="dopri5", tolerance=1e-9)
    back = transport(system, there.state, method="dopri5", tolerance=1e-9, start=1.0, end=0.0)
    torch.testing.assert_close(back.state["x"], x, rtol=0, atol=1e-6)
    assert there.evaluations > 10


def test_sampled_statistics_are_the_targets():
    system, start = plane("linear", "brownian"), exact(plane("linear", "brownian"), 0.0)
    source = Seeded(0)
    x = start[0] + source.normal(torch.zeros(20_000, 2, dtype=torch.float64)) @ torch.linalg.cholesky(start[1]).T
    done = transport(system, State({"x": x}), 50, diffusion=1.0, noise=source)
    mean, covariance = exact(system, 1.0)
    assert done.evaluations == 100
    assert (done.state["x"].mean(0) - mean).abs().max() < 4 * math.sqrt(0.8 / 20_000)
    assert (done.state["x"].T.cov() - covariance).abs().max() < 4 * 0.8 * math.sqrt(2 / 20_000) + 2e-3


@settings(max_examples=5)
@given(r=st.floats(0.02, 0.98), seed=st.integers(0, 1000))
@pytest.mark.parametrize(("name", "gamma"), [*FAMILIES, ("linear", "brownian:2"), ("trigonometric", "brownian")])
def test_closed_forms_obey_the_identities(name, gamma, r, seed):
    kinds = ("velocity", "path_velocity", "score", "denoiser")
    system, time = plane(name, gamma, kinds, cross=True), torch.tensor([r], dtype=torch.float64)
    at = system.interpolants["x"].coefficients(time)
    x = torch.randn(1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = system.quantities(State({"x": x}), 1 - time)["x"]
    b, v, score, eta = (found[kind] for kind in kinds)
    torch.testing.assert_close(b, v - at.product * score, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(score, -eta / at.gamma, rtol=1e-9, atol=1e-12)
    mean, covariance = exact(system, r)
    torch.testing.assert_close(score[0], torch.linalg.solve(covariance, mean - x[0]), rtol=1e-9, atol=1e-12)
    # The laws move with b: m' = b(m) and C' = J C + C J^T for its Jacobian J.
    jacobian = torch.func.jacrev(lambda y: system.quantities(State({"x": y[None]}), 1 - time)["x"]["velocity"][0])(mean)
    change = torch.func.jvp(system.network.moments, (time,), (torch.ones_like(time),))[1]
    at_mean = system.quantities(State({"x": mean[None]}), 1 - time)["x"]["velocity"][0]
    torch.testing.assert_close(at_mean, change[0][0], rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(jacobian @ covariance + covariance @ jacobian.T, change[1][0], rtol=1e-7, atol=1e-8)


class Constant(Network):
    """The same number everywhere, outside the spaces too; not a number at t < `broken`."""

    def __init__(self, value=1.0, broken=-1.0):
        super().__init__()
        self.value, self.broken = value, broken

    def forward(self, state, t):
        value = math.nan if float(t[0]) < self.broken else self.value
        return {name: torch.full_like(x, value) for name, x in state.components.items()}


def graphs():
    """Two graphs of 3 and 2 nodes."""
    mask = torch.tensor([[True, True, True], [True, True, False]])
    return State({"x": torch.zeros(2, 3, 2), "adj": torch.zeros(2, 3, 3)}, {"mask": mask})


def graph_system(network, predicts=("velocity", "score")):
    components = {
        "x": Component(Bridge(interpolant_named("linear")), ZeroCentreOfMass(), "velocity"),
        "adj": Component(Bridge(interpolant_named("trigonometric", "quadratic")), SymmetricAdjacency(), "velocity"),
    }
    return InterpolantSystem(components, network, predicts)


@pytest.mark.parametrize("options", [{"diffusion": 0.5, "method": "euler"}, {"diffusion": 0.5}, {"method": "dopri5"}])
def test_components_stay_in_their_spaces(options):
    state, system = graphs(), graph_system(Heads(velocity=Constant(), score=Constant()))
    if options.get("method") == "dopri5":
        system = graph_system(Constant(), ("velocity",))
    state = state.replace({"x": torch.randn(2, 3, 2), "adj": torch.randn(2, 3, 3)})
    done = transport(system, state, 4, noise=Seeded(0), **options)
    for name, component in system.components.items():
        value = done.state[name]
        torch.testing.assert_close(value, component.space.project(value, state.masks), rtol=0, atol=1e-6)
    assert done.state["adj"][0].abs().max() > 0
    assert done.evaluations >= {"euler": 8, "heun": 16, "dopri5": 7}[options.get("method", "heun")]


def test_noise_is_asked_once_a_component_and_step_and_not_without_diffusion():
    system = graph_system(Heads(velocity=Constant(), score=Constant()))
    like = graphs()
    draws = [torch.randn_like(like[name]) for _ in range(3) for name in ("x", "adj")]
    source = Replayed(draws)
    transport(system, like, 3, diffusion=1.0, noise=source)
    with pytest.raises(ValueError, match="no stored noise"):
        source.normal(like["x"])
    source = Replayed(draws[:2])
    transport(system, like, 3, diffusion=lambda r: float(r == 1.0), noise=source, method="heun")
    with pytest.raises(ValueError, match="no stored noise"):
        source.normal(like["x"])


def test_one_run_does_not_depend_on_another_or_on_batch_mates():
    system, x = plane("linear", "brownian"), torch.randn(6, 2, dtype=torch.float64)
    noise = torch.randn(8, 6, 2, dtype=torch.float64)
    whole = transport(system, State({"x": x}), 8, diffusion=1.0, noise=Replayed(noise)).state["x"]
    part = transport(system, State({"x": x[2:4]}), 8, diffusion=1.0, noise=Replayed(noise[:, 2:4])).state["x"]
    torch.testing.assert_close(whole[2:4], part, rtol=0, atol=1e-12)


def test_as_a_system_it_has_the_ode_velocity_in_t_and_the_score():
    system, x = line(), torch.tensor([[0.3], [1.2]], dtype=torch.float64)
    t = torch.tensor([0.2, 0.9], dtype=torch.float64)
    found = system.quantities(State({"x": x}), t)["x"]
    torch.testing.assert_close(system.predict(State({"x": x}), t, "velocity")["x"], -found["velocity"])
    torch.testing.assert_close(system.score({"x": x}, t)["x"], found["score"])
    by_noise = line(predicts=("path_velocity", "denoiser"))
    torch.testing.assert_close(by_noise.predict(State({"x": x}), t, "velocity")["x"], -found["velocity"])
    torch.testing.assert_close(by_noise.score({"x": x}, t)["x"], found["score"])
    assert by_noise.score({"x": x}, torch.zeros(2, dtype=torch.float64))["x"].isfinite().all()


def test_the_prior_is_the_given_source_or_noise():
    source = torch.randn(4, 2, dtype=torch.float64)
    x = torch.zeros(4, 2, dtype=torch.float64)
    two_sided, one_sided = plane("linear", None), plane("one-sided-linear", None)
    given = State({"x": x}, condition={"source_x": source})
    assert torch.equal(two_sided.prior(given, Seeded(0))["x"], source)
    assert one_sided.prior(State({"x": x}), Seeded(0))["x"].std() > 0.3
    with pytest.raises(InputError, match=r"source samples of x are missing.*source_x"):
        two_sided.prior(State({"x": x}), Seeded(0))
    with pytest.raises(InputError, match=r"\(3, 2\)"):
        two_sided.prior(State({"x": x}, condition={"source_x": source[:3]}), Seeded(0))


def test_solvers_and_objectives_of_gaussian_paths_refuse_it():
    system, state = line(), State({"x": torch.zeros(2, 1)}, condition={"source_x": torch.zeros(2, 1)})
    with pytest.raises(InputError, match="no Gaussian path"):
        sample(system, state, make_solver("ddim", 4), Seeded(0))
    objective = DenoisingScoreMatching()
    with pytest.raises(InputError, match="no Gaussian path"):
        objective.losses(system, state, objective.draw(system, state, SampleStreams(2, 0)))
    with pytest.raises(InputError, match="no data prediction"):
        system.predict(state, torch.ones(2), "data")


def test_guides_that_act_on_data_predictions_are_refused():
    with pytest.raises(InputError, match="ClampData cannot guide interpolants"):
        sample(line(), State({"x": torch.zeros(2, 1)}, condition={"source_x": torch.zeros(2, 1)}), Transport(2),
               Seeded(0), guides=[ClampData(x=(-1, 1))])  # fmt: skip


def test_other_models_cannot_be_transported():
    components = {"x": Component(VP(), Masked(), "noise")}
    system = mixture_system(components, torch.ones(1), {"x": torch.zeros(1, 2)}, {"x": torch.ones(1)})
    with pytest.raises(InputError, match="needs a model of interpolants"):
        Transport(2).plan(system)


def test_a_broken_network_is_named_with_its_time():
    system = graph_system(Constant(broken=0.4), ("velocity",))
    with pytest.raises(FloatingPointError, match=r"evaluation 4, t = 0.25"):
        transport(system, graphs(), 4, method="euler")
    with pytest.raises(FloatingPointError, match="NaN or infinity at t ="):
        transport(system, graphs(), method="dopri5")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "eulr"}, "did you mean 'euler'"),
        ({"start": -0.1}, r"t from 1.1 to 0; give two different numbers in \[0, 1\]"),
        ({"end": 1.5}, "t from 1 to -0.5"),
        ({"start": 1.0}, "two different"),
        ({"steps": 0}, "0 steps"),
        ({"tolerance": -1.0, "method": "dopri5"}, "tolerance -1"),
        ({"diffusion": -1.0}, "diffusion -1 at r = 0"),
        ({"diffusion": lambda r: 0.5 - r}, "diffusion -0.5 at r = 1"),
        ({"diffusion": math.nan}, "nan"),
        ({"diffusion": 1.0, "noise": None}, "without a source of noise"),
        ({"diffusion": 1.0, "method": "dopri5"}, "dopri5 has no noise"),
    ],
)
def test_bad_arguments_say_what_is_right(options, words):
    state = State({"x": torch.zeros(2, 1, dtype=torch.float64)})
    with pytest.raises(InputError, match=words):
        transport(line(), state, **{"steps": 2, "noise": Seeded(0), **options})


def test_an_sde_needs_a_score():
    state = State({"x": torch.zeros(2, 1, dtype=torch.float64)})
    for gamma, words in (("zero", "gamma = 0 has no score"), ("brownian", "does not follow from velocity")):
        with pytest.raises(InputError, match=words):
            transport(line("linear", gamma, ("velocity",)), state, 2, diffusion=1.0, noise=Seeded(0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"predicts": ("velocty",)}, "did you mean 'velocity'"),
        ({"predicts": ("score",)}, "velocity does not follow from score"),
        ({"predicts": ()}, "from nothing"),
        ({"margin": 0.5}, "margin 0.5"),
        ({"gamma": "zero", "predicts": ("velocity", "score")}, "no score"),
        ({"path": VP()}, "x is on a VP path; give it a Bridge"),
        ({"prediction": "noise"}, "predicts no velocity"),
    ],
)
def test_systems_that_cannot_be_are_refused(arguments, words):
    path = arguments.pop("path", None) or Bridge(interpolant_named("linear", arguments.pop("gamma", None)))
    component = Component(path, Masked(), arguments.pop("prediction", "velocity"))
    with pytest.raises(InputError, match=words):
        InterpolantSystem({"x": component}, Constant(), **arguments)


def test_moments_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="do not fit"):
        gaussian_bridge(interpolant_named("linear"), normal(0.0, 1.0), (torch.zeros(2), torch.eye(2)))
