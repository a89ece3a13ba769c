"""`diagnose` as a user runs it: the table, the files, and bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from scorefield.core.cli.main import main

QUICK = ("--num", "6", "--steps", "4,8", "--times", "3", "--gap-steps", "10", "--solvers", "ddim,unipc,ddpm")


@pytest.fixture
def diagnose(toy_run, tmp_path):
    """Run the command in this process."""

    def run(*words, name=None):
        return main(["diagnose", str(name or toy_run), "--device", "cpu", *QUICK, *map(str, words)])

    return run


def test_a_run_with_a_true_score(diagnose, tmp_path, capsys):
    out, data = tmp_path / "page.html", tmp_path / "found.json"
    assert diagnose("--out", out, "--json", data) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert lines[0].endswith("6 samples of the run, raw weights")
    assert re.match(r"  ddim +[\d.e-]+ \(4\) +[\d.e-]+ \(8\)$", lines[2])
    assert "left out: ddpm: stochastic" in lines
    assert lines[-1] == f"wrote {out}"
    found = json.loads(data.read_text())
    assert [row["evaluations"] for row in found["endpoints"]["rows"]] == [4, 8, 4, 8]
    assert max(found["residual"]["relative"]) < 1e-3  # the toy network knows the score
    assert max(found["asymmetry"]["whole"]) < 1e-6
    assert found["dimensions"]["flipd"] == pytest.approx(found["dimensions"]["free"], abs=1.5)
    assert found["facts"]["num"] == 6
    page = out.read_text()
    assert page.count("data:image/svg+xml;base64,") == 4
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "6 samples of the run" in page


def test_the_same_command_gives_the_same_numbers(diagnose, tmp_path, capsys):
    contents = []
    for name in ("a.json", "b.json"):
        assert diagnose("--json", tmp_path / name, "--seed", 3) == 0
        content = json.loads((tmp_path / name).read_text())
        content["facts"].pop("seconds")
        contents.append(content)
    assert contents[0] == contents[1]


def test_states_of_a_file_in_place_of_samples(diagnose, tmp_path, capsys):
    mask = np.arange(5) < np.array([[5], [3], [2], [4]])
    x = np.where(mask[..., None], np.random.default_rng(0).normal(size=(4, 5, 2)), 0)
    np.savez(tmp_path / "states.npz", x=x, mask=mask, is_test=np.array([0, 0, 0, 1]))
    assert diagnose("--states", tmp_path / "states.npz", "--json", tmp_path / "found.json") == 0
    assert f"3 rows of {tmp_path / 'states.npz'}" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["dimensions"]["free"] == [10, 6, 4]


def test_the_packaged_run_whose_network_sees_no_time(diagnose, capsys):
    assert diagnose(name="molecules_small") == 0
    printed = capsys.readouterr().out
    assert "1 throughout: the score does not change with time" in printed
    assert "median of blocks: x " in printed


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--num", "1"), "num is 1; give at least 2"),
        (("--steps", "5,x"), "--steps: '5,x' are no numbers of steps; write them as 5,10,20"),
        (("--steps", "0"), "steps are [0]; give positive numbers, as 5,10,20,50"),
        (("--times", "1"), "times is 1; give at least 2"),
        (("--gap-steps", "0"), "gap-steps is 0; give at least 1"),
        (("--noise", "0"), "noise is 0; give a positive number, as 0.05"),
        (("--seed", "-1"), "seed is -1; give at least 0"),
        (("--solvers", "ddim,"), "--solvers: 'ddim,' lacks a name; write them as ddim,unipc"),
        (("--solvers", "unipd"), "unknown solver 'unipd'; did you mean 'unipc'?"),
        (("--out", "page.txt"), "page.txt: --out does not write files of this name; end its name in .html or .htm"),
        (("--json", "found.txt"), "found.txt: --json does not write files of this name; end its name in .json"),
        (("--states", "none.npz"), "none.npz: no such file; write one with `scorefield fit --export-states`"),
        (("--device", "tpu"), "unknown device 'tpu'; give auto, cpu or cuda"),
        (("--nun", "3"), "unknown option '--nun'; did you mean '--num'?"),
    ],
)
def test_bad_input_is_one_line(diagnose, capsys, monkeypatch, tmp_path, words, line):
    monkeypatch.chdir(tmp_path)
    assert diagnose(*words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"scorefield: {line}")
    assert printed.err.count("\n") == 1


def test_an_unknown_run_and_a_run_without_a_sampler(diagnose, toy, tmp_path, capsys):
    assert diagnose(name="molecules_smal") == 2
    assert "did you mean 'molecules_small'?" in capsys.readouterr().err
    bare: Path = toy.make_run(tmp_path / "bare", sampling={})
    assert diagnose(name=bare) == 2
    assert "names no default sampler" in capsys.readouterr().err


def test_help_shows_examples(capsys):
    assert main(["diagnose", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "scorefield diagnose molecules_small" in printed
    assert "Fokker-Planck residual" in printed


@pytest.mark.gpu
def test_a_gpu_gives_the_same_diagnosis(toy_run, tmp_path):
    found = []
    for device in ("cpu", "cuda"):
        words = [*QUICK, "--states", str(tmp_path / "states.npz"), "--json", str(tmp_path / f"{device}.json")]
        np.savez(tmp_path / "states.npz", x=np.ones((4, 5, 2)), mask=np.ones((4, 5), dtype=bool))
        assert main(["diagnose", str(toy_run), "--device", device, *words]) == 0
        found.append(json.loads((tmp_path / f"{device}.json").read_text())["dimensions"]["flipd"])
    assert found[0] == pytest.approx(found[1], abs=1e-6)
