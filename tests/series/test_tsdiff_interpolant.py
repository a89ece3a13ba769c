"""Forecasts as interpolants: the base follows from the condition alone, runs train on panels and sample, bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorefield.core.checkpoints import load_system
from scorefield.core.cli.main import main
from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.experiment import Experiment
from scorefield.core.fitting import train
from scorefield.core.interpolants.couplings import Independent
from scorefield.core.interpolants.interpolant import interpolant_named
from scorefield.core.interpolants.objectives import InterpolantMatching
from scorefield.core.interpolants.preconditioning import EndsNetwork
from scorefield.core.interpolants.sampling import Transport
from scorefield.core.interpolants.system import InterpolantSystem
from scorefield.core.noise import Seeded
from scorefield.core.sampling import sample
from scorefield.core.state import State
from scorefield.core.system import Network
from scorefield.domains.series.forecasters import RepeatedSeason
from scorefield.domains.series.tsdiff.encoding import WindowPlan, features
from scorefield.domains.series.tsdiff.interpolant import InterpolantTSDiff
from scorefield.domains.series.tsdiff.network import GIVEN
from scorefield.domains.series.tsdiff.panel_files import PanelFile, write_panel
from scorefield.domains.series.tsdiff.seasonal import ForecastSteps, SeasonalBase
from tests.series.small_panels import ready, waves

SIZES = {"length": 30, "features": 1, "given": 2, "context": 22, "season": 6}
SMALL: dict[str, Any] = {"width": 8, "blocks": 1, "embedding": 8, "states": 8}


def histories(rows: int, steps: int, missing: float, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    generator = np.random.default_rng(seed)
    values = 3 + np.sin(np.arange(steps)) + generator.normal(0, 0.5, (rows, steps))
    values[generator.random((rows, steps)) < missing] = np.nan
    return values


def conditioned(values: Any, prediction: int, lags: tuple[int, ...] = ()) -> tuple[State, Any]:
    """A state that is given stretches `[B, T]` up to their last `prediction` values, and the scales."""
    history = max(lags, default=0)
    plan = WindowPlan(values.shape[1] - prediction - history, prediction, lags)
    seen = features(values, plan, 1.0)
    x = torch.zeros(len(values), plan.length, 1, dtype=torch.float64)
    return State({"x": x}, {}, {GIVEN: torch.from_numpy(seen.x)}), seen.scale


def built(**options: Any) -> InterpolantSystem:
    torch.manual_seed(0)
    system = InterpolantTSDiff(**{**SMALL, **options}).build(SIZES)
    assert isinstance(system, InterpolantSystem)
    return system


class Silent(Network):
    """Says nothing."""

    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"x": torch.zeros_like(state["x"])}


# The base


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.sampled_from([0.0, 0.3, 0.8]), st.integers(0, 99))
def test_its_mean_is_the_seasonal_naive_forecast(context: int, season: int, missing: float, seed: int) -> None:
    values = histories(4, context + 7, missing, seed)
    state, scale = conditioned(values, 7)
    mean, size = SeasonalBase(context, season).moments(state)["x"]
    expected = RepeatedSeason(season).forecast(values[:, :context], 7)
    np.testing.assert_allclose(mean[:, context:, 0].numpy() * scale[:, None], expected, atol=1e-12)
    assert (mean[:, :context] == 0).all()
    assert bool((size > 0).all())
    assert size.shape == (4, 1, 1)


def test_its_deviation_is_the_seasonal_error_of_the_context() -> None:
    values = histories(3, 40, 0.2)
    state, scale = conditioned(values, 8)
    size = SeasonalBase(32, 6, jitter=2.0, floor=0.1).moments(state)["x"][1]
    error = np.nanmean(np.abs(values[:, 6:32] - values[:, :26]), 1) / scale
    np.testing.assert_allclose(size[:, 0, 0].numpy(), 2 * (error + 0.1), rtol=1e-12)
    still, _ = conditioned(np.full((1, 40), 7.0), 8)
    assert float(SeasonalBase(32, 6, jitter=2.0, floor=0.1).moments(still)["x"][1]) == pytest.approx(0.2)


def test_contexts_that_say_nothing_have_a_base_too() -> None:
    unknown = np.full((2, 40), np.nan)
    unknown[1, 30] = 5.0  # a single value, and no season
    state, _ = conditioned(unknown, 8)
    base = SeasonalBase(32, 6, jitter=1.0, floor=0.01)
    mean, size = base.moments(state)["x"]
    assert torch.equal(mean[0], torch.zeros_like(mean[0]))
    torch.testing.assert_close(mean[1, 32:, 0], torch.ones(8, dtype=torch.float64))
    torch.testing.assert_close(size[:, 0, 0], torch.tensor([0.01, 1.01], dtype=torch.float64))
    assert bool(base.features(state).isfinite().all())


def test_draws_have_the_mean_and_deviation_and_are_zero_in_the_context() -> None:
    state, _ = conditioned(histories(1, 30, 0.0), 8)
    rows = state.rows(torch.zeros(4000, dtype=torch.int64))
    system = built().double()
    x = system.prior(rows, Seeded(0))["x"]
    mean, size = system.moments(state)["x"]
    assert (x[:, :22] == 0).all()
    torch.testing.assert_close(x.mean(0)[22:], mean[0, 22:], atol=0.1 * float(size), rtol=0)
    torch.testing.assert_close((x - mean)[:, 22:].std(), size.squeeze(), atol=0, rtol=0.02)


@pytest.mark.parametrize("lags", [(), (3, 20)])
def test_nothing_of_the_truth_enters(lags: tuple[int, ...]) -> None:
    values = histories(3, 30 + max(lags, default=0), 0.1)
    changed = values.copy()
    changed[:, -8:] = 1e6
    (state, _), (other, _) = conditioned(values, 8, lags), conditioned(changed, 8, lags)
    base = SeasonalBase(22, 6)
    for found, expected in zip(base.moments(state)["x"], base.moments(other)["x"], strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(base.features(state), base.features(other))
    assert base.features(state).shape[-1] == base.width(2 + len(lags))
    # What stands in x where the truth would be makes no difference either.
    filled = state.replace({"x": torch.randn_like(state["x"])})
    assert torch.equal(base.draw(filled, Seeded(3))["x"], base.draw(state, Seeded(3))["x"])
    assert torch.equal(base.features(filled), base.features(state))


def test_features_of_a_season_that_repeats_are_quiet() -> None:
    """Differences vanish, whatever the level: what is left is the course, what is known, and the deviation."""
    wave = np.tile(np.sin(2 * np.pi * np.arange(6) / 6), 5)[None] + 4
    small, _ = conditioned(wave, 8)
    large, _ = conditioned(1000 * wave, 8)
    base = SeasonalBase(22, 6)
    found = base.features(small)
    torch.testing.assert_close(found, base.features(large))
    torch.testing.assert_close(found[..., 2:-1], torch.zeros_like(found[..., 2:-1]), atol=1e-12, rtol=0)
    torch.testing.assert_close(found[:, 6:, 0], found[:, :-6, 0], atol=1e-12, rtol=0)
    assert (found[0, :, 1] == (torch.arange(30) < 22)).all()


# The network around it


def test_a_network_that_says_nothing_leaves_the_base_as_it_is() -> None:
    state, _ = conditioned(histories(5, 30, 0.0), 8)
    for kind in ("linear", "trigonometric"):
        system = built(interpolant=kind).double()
        system.network.trunk = Silent()
        begin = system.prior(state, Seeded(1))["x"]
        coarse, fine = (
            sample(system, state, Transport(n, "heun", grid="cosine"), Seeded(1)).state["x"] for n in (20, 80)
        )
        assert float((fine - begin).abs().max()) < 0.02 * float(begin[:, 22:].std())
        assert float((fine - begin).abs().max()) < float((coarse - begin).abs().max())
        assert (fine[:, :22] == 0).all()


def test_predictions_are_those_of_independent_ends() -> None:
    """With equal Gaussian ends the silent network's target is E[x_1 | x_r], by the covariance of x_1 and x_r."""
    state, _ = conditioned(histories(2, 30, 0.0), 8)
    base = SeasonalBase(22, 6)
    network = EndsNetwork(Silent(), interpolant_named("linear", "zero"), moments=base.moments)
    mean, _ = base.moments(state)["x"]
    for r in (0.0, 0.3, 0.9, 1.0):
        x = torch.randn_like(state["x"])
        found = network(state.replace({"x": x}), torch.full((2,), 1 - r, dtype=torch.float64))["x"]
        torch.testing.assert_close(found, mean + r / ((1 - r) ** 2 + r**2) * (x - mean))
    raw = EndsNetwork(Silent(), interpolant_named("linear", "zero"), data_std=0.5, bounds=(-0.1, 0.1)).eval()
    found = raw(state.replace({"x": x}), torch.full((2,), 0.5, dtype=torch.float64))["x"]
    torch.testing.assert_close(found, x.clamp(-0.1, 0.1))
    with pytest.raises(InputError, match="data_std is 0"):
        EndsNetwork(Silent(), interpolant_named("linear", "zero"), data_std=0.0)


