"""Forecasts, imputation and interpolation: given values come back, the rest is what Gaussian data say it must be."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.core.analytic import mixture_system
from scorefield.core.checkpoints import ModelRecord, save_model
from scorefield.core.cli.main import main
from scorefield.core.completer import Completer, Observe
from scorefield.core.completion import Filled, Task
from scorefield.core.diffusion import Diffusion, Settings
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.given import given_steps
from scorefield.core.guidance.particles import Particles
from scorefield.core.guidance.properties import Reward
from scorefield.core.interpolants.gammas import Zero
from scorefield.core.interpolants.interpolant import LinearInterpolant
from scorefield.core.interpolants.system import Bridge
from scorefield.core.model import Model
from scorefield.core.paths import DiscreteChain
from scorefield.core.plans import gap_plan, tail_plan, window_plan
from scorefield.core.spaces import Masked
from scorefield.core.system import Component, System
from scorefield.domains.series.domain import SeriesDomain
from scorefield.domains.series.pad_ts.recipe import PaDTS
from scorefield.domains.series.timestamps import later

LENGTH, COLUMNS = 8, ["a", "b"]
CPU = torch.device("cpu")


def record(low: float = -1.0, high: float = 1.0) -> ModelRecord:
    tables = {"kind": "series", "columns": COLUMNS, "low": [low] * 2, "high": [high] * 2}
    init = {"width": 16, "heads": 2, "decoder_layers": 1, "num_steps": 50}
    recipe = {"class_path": "scorefield.domains.series.pad_ts.recipe.PaDTS", "init_args": init}
    sampling = {"solver": "ddpm", "steps": 5, "weights": "raw"}
    return ModelRecord("series", recipe, {"length": LENGTH, "features": 2}, tables, sampling)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the weights of an untrained network, of columns from 0 to 10."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    torch.manual_seed(0)
    made = record(0.0, 10.0)
    save_model(folder, made, PaDTS(**made.system["init_args"]).build(made.sizes).state_dict(), None)
    return folder


@pytest.fixture
def holes(tmp_path: Path) -> Path:
    """30 rows with dates; single cells and a block of rows are missing, values keep odd spellings."""
    values = np.random.default_rng(0).uniform(1, 9, (30, 2)).round(3).astype(str)
    values[3, 0], values[7, 1], values[20, 0] = "", "NaN", ""
    values[12:15] = ""
    values[0, 0], values[1, 1] = "1.50", "2e0"
    days = pd.date_range("2024-01-01", periods=30).strftime("%Y-%m-%d")
    file = tmp_path / "holes.csv"
    pd.DataFrame({"day": days, "a": values[:, 0], "note": "x", "b": values[:, 1]}).to_csv(file, index=False)
    return file


def table(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def gaussian() -> tuple[Diffusion, np.ndarray, np.ndarray]:
    """Windows of a Gaussian whose entries depend on each other strongly, with its mean and covariance."""
    steps = np.arange(LENGTH)
    over_time = 0.9 ** np.abs(steps[:, None] - steps)
    covariance = 0.09 * np.kron(over_time, np.array([[1.0, 0.7], [0.7, 1.0]]))
    mean = np.stack([np.linspace(-0.2, 0.2, LENGTH), np.zeros(LENGTH)], 1)
    components = {"x": Component(DiscreteChain("cosine", 250), Masked(), "data")}
    system = mixture_system(
        components, torch.ones(1), {"x": torch.tensor(mean)[None]}, {"x": torch.tensor(covariance)[None]}
    )
    settings = Settings("dpmpp-2m", 40, {"final": "denoise"}, precision="64-true", tile_size=2000)
    return Diffusion(system, SeriesDomain(), record(), settings), mean.ravel(), covariance


def conditional(
    mean: np.ndarray, covariance: np.ndarray, value: np.ndarray, missing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the missing entries given the others."""
    value, missing = value.ravel(), missing.ravel()
    given = ~missing
    gain = np.linalg.solve(covariance[np.ix_(given, given)], covariance[np.ix_(given, missing)]).T
    centre = mean[missing] + gain @ (value[given] - mean[given])
    return centre, covariance[np.ix_(missing, missing)] - gain @ covariance[np.ix_(given, missing)]


