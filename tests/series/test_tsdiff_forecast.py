"""Forecasts of panels: exactness, what they may see, what is reproducible, and how they are judged."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield.core.checkpoints import ModelRecord, save_model
from scorefield.core.cli.main import main
from scorefield.core.completer import Observe
from scorefield.core.completion import Task
from scorefield.core.diffusion import Settings
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.guidance.levels import quantile_levels
from scorefield.core.model import Model
from scorefield.core.noise import Seeded
from scorefield.core.paths import DiscreteChain
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System
from scorefield.domains.series.domain import SeriesDomain
from scorefield.domains.series.forecasters import RepeatedSeason
from scorefield.domains.series.statistics.forecasting import score_forecasts, seasonal_error
from scorefield.domains.series.tsdiff.encoding import WindowPlan, encode
from scorefield.domains.series.tsdiff.interpolant import InterpolantTSDiff
from scorefield.domains.series.tsdiff.panel_encoder import PANEL_OBSERVING
from tests.series.panel_runs import CONTEXT, FALLBACK, PREDICTION, completed, gaussian_windows, panel_record, untrained

LENGTH = CONTEXT + PREDICTION
CPU: Mapping[str, Any] = {"steps": 3, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("runs") / "run")


def waves(number: int, length: int, seed: int = 0) -> np.ndarray:
    draws = np.random.default_rng(seed).normal(0, 0.3, (number, length))
    return 10 * (1 + np.arange(number)[:, None]) * (2 + np.sin(np.arange(length) / 2) + draws)


# Exactness


def test_moments_draw_from_the_exact_conditional_of_gaussian_windows() -> None:
    system, centre, spread = gaussian_windows()
    history = 40 * (1 + 0.3 * np.sin(np.arange(11) / 2) + 0.1 * np.cos(np.arange(11)))
    settings = Settings("dpmpp-2m", 40, {"final": "denoise"}, precision="64-true", tile_size=2000)
    observe = Observe("moments", {"iterations": 12}, 1e-3)
    answer = completed(system, Task("forecast", history), 2000, settings, observe)[0]
    seen = encode(
        np.append(history, np.full(PREDICTION, np.nan))[None], WindowPlan(CONTEXT, PREDICTION, (3,)), FALLBACK
    )
    given, value = seen.observed.ravel(), seen.x.ravel()
    assert given.sum() == CONTEXT + LENGTH - 1  # only the last lag looks at the forecast
    wanted = 2 * np.arange(CONTEXT, LENGTH)
    gain = np.linalg.solve(spread[np.ix_(given, given)], spread[np.ix_(given, wanted)]).T
    mean = centre[wanted] + gain @ (value[given] - centre[given])
    covariance = spread[np.ix_(wanted, wanted)] - gain @ spread[np.ix_(given, wanted)]
    scaled = answer.sampled / np.abs(history[-CONTEXT:]).mean()
    std = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(scaled.mean(0), mean, atol=5 * std.max() / 2000**0.5)
    np.testing.assert_allclose(scaled.std(0), std, rtol=0.06)
    np.testing.assert_allclose(np.cov(scaled.T), covariance, atol=0.08 * covariance.max())


class Linear(Network):
    """The data prediction W x, whatever the time."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        return {"x": (state["x"].flatten(1) @ self.weights.T).reshape(state["x"].shape)}