def test_every_time_and_series_counts_alike() -> None:
    """For a truth drawn as the base is, the silent network's balanced loss is 1, at any time and of any size."""
    values = histories(400, 30, 0.0) * np.random.default_rng(1).uniform(0.2, 1, (400, 1)) + 5
    state, _ = conditioned(values, 8)
    system = built().double()
    system.network.trunk = Silent()
    truth = state.replace(system.source(state, ["x"], Seeded(9)))
    streams = SampleStreams(400, "losses")
    for margin in ((0.05, 0.01), (0.45, 0.45)):
        objective = InterpolantMatching(
            Independent(), antithetic=False, weighting="balanced", data_std=1.0, times="logit", margin=margin
        )
        loss = objective.losses(system, truth, objective.draw(system, truth, streams))["x_target"]
        assert float(loss) == pytest.approx(1, abs=0.1)
    plain = InterpolantMatching(Independent(), antithetic=False, times="uniform")
    assert float(plain.losses(system, truth, plain.draw(system, truth, streams))["x_target"]) < 0.1


def test_only_steps_of_the_forecast_are_free() -> None:
    space, like = ForecastSteps(22), torch.ones(3, 30, 2)
    assert space.dimension(like, {}).tolist() == [16, 16, 16]
    projected = space.project(like, {})
    assert (projected[:, :22] == 0).all()
    assert (projected[:, 22:] == 1).all()
    assert torch.equal(space.project(projected, {}), projected)
    noise = space.noise(like, {}, Seeded(0))
    assert (noise[:, :22] == 0).all()
    assert bool((noise[:, 22:] != 0).all())


