"""`forecast` and `impute` of panels: bad input is one line with exit code 2, what is unusual a warning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scorefield.core.cli.main import main
from tests.series.panel_runs import untrained

SELF = ("--way", "self")
STEPPED = ("--way-arg", "point=stepped")
WAVE = (5 + np.sin(np.arange(30) / 2)).round(3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("runs") / "run")


def table(folder: Path, name: str, **columns: object) -> None:
    times = pd.date_range("2024-01-01", periods=30, freq="h").astype(str)
    pd.DataFrame({"item_id": "a", "timestamp": times, "target": WAVE, **columns}).to_csv(folder / name, index=False)


def lines(folder: Path, name: str, *series: object, **more: object) -> None:
    text = "".join(json.dumps({"start": "2024-01-01", "target": target, **more}) + "\n" for target in series)
    (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def files(tmp_path):
    wave, times = WAVE.tolist(), pd.date_range("2024-01-01", periods=30, freq="h").astype(str)
    table(tmp_path, "whole.csv")
    table(tmp_path, "infinite.csv", target=np.where(np.arange(30) == 4, np.inf, WAVE))
    table(tmp_path, "words.csv", target=["many", *WAVE[1:].astype(str)])
    table(tmp_path, "zones.csv", timestamp=times + "+02:00")
    table(tmp_path, "irregular.csv", timestamp=[*times[:-1], "2024-02-01 00:00:00"])
    table(tmp_path, "twice.csv", timestamp=[*times[:-1], times[-2]])
    table(tmp_path, "daily.csv", timestamp=pd.date_range("2024-01-01", periods=30).astype(str))
    table(tmp_path, "nameless.csv", other=1.0)
    pd.read_csv(tmp_path / "nameless.csv").rename(columns={"target": "b"}).to_csv(
        tmp_path / "nameless.csv", index=False
    )
    lines(tmp_path, "whole.jsonl", wave)
    lines(tmp_path, "holes.jsonl", [None, *wave[1:]])
    lines(tmp_path, "empty.jsonl", wave, [])
    lines(tmp_path, "nothing.jsonl", [None] * 20)
    lines(tmp_path, "zeros.jsonl", wave, [0.0] * 20)
    lines(tmp_path, "tiny.jsonl", [1e-13 * v for v in wave])
    lines(tmp_path, "short.jsonl", wave, wave[:3])
    lines(tmp_path, "days.jsonl", wave, freq="D")
    lines(tmp_path, "infinite.jsonl", [1.0, 1e999])
    (tmp_path / "broken.jsonl").write_text('{"target": [1, 2\n', encoding="utf-8")
    np.savez(tmp_path / "other.npz", values=WAVE[None], freq="h", prediction_length=6)
    return tmp_path


BAD = {
    "no file": ("forecast", "none.csv", (), "none.csv: there is no such file"),
    "suffix": ("forecast", "whole.xlsx", (), "whole.xlsx: .xlsx is no format of panels; known are .json"),
    "out": ("forecast", "whole.csv", ("--out", "out.jsonl"), "out.jsonl: .jsonl is no format of series"),
    "out of impute": ("impute", "holes.jsonl", ("--out", "out.txt"), "out.txt: .txt is no format of filled panels"),
    "empty": ("forecast", "empty.jsonl", (), "empty.jsonl: line 2: the series is empty; leave such series out"),
    "broken": ("forecast", "broken.jsonl", (), "broken.jsonl: line 1: is no JSON"),
    "infinite": ("forecast", "infinite.csv", (), "infinite.csv: row 5 (line 6), 'target': 'inf' is not a finite numbe"),
    "infinite line": ("impute", "infinite.jsonl", (), "infinite.jsonl: line 1, value 2: infinity is no finite number"),
    "words": ("forecast", "words.csv", (), "words.csv: row 1 (line 2), 'target': 'many' is not a finite number"),
    "zone": ("forecast", "zones.csv", (), "zones.csv: column 'timestamp': the times have a time zone; write local tim"),
    "irregular": ("impute", "irregular.csv", (), "irregular.csv: series a: 2024-02-01 00:00:00 where the frequency h"),
    "twice": ("forecast", "twice.csv", (), "twice.csv: series a: 2024-01-02 04:00:00 comes twice; keep one of them"),
    "days": ("forecast", "days.jsonl", (), "days.jsonl: has the frequency D, not h"),
    "daily": ("forecast", "daily.csv", (), "daily.csv: series a: 2024-01-02 00:00:00 where the frequency h has"),
    "frequency": ("forecast", "whole.csv", ("--read", "frequency=D"), "--read frequency=D; the run knows the frequenc"),
    "no frequency": ("forecast", "whole.csv", ("--read", "frequency=x"), "unknown frequency 'x'"),
    "prediction": ("forecast", "other.npz", (), "other.npz: prediction_length: has a test set with 6 steps to forecas"),
    "horizon": ("forecast", "whole.csv", ("--horizon", "5"), "a horizon of 5 steps, the run forecasts 4; give 1 to 4"),
    "no horizon": ("forecast", "whole.csv", ("--horizon", "0"), "a horizon of 0 steps, the run forecasts 4; give 1 to"),
    "held back": ("forecast", "short.jsonl", ("--holdout",), "short.jsonl: series 1: 3 values leave no history before"),
    "target": ("forecast", "nameless.csv", (), "nameless.csv: no column is called target; give --read target, one of"),
    "column": ("forecast", "whole.csv", ("--read", "item=who"), "whole.csv: unknown column as --read item 'who'"),
    "read": ("forecast", "whole.csv", ("--read", "group=x"), "unknown argument of --read 'group'"),
    "missing": ("forecast", "whole.csv", ("--missing", "BM"), "unknown scenario of missing values 'BM'; did you mean"),
    "missing steps": ("forecast", "whole.csv", ("--missing", "RM:9"), "9 missing steps in a context of 8; give 0 to 8"),
    "no steps": ("forecast", "whole.csv", ("--missing", "RM:x"), "--missing RM:x; write it as RM, BM-B or BM-E, or"),
    "whole": ("impute", "whole.jsonl", (), "whole.jsonl: nothing is missing; empty the cells to fill, or say with --g"),
    "given": ("impute", "whole.csv", ("--given", "0:99"), "--given: step 99 of '0:99' lies beyond a window of 12 step"),
    "condition": ("forecast", "whole.csv", ("--condition", "scale=2"), "condition 'scale'; leave it out: a series has"),
    "paths": ("forecast", "whole.csv", ("--num", "0"), "--num: 0 is too small; give at least 1"),
    "way": ("forecast", "whole.csv", ("--way", "moment"), "unknown way to use observations 'moment'; did you mean"),
    "potential": ("forecast", "whole.csv", ("--potential", "gauss"), "unknown potential of observations 'gauss'; did"),
    "levels": ("forecast", "whole.csv", (*SELF, "--levels", "sorted"), "unknown order of quantile levels 'sorted'"),
    "idle levels": ("forecast", "whole.csv", ("--way", "moments", "--levels", "random"), "levels are those of quantil"),
    "not a quantile's": ("forecast", "whole.csv", ("--way", "moments", "--potential", "quantile"), "moments cannot us"),
    "std": ("forecast", "whole.csv", ("--std", "-1"), "-1 is no standard deviation of an error; give more than 0"),
    "solver": ("forecast", "whole.csv", (*SELF, *STEPPED, "--solver", "ddim"), "needs ancestral sampling"),
    "way alone": ("forecast", "whole.csv", SELF, "ancestral sampling; take --solver ddpm, or --way-arg point=current"),
    "no steps to guide": ("forecast", "whole.csv", (*SELF, "--way-arg", "point=current", "--solver", "rk45"),
                          "a solver of adaptive steps cannot be guided; take one with a grid"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(run, files, capsys, case):
    task, name, words, expected = BAD[case]
    before = sorted(files.iterdir())
    words = [str(files / word) if word.startswith("out.") else word for word in words]
    words = ["--out", str(files / "out.csv"), "--num", "4", "--device", "cpu", *words]
    assert main([task, str(run), "--data", str(files / name), *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert expected in said.err
    assert sorted(files.iterdir()) == before


TOLD = {
    "short": ("forecast", "short.jsonl", (), "series 1: 3 values of history, a window takes 8 in 1 of 2 series: the s"),
    "zeros": ("forecast", "zeros.jsonl", (), "zeros.jsonl: 1 of 2 contexts hold zeros or missing values only: they ha"),
    "nothing": ("forecast", "nothing.jsonl", (), "nothing.jsonl: of 1 of 1 windows nothing is known: their paths are"),
    "all of it": ("impute", "nothing.jsonl", (), "nothing.jsonl: of 1 of 2 windows nothing is known: their paths are"),
    "hidden": ("forecast", "whole.csv", ("--missing", "BM-E:8"), "contexts hold zeros or missing values only: they ha"),
}  # fmt: skip


def made(run: Path, files: Path, task: str, name: str, *words: str) -> np.ndarray:
    out = ["--out", str(files / "out.npz"), "--steps", "3", "--device", "cpu"]
    assert main([task, str(run), "--data", str(files / name), *out, *words]) == 0
    with np.load(files / "out.npz") as stored:
        paths, missing = stored["paths"], stored["missing"]
    return paths.transpose(0, 2, 3, 1)[missing]


@pytest.mark.filterwarnings("always::scorefield.core.errors.InputWarning")
@pytest.mark.parametrize("case", TOLD)
def test_what_is_unusual_is_told_in_one_line(run, files, capsys, case):
    task, name, words, expected = TOLD[case]
    assert np.isfinite(made(run, files, task, name, "--num", "2", *words)).all()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert expected in said[0]


@pytest.mark.parametrize("words", [("--solver", "ddpm"), ("--way-arg", "point=current")])
def test_self_guidance_holds_to_quantiles_as_published(run, files, words):
    alone = made(run, files, "forecast", "whole.csv", "--num", "4", *SELF, *words)
    told = json.loads((files / "out.npz.json").read_text())
    assert (told["way"], told["potential"], told["std"], told["levels"]) == ("self", "quantile", 1.0, "ordered")
    named = made(run, files, "forecast", "whole.csv", "--num", "4", *SELF, *words, "--potential", "quantile")
    np.testing.assert_array_equal(alone, named)
    squares = made(run, files, "forecast", "whole.csv", "--num", "4", *SELF, *words, "--potential", "gaussian",
                   "--overwrite")  # fmt: skip
    assert not np.allclose(alone, squares)


def test_one_path_stands_for_the_median_and_tiny_values_have_the_least_scale(run, files):
    assert np.isfinite(made(run, files, "forecast", "whole.csv", "--num", "1")).all()
    cells = made(run, files, "forecast", "tiny.jsonl", "--num", "2", "--overwrite")
    assert 0 < np.abs(cells).max() < 1e-8


def test_a_run_of_other_lags_is_refused(run, files, tmp_path, capsys):
    record = json.loads((run / "model.json").read_text(encoding="utf-8"))
    record["tables"]["lags"] = [3, 5]
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.json").write_text(json.dumps(record), encoding="utf-8")
    (other / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes())
    assert main(["forecast", str(other), "--data", str(files / "whole.csv"), "--out", str(files / "out.csv")]) == 2
    assert "tables.lags: 2 lags where the network takes 1" in capsys.readouterr().err


def test_the_input_is_never_replaced(run, files, capsys):
    for task, name in (("forecast", "whole.csv"), ("impute", "holes.jsonl")):
        before, file = (files / name).read_bytes(), str(files / name)
        assert main([task, str(run), "--data", file, "--out", file]) == 2
        assert "would replace what is read" in capsys.readouterr().err
        assert (files / name).read_bytes() == before
