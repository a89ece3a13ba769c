"""Refinement of base forecasts: what holds for arrays, how bases are read, and the command on a small run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from scorefield.core.cli.main import main
from scorefield.core.completion import Task
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.guidance.refine import Refinement, regularisation
from scorefield.core.model import Model
from scorefield.core.noise import Seeded
from scorefield.core.refiner import refiner_of
from scorefield.core.state import State
from scorefield.core.system import System
from scorefield.domains.series.domain import SeriesDomain
from scorefield.domains.series.forecasters import RepeatedSeason
from scorefield.domains.series.tsdiff.base_forecasts import Wanted, read_base
from scorefield.domains.series.tsdiff.encoding import WindowPlan
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panels import Panel
from scorefield.domains.series.tsdiff.recipe import TSDiff
from scorefield.domains.series.tsdiff.refining import as_quantiles, refinable, refine_paths
from tests.series.small_panels import panel_run, table_of

PLAN = WindowPlan(8, 4, (3,))
CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def system() -> System:
    torch.manual_seed(0)
    recipe = TSDiff(width=8, blocks=2, embedding=8, states=8, num_steps=10)
    return recipe.build({"length": 12, "features": 2}).double().requires_grad_(False).eval()


@pytest.fixture
def values() -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(5, 1, (3, 11))


@pytest.fixture
def base() -> NDArray[np.float64]:
    return np.random.default_rng(1).normal(5, 1, (3, 6, 4))


# Arrays


def test_levels_of_a_base(base: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(as_quantiles(base, 6), np.sort(base, 1))
    np.testing.assert_allclose(as_quantiles(base[:, :1], 5), np.repeat(base[:, :1], 5, 1))
    middle = as_quantiles(base, 1)
    np.testing.assert_allclose(middle[:, 0], np.median(base, 1))
    many = as_quantiles(base, 50)
    assert many.shape == (3, 50, 4)
    np.testing.assert_allclose(many[:, [0, -1]], np.sort(base, 1)[:, [0, -1]])
    with pytest.raises(InputError, match="0 paths"):
        as_quantiles(base, 0)


def test_what_samples_start_from_and_are_held_to(values: NDArray[np.float64], base: NDArray[np.float64]) -> None:
    values[1, 5] = np.nan
    start = refinable(values, base, PLAN, 1.0, 6, "observed")
    scale = np.abs(values[0, 3:]).mean()
    np.testing.assert_allclose(start.x[:6, :8, 0], np.tile(values[0, 3:] / scale, (6, 1)))
    np.testing.assert_allclose(start.x[:6, 8:, 0] * scale, np.sort(base[0], 0))
    assert np.isnan(start.seen[:, 8:, 0]).all()
    # The lag channel repeats the series 3 steps earlier: its last value lies in the forecast.
    np.testing.assert_allclose(start.x[0, :11, 1], values[0, :11] / scale)
    assert (start.x[:, 11, 1] == 0).all()
    assert np.isnan(start.seen[:, 11, 1]).all()
    assert np.isnan(start.seen[6:12, 2, 0]).all()
    assert np.isnan(start.seen[6:12, 5, 1]).all()
    whole = refinable(values, base, PLAN, 1.0, 6, "all")
    np.testing.assert_allclose(whole.seen[:6, 8:, 0], start.x[:6, 8:, 0])
    assert np.isnan(whole.seen[:, 11, 1]).all()
    np.testing.assert_allclose(start.paths(start.x), np.sort(base, 1))
    with pytest.raises(InputError, match=r"give \[series, paths, 4\]"):
        refinable(values, base[:, :, :3], PLAN, 1.0, 6, "all")
    base[2, 1, 3] = np.nan
    with pytest.raises(InputError, match="nan in base forecast 2, path 1, step 3"):
        refinable(values, base, PLAN, 1.0, 6, "all")


def test_a_weight_without_end_keeps_the_base(
    system: System, values: NDArray[np.float64], base: NDArray[np.float64]
) -> None:
    """Steps of the squares alone shrink what is off by 1 - 2 eta lambda; with that 0 only the model's part is left."""
    settings = Refinement(0.5, 5, 1e-6, "likelihood", weight=5e5)
    arguments = {"fallback": 1.0, "paths": 6, "potential": "gaussian", "held": "all"}
    kept = refine_paths(system, values, base, PLAN, Seeded(0), settings, **arguments)  # type: ignore[arg-type]
    np.testing.assert_allclose(kept, np.sort(base, 1), atol=1e-3)
    free = refine_paths(system, values, base, PLAN, Seeded(0), Refinement(0.5, 5, 0.1, "likelihood"), paths=6)
    assert np.abs(free - np.sort(base, 1)).max() > 0.01


