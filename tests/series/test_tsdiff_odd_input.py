"""Panels as users have them: odd names, old aliases, columns called otherwise; and pictures of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text

from scorefield.core.cli.main import main
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.model import Model
from scorefield.core.report.figures import svg_text
from scorefield.domains.series.statistics.forecasting import score_forecasts
from scorefield.domains.series.tsdiff.base_forecasts import Wanted, read_base
from scorefield.domains.series.tsdiff.frequency import Frequency, inferred
from scorefield.domains.series.tsdiff.panel_files import read_panel
from scorefield.domains.series.tsdiff.panel_source import read_source
from scorefield.domains.series.tsdiff.panel_tables import PanelLayout
from tests.series.small_panels import lines_of, panel_run, waves

ODD = ("a$b_$^{", 'x, "y"\u2028\x85<b>&', " 日本 é\n")
"""Names with what is mathematics to a picture, a line's end to Python, or space around them."""


def lines(folder: Path, *entries: dict[str, Any]) -> Path:
    path = folder / "panel.jsonl"
    text = "".join(json.dumps({"target": list(range(1, 33)), **e}, ensure_ascii=False) + "\r\n" for e in entries)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_odd_names_from_history_to_refinement(tmp_path: Path) -> None:
    run = panel_run(tmp_path, waves())
    path = lines(tmp_path, *({"start": "2024-01-01", "item_id": name} for name in ODD))
    words, quick = ["--data", str(path), "--num", "2", "--steps", "2"], ["--solver", "ddpm"]
    forecast, refined, filled = (tmp_path / name for name in ("f.csv", "r.csv", "filled.jsonl"))
    assert main(["forecast", str(run), *words, *quick, "--out", str(forecast)]) == 0
    assert set(pd.read_csv(forecast)["item_id"]) == {name.strip() for name in ODD}
    assert main(["refine", str(run), *words, "--forecast", str(forecast), "--out", str(refined)]) == 0
    assert main(["impute", str(run), *words, *quick, "--given", "0:12", "--out", str(filled)]) == 0
    written = [json.loads(line) for line in filled.read_text(encoding="utf-8").split("\n") if line]
    assert [entry["item_id"] for entry in written] == list(ODD)


def test_a_picture_of_an_odd_name(tmp_path: Path) -> None:
    run = panel_run(tmp_path, waves())
    path, out = lines(tmp_path, {"item_id": ODD[0]}), tmp_path / "f.csv"
    words = ["--data", str(path), "--num", "2", "--solver", "ddpm", "--steps", "2", "--out", str(out), "--plot"]
    assert main(["forecast", str(run), *words]) == 0
    assert (tmp_path / "f.csv.png").exists()


def test_pictures_take_names_literally_and_numbers_at_ticks_not() -> None:
    canvas = Canvas()
    axis = canvas.subplots()
    axis.semilogy([1, 10, 1000], label="cost in $ or _^$")
    axis.set_title("$\\nonsense{$", loc="left")
    canvas.suptitle("from $2 to $3")
    axis.legend()
    svg_text(canvas)
    shown = {text.get_text(): text.get_parse_math() for text in canvas.findobj(Text) if isinstance(text, Text)}
    assert not any(shown[text] for text in ("$\\nonsense{$", "from $2 to $3", "cost in $ or _^$"))
    assert any(math for text, math in shown.items() if text.startswith("$\\mathdefault"))


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([{"target": [10**400, 1]}], "line 1: the target holds something that is no number"),
        ([{"freq": 1}], "unknown frequency '1'"),
        ([{"freq": "h"}, {"freq": "D"}], "line 2: has the frequency D, lines before it h"),
        ([{"start": 1577836800}], "line 1: '1577836800' is no time"),
    ],
)
def test_bad_lines(tmp_path: Path, entries: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(InputError, match=text):
        read_panel(lines(tmp_path, *entries), PanelLayout("h"), 4)


def test_lines_without_names_are_numbered(tmp_path: Path) -> None:
    path = lines(tmp_path, {"item_id": None, "freq": "H"}, {"start": None, "freq": "1h"}, {"start": 2020})
    found = read_panel(path, PanelLayout(), 4).train
    assert found.names == ("0", "1", "2")
    assert str(found.starts[2]) == "2020-01-01T00:00:00"


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"values": np.float64(3)}, r"values: float64 of shape \(\)"),
        ({"flat": np.ones(8), "lengths": np.array([4.0, 4.0])}, "whole numbers as lengths"),
        ({"flat": np.array(["a"] * 8), "lengths": np.array([4, 4])}, "flat: .* give numbers"),
    ],
)
def test_bad_archives(tmp_path: Path, arrays: dict[str, Any], text: str) -> None:
    np.savez(tmp_path / "a.npz", freq=np.array("h"), **arrays)
    with pytest.raises(InputError, match=text):
        read_panel(tmp_path / "a.npz", PanelLayout(), 4)


def test_names_in_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("item_id,target\na ,1\na,2\n")
    assert read_panel(path, PanelLayout("h"), 1).train.names == ("a",)
    path.write_text("item_id,target\na,1\n,2\n")
    with pytest.raises(InputError, match=r"row 2 \(line 3\), 'item_id': the cell is empty"):
        read_panel(path, PanelLayout("h"), 1)
    path.write_text("item_id,timestamp,target\na,2024-01-01,1\nb,2024-01-01,1\nb,2024-01-02,2\nb,2024-01-05,3\n")
    with pytest.raises(InputError, match="series b: the times follow each other at no frequency"):
        read_panel(path, PanelLayout(), 1)


