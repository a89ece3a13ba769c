"""`forecast`, `impute`, `interpolate`, `refine` and `sample` of trajectories: files, scores, one line for bad input."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from scorefield.core.cli.main import main
from scorefield.domains.geometry.trajectories import Trajectories
from tests.geometry.runs import springs_data, untrained

QUICK = ("--num", "2", "--steps", "4", "--device", "cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    untrained(folder / "uncond")
    untrained(folder / "cond", "0:5")
    return folder


@pytest.fixture
def files(tmp_path):
    whole = springs_data(frames=24, simulation_seed=5).windows("test").samples()
    whole.save(tmp_path / "whole.npz")
    whole.frames(0, 12).save(tmp_path / "window.npz")
    x = whole.x.copy()
    x[0, 1, 3:6], x[1, :, 7] = np.nan, np.nan
    arrays = whole.arrays()
    np.savez(tmp_path / "holes.npz", **{**arrays, "x": x})
    np.savez(tmp_path / "flat.npz", **{**arrays, "x": whole.x[..., :2]})
    np.savez(tmp_path / "infinite.npz", **{**arrays, "x": np.where(np.isnan(x), np.inf, x)})
    np.savez(tmp_path / "alone.npz", x=whole.x)
    np.savez(tmp_path / "outside.npz", **{**arrays, "edges": arrays["edges"] + 9})
    np.savez(tmp_path / "widths.npz", **{**arrays, "features": np.zeros((3, 4, 2))})
    (tmp_path / "broken.npz").write_text("no archive")
    return tmp_path


def test_a_forecast_is_written_scored_and_drawn(runs, files, capsys):
    out = files / "f.npz"
    words = ["forecast", str(runs / "cond"), "--data", str(files / "whole.npz"), "--horizon", "15", "--holdout"]
    assert main([*words, *QUICK, "--out", str(out), "--plot"]) == 0
    said = capsys.readouterr().out
    assert "ADE" in said
    assert "constant velocity" in said
    assert "drift of the energy by block" in said
    summary = json.loads(Path(f"{out}.json").read_text())
    assert summary["scores"]["model"]["samples"] == 2
    assert summary["scores"]["constant velocity"]["systems"] == 3
    assert len(summary["drift"]["blocks"]) == len(summary["drift"]["truth"]) == 3
    assert (files / "f.npz.png").read_bytes()[:4] == b"\x89PNG"
    read = Trajectories.load(out)
    assert read.x.shape == (6, 4, 20, 3)
    with np.load(out) as stored:
        assert stored["system"].tolist() == [0, 0, 1, 1, 2, 2]
        assert stored["missing"].sum() == 3 * 4 * 15
    before = out.read_bytes()
    assert main([*words, *QUICK, "--out", str(out), "--overwrite", "--seed", "0"]) == 0
    assert out.read_bytes() == before


def test_a_page_and_extended_xyz(runs, files):
    words = ["interpolate", str(runs / "cond"), "--data", str(files / "window.npz"), "--given", "0:5", *QUICK]
    assert main([*words, "--out", str(files / "i.xyz"), "--plot", str(files / "i.html")]) == 0
    page = (files / "i.html").read_text()
    assert "<script" in page
    assert "<svg" in page
    assert Trajectories.load(files / "i.xyz").x.shape == (6, 4, 12, 3)


def test_holes_are_filled_and_bases_refined(runs, files, capsys):
    run = str(runs / "uncond")
    assert main(["impute", run, "--data", str(files / "holes.npz"), *QUICK, "--out", str(files / "h.npz")]) == 0
    base = ["--forecast", str(files / "window.npz"), "--holdout", "--out", str(files / "r.npz")]
    assert main(["refine", run, "--data", str(files / "window.npz"), *QUICK, *base]) == 0
    base = ["--forecast", "constant-velocity", "--out", str(files / "r2.npz"), "--time", "0.001"]
    assert main(["refine", str(runs / "cond"), "--data", "test", *QUICK, *base]) == 0
    assert "base -> refined: ADE" in capsys.readouterr().out


def test_samples_are_compared_with_the_run(runs, files, capsys):
    out = files / "s.npz"
    assert main(["sample", str(runs / "uncond"), "--num", "4", "--out", str(out), "--device", "cpu"]) == 0
    assert main(["compare", str(runs / "uncond"), str(out), "--statistics", "marginal,w1_speed"]) in (0, 2)


BAD = {
    "no file": ("forecast", "cond", "none.npz", (), "none.npz: there is no such file"),
    "suffix": ("forecast", "cond", "whole.csv", (), "whole.csv: .csv is no format of trajectories"),
    "broken": ("forecast", "cond", "broken.npz", (), "broken.npz: is no archive of arrays"),
    "out": ("forecast", "cond", "whole.npz", ("--out", "o.csv"), "o.csv: .csv is no format of trajectories"),
    "same": ("forecast", "cond", "whole.npz", ("--out", "whole.npz"), "whole.npz: would replace what is read"),
    "space": ("forecast", "cond", "flat.npz", (), "flat.npz: positions in 2 dimensions; the run knows 3"),
    "infinite": ("impute", "uncond", "infinite.npz", (), "infinite.npz: infinity is no position; write NaN"),
    "hole": ("forecast", "cond", "holes.npz", ("--horizon", "15", "--holdout"), "trajectory 0: a position is missing"),
    "edges": ("forecast", "cond", "alone.npz", (), "alone.npz: tells no edges"),
    "outside": ("forecast", "cond", "outside.npz", (), "outside.npz: "),
    "features": ("forecast", "cond", "widths.npz", (), "widths.npz: features: 2 features of nodes"),
    "given": ("interpolate", "cond", "whole.npz", ("--given", "0:99"), "slice"),
    "all given": ("interpolate", "uncond", "whole.npz", ("--given", ":"), "gives all steps"),
    "not able": ("impute", "cond", "holes.npz", (), "cannot impute; it can forecast, interpolate, refine"),
    "long": ("forecast", "cond", "whole.npz", ("--horizon", "20", "--holdout"), "4 frames of history, the run looks"),
    "way": ("forecast", "cond", "whole.npz", ("--way", "moments"), "leave way, potential"),
    "base": ("refine", "cond", "whole.npz", ("--forecast", "naive"), "naive: "),
    "time": ("refine", "cond", "window.npz", ("--forecast", "constant-velocity", "--time", "7"), "time 7; give more"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, runs, files, capsys, monkeypatch):
    command, run, data, words, message = BAD[case]
    monkeypatch.chdir(files)
    out = () if "--out" in words else ("--out", "o.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main([command, str(runs / run), "--data", data, *QUICK, *out, *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
    assert not (files / "o.npz").exists()


def test_a_conditional_run_says_which_command_it_takes(runs, files, capsys):
    assert main(["sample", str(runs / "cond"), "--num", "2", "--out", str(files / "s.npz"), "--device", "cpu"]) == 2
    assert "scorefield forecast" in capsys.readouterr().err