@pytest.mark.parametrize("potential", ["gaussian", "quantile"])
def test_self_guidance_by_hand(potential: Any) -> None:
    """Three paths over four steps, x' = step(W x - s sigma'^2 / alpha' W^T grad E)."""
    size = 2 * LENGTH
    weights = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / size**0.5
    path = DiscreteChain("linear", 10, (1e-4, 0.1))
    system = System({"x": Component(path, Masked(), "data")}, Linear(weights))
    history, settings = waves(1, 20)[0], Settings("ddpm", 4, seed=3, precision="64-true")
    observe = Observe("self", {"weight": 2.0, "point": "current"}, 0.5, potential)
    answer = completed(system, Task("forecast", history), 3, settings, observe)[0]

    stretch = np.append(history[-11:], np.full(PREDICTION, np.nan))[None]
    seen = encode(stretch, WindowPlan(CONTEXT, PREDICTION, (3,)), FALLBACK)
    y, given = torch.from_numpy(seen.x).float().double().flatten(1), torch.from_numpy(seen.observed).flatten(1)
    level, noise, plan = quantile_levels(1, 3)[:, None], Seeded(3), make_solver("ddpm", 4).plan(system)

    def drawn() -> Tensor:
        return noise.normal(torch.zeros(3, LENGTH, 2, dtype=torch.float64)).flatten(1)

    x = drawn()
    for index, times in enumerate(zip(plan.times, plan.ends, strict=True)):
        alphas, variances = (f(torch.tensor(times, dtype=torch.float64)) for f in (path.alpha, path.variance))
        above = y - x @ weights.T
        slope = -above / 0.5**2 if potential == "gaussian" else torch.where(above > 0, -level, 1 - level) / 0.5
        push = 2 * variances[1] / alphas[1] * torch.where(given, slope, 0.0) @ weights
        between = 1 - (alphas[0] / alphas[1]) ** 2 * variances[1] / variances[0]
        x = (1 - between) * alphas[1] / alphas[0] * x + alphas[1] * between * (x @ weights.T - push)
        if index < 3:
            x = x + (between * variances[1]).sqrt() * drawn()
    wanted = x.reshape(3, LENGTH, 2)[:, CONTEXT:, 0].numpy() * seen.scale
    np.testing.assert_allclose(answer.paths[..., 0], wanted, rtol=1e-9)


def test_paths_of_higher_levels_lie_higher() -> None:
    system, *_ = gaussian_windows()
    histories, settings = waves(4, 20), Settings("ddpm", 20, precision="64-true")

    def slope(levels: Any) -> float:
        observe = Observe("self", {"weight": 30.0, "point": "current"}, 1.0, "quantile", levels)
        found = completed(system, Task("forecast", histories), 40, settings, observe)
        ranks = found.paths[..., 0].mean(2).argsort(1).argsort(1)
        return float(np.mean([np.corrcoef(row, np.arange(40))[0, 1] for row in ranks]))

    assert slope("ordered") > 0.5
    assert abs(slope("shuffled")) < 0.3


# What a forecast may see


@pytest.mark.parametrize("given", [False, True])
def test_the_forecast_window_does_not_leak(tmp_path: Path, given: bool) -> None:
    model, x = Model(untrained(tmp_path / "run", (1, 3, 5), given)), waves(2, 30)
    changed = x.copy()
    changed[:, -PREDICTION:] *= 100
    one, other = (model.forecast(values, num=3, holdout=True, **CPU) for values in (x, changed))
    np.testing.assert_array_equal(one.paths, other.paths)
    assert one.scores() != other.scores()
    np.testing.assert_array_equal(one.paths, model.forecast(x[:, :-PREDICTION], num=3, **CPU).paths)


def test_entries_of_a_rolling_test_see_their_own_past_only(run: Path, tmp_path: Path) -> None:
    x, model = waves(2, 40), Model(run)
    facts = {"freq": "H", "prediction_length": PREDICTION, "train_length": 32, "test_lengths": [36, 40]}
    np.savez(tmp_path / "rolling.npz", values=x, start="2024-01-01", **facts)
    whole = model.forecast(tmp_path / "rolling.npz", num=3, holdout=True, **CPU)
    assert [(a.number, a.before + a.rows.start) for a in whole] == [(0, 32), (1, 32), (2, 36), (3, 36)]
    np.testing.assert_array_equal(whole[0].truth[whole[0].rows, 0], x[0, 32:36])
    x[:, 36:] = 0
    np.savez(tmp_path / "rolling.npz", values=x, start="2024-01-01", **facts)
    again = model.forecast(tmp_path / "rolling.npz", num=3, holdout=True, **CPU)
    np.testing.assert_array_equal(whole.paths, again.paths)


def test_a_shorter_horizon_is_the_beginning_of_a_longer_one(run: Path) -> None:
    x = waves(2, 30)
    whole, part = (Model(run).forecast(x, horizon, 3, **CPU).paths for horizon in (None, 2))
    assert whole.shape == (2, 3, PREDICTION, 1)
    np.testing.assert_array_equal(whole[:, :, :2], part)