def test_a_name_of_several_series_is_told(tmp_path: Path) -> None:
    run = panel_run(tmp_path, waves())
    path = lines(tmp_path, {"item_id": "a"}, {"item_id": "a"}, {"item_id": "b"})
    with pytest.warns(InputWarning, match="1 names stand for several series each, as a"):
        Model(run).forecast(path, num=1, solver="ddpm", steps=1)


@pytest.mark.parametrize(
    "same",
    [
        ("W", "W-SUN"), ("Q", "QE-DEC", "QE-MAR", "Q-SEP"), ("QE-FEB", "Q-NOV"), ("QS", "QS-JAN", "QS-OCT"),
        ("Y", "A-DEC"), ("YS", "YS-JAN"),
    ],
)  # fmt: skip
def test_anchors_that_make_the_same_times(same: tuple[str, ...]) -> None:
    first = Frequency.parse(same[0])
    times = first.stamps("2020-01-01", 12)
    for alias in same:
        assert Frequency.parse(alias) == first
        assert Frequency.parse(alias).stamps("2020-01-01", 12).equals(times)
    assert inferred(times) == first
    assert Frequency.parse("W-MON") != Frequency.parse("W") != Frequency.parse("W-SAT")
    assert Frequency.parse("QE-JAN") != Frequency.parse("Q")


TIMES = pd.date_range("2024-01-02", periods=2, freq="h")


def test_bases_with_other_names_of_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"unique_id": "a", "ds": TIMES[::-1], "mean": [2.0, 1.0]})
    frame.to_csv(tmp_path / "base.csv", index=False)
    assert read_base(tmp_path / "base.csv", [Wanted("a", 24, TIMES)], 2).tolist() == [[[1.0, 2.0]]]
    frame.rename(columns={"unique_id": "series", "ds": "Date"}).to_parquet(tmp_path / "base.parquet")
    assert read_base(tmp_path / "base.parquet", [Wanted("a", 24, TIMES)], 2).tolist() == [[[1.0, 2.0]]]
    with pytest.raises(InputError, match=r"'ds': has times, the history has none; .* leave ds out"):
        read_base(tmp_path / "base.csv", [Wanted("a", 24)], 2)


def test_scores_of_each_series_are_those_of_it_alone() -> None:
    draw = np.random.default_rng(0)
    samples, truth, errors = draw.normal(size=(3, 9, 4)), draw.normal(size=(3, 4)), draw.uniform(1, 2, 3)
    truth[1, 2:] = np.nan
    table = score_forecasts(samples, truth, errors).per_series()
    for k in range(3):
        alone = score_forecasts(samples[k : k + 1], truth[k : k + 1], errors[k : k + 1]).values()
        assert table.loc[k, list(alone)].to_dict() == pytest.approx(alone, rel=1e-12)


def test_times_and_names_in_an_index(tmp_path: Path) -> None:
    times = pd.date_range("2024-01-01", periods=30, freq="h")
    wide = pd.DataFrame({"a": np.arange(30.0), "b": -np.arange(30.0)}, times)
    wide.to_parquet(tmp_path / "unnamed.parquet")
    wide.rename_axis("Date").iloc[::-1].to_parquet(tmp_path / "named.parquet")
    long = wide.rename_axis("ds").melt(var_name="unique_id", ignore_index=False)
    long.set_index("unique_id", append=True).to_parquet(tmp_path / "both.parquet")
    for name in ("unnamed", "named", "both"):
        found = read_panel(tmp_path / f"{name}.parquet", PanelLayout(), 4).train
        assert (found.names, str(found.frequency)) == (("a", "b"), "h")
        assert found.series(0).tolist() == list(range(30))
        assert str(found.starts[1]) == "2024-01-01T00:00:00"
    wide.reset_index(drop=True).rename_axis("id").to_parquet(tmp_path / "numbers.parquet")
    assert read_panel(tmp_path / "numbers.parquet", PanelLayout("h"), 4).train.names == ("a", "b")


def test_steps_of_a_wide_table_are_no_series(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step,x\n2,30\n0,10\n1,20\n")
    found = read_panel(tmp_path / "a.csv", PanelLayout("h"), 1).train
    assert (found.names, found.values.tolist()) == (("x",), [10, 20, 30])


def test_entries_of_a_folder_are_of_its_series(tmp_path: Path) -> None:
    whole, parts = waves(), []
    for back in (8, 4, 0):
        parts += [lines_of(whole.head(whole.lengths - back))]
    for name, text in (("train", lines_of(whole.head(whole.lengths - 12))), ("test", "".join(parts))):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "data.json").write_text(text)
    source = read_source(tmp_path / "set", PanelLayout("h"), 4, {})
    assert source.found.test is not None
    assert len(source.found.test.panel) == 3
    assert source.found.test.ends.tolist() == [52] * 3 + [56] * 3 + [60] * 3


def test_a_run_without_a_file_takes_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(tmp_path / "panel.jsonl"), "--out", str(tmp_path / "r.csv"), "--read", "frequency=h"]
    lines(tmp_path, {"target": [1.0, 2.0] * 100})
    train = str(tmp_path / "panel.jsonl")
    assert main(["refine", "seasonal_small", *words, "--forecast", "ridge", "--train", train]) == 2
    assert "panel.jsonl: the run was trained on no file; leave --train out" in capsys.readouterr().err
