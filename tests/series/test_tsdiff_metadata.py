"""Data sets as GluonTS lays them out: what their `metadata.json` says, in folders and archives."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scorefield.core.errors import InputError
from scorefield.core.model import Model
from scorefield.domains.series.tsdiff.panel_files import read_panel
from scorefield.domains.series.tsdiff.panel_tables import PanelLayout
from scorefield.domains.series.tsdiff.published import PUBLISHED
from tests.series.small_panels import lines_of, panel_run, ready, waves

KINDS = ["set", "set.tar", "set.tar.gz"]
BESIDE, WITHIN = "metadata.json", "metadata/metadata.json"


def stored(folder: Path, kind: str, told: Mapping[str, Any], test: bool = True, root: str = "set") -> Path:
    """Three series, the last 5 of 60 steps of which are the test; `told` are the contents of files by their place."""
    whole, parts = waves(), {place: text if isinstance(text, str) else json.dumps(text) for place, text in told.items()}
    parts["train/data.json"] = lines_of(whole.head(whole.lengths - 5))
    if test:
        parts["test/data.json"] = lines_of(whole)
    for place, text in parts.items():
        file = folder / "set" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    if kind == "set":
        return folder / "set"
    with tarfile.open(folder / kind, "w:gz" if kind.endswith("gz") else "w") as archive:
        archive.add(folder / "set", arcname=root)
    return folder / kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [BESIDE, WITHIN])
def test_metadata_tell_frequency_and_steps(tmp_path: Path, kind: str, place: str) -> None:
    told = {
        "freq": "1H",
        "target": None,
        "feat_static_cat": [{"name": "a", "cardinality": "3"}],
        "prediction_length": 5,
    }
    data = ready(stored(tmp_path, kind, {place: told}), prediction=None)
    assert (str(data.panel.frequency), data.prediction, data.holdout) == ("h", 5, 5)
    assert data.sizes["length"] == 8 + 5
    assert data.tables["prediction"] == 5
    assert data.test is not None
    np.testing.assert_array_equal(data.test.truth(), waves().values.reshape(3, 60)[:, -5:])
    assert data.panel.lengths.tolist() == [50] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_files_are_passed_over(tmp_path: Path, kind: str) -> None:
    hidden = {"train/._data.json": "what a file system keeps for itself", "test/._data.json": "likewise"}
    found = read_panel(stored(tmp_path, kind, hidden), PanelLayout("h"), 5)
    assert len(found.train) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_series_too_short_for_what_is_told_name_the_file(tmp_path: Path, kind: str) -> None:
    path = stored(tmp_path, kind, {BESIDE: {"freq": "h", "prediction_length": 60}})
    with pytest.raises(InputError, match="leave no history before 60 steps") as told:
        read_panel(path, PanelLayout())
    assert str(path) in str(told.value)


@pytest.mark.parametrize("root", [".", "a/b"])
def test_archives_of_any_depth(tmp_path: Path, root: str) -> None:
    path = stored(tmp_path, "set.tar", {WITHIN: {"time_granularity": "D"}, "extra/metadata.json": "{"}, root=root)
    found = read_panel(path, PanelLayout(), 5)
    assert str(found.train.frequency) == "D"
    assert found.prediction is None


def test_what_is_not_told_is_as_ever(tmp_path: Path) -> None:
    path = stored(tmp_path, "set", {WITHIN: {"freq": "60min", "prediction_length": None}})
    data = ready(path, frequency="h")
    assert data.prediction == 4
    assert ready(path, prediction=None, holdout=0).prediction == 24
    assert ready(stored(tmp_path / "b", "set", {}), frequency="h", prediction=None, holdout=0).prediction == 24
    np.savez(tmp_path / "a.npz", values=waves().values.reshape(3, 60), freq="h", prediction_length=6)
    assert ready(tmp_path / "a.npz", prediction=None).prediction == 6


BAD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({WITHIN: {"freq": "D"}}, {"frequency": "h"}, "metadata/metadata.json: has the frequency D, not h; give --data.f"),
    ({BESIDE: {"freq": "h", "prediction_length": 5}}, {}, "metadata.json: has a test set with 5 steps to forecast, not "
     "4; give --data.prediction=5"),
    ({BESIDE: {"freq": "h"}, WITHIN: {"freq": "D"}}, {}, "has the frequency D, not h; correct one of them"),
    ({BESIDE: {"freq": "fortnight"}}, {}, "unknown frequency 'fortnight'"),
    ({BESIDE: {"prediction_length": 4}}, {}, "does not tell the frequency of its series; give --data.frequency=h"),
    ({BESIDE: {"freq": "h", "prediction_length": "5h"}}, {}, "prediction_length '5h' is no whole number above 0"),
    ({BESIDE: {"freq": "h", "prediction_length": True}}, {}, "prediction_length True is no whole number above 0"),
    ({BESIDE: {"freq": "h", "prediction_length": 0}}, {}, "prediction_length 0 is no whole number above 0"),
    ({BESIDE: "{"}, {}, "metadata.json: is no JSON"),
    ({BESIDE: []}, {}, "metadata.json: is no object with freq and prediction_length"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["set", "set.tar.gz"])
@pytest.mark.parametrize("case", range(len(BAD)))
def test_what_contradicts_is_told_in_one_line(tmp_path: Path, kind: str, case: int) -> None:
    told, options, text = BAD[case]
    path = stored(tmp_path, kind, told)
    with pytest.raises(InputError) as caught:
        ready(path, **options)
    assert text in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_runs_take_sets_of_their_frequency(tmp_path: Path) -> None:
    run = Model(panel_run(tmp_path, waves(1, 40)))
    fitting = stored(tmp_path / "a", "set", {WITHIN: {"freq": "60T", "prediction_length": 4}})
    assert run.forecast(str(fitting), num=2, steps=2, device="cpu").paths.shape == (3, 2, 4, 1)
    alone = stored(tmp_path / "b", "set", {WITHIN: {"freq": "h", "prediction_length": 9}}, test=False)
    assert run.forecast(str(alone), num=2, steps=2, device="cpu").paths.shape == (3, 2, 4, 1)
    for told, text in (
        ({"freq": "h", "prediction_length": 9}, "with 9 steps to forecast, not 4; take a run that forecasts 9 steps"),
        ({"freq": "D"}, "has the frequency D, not h; take a run of the frequency D"),
    ):
        with pytest.raises(InputError, match=text):
            run.forecast(str(stored(tmp_path / text[:8], "set", {WITHIN: told})), num=2, steps=2, device="cpu")


def test_published_sets_are_cut_as_published(tmp_path: Path) -> None:
    """Whatever the metadata in their archives say."""
    path = stored(tmp_path, "set.tar.gz", {WITHIN: {"freq": "W", "prediction_length": -1}})
    found = PUBLISHED["solar_nips"].read(path)
    assert str(found.train.frequency) == "h"
    assert found.test is not None
    assert found.test.prediction == 24