def test_likelihood_is_langevin_without_noise_and_rows_are_their_own(
    system: System, values: NDArray[np.float64], base: NDArray[np.float64]
) -> None:
    def refined(base: NDArray[np.float64], **settings: object) -> NDArray[np.float64]:
        made = Refinement(0.5, 1, 0.1, **settings)  # type: ignore[arg-type]
        return refine_paths(system, values, base, PLAN, Seeded(0), made, paths=6)

    # One step: the second draw of Langevin moves nothing.
    np.testing.assert_array_equal(refined(base, method="likelihood"), refined(base, noise_scale=0.0))
    other = base.copy()
    other[1:] += 1
    assert np.array_equal(refined(base)[0], refined(other)[0])
    assert not np.array_equal(refined(base)[1], refined(other)[1])


def test_nothing_observed_is_no_regularisation(system: System) -> None:
    state = State({"x": torch.zeros(2, 12, 2)}, {}, {"observed_x": torch.full((2, 12, 2), math.nan)})
    assert regularisation(system, state, "gaussian") is None
    with pytest.raises(InputError, match="unknown potential of refinement 'gausian'; did you mean 'gaussian'"):
        regularisation(system, state, "gausian")  # type: ignore[arg-type]


# Bases in files

TIMES = pd.date_range("2024-01-02", periods=2, freq="h")
WANTED = [Wanted("a", 24, TIMES), Wanted("b", 24, TIMES)]


def table() -> pd.DataFrame:
    return pd.DataFrame({"item_id": ["b", "b", "a", "a"], "timestamp": [*TIMES, *TIMES], "mean": [3.0, 4.0, 1.0, 2.0]})


def written(folder: Path, frame: pd.DataFrame, name: str = "base.csv") -> Path:
    frame.to_parquet(folder / name) if name.endswith("parquet") else frame.to_csv(folder / name, index=False)
    return folder / name


def test_columns_of_bases(tmp_path: Path) -> None:
    frame = table()
    mean = [[[1.0, 2.0]], [[3.0, 4.0]]]
    for name in ("base.csv", "base.parquet"):
        np.testing.assert_array_equal(read_base(written(tmp_path, frame, name), WANTED, 2), mean)
    steps = frame.drop(columns="timestamp").assign(step=[24, 25, 24, 25])
    plain = [Wanted("a", 24), Wanted("b", 24)]
    np.testing.assert_array_equal(read_base(written(tmp_path, steps), plain, 2), mean)
    np.testing.assert_array_equal(read_base(written(tmp_path, steps.drop(columns="step")), plain, 2), mean)
    paths = frame.assign(path10=frame["mean"] + 10, path2=frame["mean"] + 2)
    np.testing.assert_array_equal(read_base(written(tmp_path, paths), WANTED, 2)[0], [[3.0, 4.0], [11.0, 12.0]])
    levels = {f"q0.{k}": frame["mean"] + k for k in range(1, 10)}
    found = read_base(written(tmp_path, frame.assign(**levels)), WANTED, 2)
    np.testing.assert_allclose(found[0], np.arange(1, 10)[:, None] + [1.0, 2.0])
    few = read_base(written(tmp_path, frame.assign(**{"q0.1": frame["mean"], "q0.9": frame["mean"] + 8})), WANTED, 2)
    np.testing.assert_allclose(few, found - 1)
    long = pd.concat([frame.assign(sample=k, value=frame["mean"] + k) for k in (0, 1)]).drop(columns="mean")
    np.testing.assert_array_equal(read_base(written(tmp_path, long), WANTED, 2)[1], [[3.0, 4.0], [4.0, 5.0]])
    one = frame[frame["item_id"] == "a"].drop(columns="item_id")
    np.testing.assert_array_equal(read_base(written(tmp_path, one), WANTED[:1], 2), mean[:1])
    with pytest.warns(InputWarning, match="1 series of the base are not in the history and are passed over, as b"):
        read_base(written(tmp_path, frame), WANTED[:1], 2)


