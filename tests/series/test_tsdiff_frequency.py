"""Frequencies are compared by the times that they make, not by their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scorefield.core.cli.main import main
from scorefield.core.errors import InputError
from scorefield.core.model import Model
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panel_files import read_panel
from scorefield.domains.series.tsdiff.panel_tables import PanelLayout
from tests.series.small_panels import panel_run, ready, waves

MONDAY, TUESDAY, MARCH, UNKNOWN = "2024-01-01", "2024-01-02", "2024-03-31", "NaT"


def days(*times: str) -> np.ndarray:
    return np.array(times, dtype="datetime64[s]")


def test_one_name_for_one_step() -> None:
    names = [("24h", "D"), ("1440min", "1D"), ("60min", "h"), ("3600s", "H"), ("90min", "5400s"), ("120T", "2h")]
    names += [("168h", "7D"), ("48H", "2D")]
    for one, other in names:
        assert Frequency.parse(one) == Frequency.parse(other)
        assert str(Frequency.parse(one)) == str(Frequency.parse(other))
        assert Frequency.parse(one).season == Frequency.parse(other).season
        times = (Frequency.parse(name).stamps("2024-01-01 06:30", 9) for name in (one, other))
        assert next(times).equals(next(times))
    assert Frequency.parse("60min").lags() == Frequency.parse("h").lags()
    for one, other in (("B", "D"), ("5B", "W"), ("ME", "MS"), ("ME", "30D"), ("7D", "W"), ("h", "2h"), ("YE", "365D")):
        assert Frequency.parse(one) != Frequency.parse(other)
    for alias in ("0h", "00min"):
        with pytest.raises(InputError, match="unknown frequency"):
            Frequency.parse(alias)


@pytest.mark.parametrize(
    ("one", "other", "start", "wanted"),
    [
        ("7D", "W-MON", MONDAY, True), ("7D", "W-MON", TUESDAY, False), ("7D", "W", MONDAY, False),
        ("14D", "2W-MON", MONDAY, True), ("W-MON", "W-TUE", MONDAY, False), ("7D", "2W-MON", MONDAY, False),
        ("3ME", "QE", MARCH, True), ("3ME", "QE", "2024-01-31", False), ("12ME", "YE-MAR", MARCH, True),
        ("4QE", "YE", MARCH, False), ("3MS", "QS", "2024-04-01", True), ("3MS", "QE", "2024-04-01", False),
        ("4B", "W-MON", MONDAY, False), ("7D", "W-TUE", UNKNOWN, True), ("D", "h", UNKNOWN, False),
    ],
)  # fmt: skip
def test_names_agree_where_times_do(one: str, other: str, start: str, wanted: bool) -> None:
    first, second = Frequency.parse(one), Frequency.parse(other)
    for left, right in ((first, second), (second, first)):
        assert left.agrees(right, days(start, UNKNOWN)) is wanted
    if start != UNKNOWN:
        assert first.stamps(start, 12).equals(second.stamps(start, 12)) is wanted


def lines(path: Path, *entries: dict[str, Any]) -> Path:
    target = (5 + np.sin(np.arange(40) / 2)).tolist()
    path.write_text("".join(json.dumps({"start": MONDAY, "target": target, **entry}) + "\n" for entry in entries))
    return path


@pytest.mark.parametrize(("stored", "asked"), [("24h", "D"), ("h", "60min"), ("7D", "W-MON"), ("W-MON", "7D")])
def test_a_file_may_name_it_otherwise(tmp_path: Path, stored: str, asked: str) -> None:
    found = read_panel(lines(tmp_path / "a.jsonl", {"freq": stored}, {"freq": asked}, {}), PanelLayout(asked), 4).train
    assert found.frequency == Frequency.parse(asked)
    np.savez(tmp_path / "a.npz", values=found.values.reshape(3, 40), freq=stored, start=MONDAY)
    again = read_panel(tmp_path / "a.npz", PanelLayout(asked), 4).train
    assert again.frequency.stamps(again.starts[0], 9).equals(found.frequency.stamps(found.starts[0], 9))
    data = ready(tmp_path / "a.npz", test_path=str(lines(tmp_path / "test.jsonl", {"freq": asked})), windows=0)
    assert len(data.test or ()) == 1


def test_other_days_of_the_week_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.jsonl: has the frequency 7D, not W-TUE; give --data.frequency=7D, or n"):
        read_panel(lines(tmp_path / "a.jsonl", {"freq": "7D"}), PanelLayout("W-TUE"), 4)
    mixed = lines(tmp_path / "b.jsonl", {"freq": "7D"}, {"freq": "W-MON"}, {"freq": "W-MON", "start": TUESDAY})
    with pytest.raises(InputError, match="line 3: has the frequency W-MON, lines before it 7D"):
        read_panel(mixed, PanelLayout(), 4)


def test_a_run_knows_its_frequency_by_any_name(tmp_path: Path) -> None:
    run = Model(panel_run(tmp_path, waves(1, 40, "60min")))
    file = lines(tmp_path / "hours.jsonl", {"freq": "3600s"})
    found = run.forecast(str(file), num=2, steps=2, device="cpu", reading={"frequency": "60T"})
    assert found.paths.shape == (1, 2, 4, 1)
    with pytest.raises(InputError, match=r"has the frequency D, not h; take a run of the frequency D"):
        run.forecast(str(lines(tmp_path / "days.jsonl", {"freq": "24h"})), num=2, steps=2, device="cpu")


def test_a_run_of_weeks_takes_weeks_of_other_days(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = panel_run(tmp_path, waves(1, 40, "W")), tmp_path / "out.csv"
    words = ["forecast", str(run), "--data", str(lines(tmp_path / "mondays.jsonl", {})), "--out", str(out)]
    words += ["--num", "2", "--steps", "2", "--device", "cpu", "--read"]
    assert main([*words, "frequency=7D"]) == 0
    last = pd.date_range(MONDAY, periods=40, freq="7D")[-1]
    assert pd.Timestamp(pd.read_csv(out)["timestamp"].iloc[0]) == last + pd.Timedelta(days=7)
    assert main([*words, "frequency=D", "--overwrite"]) == 2
    assert "--read frequency=D; the run knows the frequency W only" in capsys.readouterr().err
