"""Transport by the means of an interpolant's ends, and the solver's line in the table of solvers."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.core.cli.main import main
from scorefield.core.errors import InputError
from scorefield.core.interpolants.sampling import Transport
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import INTERPOLANT_SOLVERS, make_solver
from scorefield.core.state import State
from tests.core.test_interpolants_transport import exact, line, moments, normal, plane

ENDS = [
    ("linear", "brownian", ("target", "denoiser")), ("linear", "brownian", ("source", "target")),
    ("trigonometric", "quadratic", ("source", "denoiser")), ("trigonometric", "zero", ("target",)),
    ("linear", "quadratic", ("source", "target", "denoiser")), ("one-sided-linear", None, ("target",)),
    ("encoder-decoder", None, ("source", "target")), ("mirror", "brownian", ("target",)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "gamma", "predicts"), ENDS)
def test_velocity_and_score_follow_from_the_means_of_the_ends(name, gamma, predicts):
    ends, plain = (plane(name, gamma, kinds, cross=True) for kinds in (predicts, ("velocity",)))
    x = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state, t = State({"x": x}), torch.linspace(0.03, 0.97, 50, dtype=torch.float64)
    torch.testing.assert_close(ends(state, t)["x"], plain(state, t)["x"], rtol=1e-9, atol=1e-9)
    if gamma != "zero":
        score = plane(name, gamma, ("velocity", "score"), cross=True).predict(state, t, "score")["x"]
        torch.testing.assert_close(ends.predict(state, t, "score")["x"], score, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "gamma", "predicts"), ENDS)
@pytest.mark.parametrize(("method", "share"), [("euler", 0.6), ("heun", 0.35)])
def test_means_of_the_ends_carry_the_laws(name, gamma, predicts, method, share):
    system = plane(name, gamma, predicts, cross=True)
    first, last = exact(system, 0.05), exact(system, 0.95)
    errors = []
    for steps in (40, 80):
        found = moments(system, steps, first, method=method, start=0.05, end=0.95)
        errors.append(max(float((own - wanted).abs().max()) for own, wanted in zip(found, last, strict=True)))
    assert errors[0] < (0.25 if method == "euler" else 0.02)
    assert errors[1] < share * errors[0] + 1e-12


@pytest.mark.parametrize("backwards", [False, True])
def test_the_target_alone_carries_a_linear_interpolant_between_its_very_ends(backwards):
    system = plane("linear", "zero", ("target",))
    ends = exact(system, 0.0), exact(system, 1.0)
    first, last = ends[::-1] if backwards else ends
    start, end = (1.0, 0.0) if backwards else (0.0, 1.0)
    found = moments(system, 300, first, method="heun", start=start, end=end)
    for own, wanted in zip(found, last, strict=True):
        torch.testing.assert_close(own, wanted, rtol=0, atol=0.02)


def test_the_sde_by_the_means_of_the_ends_has_the_law_of_the_target():
    system = line(predicts=("target", "denoiser"))
    for method in ("euler", "heun"):
        mean, variance = moments(system, 200, normal(0.0, 1.0), method=method, diffusion=0.2)
        assert abs(float(mean) - 2.0) < 0.01
        assert abs(float(variance) - 0.25) < 0.02


def test_means_of_the_ends_that_are_too_few_are_named():
    with pytest.raises(InputError, match="predict source or denoiser too"):
        plane("linear", "brownian", ("target",))


@pytest.mark.parametrize(("known", "time"), [("target", 0.6), ("source", 0.1)])
def test_means_that_take_no_part_at_times_are_named(known, time):
    with pytest.raises(
        InputError, match=rf"{known} and denoiser at r = {time}; predict velocity, or source and target"
    ):
        plane("encoder-decoder", None, (known, "denoiser"))


def test_a_cosine_grid_is_denser_at_both_ends():
    widths = Transport(10, grid="cosine").r.diff()
    assert bool((widths[:5].diff() > 0).all())
    torch.testing.assert_close(widths, widths.flip(0))
    assert float(widths.sum()) == pytest.approx(1)
    with pytest.raises(InputError, match="did you mean 'cosine'"):
        Transport(10, grid="cosin")


def test_the_table_of_solvers_tells_what_transport_does(capsys):
    entry, system = INTERPOLANT_SOLVERS["transport"], plane("trigonometric", "quadratic")
    begin = State({"x": torch.ones(3, 2, dtype=torch.float64)})
    ends, calls = [], []
    for steps in (20, 40, 320):
        done = sample(system, begin, make_solver("transport", steps), Replayed([]), start=begin)
        ends.append(done.state["x"])
        calls.append(done.evaluations / steps)
    assert calls == [int(entry.evaluations)] * 3
    order = math.log2(float((ends[0] - ends[2]).norm() / (ends[1] - ends[2]).norm()))
    assert abs(order - int(entry.order)) < 0.3
    assert entry.stochastic is make_solver("transport", 4).stochastic is False
    assert make_solver("transport", 4, diffusion="0.1", method="euler").stochastic
    assert main(["list", "solvers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    line = next(line for line in lines if line.startswith("transport"))
    assert "for interpolants; deterministic, order 2, 2 evaluations a step, uses the velocity" in line
    assert "method=heun (or euler)" in lines[lines.index(line) + 1]


@pytest.mark.parametrize("name", ["ddim", "dpmpp-2m", "heun", "euler-maruyama", "unipc", "s4"])
def test_other_solvers_say_that_they_need_a_gaussian_path(name):
    begin = State({"x": torch.ones(3, 2, dtype=torch.float64)})
    with pytest.raises(InputError, match="sample it with the solver transport"):
        sample(plane("linear", "brownian"), begin, make_solver(name, 4), Seeded(0), start=begin)


def test_the_adaptive_solver_needs_a_velocity_only():
    system, begin = plane("trigonometric", "quadratic"), State({"x": torch.ones(3, 2, dtype=torch.float64)})
    found = sample(system, begin, make_solver("rk45", 1, rtol=1e-8, atol=1e-8), Seeded(0), start=begin).state["x"]
    fine = sample(system, begin, make_solver("transport", 400), Seeded(0), start=begin).state["x"]
    torch.testing.assert_close(found, fine, rtol=0, atol=1e-4)
