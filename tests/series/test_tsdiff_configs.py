"""The configurations of panels: they build, the published ones say what was published, and a conditional one trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scorefield.core.checkpoints import load_system
from scorefield.core.cli.main import main
from scorefield.core.configs import packaged_configs
from scorefield.core.experiment import Experiment, build, read_experiment
from scorefield.core.module import ScoreModule
from scorefield.core.objectives import DenoisingScoreMatching
from scorefield.core.paths import EDM, DiscreteChain
from scorefield.core.state import State
from scorefield.domains.series.tsdiff.panel_data import PanelData
from scorefield.domains.series.tsdiff.published import PUBLISHED, PublishedPanelData
from scorefield.domains.series.tsdiff.recipe import TSDiff
from scorefield.domains.series.tsdiff.simulated import SimulatedPanelData, simulated_panel

SETS = {
    "solar": "solar_nips",
    "electricity": "electricity_nips",
    "traffic": "traffic_nips",
    "exchange_rate": "exchange_rate_nips",
    "m4_hourly": "m4_hourly",
    "uber_tlc_hourly": "uber_tlc_hourly",
    "kdd_cup_2018": "kdd_cup_2018_without_missing",
    "wiki2000": "wiki2000_nips",
}
SKIPPING = {"traffic", "exchange_rate", "kdd_cup_2018"}
TINY = [f"--model.system.{name}={value}" for name, value in (("width", 8), ("blocks", 1), ("states", 8))]


def opened(name: str) -> tuple[ScoreModule, Any, dict[str, Any]]:
    """The module and the data of a packaged configuration, and what it says of the trainer."""
    experiment = Experiment.from_dict(read_experiment(packaged_configs()[f"series/{name}"]))
    module = build({"class_path": "scorefield.core.module.ScoreModule", "init_args": experiment.model})
    return module, build(experiment.data), experiment.trainer


def test_the_sets_are_the_published_ones() -> None:
    assert set(SETS.values()) == set(PUBLISHED)


@pytest.mark.parametrize("short", SETS)
def test_published_recipes(short: str) -> None:
    module, data, trainer = opened(f"{short}_tsdiff_paper")
    assert isinstance(module.recipe, TSDiff)
    assert isinstance(data, PublishedPanelData)
    published = TSDiff(skip=short in SKIPPING)
    assert {**vars(module.recipe), "path": None} == {**vars(published), "path": None}
    assert isinstance(module.recipe.path, DiscreteChain)
    np.testing.assert_allclose(1 - module.recipe.path.alpha(torch.tensor([0.01])) ** 2, 1e-4, rtol=1e-3)
    objective = module.objective
    assert isinstance(objective, DenoisingScoreMatching)
    assert (objective.reduction, objective.weighting, objective.times) == ("mean", "noise", "uniform")
    assert (module.optimizer, module.adam["lr"], module.adam["weight_decay"]) == ("adam", 1e-3, 0)
    assert (module.lr_schedule, module.warmup_steps, module.clip, module.ema_decay) == ("constant", 0, 0.5, None)
    assert (data.dataset, data.holdout, data.batch_size, data.epoch_batches) == (SETS[short], 0, 64, 128)
    assert trainer["max_epochs"] == 1000


@pytest.mark.parametrize("short", SETS)
def test_own_recipes_differ_in_their_data_alone(short: str) -> None:
    module, data, trainer = opened(f"{short}_tsdiff")
    assert isinstance(module.recipe, TSDiff)
    assert isinstance(module.recipe.path, EDM)
    assert module.recipe.data_std == module.objective.data_std == 1.0
    assert (module.lr_schedule, module.ema_decay) == ("cosine", 0.999)
    assert (data.dataset, data.holdout, data.conditional) == (SETS[short], PUBLISHED[SETS[short]].prediction, False)
    assert 0 < trainer["max_epochs"] <= 100
    assert not module.recipe.build({"length": 60, "features": 3}).network.network.skip


@pytest.mark.parametrize("name", sorted(n for n in packaged_configs() if "tsdiff" in n or "seasonal" in n))
def test_each_says_in_one_line_what_it_is(name: str) -> None:
    first, *lines = packaged_configs()[name].read_text().splitlines()
    assert first.startswith("# ")
    assert max(map(len, [first, *lines])) <= 120
    assert len(lines) < 60


def test_an_own_panel_trains_with_few_words(tmp_path: Path) -> None:
    table = simulated_panel(4, 400).values.reshape(4, 400).T
    rows = [f"2024-01-{1 + k // 24:02d} {k % 24:02d}:00," + ",".join(map(str, row)) for k, row in enumerate(table)]
    (tmp_path / "own.csv").write_text("time,a,b,c,d\n" + "\n".join(rows).replace("nan", "") + "\n")
    sizes = ["--data.context=48", "--data.prediction=12", "--data.batch_size=8", "--data.epoch_batches=2"]
    command = ["fit", "--config", "series/csv_tsdiff", "--data.path", str(tmp_path / "own.csv"), *sizes, *TINY]
    assert main([*command, "--out", str(tmp_path / "run"), "--trainer.max_epochs=1"]) == 0
    assert load_system(tmp_path / "run", "ema").network.network.length == 60


def test_a_conditional_run_trains_and_sees_what_is_given(tmp_path: Path) -> None:
    stored = tmp_path / "m4.npz"
    panel = simulated_panel(4, 400)
    np.savez(stored, values=panel.values.reshape(4, 400), freq="h")
    sizes = ["--data.context=48", "--data.prediction=12", "--data.batch_size=8", "--data.epoch_batches=2"]
    command = ["fit", "--config", "series/m4_hourly_tsdiff_cond", "--data.path", str(stored), *sizes, *TINY]
    more = ["--data.lags=[6,24]", "--trainer.max_epochs=1", "--out", str(tmp_path / "run")]
    assert main([*command, *more]) == 0
    system = load_system(tmp_path / "run", "raw")
    assert system.network.network.given == 4
    data = PanelData(str(stored), context=48, prediction=12, lags=[6, 24], conditional=True, batch_size=8)
    data.setup("fit")
    state = system.state(next(iter(data.val_dataloader())))
    other = State(state.components, {}, {"given": state.condition["given"].roll(1, 0)})
    t = torch.full((len(state),), 0.5)
    assert not torch.equal(system(state, t)["x"], system(other, t)["x"])


def test_no_true_value_reaches_a_conditional_model_through_its_data(tmp_path: Path) -> None:
    """Lags of 6 and 24 would show the forecast of 30 steps to itself."""
    values = simulated_panel(3, 400).values.reshape(3, 400)
    batches = []
    for name, future in (("a", values[:, -60:-30]), ("b", 1e5 + np.zeros((3, 30)))):
        changed = values.copy()
        changed[:, -60:-30] = future  # the steps that validation forecasts
        np.savez(tmp_path / f"{name}.npz", values=changed, freq="h")
        options: dict[str, Any] = {"context": 48, "prediction": 30, "lags": [6, 24], "batch_size": 3}
        data = PanelData(str(tmp_path / f"{name}.npz"), conditional=True, **options)
        data.setup("fit")
        batches.append(next(iter(data.val_dataloader())))
    assert torch.equal(batches[0]["given"], batches[1]["given"])
    assert torch.equal(batches[0]["x"][:, :48], batches[1]["x"][:, :48])
    assert (batches[0]["x"][:, 48:] != batches[1]["x"][:, 48:]).all()


# The simulated panel


def test_the_simulated_panel_is_the_same_for_everyone() -> None:
    panel, again, other = simulated_panel(5, 400), simulated_panel(8, 400), simulated_panel(5, 400, seed=1)
    np.testing.assert_array_equal(panel.values, again.values[: 5 * 400])
    assert not np.array_equal(panel.values, other.values, equal_nan=True)
    assert bool((panel.values[~np.isnan(panel.values)] >= 0).all())
    assert len(set(panel.starts.tolist())) == 5


def test_it_has_days_weeks_and_few_missing_values() -> None:
    panel = simulated_panel(40, 1200)
    rows = np.log(np.maximum(panel.values.reshape(40, 1200), 1e-3))
    assert 0 < np.isnan(rows).mean() < 0.01
    rows = np.where(np.isnan(rows), np.nanmean(rows, 1, keepdims=True), rows)
    rows -= rows.mean(1, keepdims=True)

    def agreement(lag: int) -> float:
        return float((rows[:, lag:] * rows[:, :-lag]).mean() / (rows**2).mean())

    assert agreement(168) > agreement(24) > 0.4
    assert agreement(12) < 0.4


def test_simulated_data_need_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    data = SimulatedPanelData(number=4, length=400, context=48, prediction=12)
    data.setup("fit")
    assert data.sizes == {"length": 60, "features": 1}
    assert (data.provenance["series"], data.provenance["test"]) == (4, 4)
    assert data.provenance["licence"].startswith("none needed")
    assert data.local_files() == {}
    for options, words in ((["--data.number=0"], "number is 0"), (["--data.length=100"], "length is 100")):
        assert main(["fit", "--config", "series/seasonal_small", *options]) == 2
        assert words in capsys.readouterr().err