def sampled(task: str, value: np.ndarray, way: Observe | None = None, **options: object) -> np.ndarray:
    diffusion, *_ = gaussian()
    items = SeriesDomain().open_items(Task(task, value, options), record())
    answer = Completer(diffusion, items, 2000, way).completed(CPU)[0]
    return np.asarray(answer.sampled)


MOMENTS = Observe("moments", {"iterations": 8, "bounds": 4.0}, 1e-3)


@pytest.mark.parametrize("task", ["forecast", "impute"])
def test_moments_draw_from_the_exact_conditional_of_gaussian_data(task: str) -> None:
    _, mean, covariance = gaussian()
    truth = mean.reshape(LENGTH, 2) + 0.3 * np.sin(np.arange(2 * LENGTH)).reshape(LENGTH, 2)
    missing = np.zeros((LENGTH, 2), dtype=bool)
    missing[-3:] = task == "forecast"
    missing[[1, 4, 5, 5], [0, 0, 0, 1]] |= task == "impute"
    value = truth[:-3] if task == "forecast" else np.where(missing, np.nan, truth)
    cells = sampled(task, value, MOMENTS, **({"horizon": 3} if task == "forecast" else {}))
    centre, spread = conditional(mean, covariance, truth, missing)
    std = np.sqrt(np.diag(spread))
    # Five standard errors of the mean; the steps leave the spread a few per cent off.
    np.testing.assert_allclose(cells.mean(0), centre, atol=5 * std.max() / 2000**0.5)
    np.testing.assert_allclose(cells.std(0), std, rtol=0.06)
    np.testing.assert_allclose(np.cov(cells.T), spread, atol=0.08 * spread.max())


def test_replacement_is_as_biased_as_it_says() -> None:
    _, mean, covariance = gaussian()
    truth = mean.reshape(LENGTH, 2) + 0.3
    cells = sampled("forecast", truth[:-3], Observe("replacement"), horizon=3)
    missing = np.arange(LENGTH)[:, None] >= LENGTH - 3
    centre, spread = conditional(mean, covariance, truth, np.repeat(missing, 2, 1))
    assert np.abs(cells.mean(0) - centre).max() > 10 * np.sqrt(np.diag(spread).max() / 2000)


def test_given_cells_keep_their_text_and_the_others_are_filled(run: Path, holes: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "filled.csv"
    words = ["impute", str(run), "--data", str(holes), "--num", "4", "--steps", "3", *CPU_ONLY]
    assert main([*words, "--out", str(out)]) == 0
    assert "4 paths of 9 values in 1 series" in capsys.readouterr().out
    before, after = table(holes), table(out)
    assert list(after) == list(before)
    empty = before[["a", "b"]].isin(["", "NaN"])
    assert int(empty.to_numpy().sum()) == 9
    for name in before:
        kept = ~empty[name] if name in empty else pd.Series(True, index=before.index)
        assert list(before[name][kept]) == list(after[name][kept])
    filled = after[["a", "b"]].to_numpy()[empty.to_numpy()].astype(float)
    assert ((filled >= 0) & (filled <= 10)).all()
    quantiles = pd.read_csv(tmp_path / "filled.quantiles.csv")
    assert list(quantiles[["step", "column"]].itertuples(index=False, name=None))[:2] == [(3, "a"), (7, "b")]
    assert (quantiles["q0.1"] <= quantiles["q0.9"]).all()
    np.testing.assert_array_equal(filled, quantiles["q0.5"])


CPU_ONLY = ("--device", "cpu")


def test_forecasts_continue_each_series_and_its_times(run: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(1).uniform(1, 9, (40, 2))
    days = np.tile(pd.date_range("2024-01-01", periods=20, freq="D").strftime("%Y-%m-%d"), 2)
    frame = pd.DataFrame({"who": np.repeat(["x", "y"], 20), "date": days, "b": values[:, 1], "a": values[:, 0]})
    file, out = tmp_path / "many.parquet", tmp_path / "f.csv"
    frame.to_parquet(file)
    words = ["forecast", str(run), "--data", str(file), "--read", "group=who", "--horizon", "3", "--num", "5"]
    assert main([*words, "--out", str(out), "--paths", "--plot", "--steps", "3", *CPU_ONLY]) == 0
    made = pd.read_csv(out)
    assert len(made) == 2 * 3 * 2
    assert list(made["who"].unique()) == ["x", "y"]
    assert list(made["date"].unique()) == ["2024-01-21", "2024-01-22", "2024-01-23"]
    assert list(made["step"].unique()) == [20, 21, 22]
    paths = made[[f"path{k}" for k in range(5)]].to_numpy()
    np.testing.assert_allclose(paths.mean(1), made["mean"])
    assert (tmp_path / "f.csv.png").stat().st_size > 10_000
    summary = json.loads((tmp_path / "f.csv.json").read_text())
    assert (summary["num"], summary["items"], summary["horizon"], summary["evaluations"]) == (5, 2, 3, 3)
    assert "scores" not in summary


def test_the_seed_decides_and_a_second_call_finds_the_file(run: Path, holes: Path, tmp_path: Path, capsys) -> None:
    words = ["impute", str(run), "--data", str(holes), "--num", "3", "--steps", "2", *CPU_ONLY]
    for name, seed in (("one.csv", "1"), ("two.csv", "1"), ("three.csv", "2")):
        assert main([*words, "--out", str(tmp_path / name), "--seed", seed]) == 0
    one, two, three = ((tmp_path / name).read_bytes() for name in ("one.csv", "two.csv", "three.csv"))
    assert one == two != three
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "one.csv"), "--seed", "1"]) == 0
    assert "already there" in capsys.readouterr().out
    assert main([*words, "--out", str(tmp_path / "one.csv"), "--seed", "1", "--plot"]) == 0
    assert (tmp_path / "one.csv.png").exists()
    assert (tmp_path / "one.csv").read_bytes() == two