def test_rows_do_not_depend_on_their_neighbours(run: Path) -> None:
    x = waves(3, 30)
    wanted = Model(run).forecast(x, num=3, **CPU).paths
    x[1] = 0.0
    with pytest.warns(InputWarning, match="1 of 3 contexts hold zeros or missing values only: they have the scale 7.5"):
        found = Model(run).forecast(x, num=3, **CPU).paths
    np.testing.assert_array_equal(wanted[[0, 2]], found[[0, 2]])
    assert np.abs(found[1]).max() < 50 * FALLBACK
    assert not np.allclose(wanted[1], found[1])


def test_paths_have_the_scale_of_their_context(run: Path) -> None:
    x = waves(1, 30)
    one, other = (Model(run).forecast(factor * x, num=3, **CPU).paths for factor in (1.0, 4.0))
    np.testing.assert_allclose(4 * one, other, rtol=1e-12)


def test_nothing_known_gives_the_paths_of_the_model_itself(run: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"target": [None] * 20}) + "\n", encoding="utf-8")
    with pytest.warns(
        InputWarning, match="of 1 of 1 windows nothing is known: their paths are the model's own"
    ) as told:
        found = Model(run).forecast(tmp_path / "x.jsonl", num=2, **CPU)
    assert len(told) == 1
    system = Model(run).system()
    solver = make_solver(PANEL_OBSERVING.solver or "", 3, **PANEL_OBSERVING.solver_arguments)
    state = sample(system, State({"x": torch.zeros(2, LENGTH, 2)}), solver, Seeded(0)).state
    np.testing.assert_allclose(found.paths[0], FALLBACK * state["x"][:, CONTEXT:, :1].numpy(), rtol=1e-6)


# Reproducible


