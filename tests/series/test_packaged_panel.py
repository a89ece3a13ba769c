"""The run of a simulated panel that comes with the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scorefield.core.checkpoints import load_record
from scorefield.core.cli.main import main
from scorefield.core.experiment import read_experiment
from scorefield.core.runs import packaged_runs
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.tsdiff.simulated import simulated_panel

NAME = "seasonal_small"


@pytest.fixture(scope="module")
def folder() -> Path:
    return packaged_runs()[NAME]


def test_it_is_small_and_has_a_card(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["README.md", "config.yaml", "history.csv", "model.json", "model.safetensors"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e5
    card = (folder / "README.md").read_text()
    for row in ("data", "licence", "network", "training", "default sampler"):
        assert f"| {row}" in card
    facts = load_record(folder).data["provenance"]
    assert facts["licence"].startswith("none needed")
    assert (facts["series"], facts["test"]) == (100, 100)


def test_it_was_trained_as_its_configuration_says(folder: Path) -> None:
    stored = read_experiment(folder / "config.yaml")
    packaged = read_experiment(Path(__file__).parents[2] / "configs" / "series" / f"{NAME}.yaml")
    for name, value in packaged["data"]["init_args"].items():
        assert stored["data"]["init_args"][name] == value
    for name in ("optimizer", "lr", "lr_schedule", "warmup_steps", "clip", "ema_decay"):
        assert stored["model"][name] == packaged["model"][name]
    assert stored["trainer"]["max_epochs"] == packaged["trainer"]["max_epochs"]


def test_its_history_is_of_series_that_it_has_not_seen(folder: Path) -> None:
    table = pd.read_csv(folder / "history.csv", index_col="time", parse_dates=True)
    assert table.shape == (336, 12)
    panel = simulated_panel(112)
    for number in (100, 111):
        name = panel.names[number]
        whole = pd.Series(panel.series(number), panel.frequency.stamps(panel.starts[number], 1200))
        np.testing.assert_allclose(table[name], whole[table.index], rtol=2e-3)


@pytest.mark.usefixtures("offline")
def test_it_samples_offline() -> None:
    assert main(["sample", NAME, "--num", "64", "--out", "s.npz", "--condition", "scale=1"]) == 0
    made = SeriesSamples.load("s.npz")
    assert made.x.shape == (64, 192, 1)
    assert np.abs(made.x[:, :168]).mean(1) == pytest.approx(np.ones((64, 1)), abs=0.1)  # contexts of mean size 1
    x = made.x[..., 0] - made.x[..., 0].mean(1, keepdims=True)
    assert (x[:, 24:] * x[:, :-24]).mean() > 0.6 * (x**2).mean()
    assert (x[:, 36:] * x[:, :-36]).mean() < 0


@pytest.mark.usefixtures("offline")
def test_it_forecasts_better_than_the_last_day(folder: Path) -> None:
    table = pd.read_csv(folder / "history.csv").iloc[:, :5]
    table.to_csv("four.csv", index=False)
    assert main(["forecast", NAME, "--data", "four.csv", "--holdout", "--num", "20", "--out", "f.csv"]) == 0
    scores = json.loads(Path("f.csv.json").read_text())["scores"]
    assert scores["crps"] < 0.9 * scores["seasonal_naive"]["crps"]


def test_it_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "runs"]) == 0
    assert f"{NAME}  " in capsys.readouterr().out
