"""Files of panels: formats, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scorefield.core.errors import InputError
from scorefield.domains.series.tsdiff.panel_files import PanelFile, read_panel, write_panel
from scorefield.domains.series.tsdiff.panel_tables import PanelLayout
from tests.series.small_panels import lines_of, ready, table_of, waves


@pytest.fixture
def panel_file(tmp_path: Path) -> Path:
    write_panel(PanelFile(waves()), tmp_path / "waves.npz")
    return tmp_path / "waves.npz"


@pytest.mark.parametrize(
    "kind", ["lines.jsonl", "lines.json.gz", "long.csv", "long.parquet", "long.tsv.gz", "panel.npz"]
)
def test_formats_hold_the_same(tmp_path: Path, kind: str) -> None:
    panel, path = waves().head(np.array([60, 41, 60])), tmp_path / kind
    panel.values[7] = np.nan
    if "lines" in kind:
        text = lines_of(panel).replace("NaN", "null").encode()
        path.write_bytes(gzip.compress(text) if kind.endswith(".gz") else text)
    elif kind == "long.parquet":
        table_of(panel).sample(frac=1, random_state=0).sort_values("item_id", kind="stable").to_parquet(path)
    elif kind == "panel.npz":
        write_panel(PanelFile(panel), path)
    else:
        table_of(panel).to_csv(path, index=False, sep="\t" if ".tsv" in kind else ",")
    found = read_panel(path, PanelLayout("H" if "lines" in kind else None), 4).train
    assert found.names == panel.names
    np.testing.assert_array_equal(found.values, panel.values)
    np.testing.assert_array_equal(found.bounds, panel.bounds)
    np.testing.assert_array_equal(found.starts, panel.starts)
    assert found.frequency == panel.frequency


def test_wide_tables_and_business_days(tmp_path: Path) -> None:
    times = pd.bdate_range("2024-01-01", periods=30)
    frame = pd.DataFrame({"date": times, "a": np.arange(30.0), "b": -np.arange(30.0)})
    frame.to_csv(tmp_path / "wide.csv", index=False)
    found = read_panel(tmp_path / "wide.csv", PanelLayout(), 4).train
    assert (found.names, str(found.frequency)) == (("a", "b"), "B")
    np.testing.assert_array_equal(found.series(1), frame["b"])
    one = read_panel(tmp_path / "wide.csv", PanelLayout(target="b"), 4).train
    assert one.names == ("b",)


def test_steps_in_place_of_times(tmp_path: Path) -> None:
    frame = pd.DataFrame({"sample": ["a"] * 3 + ["b"] * 2, "step": [2, 0, 1, 1, 0], "x": [3.0, 1, 2, 5, 4]})
    frame.to_csv(tmp_path / "steps.csv", index=False)
    found = read_panel(tmp_path / "steps.csv", PanelLayout("D"), 1).train
    assert found.values.tolist() == [1, 2, 3, 4, 5]
    assert np.isnat(found.starts).all()


def test_a_test_set_of_its_own(tmp_path: Path) -> None:
    whole = waves()
    (tmp_path / "train.jsonl").write_text(lines_of(whole.head(whole.lengths - 4)))
    (tmp_path / "test.jsonl").write_text(lines_of(whole))
    data = ready(tmp_path / "train.jsonl", test_path=str(tmp_path / "test.jsonl"), frequency="h")
    assert data.test is not None
    np.testing.assert_array_equal(data.test.truth(), whole.values.reshape(3, 60)[:, -4:])
    assert data.panel.lengths.tolist() == [52] * 3  # 4 held out for validation
    assert set(data.local_files()) == {"path", "test_path"}


def json_line(**entry: Any) -> str:
    return json.dumps({"start": "2024-01-01 00:00:00", "target": list(range(1, 41)), "item_id": "a", **entry})


@pytest.mark.parametrize(
    ("name", "content", "options", "text"),
    [
        ("a.json", json_line(target=[]), {}, "line 1: the series is empty"),
        ("a.json", json_line(target=[1, "x"]), {}, "no number"),
        ("a.json", json_line() + "\n{", {}, "line 2: is no JSON"),
        ("a.json", '{"target": 3}', {}, "no list as its target"),
        ("a.json", json_line(target=[[1, 2], [3, 4]]), {}, "more than one dimension"),
        ("a.json", json_line().replace("17", "Infinity"), {}, "line 1, value 17: infinity"),
        ("a.json", json_line(start="2024-01-01T00:00:00+02:00"), {}, "has a time zone"),
        ("a.json", json_line(start="soon"), {}, "'soon' is no time"),
        ("a.json", json_line(), {"frequency": None}, "--data.frequency"),
        ("a.json", json_line(), {"frequency": "fortnight"}, "unknown frequency 'fortnight'"),
        ("a.json", json_line(freq="D"), {}, "has the frequency D, not h"),
        ("a.json", json_line(), {"frequency": "W", "lags": "frequency"}, "--data.lags"),
        ("a.json", json_line(target=[1] * 12), {}, "a window takes 8 \\+ 4"),
        ("a.json", json_line(target=[1] * 15), {"lags": [2, 5]}, "a window takes 5 \\+ 8 \\+ 4"),
        ("a.json", json_line(target=[1] * 3), {}, "leave no history"),
        ("a.json", json_line(), {"lags": [0]}, "lags \\[0\\]"),
        ("a.json", json_line(), {"batch_size": 1000}, "fewer than the batch of 1000"),
        ("a.json", "", {}, "holds no series"),
        ("a.txt", "", {}, "no format of panels"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01,1\na,2024-01-02,2\na,2024-01-04,3\n", {"frequency": None},
         "--data.frequency"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01,1\na,2024-01-02,2\na,2024-01-04,3\n", {"frequency": "D"},
         "series a: 2024-01-04 .* has 2024-01-03"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01,1\na,2024-01-02,2\na,2024-01-02,3\n", {"frequency": "D"},
         "comes twice"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01 00:00+01:00,1\na,2024-01-01 01:00+01:00,2\n", {},
         "time zone"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01 00:00,1\na,noon,2\n", {}, "'noon' is no time"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01 00:00,1\na,2024-01-01 01:00,inf\n", {}, "'inf' is not a"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01 00:00,one\n", {}, "'one' is not a finite number"),
        ("a.csv", "item_id,timestamp,b,c\na,2024-01-01 00:00,1,2\n", {}, "--data.target, one of b, c"),
        ("a.csv", "item_id,timestamp,target\na,2024-01-01 00:00,1\n", {"target": "x"}, "column as --data.target 'x'"),
        ("a.csv", "item_id,target\na,1\n", {"frequency": None}, "no column of times"),
    ],
)  # fmt: skip
def test_bad_files_are_told_in_one_line(
    tmp_path: Path, name: str, content: str, options: dict[str, Any], text: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=text) as caught:
        ready(path, **{"frequency": "h", **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"values": np.ones((2, 40)), "prediction_length": np.array(7), "freq": np.array("h")}, "--data.prediction=7"),
        ({"values": np.full((2, 40), np.inf), "freq": np.array("h")}, "series 0, value 1: infinity"),
        ({"values": np.ones((2, 40))}, "--data.frequency"),
        ({"values": np.full((2, 40), np.nan), "freq": np.array("h")}, "series 0: the series is empty"),
        ({"values": np.ones((2, 40)), "freq": np.array("h"), "ids": np.array(["a"])}, "1 ids for 2 series"),
        ({"other": np.ones(3)}, "values \\[series, steps\\]"),
        ({"flat": np.ones(9), "lengths": np.array([4, 4]), "freq": np.array("h")}, "as its lengths say"),
        ({"values": np.ones((2, 40, 3)), "freq": np.array("h")}, "one number a step"),
    ],
)
def test_bad_archives_are_told_in_one_line(tmp_path: Path, arrays: dict[str, Any], text: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=text) as caught:
        ready(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"context": 0}, "data.context is 0"),
        ({"prediction": -1}, "data.prediction is -1"),
        ({"windows": -1}, "data.windows is -1"),
        ({"holdout": -2}, "data.holdout is -2"),
        ({"lags": "all"}, "data.lags is 'all'"),
        ({"missing": "RM"}, "without a condition"),
        ({"missing": "BM-X", "conditional": True}, "unknown scenario"),
        ({"missing": "BM-E", "missing_count": 99, "conditional": True}, "99 missing steps"),
        ({"path": None}, "--data.path"),
    ],
)
def test_bad_settings_are_told_in_one_line(panel_file: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        ready(**{"path": panel_file, **options})
    assert "\n" not in str(caught.value)