# Runs


def configuration(path: Path, **recipe: Any) -> dict[str, Any]:
    place = "scorefield.core.interpolants"
    options = {"context": 24, "prediction": 6, "lags": "none", "batch_size": 16, "epoch_batches": 20}
    data = "scorefield.domains.series.tsdiff.panel_data.PanelData"
    system = "scorefield.domains.series.tsdiff.interpolant.InterpolantTSDiff"
    return {
        "model": {
            "system": {"class_path": system, "init_args": {**SMALL, "width": 16, "season": 6, **recipe}},
            "objective": {
                "class_path": f"{place}.objectives.InterpolantMatching",
                "init_args": {
                    "coupling": {"class_path": f"{place}.couplings.Independent"}, "antithetic": False,
                    "weighting": "balanced", "data_std": 1.0, "times": "logit", "margin": [0.05, 0.01],
                },
            },
            "optimizer": "adam", "lr": 0.01, "ema_decay": 0.9,
        },
        "data": {"class_path": data, "init_args": {"path": str(path), **options, "conditional": True}},
        "trainer": {"max_epochs": 3, "accelerator": "cpu", "enable_progress_bar": False},
    }  # fmt: skip


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("panels") / "waves.npz"
    write_panel(PanelFile(waves(4, 120)), path)
    return path