def test_the_same_command_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", values=waves(5, 30), freq="h", start="2024-01-01")
    words = ["forecast", str(run), "--data", str(tmp_path / "x.npz"), "--num", "3", "--steps", "3", "--device", "cpu"]
    words += ["--chunk-size", "6", "--way", "self", "--way-arg", "point=current"]
    words += ["--potential", "quantile", "--levels", "random", "--paths"]
    for name, seed in (("one", "0"), ("two", "0"), ("three", "1")):
        assert main([*words, "--out", str(tmp_path / f"{name}.csv"), "--seed", seed]) == 0
    one, two, three = ((tmp_path / f"{name}.csv").read_bytes() for name in ("one", "two", "three"))
    assert one == two != three
    how: dict[str, Any] = {"way": "self", "way_arguments": {"point": "current"}, "potential": "quantile"}
    how |= {"levels": "random", "chunk_size": 6}
    found = Model(run).forecast(tmp_path / "x.npz", num=3, steps=3, device="cpu", **how)
    text = (tmp_path / "one.csv").read_text(encoding="utf-8").splitlines()[1].split(",")
    assert [float(cell) for cell in text[-3:]] == found[0].sampled[:, 0].tolist()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_make_the_same_bytes(run: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", values=waves(6, 30), freq="h")
    words = ["forecast", str(run), "--data", str(tmp_path / "x.npz"), "--num", "4", "--chunk-size", "8", "--steps", "3"]
    for devices in ("1", "2"):
        out = str(tmp_path / f"{devices}.csv")
        assert main([*words, "--out", out, "--device", "cpu", "--devices", devices]) == 0
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


# Hidden values and scores


@pytest.mark.parametrize(("asked", "number"), [("RM", 4), ("BM-B:3", 3), ("BM-E:2", 2)])
def test_hidden_steps(run: Path, asked: str, number: int) -> None:
    domain, x = SeriesDomain(), waves(3, 30)
    items = domain.open_items(Task("forecast", x, {"missing": asked, "holdout": True}), panel_record())
    for job in items.jobs:
        hidden = np.isnan(job.answer.x[job.answer.rows.start - CONTEXT : job.answer.rows.start, 0])
        assert hidden.sum() == number
        assert asked != "BM-B:3" or hidden[:3].all()
        assert asked != "BM-E:2" or hidden[-2:].all()
        np.testing.assert_array_equal(job.answer.truth[job.answer.rows, 0], x[job.answer.number, -PREDICTION:])
    found = Model(run).forecast(x, num=2, holdout=True, missing=asked, **CPU)
    assert np.isfinite(found.paths).all()
    assert not np.allclose(found.paths, Model(run).forecast(x, num=2, holdout=True, **CPU).paths)


def test_scores_are_those_of_the_evaluator_beside_the_last_season(run: Path) -> None:
    x = waves(3, 30)
    x[1, -2] = np.nan
    found = Model(run).forecast(x, num=5, holdout=True, **CPU)
    scores = found.scores()
    errors = np.array([seasonal_error(row[:-PREDICTION], 4) for row in x])
    wanted = score_forecasts(found.paths[..., 0], x[:, -PREDICTION:], errors)
    naive = RepeatedSeason(4).forecast(x[:, :-PREDICTION], PREDICTION)
    assert scores["crps"] == wanted.values()["crps"]
    assert scores["mase"] == wanted.values()["mase"]
    assert scores["seasonal_naive"] == score_forecasts(naive[:, None], x[:, -PREDICTION:], errors).values()
    assert (scores["n"], scores["values"], sum(scores["pit"])) == (3, 11, 11)
    assert Model(run).forecast(x, num=2, **CPU).scores() is None


def test_what_mase_leaves_out_is_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, out = waves(3, 30), tmp_path / "out.csv"
    x[1] = 5.0  # never differs from the season before
    np.savez(tmp_path / "x.npz", values=x, freq="h")
    words = ["forecast", str(run), "--data", str(tmp_path / "x.npz"), "--holdout", "--num", "2", "--out", str(out)]
    assert main([*words, "--steps", "3", "--device", "cpu"]) == 0
    scores = json.loads(out.with_name("out.csv.json").read_text())["scores"]
    assert (scores["n"], scores["mase_left_out"]) == (3, 1)
    assert np.isfinite(scores["mase"])
    assert "mase_left_out" not in scores["seasonal_naive"]
    assert "; MASE leaves out 1, whose history has no seasonal differences" in capsys.readouterr().out


def test_every_way_forecasts(run: Path) -> None:
    x = waves(2, 30)
    for way in ("replacement", "gradient", "moments", "particles", "afdps", "self"):
        found = Model(run).forecast(x, num=4, way=way, std=0.3, solver="ddpm", **CPU)
        assert np.isfinite(found.paths).all()
    soft, hard = (Model(run).forecast(x, num=1, hard=hard, **CPU).paths for hard in (None, True))
    assert not np.allclose(soft, hard)


# Runs that are given their history


def test_a_run_that_is_given_its_history_forecasts_only(tmp_path: Path) -> None:
    model, x = Model(untrained(tmp_path / "run", given=True)), waves(2, 30)
    found = model.forecast(x, num=3, device="cpu")
    assert found.paths.shape == (2, 3, PREDICTION, 1)
    shifted = x.copy()
    shifted[:, -1] += 3  # the history matters
    assert not np.allclose(found.paths, model.forecast(shifted, num=3, device="cpu").paths)
    with pytest.raises(InputError, match="cannot impute; it can forecast"):
        model.impute(x, 3, device="cpu")
    with pytest.raises(InputError, match="held to no observations; leave way"):
        model.forecast(x, num=3, way="moments", device="cpu")


def test_an_interpolant_starts_from_the_seasonal_naive(tmp_path: Path) -> None:
    made = panel_record((), given=True)
    sizes = {**made.sizes, "context": CONTEXT, "season": 4}
    init = {"width": 8, "blocks": 1, "embedding": 8, "states": 8, "jitter": 1e-9}
    recipe = {"class_path": "scorefield.domains.series.tsdiff.interpolant.InterpolantTSDiff", "init_args": init}
    sampling = {"solver": "transport", "steps": 3, "weights": "raw", "arguments": {"method": "euler"}}
    record = ModelRecord("series", recipe, sizes, made.tables, sampling)
    torch.manual_seed(0)
    save_model(tmp_path / "run", record, InterpolantTSDiff(**init).build(sizes).state_dict(), None)
    x = waves(2, 30)
    found = Model(tmp_path / "run").forecast(x, num=2, device="cpu")
    assert found.paths.shape == (2, 2, PREDICTION, 1)
    np.testing.assert_allclose(found.paths[:, 0], found.paths[:, 1], rtol=1e-5)  # without jitter there is no chance


def test_nothing_warns_where_nothing_is_wrong(run: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Model(run).forecast(waves(1, 30), num=2, **CPU)
    with pytest.warns(
        InputWarning, match="5 values of history, a window takes 8: the steps before them count as unknown"
    ):
        Model(run).forecast(waves(1, 5), num=2, **CPU)