def test_python_gives_the_paths_of_the_command(run: Path, holes: Path, tmp_path: Path) -> None:
    out = tmp_path / "filled.npz"
    words = ["impute", str(run), "--data", str(holes), "--num", "4", "--steps", "3", *CPU_ONLY]
    assert main([*words, "--out", str(out)]) == 0
    found = Model(run).impute(pd.read_csv(holes), 4, steps=3, device="cpu")
    with np.load(out) as stored:
        np.testing.assert_array_equal(found.paths, stored["paths"])
        np.testing.assert_array_equal(found.summary(), stored["x"])
        assert int(stored["missing"].sum()) == 9
    assert found.paths.shape == (1, 4, 30, 2)
    values = pd.read_csv(holes)[["a", "b"]].to_numpy()
    there = ~np.isnan(values)
    np.testing.assert_array_equal(found[0].paths[:, there], np.tile(values[there], (4, 1)))
    forecast = Model(run).forecast(values[16:], horizon=2, num=3, steps=2, device="cpu")
    assert forecast.paths.shape == (1, 3, 2, 2)
    assert np.isfinite(forecast.paths).all()


def test_held_back_values_are_scored(run: Path) -> None:
    x = np.random.default_rng(2).uniform(1, 9, (3, 16, 2))
    model = Model(run)
    held = model.forecast(x, horizon=2, num=4, holdout=True, steps=2, device="cpu").scores()
    assert held is not None
    assert held["n"] == 3 * 2 * 2
    last = np.abs(x[:, -3:-2] - x[:, -2:]).mean() / 10
    assert held["naive_mae"] == pytest.approx(last)
    between = model.interpolate(x, 4, given="0:3,6:8", steps=2, device="cpu")
    assert between.paths.shape == (3, 4, 16, 2)
    given = np.tile(given_steps("0:3,6:8", LENGTH), 2)
    np.testing.assert_array_equal(between.paths[:, 0][:, given], x[:, given])
    scores = between.scores()
    assert scores is not None
    assert scores["n"] == 3 * 6 * 2


@pytest.mark.parametrize("way", ["replacement", "gradient", "dps", "particles", "afdps"])
def test_every_way_fills(run: Path, way: str) -> None:
    x = np.random.default_rng(3).uniform(1, 9, (LENGTH, 2))
    x[3:5] = np.nan
    arguments = {"scale": "0.1"} if way == "dps" else {}
    found = Model(run).impute(x, 4, way=way, way_arguments=arguments, steps=4, std=0.3, device="cpu")
    assert np.isfinite(found.paths).all()
    np.testing.assert_array_equal(found.paths[0, :, 0], np.tile(x[0], (4, 1)))


