"""Panels as they are read for completion and written again: long and wide tables, JSON lines, arrays."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scorefield.core.cli.main import main
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.model import Model
from tests.series.panel_runs import CONTEXT, PREDICTION, untrained

STEPS = ("--steps", "3", "--device", "cpu", "--num", "3")
HOLES = [(0, 4), (0, 5), (0, 17), (1, 20), (1, 21)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 9, (2, 24)).round(3)


def with_holes(values: np.ndarray) -> np.ndarray:
    found = values.copy()
    for row, step in HOLES:
        found[row, step] = np.nan
    return found


def long_csv(values: np.ndarray, file: Path) -> None:
    """Rows in a mixed order, a column besides, and odd spellings."""
    times = pd.date_range("2024-01-31 20:00", periods=24, freq="h").strftime("%Y-%m-%d %H:%M")
    cells = np.where(np.isnan(values), "NaN", values.astype(str))
    cells[0, 0], cells[1, 1] = "1.50", "2e0"
    frame = pd.DataFrame({"ds": np.tile(times, 2), "y": cells.ravel(), "unique_id": np.repeat(["a", "b"], 24)})
    frame["note"] = "x, y"
    frame.iloc[np.random.default_rng(1).permutation(48)].to_csv(file, index=False)


def wide_csv(values: np.ndarray, file: Path) -> None:
    frame = pd.DataFrame(values.T, columns=["a", "b"])
    frame.insert(0, "date", pd.date_range("2024-01-01", periods=24, freq="h"))
    frame.to_csv(file, index=False)


def parquet(values: np.ndarray, file: Path) -> None:
    times = pd.date_range("2024-01-01", periods=24, freq="h")
    frame = pd.DataFrame({"item_id": np.repeat([7, 8], 24), "timestamp": np.tile(times, 2), "target": values.ravel()})
    frame.to_parquet(file)


@pytest.mark.parametrize(("write", "name"), [(long_csv, "x.csv"), (wide_csv, "x.csv"), (parquet, "x.parquet")])
def test_tables_keep_what_was_given(run: Path, values: np.ndarray, tmp_path: Path, write: Any, name: str) -> None:
    file, out = tmp_path / name, tmp_path / f"filled{Path(name).suffix}"
    write(with_holes(values), file)
    assert main(["impute", str(run), "--data", str(file), "--out", str(out), *STEPS]) == 0
    read: Callable[[Path], pd.DataFrame] = (
        pd.read_parquet
        if name.endswith("parquet")
        else lambda path: pd.read_csv(path, dtype=str, keep_default_na=False)
    )
    before, after = read(file), read(out)
    assert list(before) == list(after)
    changed = (before.fillna(-1) != after.fillna(-1)).to_numpy()
    empty = (before.isna() | before.isin(["", "NaN"])).to_numpy()
    assert empty.sum() == len(HOLES)
    np.testing.assert_array_equal(changed, empty)
    quantiles = (pd.read_parquet if name.endswith("parquet") else pd.read_csv)(
        out.with_name(f"filled.quantiles{out.suffix}")
    )
    assert list(quantiles)[:3] == ["item_id", "timestamp", "mean"]
    assert len(quantiles) == len(HOLES)
    medians = np.sort(quantiles["q0.5"])
    np.testing.assert_allclose(np.sort(after.to_numpy()[empty].astype(float)), medians, rtol=1e-12)
    if write is long_csv:
        assert list(quantiles["timestamp"])[:2] == ["2024-02-01 00:00:00", "2024-02-01 01:00:00"]


@pytest.mark.parametrize("kind", ["jsonl", "json.gz"])
def test_json_lines_keep_their_other_keys(run: Path, values: np.ndarray, tmp_path: Path, kind: str) -> None:
    held = with_holes(values)
    lines = [
        {"start": "2024-01-01", "more": [1, {"a": None}], "target": [None if np.isnan(v) else v for v in row]}
        for row in held
    ]
    file, out = tmp_path / f"x.{kind}", tmp_path / f"filled.{kind}"
    content = ("\n".join(map(json.dumps, lines)) + "\n\n").encode()
    file.write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
    assert main(["impute", str(run), "--data", str(file), "--out", str(out), *STEPS]) == 0
    written = gzip.decompress(out.read_bytes()) if kind.endswith("gz") else out.read_bytes()
    found = [json.loads(line) for line in written.splitlines()]
    assert [{**entry, "target": None} for entry in found] == [{**line, "target": None} for line in lines]
    filled = np.array([entry["target"] for entry in found], dtype=float)
    known = ~np.isnan(held)
    np.testing.assert_array_equal(filled[known], held[known])
    assert np.isfinite(filled).all()
    assert list(pd.read_csv(tmp_path / "filled.quantiles.csv")["item_id"]) == [0, 0, 0, 1, 1]


def test_arrays_become_what_is_asked(run: Path, values: np.ndarray, tmp_path: Path) -> None:
    held = with_holes(values)
    np.savez(tmp_path / "x.npz", values=held, freq="h", start="2024-01-01", ids=["p", "q"])
    for kind in ("npz", "csv", "jsonl"):
        out = tmp_path / f"filled.{kind}"
        assert main(["impute", str(run), "--data", str(tmp_path / "x.npz"), "--out", str(out), *STEPS]) == 0
    with np.load(tmp_path / "filled.npz") as stored:
        assert stored["paths"].shape == (2, 3, 24, 1)
        assert int(stored["missing"].sum()) == len(HOLES)
        assert stored["series"].tolist() == ["p", "q"]
        whole = stored["x"][..., 0]
    table = pd.read_csv(tmp_path / "filled.csv")
    assert list(table) == ["item_id", "timestamp", "target"]
    np.testing.assert_allclose(table["target"].to_numpy().reshape(2, 24), whole)
    lines = [json.loads(line) for line in (tmp_path / "filled.jsonl").read_text(encoding="utf-8").splitlines()]
    np.testing.assert_allclose([line["target"] for line in lines], whole)
    assert lines[0]["start"] == "2024-01-01 00:00:00"
    assert lines[0]["freq"] == "h"


def test_what_is_hidden_in_windows_is_judged(run: Path, values: np.ndarray) -> None:
    found = Model(run).impute(values, 4, given="0:5,8:12", steps=3, device="cpu")
    given = np.tile(np.isin(np.arange(12), [5, 6, 7], invert=True), 2)
    np.testing.assert_array_equal(found.paths[:, 0][:, given, 0], values[:, given])
    scores = found.scores()
    assert scores["n"] == 2 * 2 * 3
    line = np.array([np.interp(np.arange(24), np.flatnonzero(given), row[given]) for row in values])
    spans = np.ptp(values, axis=1)[:, None]
    assert scores["naive_mae"] == pytest.approx((np.abs(line - values) / spans)[:, ~given].mean())


def test_later_windows_see_what_earlier_ones_filled(run: Path) -> None:
    x = np.random.default_rng(3).uniform(1, 9, 40)
    x[6:30] = np.nan
    how: dict[str, Any] = {"way": "gradient", "std": 0.3, "steps": 3, "device": "cpu"}
    found = Model(run).impute(x, 3, **how)
    assert np.isfinite(found.paths).all()
    x[5] += 1  # moves the first window and, through what it fills, the last one
    again = Model(run).impute(x, 3, **how)
    assert (np.abs(found.paths - again.paths)[0, :, 6:30] > 0).all()


def test_forecasts_as_tables(run: Path, values: np.ndarray, tmp_path: Path) -> None:
    long_csv(values, tmp_path / "x.csv")
    words = ["forecast", str(run), "--data", str(tmp_path / "x.csv"), *STEPS, "--paths", "--plot"]
    assert main([*words, "--out", str(tmp_path / "f.csv")]) == 0
    table = pd.read_csv(tmp_path / "f.csv")
    quantiles = [f"q0.{k}" for k in range(1, 10)]
    assert list(table) == ["item_id", "timestamp", "mean", *quantiles, "path0", "path1", "path2"]
    assert list(table["item_id"]) == ["a"] * PREDICTION + ["b"] * PREDICTION or set(table["item_id"]) == {"a", "b"}
    assert list(table["timestamp"][:2]) == ["2024-02-01 20:00:00", "2024-02-01 21:00:00"]
    assert (tmp_path / "f.csv.png").stat().st_size > 10_000
    assert not (tmp_path / "f.csv.scores.csv").exists()
    words = [*words[:4], *STEPS, "--holdout", "--out", str(tmp_path / "h.parquet")]
    assert main(words) == 0
    held = pd.read_parquet(tmp_path / "h.parquet")
    assert set(held["truth"]) == set(pd.read_csv(tmp_path / "x.csv").sort_values("ds")["y"][-2 * PREDICTION :])
    summary = json.loads((tmp_path / "h.parquet.json").read_text(encoding="utf-8"))
    assert summary["seed"] == 0
    assert summary["scores"]["seasonal_naive"]["crps"] > 0
    assert sum(summary["scores"]["pit"]) == summary["scores"]["values"] == 2 * PREDICTION
    each = pd.read_csv(tmp_path / "h.parquet.scores.csv")
    assert list(each)[:3] == ["item_id", "timestamp", "crps"]
    assert list(each["timestamp"]) == ["2024-02-01 16:00:00"] * 2


def test_without_times_steps_are_numbered(run: Path, values: np.ndarray, tmp_path: Path) -> None:
    lengths = {"test_lengths": [20, 24], "prediction_length": PREDICTION, "train_length": 16}
    np.savez(tmp_path / "x.npz", values=values, freq="h", **lengths)
    words = ["forecast", str(run), "--data", str(tmp_path / "x.npz"), *STEPS, "--holdout"]
    assert main([*words, "--out", str(tmp_path / "f.csv"), "--horizon", "2"]) == 0
    table = pd.read_csv(tmp_path / "f.csv")
    assert list(table)[:4] == ["item_id", "entry", "step", "mean"]
    assert list(table["entry"]) == [0] * 4 + [1] * 4
    assert list(table["step"]) == [16, 17, 16, 17, 20, 21, 20, 21]
    assert list(pd.read_csv(tmp_path / "f.csv.scores.csv")["step"]) == [16, 16, 20, 20]


def test_python_takes_frames_and_arrays(run: Path, values: np.ndarray) -> None:
    model = Model(run)
    frame = pd.DataFrame({"item_id": np.repeat(["a", "b"], 24), "target": values.ravel()})
    frame["timestamp"] = np.tile(pd.date_range("2024-01-01", periods=24, freq="h"), 2)
    wanted = model.forecast(values, num=2, steps=3, device="cpu").paths
    for data in (frame, list(values), values[..., None], np.pad(values, ((0, 0), (0, 3)), constant_values=np.nan)):
        np.testing.assert_array_equal(model.forecast(data, num=2, steps=3, device="cpu").paths, wanted)
    assert model.forecast(values[0], num=2, steps=3, device="cpu").paths.shape == (1, 2, PREDICTION, 1)
    for wrong, said in (([], "holds no numbers"), (np.full(5, np.nan), "empty"), (["a"], "no numbers")):
        with pytest.raises(InputError, match=said):
            model.forecast(wrong, num=2, device="cpu")
    with pytest.raises(InputError, match=r"series 0, value 2: infinity"):
        model.forecast(np.array([1.0, np.inf]), num=2, device="cpu")


def test_files_are_read_like_the_data_of_the_run(values: np.ndarray, tmp_path: Path) -> None:
    run = untrained(tmp_path / "run", item="who", target="sales")
    frame = pd.DataFrame({"who": np.repeat(["a", "b"], 24), "sales": values.ravel(), "price": 1.0})
    frame["date"] = np.tile(pd.date_range("2024-01-01", periods=24, freq="h"), 2)
    frame.to_csv(tmp_path / "own.csv", index=False)
    renamed = frame.rename(columns={"who": "item_id", "sales": "volume"})
    renamed.to_csv(tmp_path / "other.csv", index=False)
    own = Model(run).forecast(tmp_path / "own.csv", num=2, steps=3, device="cpu").paths
    with pytest.raises(InputError, match="no column is called target; give --read target, one of volume, price"):
        Model(run).forecast(tmp_path / "other.csv", num=2, steps=3, device="cpu")
    other = Model(run).forecast(tmp_path / "other.csv", num=2, steps=3, reading={"target": "volume"}, device="cpu")
    np.testing.assert_array_equal(own, other.paths)


def test_a_gap_in_silence_is_told_once(run: Path) -> None:
    x = np.zeros((2, 24))
    x[:, CONTEXT] = np.nan
    with pytest.warns(InputWarning, match="2 of 2 contexts hold zeros or missing values only") as told:
        Model(run).impute(x, 2, steps=3, device="cpu")
    assert len(told) == 1
