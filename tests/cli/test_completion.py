"""`forecast`, `impute`, `interpolate`: help, and bad input as one line with exit code 2."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.core.checkpoints import ModelRecord, save_model
from scorefield.core.cli.main import main
from scorefield.domains.series.pad_ts.recipe import PaDTS

TASKS = ("forecast", "impute", "interpolate")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.manual_seed(0)
    init = {"width": 8, "heads": 2, "decoder_layers": 1, "num_steps": 50}
    recipe = {"class_path": "scorefield.domains.series.pad_ts.recipe.PaDTS", "init_args": init}
    tables = {"kind": "series", "columns": ["a", "b"], "low": [0.0, 0.0], "high": [10.0, 10.0]}
    sizes = {"length": 8, "features": 2}
    made = ModelRecord("series", recipe, sizes, tables, {"solver": "ddpm", "steps": 5, "weights": "raw"})
    folder = tmp_path_factory.mktemp("runs") / "run"
    save_model(folder, made, PaDTS(**init).build(sizes).state_dict(), None)
    return folder


@pytest.fixture
def files(tmp_path):
    frame = pd.DataFrame({"a": np.linspace(1, 9, 20), "b": np.linspace(9, 1, 20)})
    frame.to_csv(tmp_path / "whole.csv", index=False)
    frame.rename(columns={"b": "c"}).to_csv(tmp_path / "columns.csv", index=False)
    frame.assign(a=np.nan, b=np.nan).to_csv(tmp_path / "nothing.csv", index=False)
    frame.assign(b=np.where(np.arange(20) == 4, np.nan, frame["b"])).to_csv(tmp_path / "partly.csv", index=False)
    frame.assign(b=np.where(np.arange(20) == 4, np.inf, frame["b"])).to_csv(tmp_path / "infinite.csv", index=False)
    frame.astype(str).replace("1.0", "one").to_csv(tmp_path / "words.csv", index=False)
    frame.head(5).to_csv(tmp_path / "short.csv", index=False)
    np.savez(tmp_path / "wide.npz", x=np.zeros((2, 8, 3)))
    return tmp_path


@pytest.mark.parametrize("task", TASKS)
def test_help_shows_examples_and_options(task, capsys):
    assert main([task, "--help"]) == 0
    text = capsys.readouterr().out
    for word in (f"scorefield {task} runs/mine", "--data FILE", "--way-arg K=V", "--plot [PICTURE]", "--device"):
        assert word in text


BAD = {
    "no file": ("forecast", "none.csv", (), "none.csv: there is no such file"),
    "suffix": ("forecast", "whole.xlsx", (), "whole.xlsx: .xlsx is no format of series; known are .npz"),
    "column": ("forecast", "columns.csv", (), "columns.csv: the run has a column 'b', which is missing; the"),
    "word": ("impute", "words.csv", (), "words.csv: row 1 (line 2), 'a': 'one' is not a finite number"),
    "infinite": ("impute", "infinite.csv", (), "infinite.csv: row 5 (line 6), 'b': 'inf' is not a finite number"),
    "features": ("forecast", "wide.npz", (), "wide.npz: x: 3 features; the run has 2: a, b"),
    "horizon": ("forecast", "whole.csv", ("--horizon", "8"), "a horizon of 8 steps with windows of 8; give 1 to 7"),
    "no horizon": ("forecast", "whole.csv", ("--horizon", "0"), "a horizon of 0 steps with windows of 8; give 1 to 7"),
    "no history": ("forecast", "nothing.csv", (), "nothing.csv: no value is given before the forecast; give a longer"),
    "held back": ("forecast", "short.csv", ("--holdout", "--horizon", "6"), "give a longer history, or leave"),
    "whole": ("impute", "whole.csv", (), "whole.csv: nothing is missing; empty the cells to fill, or say with --given"),
    "empty": ("impute", "nothing.csv", (), "nothing.csv: no value is given; leave such series out"),
    "partly": ("interpolate", "partly.csv", (), "partly.csv: row 5: only some of its values are missing; interpolate"),
    "beyond": ("impute", "whole.csv", ("--given", "0:5,9"), "--given: step 9 of '9' lies beyond a window of 8 steps"),
    "slice": ("impute", "whole.csv", ("--given", "0-5"), "--given: '0-5' is no step and no slice; write it as 0:5"),
    "all": ("interpolate", "whole.csv", ("--given", "0:8"), "'0:8' gives all steps of a window"),
    "too short": ("impute", "short.csv", ("--given", "0:4"), "short.csv: 5 rows, fewer than a window of 8"),
    "read": ("impute", "partly.csv", ("--read", "groups=x"), "unknown argument of --read 'groups'; did you mean"),
    "group": ("impute", "partly.csv", ("--read", "group=x"), "partly.csv: unknown column 'x'"),
    "way": ("impute", "partly.csv", ("--way", "replacemnt"), "unknown way to use observations 'replacemnt'; did"),
    "way argument": ("impute", "partly.csv", ("--way-arg", "iterations=0"), "0 iterations, bounds 1.0; give"),
    "std": ("impute", "partly.csv", ("--std", "0"), "0 is no standard deviation of an error; give more than 0"),
    "paths": ("impute", "partly.csv", ("--num", "0"), "--num: 0 is too small; give at least 1"),
    "picture": ("impute", "partly.csv", ("--plot", "a.gif"), "a.gif: no format of pictures; end its name in .png"),
    "solver": ("impute", "partly.csv", ("--solver", "dpm"), "unknown solver 'dpm'"),
    "condition": ("impute", "partly.csv", ("--condition", "length=9"), "unknown condition 'length'"),
    "table of arrays": ("impute", "gaps.npz", (), "out.csv: arrays have no table to fill; write .npz"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(run, files, capsys, case):
    task, name, words, expected = BAD[case]
    np.savez(files / "gaps.npz", x=np.where(np.arange(16).reshape(8, 2) == 5, np.nan, 1.0))
    before = sorted(files.iterdir())
    assert (
        main([task, str(run), "--data", str(files / name), "--out", str(files / "out.csv"), "--num", "4", *words]) == 2
    )
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert expected in said.err
    assert sorted(files.iterdir()) == before


def test_output_never_replaces_input(run, files, capsys):
    file = str(files / "partly.csv")
    assert main(["impute", str(run), "--data", file, "--out", file]) == 2
    assert "partly.csv: would replace what is read; write to another file" in capsys.readouterr().err
    assert main(["impute", str(run), "--data", file, "--out", str(files / "out.txt")]) == 2
    assert "out.txt: .txt is no format of series" in capsys.readouterr().err


def test_a_picture_that_is_asked_for_later_replaces_nothing_else(run, files, capsys):
    out, words = files / "out.csv", ["--data", str(files / "whole.csv"), "--num", "2"]
    out.write_text("mine", encoding="utf-8")
    assert main(["forecast", str(run), *words, "--out", str(out), "--plot"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == "mine"
    out.unlink()
    assert main(["forecast", str(run), *words, "--out", str(out)]) == 0
    made = out.read_bytes()
    assert main(["forecast", str(run), *words, "--out", str(out), "--plot"]) == 0
    assert (files / "out.csv.png").exists()
    assert out.read_bytes() == made
    capsys.readouterr()
    assert main(["forecast", str(run), *words, "--out", str(out), "--plot"]) == 0
    assert "already there" in capsys.readouterr().out
    assert main(["forecast", str(run), *words, "--out", str(out), "--plot", str(files / "b.png"), "--seed", "1"]) == 2
    assert out.read_bytes() == made


def test_a_table_without_paths_does_not_pass_for_one_with_them(run, files, capsys):
    words = ["forecast", str(run), "--data", str(files / "whole.csv"), "--num", "2", "--out", str(files / "out.csv")]
    assert main(words) == 0
    assert main([*words, "--paths"]) == 2
    assert "all_paths false there, true asked" in capsys.readouterr().err
    assert main([*words, "--paths", "--overwrite"]) == 0
    assert "path1" in pd.read_csv(files / "out.csv")


@pytest.mark.parametrize("task", TASKS)
def test_a_domain_without_these_tasks_says_so(task, files, capsys):
    words = ["--data", str(files / "whole.csv"), "--out", str(files / "out.csv")]
    assert main([task, "molecules_small", *words]) == 2
    expected = f"a run of the domain graphs cannot {task}; it samples and compares only"
    assert expected in capsys.readouterr().err