@pytest.fixture(scope="module")
def run(panel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = Experiment.from_dict(configuration(panel))
    return train(tree, name="run", out=tmp_path_factory.mktemp("runs") / "run")


def test_training_lowers_the_loss(run: Path) -> None:
    losses = pd.read_csv(run / "metrics.csv")["val_loss_x_target"].dropna()
    assert losses.iloc[-1] < 0.7 * losses.iloc[0]


def test_a_run_forecasts_better_than_the_season(run: Path, panel: Path) -> None:
    data = ready(panel, context=24, prediction=6, conditional=True)
    assert data.test is not None
    recent, truth = data.test.recent(24), data.test.truth()
    values = np.concatenate([recent, np.full((4, 6), np.nan)], 1)
    state, scale = conditioned(values, 6)
    system = load_system(run, "ema")
    rows = state.to(dtype=torch.float32).rows(torch.arange(4).repeat_interleave(20))
    solver = Transport(10, "euler", grid="cosine")
    found, again = (sample(system, rows, solver, Seeded(0)).state["x"] for _ in range(2))
    assert torch.equal(found, again)
    paths = found[:, 24:, 0].reshape(4, 20, 6).double().numpy() * scale[:, None, None]
    error = np.abs(np.median(paths, 1) - truth).mean()
    assert error < 0.7 * np.abs(RepeatedSeason(6).forecast(recent, 6) - truth).mean()


def test_the_command_forecasts_with_it(run: Path, panel: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.npz"
    assert main(["forecast", str(run), "--data", str(panel), "--num", "20", "--out", str(out), "--holdout"]) == 0
    summary = json.loads(Path(f"{out}.json").read_text())
    assert (summary["solver"], summary["steps"], summary["evaluations"]) == ("transport", 10, 20)
    assert np.load(out)["paths"].shape[1] == 20
    assert main(["sample", str(run), "--num", "4", "--out", str(tmp_path / "s.npz")]) == 2


def test_a_resumed_run_is_the_whole_one(run: Path, panel: Path, tmp_path: Path) -> None:
    tree = configuration(panel)
    tree["trainer"]["max_epochs"] = 2
    part = train(Experiment.from_dict(tree), name="run", out=tmp_path / "part")
    train(Experiment.from_dict(configuration(panel)), name="run", resume=part)
    assert (part / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


# Bad input


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data.conditional=false"], r"starts from a context; give data.conditional=true"),
        (["--model.system.interpolant=liner"], r"interpolant.*'liner'|liner"),
        (["--model.system.jitter=0"], r"jitter is 0; give a positive number"),
        (["--model.system.season=0"], r"season is 0; give at least 1"),
        (["--model.system.width=0"], r"width is 0; give at least 1"),
    ],
)
def test_bad_input_ends_with_one_line(
    panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    options: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    sizes = ["--data.context=24", "--data.prediction=6", f"--data.path={panel}"]
    assert main(["fit", "--config", "series/m4_hourly_interpolant", *sizes, *options]) == 2
    assert re.search(words, capsys.readouterr().err.strip().splitlines()[-1])
    assert not Path("runs").exists()


def test_states_without_a_context_are_refused() -> None:
    system = built()
    state = State({"x": torch.zeros(2, 30, 1)})
    with pytest.raises(InputError, match="forecasts what is given, and nothing is"):
        system.prior(state, Seeded(0))
    for shape in ((2, 29, 2), (1, 30, 2)):
        with pytest.raises(InputError, match="22 steps of context"):
            system.prior(State(state.components, {}, {GIVEN: torch.zeros(shape)}), Seeded(0))
    with pytest.raises(InputError, match="starts from a context"):
        InterpolantTSDiff(**SMALL).build({"length": 30, "features": 1})
