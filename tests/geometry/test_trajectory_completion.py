"""Forecasts, interpolation, imputation and refinement of trajectories."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from scorefield.core.errors import InputError, InputWarning
from scorefield.core.noise import Replayed
from scorefield.core.renoising import noised
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.domains.geometry.floating import floating
from scorefield.domains.geometry.trajectories import Trajectories
from tests.geometry.runs import springs_data, untrained
from tests.geometry.stored import read

FAST = {"steps": 4, "seed": 2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return untrained(folder / "uncond"), untrained(folder / "cond", "0:5")


@pytest.fixture(scope="module")
def whole() -> Trajectories:
    """Three trajectories of 24 frames."""
    return springs_data(frames=24, simulation_seed=5).windows("test").samples()


@pytest.mark.parametrize("kind", [0, 1])
def test_a_forecast_goes_on_from_what_is_given(runs, whole, kind):
    found = runs[kind].forecast(whole, horizon=3, num=2, **FAST)
    assert found.missing.sum((1, 2)).tolist() == [12, 12, 12]
    given = found.paths.shape[3] - 3
    assert np.array_equal(found.paths[:, 0, :, :given].astype(np.float32), whole.x[:, :, -given:])
    assert found.scores is None
    assert np.abs(found.paths[:, 0, :, given:] - found.paths[:, 1, :, given:]).min() > 0


def test_a_prefix_is_interpolated_as_it_is_forecast_to_the_bit(runs, whole):
    window = whole.frames(0, 12)
    forecast = runs[1].forecast(window, holdout=True, num=2, **FAST)
    between = runs[1].interpolate(window, given="0:5", num=2, **FAST)
    assert np.array_equal(forecast.paths, between.paths)
    assert forecast.scores["model"].values() == between.scores["model"].values()


def test_frames_are_returned_from_where_they_stand(runs, whole):
    """The original returns others for a mask with given frames at both ends."""
    window = whole.frames(0, 12)
    with pytest.warns(InputWarning, match="other frames are given than in the run's training"):
        found = runs[1].interpolate(window, given="0:3,9:12", num=1, **FAST)
    assert np.flatnonzero(found.missing[0].any(0)).tolist() == [3, 4, 5, 6, 7, 8]
    assert "linear interpolation" in found.scores
    assert np.array_equal(found.paths[:, 0, :, 9:].astype(np.float32), window.x[:, :, 9:])


def test_longer_forecasts_begin_like_shorter_ones_and_tell_their_drift(runs, whole, tmp_path):
    short = runs[1].forecast(whole, horizon=7, num=1, **FAST)
    long = runs[1].forecast(whole, horizon=15, num=1, **FAST)
    assert [(s.first, s.round) for s in long.plans[0]] == [(5, 0), (12, 1), (19, 2)]
    assert np.array_equal(short.paths[..., :12, :], long.paths[..., :12, :])
    assert np.isfinite(long.paths).all()


def test_far_from_the_origin_forecasts_are_the_same(runs, whole):
    near = runs[1].forecast(whole, num=1, **FAST).paths
    wide = replace(whole, x=whole.x.astype(np.float64) + 1e5)
    moved = runs[1].forecast(wide, num=1, **FAST).paths - 1e5
    assert np.abs(near - moved).max() < 1e-4


def test_missing_nodes_and_frames_are_imputed_and_nothing_else(runs, whole):
    x = whole.x.copy()
    x[0, 1, 3:6], x[1, :, 7], x[2, 0] = np.nan, np.nan, np.nan
    found = runs[0].impute(replace(whole, x=x), num=2, **FAST)
    assert np.array_equal(found.missing, np.isnan(x).any(-1))
    kept = ~found.missing
    assert np.array_equal(found.paths[:, 0][kept].astype(np.float32), whole.x[kept])
    assert np.isfinite(found.paths).all()
    assert found.trajectories().x.shape == (6, 4, 24, 3)


def test_known_positions_are_met_by_an_unconditional_run(runs, whole):
    """Held to what is known by its moments, the sample of what is known stays near it before it is replaced."""
    model, x = runs[0], whole.x[:1, :, :12].copy()
    x[:, :, 6:] = np.nan
    from scorefield.core.completion import Task

    completer = model.completer(Task("impute", replace(whole.frames(0, 12)[:1], x=x)), 1, steps=20)
    work = completer.items.begin(range(1), 1, torch.Generator())
    frame = work.next()
    from scorefield.core.noise import Seeded

    completer.diffusion.make_ready(torch.device("cpu"))
    state, _ = completer.sampled(frame, torch.device("cpu"), Seeded(0), None)
    apart = (state["x"] - frame.condition["observed_x"])[~frame.condition["observed_x"].isnan()]
    assert float(apart.abs().mean()) < 0.05


def test_a_centred_system_floats(runs):
    system = copy.deepcopy(runs[0].system("raw")).double()
    free = floating(system, 2.0)
    batch = springs_data().windows("train").__getitems__([0, 1])
    state = system.state(batch).to(dtype=torch.float64)
    t = torch.tensor([0.3, 0.7], dtype=torch.float64)
    x = torch.randn(state["x"].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    centred = system.components["x"].space.project(x, state.masks)
    kept = system.predict(state.replace({"x": centred}), t, "data")["x"]
    found = free.predict(state.replace({"x": x}), t, "data")["x"]
    mean = found.mean((1, 2))
    assert torch.allclose(found - mean[:, None, None], kept, atol=1e-9)
    variance = system.components["x"].path.variance(t)[:, None] / (4 * 12)
    assert torch.allclose(mean, x.mean((1, 2)) * 4.0 / (4.0 + variance), atol=1e-9)


@pytest.mark.parametrize("name", ["nbody_cond", "cond_fixed_prior", "ped_cond"])
def test_refinement_is_that_of_the_original(name, shared_dir):
    case = read(shared_dir, name)
    level, steps = int(case.stored["opt.steps"]), case.settings["num_timesteps"]
    noise = Replayed([case.positions(part) for part in case.stored["opt.noise"]])
    clean = case.state.replace({"x": case.positions(case.stored["opt.guess"]) + case.state.condition["given_x"]})
    start = noised(case.system, clean, level / steps, noise)
    solver = make_solver("ddpm", level - 1, variance="upper", grid="uniform", final="denoise", start=level / steps)
    found = sample(case.system, clean, solver, noise, start=start)
    wanted = case.stored["opt.out"]
    assert float((case.flat(found.state["x"]) - wanted).abs().max()) < 1e-3 * float(wanted.abs().max())


@pytest.mark.parametrize("kind", [0, 1])
def test_little_noise_leaves_the_base_where_it_is(runs, whole, kind):
    window = whole.frames(0, 12)
    base = window.x if kind == 0 else window.x[:, :, 5:]
    found = runs[kind].refine(window, base[:, None], 2, holdout=True, time=0.0005, steps=3)
    assert found.paths.shape == (3, 2, 4, 12, 3)
    assert found.scores["model"]["ade"] < 0.05  # noise of 0.01
    free = found.missing
    assert np.abs(found.paths[:, 0][free] - found.paths[:, 1][free]).max() > 0


def test_the_run_forecasts_its_own_test_part(runs):
    found = runs[1].forecast("test", num=3, **FAST)
    assert len(found) == 3
    assert found.scores["constant velocity"]["ade"] > 0
    assert set(found.scores) == {"model", "constant velocity", "linear extrapolation"}


def test_what_cannot_be_is_said(runs, whole):
    hole = whole.x.copy()
    hole[1, 2, -2] = np.nan
    nothing = np.full_like(whole.x, np.nan)
    cases = [
        (runs[1].forecast, replace(whole, x=hole), {}, "trajectory 1: a position is missing in the frames that are"),
        (runs[1].forecast, whole.frames(0, 4), {}, "trajectory 0: 4 frames of history, the run looks at 5"),
        (runs[1].forecast, whole, {"horizon": 0}, "a horizon of 0 frames"),
        (runs[1].forecast, whole.x[..., :2], {}, "positions in 2 dimensions; the run knows 3"),
        (runs[1].forecast, replace(whole, edges=None, edge_features=None), {}, "tells no edges"),
        (runs[1].forecast, whole, {"missing": "RM"}, "unknown option of forecast 'missing'"),
        (runs[1].forecast, "test", {"horizon": 12}, "windows of the test part have 12"),
        (runs[1].impute, whole, {}, "cannot impute; it can forecast, interpolate, refine"),
        (runs[1].interpolate, whole, {"given": "0:2"}, "in which 2 are given; the run needs 5 given frames"),
        (runs[0].impute, whole, {}, "nothing is missing"),
        (runs[0].impute, replace(whole, x=nothing), {}, "trajectory 0: no position is given"),
        (runs[0].interpolate, replace(whole, x=hole), {}, "trajectory 1, frame 22: only some of its positions"),
        (runs[0].interpolate, whole.frames(0, 8), {"given": "0:5"}, "8 frames, fewer than a window of 12"),
        (runs[0].forecast, whole, {"reading": {"rows": 2}}, "unknown argument of --read 'rows'"),
        (runs[0].forecast, whole, {"conditions": {"nodes": 4}}, "condition 'nodes'; leave it out"),
    ]
    for command, data, options, message in cases:
        with pytest.raises(InputError, match=message.replace("(", "\\(")):
            command(data, num=1, **{**FAST, **options})
    for run, base, message in (
        (runs[1], "naive", "there is no such file|no format"),
        (runs[0], "constant-velocity", "nothing is given that constant-velocity could go on from"),
        (runs[1], whole.x[:2], "base trajectories of shape"),
        (runs[1], whole.x[:, :, :3], "base trajectories of 3 frames; give the 7 frames to refine, or 12"),
    ):
        with pytest.raises(InputError, match=message):
            run.refine(whole, base, 1)
    with pytest.warns(InputWarning, match="frames 0.05 apart, the run knows 0.1; --read every=2"):
        runs[1].forecast(replace(whole, dt=0.05), num=1, **FAST)