@pytest.mark.parametrize(
    "how",
    [
        {"way": "self"},
        {"way": "self", "potential": "gaussian"},
        {"way": "gradient", "potential": "quantile", "levels": "shuffled"},
        {"way": "self", "potential": "quantile", "levels": "random", "way_arguments": {"point": "current"}},
        {"way": "particles", "potential": "quantile"},
    ],
)
def test_observations_as_quantiles_and_given_values_replaced_besides(run: Path, how: dict[str, Any]) -> None:
    x = np.random.default_rng(3).uniform(1, 9, (LENGTH, 2))
    x[3:5] = np.nan
    soft, hard = (Model(run).impute(x, 3, hard=hard, steps=4, device="cpu", **how).paths for hard in (None, True))
    assert np.isfinite(soft).all()
    np.testing.assert_array_equal(hard[0, :, 0], np.tile(x[0], (3, 1)))
    assert not np.allclose(soft, hard)


def test_the_command_records_how_values_are_observed(run: Path, holes: Path, tmp_path: Path) -> None:
    words = ["impute", str(run), "--data", str(holes), "--num", "3", "--steps", "2", *CPU_ONLY, "--way", "self"]
    words += ["--potential", "quantile", "--levels", "random", "--hard", "--way-arg", "weight=3"]
    assert main([*words, "--out", str(tmp_path / "f.csv")]) == 0
    summary = json.loads((tmp_path / "f.csv.json").read_text())
    wanted = {"way": "self", "way_arguments": {"weight": "3"}, "potential": "quantile", "std": 1.0, "levels": "random"}
    for part in (summary, summary["request"]):
        assert {name: part[name] for name in (*wanted, "hard")} == {**wanted, "hard": True}


def test_particles_of_another_guide_compete_within_an_item_only() -> None:
    (base, *_), guide = gaussian(), Particles(Reward(lambda state: 20 * state["x"].mean((1, 2))), "plain")
    settings = Settings("ddpm", 40, precision="64-true")
    diffusion = Diffusion(base.system, SeriesDomain(), record(), settings, [guide])
    histories = np.stack([np.full((5, 2), -0.5), np.full((5, 2), 0.5)])
    items = SeriesDomain().open_items(Task("forecast", histories, {"horizon": 3}), record())
    low, high = Completer(diffusion, items, 20, MOMENTS).completed(CPU)
    assert low.sampled.mean() < 0 < 0.2 < high.sampled.mean()
    assert guide.groups is None


