"""The run of sines that comes with the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scorefield.core.checkpoints import load_record
from scorefield.core.cli.main import main
from scorefield.core.comparison import compare
from scorefield.core.model import Model
from scorefield.core.runs import packaged_runs
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.sources import sines

NAME = "sines_small"


@pytest.fixture(scope="module")
def folder() -> Path:
    return packaged_runs()[NAME]


def test_it_is_small_and_has_a_card(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["README.md", "config.yaml", "model.json", "model.safetensors"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6
    card = (folder / "README.md").read_text()
    for row in ("data", "licence", "network", "training", "default sampler"):
        assert f"| {row}" in card
    facts = load_record(folder).data["provenance"]
    assert facts["licence"].startswith("none needed")
    assert (facts["train"], facts["test"]) == (9000, 1000)


@pytest.mark.usefixtures("offline")
def test_it_samples_offline() -> None:
    assert main(["sample", NAME, "--num", "100", "--out", "s.npz"]) == 0
    made = SeriesSamples.load("s.npz")
    assert made.x.shape == (100, 24, 5)
    assert made.labels is None
    assert made.x.min() > 0.4
    assert made.x.max() <= 1
    assert json.loads(Path("s.npz.json").read_text())["evaluations"] == 20
    np.testing.assert_array_equal(Model(NAME).sample(100).x, made.x)


def test_it_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "runs"]) == 0
    assert f"{NAME}  " in capsys.readouterr().out


def test_its_windows_are_those_of_sines_that_it_has_not_seen() -> None:
    quick = Resampling(permutations=9, bootstrap=9, floors=3)
    made = Model(NAME).sample(500)
    only = ["vds_exact", "fdds", "fdds_lag1", "acf"]
    found = compare(sines(500, 24, 5, 124), made, resampling=quick, only=only, figures=False)
    limits = {"vds_exact": 0.01, "fdds": 0.015, "fdds_lag1": 0.02, "acf": 0.002}
    for name, limit in limits.items():
        assert found[name].value < limit, name