def test_archives(tmp_path: Path) -> None:
    paths = np.arange(12.0).reshape(2, 3, 2)
    np.savez(tmp_path / "plain.npz", paths=paths)
    np.testing.assert_array_equal(read_base(tmp_path / "plain.npz", WANTED, 2), paths)
    np.savez(tmp_path / "named.npz", paths=paths[..., None], series=np.array(["b", "a"]), first_step=[24, 24])
    np.testing.assert_array_equal(read_base(tmp_path / "named.npz", WANTED, 2), paths[::-1])
    with pytest.raises(InputError, match="no forecast of series a from step 25 on"):
        read_base(tmp_path / "named.npz", [Wanted("a", 25)], 2)
    with pytest.raises(InputError, match="2 forecasts, the history asks for 1"):
        read_base(tmp_path / "plain.npz", WANTED[:1], 2)
    with pytest.raises(InputError, match=r"give \[2, S, 3\]"):
        read_base(tmp_path / "plain.npz", WANTED, 3)


def cell(frame: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    changed = frame.astype({column: object})
    changed.loc[row, column] = value
    return changed


BAD: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "entry": (lambda f: f[f["item_id"] == "a"], "base.csv: no forecast of series b; forecast all of the history"),
    "times": (
        lambda f: cell(f, 0, "timestamp", "2024-01-03 00:00"),
        "base.csv: series b: no forecast of 2024-01-02 00:00:00; forecast the 2 steps after the history, from",
    ),
    "short": (lambda f: f.iloc[[0, 2, 3]], "base.csv: series b: no forecast of 2024-01-02 01:00:00"),
    "long": (
        lambda f: pd.concat([f, cell(f.iloc[:1], 0, "timestamp", "2024-01-02 02:00")]),
        r"base.csv: row 5 \(line 6\), 'timestamp': is none of the 2 steps after the history",
    ),
    "nan": (lambda f: cell(f, 1, "mean", "nan"), r"base.csv: row 2 \(line 3\), 'mean': 'nan' is not a finite"),
    "text": (lambda f: cell(f, 1, "mean", "high"), r"row 2 \(line 3\), 'mean': 'high' is not"),
    "twice": (lambda f: pd.concat([f, f.iloc[:1]]), r"row 5 \(line 6\), 'timestamp': series b has this time twice"),
    "no time": (lambda f: cell(f, 3, "timestamp", "soon"), r"row 4 \(line 5\), 'timestamp': 'soon' is no such time"),
    "zone": (lambda f: cell(f, 0, "timestamp", "2024-01-02 00:00+02:00"), "without a zone"),
    "columns": (lambda f: f.rename(columns={"mean": "guess"}), "row 1: no column holds forecasts; name them path0"),
    "items": (lambda f: f.drop(columns="item_id"), "row 1: no column tells series apart; add a column item_id"),
    "empty": (lambda f: f.iloc[:0], "base.csv: holds no forecast"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_bases(tmp_path: Path, name: str) -> None:
    change, message = BAD[name]
    with pytest.raises(InputError, match=message):
        read_base(written(tmp_path, change(table())), WANTED, 2)


def test_samples_that_lack_a_time(tmp_path: Path) -> None:
    frame = table()
    long = pd.concat([frame.assign(sample=k, value=frame["mean"]) for k in (0, 1)]).drop(columns="mean")
    with pytest.raises(InputError, match="series b has no value in sample 1"):
        read_base(written(tmp_path, long.drop(index=0).iloc[[0, 1, 2, 4, 5]]), WANTED, 2)


# The command


def panel(number: int = 12, length: int = 48) -> Panel:
    steps = np.arange(length)
    noise = np.random.default_rng(0).normal(0, 0.1, (number, length))
    series = list((1 + np.arange(number)[:, None]) * (2 + np.sin(steps * np.pi / 3) + noise))
    starts = [pd.Timestamp("2024-01-01")] * number
    return Panel.of(series, [f"s{k}" for k in range(number)], starts, Frequency.parse("h"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return panel_run(tmp_path_factory.mktemp("refine"), panel(), (3,))


@pytest.fixture
def history(tmp_path: Path) -> Path:
    frame = table_of(panel(3))
    frame.to_csv(tmp_path / "history.csv", index=False)
    return tmp_path / "history.csv"


def refine(run: Path, history: Path, base: str | Path, out: Path, *options: str) -> int:
    words = ["refine", str(run), "--data", str(history), "--forecast", str(base), "--out", str(out), "--num", "6"]
    return main([*words, "--steps", "3", *CPU, *options])


@pytest.mark.parametrize("base", ["seasonal-naive", "ridge", "recurrent"])
def test_named_bases(
    run: Path, history: Path, tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "scorefield.domains.series.recurrent_forecaster.Training.__init__.__defaults__", (20, 8, 2e-3, 4)
    )
    out = tmp_path / "out.csv"
    assert refine(run, history, base, out, "--holdout", "--plot") == 0
    said = json.loads((tmp_path / "out.csv.json").read_text())
    assert said["base"] == base
    assert said["base_paths"] == (100 if base == "recurrent" else 1)
    assert 0 < said["time"] <= 1
    assert {"crps", "mase", "pit"} <= said["scores"].keys() & said["base_scores"].keys()
    if base == "seasonal-naive":
        assert said["base_scores"]["crps"] == pytest.approx(said["scores"]["seasonal_naive"]["crps"])
    assert "base -> refined: CRPS" in capsys.readouterr().out
    frame = pd.read_csv(out)
    assert list(frame.columns[:4]) == ["item_id", "timestamp", "mean", "q0.1"]
    assert len(frame) == 12
    assert (tmp_path / "out.csv.png").stat().st_size > 10_000


def test_a_page_shows_calibration(run: Path, history: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert refine(run, history, "seasonal-naive", tmp_path / "out.npz", "--holdout", "--plot", str(page)) == 0
    assert page.read_text().count("data:image/svg+xml") == 2
    assert "<title>Refined forecast of history.csv: " in page.read_text()


def test_a_forecast_of_our_own_is_a_base(run: Path, history: Path, tmp_path: Path) -> None:
    words = ["forecast", str(run), "--data", str(history), "--num", "6", "--steps", "3", *CPU]
    for name, options in (("f.csv", ["--paths"]), ("f.npz", []), ("q.csv", [])):
        assert main([*words, "--out", str(tmp_path / name), *options]) == 0
        assert refine(run, history, tmp_path / name, tmp_path / f"refined-{name}", "--paths") == 0
    one, other = pd.read_csv(tmp_path / "refined-f.csv"), np.load(tmp_path / "refined-f.npz")
    paths = one[[f"path{k}" for k in range(6)]].to_numpy().reshape(3, 4, 6).transpose(0, 2, 1)
    np.testing.assert_allclose(paths, other["paths"][..., 0], rtol=1e-6)


def test_results_depend_on_seed_and_base_and_on_nothing_else(run: Path, history: Path, tmp_path: Path) -> None:
    first = tmp_path / "a.csv"
    assert refine(run, history, "seasonal-naive", first) == 0
    content = first.read_bytes()
    assert refine(run, history, "seasonal-naive", tmp_path / "b.csv") == 0
    assert (tmp_path / "b.csv").read_bytes() == content
    assert refine(run, history, "seasonal-naive", tmp_path / "c.csv", "--seed", "1") == 0
    assert (tmp_path / "c.csv").read_bytes() != content
    frame = table_of(panel(3))
    naive = np.concatenate([RepeatedSeason(6).forecast(panel(3).series(k)[None], 4)[0] for k in range(3)])
    times = [
        t for _, part in frame.groupby("item_id") for t in part["timestamp"].iloc[-1] + TIMES.freq * np.arange(1, 5)
    ]
    base = pd.DataFrame({"item_id": frame["item_id"].drop_duplicates().repeat(4), "timestamp": times, "mean": naive})
    assert refine(run, history, written(tmp_path, base), tmp_path / "d.csv") == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "d.csv"), pd.read_csv(first))


def test_the_run_needs_its_data_for_fitted_bases_only(run: Path, history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip # noqa: E501
    data = run.parent / "panel.jsonl"
    moved = data.rename(tmp_path / "elsewhere.jsonl")
    try:
        assert refine(run, history, "seasonal-naive", tmp_path / "a.csv") == 0
        capsys.readouterr()
        assert refine(run, history, "ridge", tmp_path / "b.csv") == 2
        error = capsys.readouterr().err
        assert "panel.jsonl" in error
        assert "--train" in error
        assert "--forecast in place of ridge" in error
        assert error.count("\n") == 1
        assert refine(run, history, "ridge", tmp_path / "b.csv", "--train", str(moved)) == 0
    finally:
        moved.rename(data)


def test_a_history_without_a_whole_window(run: Path, tmp_path: Path) -> None:
    frame = table_of(panel(2, 17))
    frame.to_csv(tmp_path / "short.csv", index=False)
    assert refine(run, tmp_path / "short.csv", "seasonal-naive", tmp_path / "out.csv") == 0
    assert 0 < json.loads((tmp_path / "out.csv.json").read_text())["time"] <= 1


def test_from_python(run: Path) -> None:
    base = np.stack([RepeatedSeason(6).forecast(panel(3).series(k)[None], 4) for k in range(3)])
    history = [panel(3).series(k) for k in range(3)]
    settings = Refinement(0.3, 2, method="likelihood")
    found = [
        refiner_of(Model(run), Task("refine", history, {"base": part}), 5, settings).completed(torch.device("cpu"))
        for part in (base, base[:, 0])
    ]
    assert found[0].paths.shape == (3, 5, 4, 1)
    np.testing.assert_array_equal(found[0].paths, found[1].paths)
    same = Model(run).refine(history, base, 5, settings=settings, device="cpu")
    np.testing.assert_array_equal(found[0].paths, same.paths)


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "base": (("--forecast", "naive"), "naive: neither a file nor a known base forecast; name a file, or one of"),
    "time": (("--time", "soon"), "--time: 'soon' is no time"),
    "time 0": (("--time", "0"), "refinement at t = 0"),
    "step size": (("--step-size", "-1"), "steps of -1"),
    "weight": (("--weight", "-1"), "weight -1"),
    "blown up": (
        ("--step-size", "1e6", "--potential", "gaussian", "--steps", "30"),
        "no numbers any more: take smaller steps or a lower weight",
    ),
    "suffix": (("--out", "out.png"), "is no format of series"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_wrong_usage(run: Path, history: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    options, message = WRONG[name]
    assert refine(run, history, "seasonal-naive", tmp_path / "out.csv", *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_runs_that_cannot(run: Path, tmp_path: Path) -> None:
    from scorefield.core.completion import open_items

    record = Model(run).record
    given = {**record.sizes, "given": 3}
    with pytest.raises(InputError, match="cannot refine; it can forecast"):
        open_items(SeriesDomain(), Task("refine", "x.csv", {}), type(record)(**{**vars(record), "sizes": given}))
    with pytest.raises(InputError, match="no base forecast is named"):
        open_items(SeriesDomain(), Task("refine", np.ones((1, 20)), {}), record)
    with pytest.raises(InputError, match="unknown option of refine 'bases'; did you mean 'base'"):
        open_items(SeriesDomain(), Task("refine", np.ones((1, 20)), {"bases": "ridge"}), record)