def test_gradients_in_bfloat16_are_warned_of(run: Path) -> None:
    x = np.full((LENGTH, 2), 5.0)
    with pytest.warns(InputWarning, match="drown in rounding"):
        Model(run).completer(Task("forecast", x, {"horizon": 2}), 2, precision="bf16-mixed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        observe = Observe("replacement")
        Model(run).completer(Task("forecast", x, {"horizon": 2}), 2, observe=observe, precision="bf16-mixed")


def test_values_outside_of_the_range_are_told_once(run: Path) -> None:
    x = np.full((LENGTH, 2), 5.0)
    x[2, 1] = 30.0
    with pytest.warns(InputWarning, match=r"'b' \(0 to 10\)") as told:
        Model(run).forecast(x, horizon=2, num=2, steps=2, device="cpu")
    assert len(told) == 1
    with pytest.warns(InputWarning, match="3 rows of history, a window takes 6"):
        Model(run).forecast(x[:3] * 0 + 1, horizon=2, num=2, steps=2, device="cpu")


@pytest.mark.parametrize("rows", [5, 8, 30])
def test_windows_cover_every_missing_row_once_and_in_order(rows: int) -> None:
    missing = np.random.default_rng(rows).random(rows) < 0.4
    missing[0] = True
    plan = gap_plan(missing, LENGTH)
    filled = np.zeros(rows, dtype=int)
    for stretch in plan:
        filled[stretch.first : stretch.last] += 1
        assert stretch.start <= stretch.first < stretch.last <= stretch.start + LENGTH
        assert rows < LENGTH or 0 <= stretch.start <= rows - LENGTH
    assert (filled[missing] == 1).all()
    for number, stretch in enumerate(plan):
        for other in plan[:number]:
            if other.last > stretch.start and other.first < stretch.start + LENGTH:
                assert other.round < stretch.round


def test_far_gaps_share_a_round_and_near_ones_do_not() -> None:
    missing = np.zeros(60, dtype=bool)
    missing[[5, 30, 55]] = True
    assert [s.round for s in gap_plan(missing, LENGTH)] == [0, 0, 0]
    assert [s.start for s in gap_plan(missing, LENGTH)] == [1, 26, 51]
    missing[30:45] = True
    assert [s.round for s in gap_plan(missing, LENGTH)] == [0, 0, 1, 2, 0]
    assert [(s.start, s.first, s.last) for s in gap_plan(np.ones(LENGTH, dtype=bool), LENGTH)] == [(0, 0, LENGTH)]
    # 8 rows at each end need context on one side only, those between on both.
    assert [(s.first, s.last) for s in gap_plan(np.ones(22, dtype=bool), LENGTH)] == [
        (0, 7),
        (7, 13),
        (13, 19),
        (19, 22),
    ]
    assert [(s.start, s.first, s.last) for s in tail_plan(20, 3, LENGTH)] == [(12, 17, 20)]
    assert [s.start for s in window_plan(20, LENGTH)] == [0, 8]


def test_filled_cells_pass_through_shards() -> None:
    filled = Filled((np.arange(6.0).reshape(2, 3), np.zeros((2, 0)), np.ones((2, 1))))
    again = Filled.from_arrays(filled.arrays())
    assert len(again) == 6
    assert filled.counts() == {"items": 3, "filled": 4}
    for one, other in zip(filled.cells, again.cells, strict=True):
        np.testing.assert_array_equal(one, other)


def test_times_go_on_as_far_as_they_can_be_told() -> None:
    days = ["2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12", "2024-03-13", "2024-03-14", "2024-03-15"]
    assert later(days, 9)[7:] == ["2024-03-18", "2024-03-19"]
    assert later(["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00"], 4)[3:] == ["2024-01-01 03:00:00"]
    assert later(["2024-01-31", "2024-02-29", "2024-03-31"], 4)[3:] == ["2024-04-30"]
    assert later(["2024-01-05", "2024-02-05", "2024-03-05"], 4)[3:] == ["2024-04-05"]
    assert later([1990, 1991], 4) == [1990, 1991, 1992, 1993]
    assert later(["soon", "later"], 3) == ["soon", "later", ""]
    assert later(["2024-01-01", "2024-01-03", "2024-01-31"], 4)[3] == ""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_make_the_same_bytes(run: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(4).uniform(1, 9, (6, 12, 2))
    np.savez(tmp_path / "x.npz", x=x)
    words = ["forecast", str(run), "--data", str(tmp_path / "x.npz"), "--num", "4", "--chunk-size", "8", "--steps", "3"]
    for devices in ("1", "2"):
        out = tmp_path / f"{devices}.csv"
        assert main([*words, "--out", str(out), *CPU_ONLY, "--devices", devices]) == 0
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


def test_nothing_warns_where_nothing_is_wrong(run: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Model(run).impute(np.where(np.arange(32).reshape(16, 2) == 9, np.nan, 5.0), 2, steps=2, device="cpu")


def test_a_run_between_two_sets_of_data_is_refused() -> None:
    diffusion, *_ = gaussian()
    diffusion.system = System(
        {"x": Component(Bridge(LinearInterpolant(Zero())), Masked(), "velocity")}, diffusion.system.network
    )
    items = SeriesDomain().open_items(Task("forecast", np.zeros((LENGTH, 2))), record())
    with pytest.raises(InputError, match="cannot be held to observations; take a run that starts from noise"):
        Completer(diffusion, items, 2)


def test_a_way_that_cannot_observe_is_refused(run: Path) -> None:
    x = np.full((LENGTH, 2), 5.0)
    with pytest.raises(InputError, match="unknown way to use observations 'refine'"):
        Model(run).forecast(x, horizon=2, way="refine", device="cpu")
    with pytest.raises(InputError, match="one path is no set of particles"):
        Model(run).forecast(x, horizon=2, num=1, way="particles", device="cpu")
