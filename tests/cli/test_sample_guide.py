"""`sample --guide`: the same bytes for the same words, also after an interruption; what cannot be is one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scorefield.core.cli.main import main
from scorefield.core.diffusion import Diffusion

REQUEST = ("--num", "24", "--chunk-size", "8", "--tile-size", "4", "--device", "cpu", "--steps", "5")
GUIDE = ("--guide", "left=2:20")


@pytest.fixture
def sample(toy_run, tmp_path):
    def run(*words, out="points.txt"):
        return main(["sample", str(toy_run), "--out", str(tmp_path / out), *REQUEST, *map(str, words)])

    return run


def points(path):
    rows = [line.partition(" ") for line in path.read_text().splitlines()]
    values = [np.array(json.loads(row))[: int(count)] for count, _, row in rows]
    return np.concatenate(values)


def test_guided_points_move_and_are_recorded(sample, tmp_path, capsys):
    assert sample(out="plain.txt") == sample(*GUIDE) == 0
    plain, guided = (points(tmp_path / name) for name in ("plain.txt", "points.txt"))
    assert plain[:, 0].mean() < 1.2 < 1.5 < guided[:, 0].mean()
    summary, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("points.txt", "plain.txt"))
    assert summary["guide"] == summary["request"]["guide"] == ["left=2:20"]
    assert summary["evaluations"] == other["evaluations"] == 5
    assert "guide" not in other
    assert "guide" not in other["request"]
    capsys.readouterr()
    assert sample("--guide", "left=2:21") == 2
    assert 'guide ["left=2:20"] there, ["left=2:21"] asked' in capsys.readouterr().err


def test_an_interrupted_command_goes_on_to_the_same_bytes(sample, tmp_path, monkeypatch, capsys):
    assert sample(*GUIDE, out="whole.txt") == 0
    made, chunk = [], Diffusion.chunk

    def stopping(self, number, *rest):
        if made:
            raise KeyboardInterrupt
        made.append(number)
        return chunk(self, number, *rest)

    monkeypatch.setattr(Diffusion, "chunk", stopping)
    assert sample(*GUIDE) == 130
    assert (tmp_path / "points.txt.parts").is_dir()
    monkeypatch.setattr(Diffusion, "chunk", chunk)
    assert sample(*GUIDE) == 0
    assert (tmp_path / "points.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


def test_two_potentials_and_a_way_with_arguments(sample, tmp_path):
    assert sample(*GUIDE, "--guide", "left=min:0.5", "--way", "gradient", "--way-arg", "through_network=false") == 0
    request = json.loads((tmp_path / "points.txt.json").read_text())["request"]
    assert request["guide"] == ["left=2:20", "left=min:0.5"]
    assert (request["way"], request["way_arguments"]) == ("gradient", {"through_network": "false"})


BAD = {
    "unknown": (("--guide", "lefd=2"), "unknown potential 'lefd'; did you mean 'left'?"),
    "weight": (("--guide", "left=2:heavy"), "guide 'left=2:heavy' has no number as its weight; write NAME="),
    "infinite": (("--guide", "left=2:inf"), "has no number as its weight"),
    "target": (("--guide", "left=up"), "left=up; give a number, max or min"),
    "detail": (("--guide", "left.x=2"), "guide 'left.x=2'; write left=NUMBER|max|min:WEIGHT"),
    "way": ((*GUIDE, "--way", "gradeint"), "unknown way 'gradeint'; did you mean 'gradient'?"),
    "no gradient": (("--guide", "count", "--way", "gradient"), "gradient cannot use count: it has no gradient; "),
    "no observation": ((*GUIDE, "--way", "replacement"), "replacement cannot use Regressor: it is no observation"),
    "way alone": (("--way", "gradient"), "way 'gradient' without a potential to use; name one, see `scorefield list"),
    "arguments alone": ((*GUIDE, "--way-arg", "limit=1"), "arguments of a way that is not named; name it: gradient"),
    "argument": ((*GUIDE, "--way", "gradient", "--way-arg", "limit=0"), "limit 0 of gradient guidance; give"),
    "word": ((*GUIDE, "--way-arg", "limit"), "--way-arg limit; write it as NAME=VALUE"),
    "no condition": (("--guide", "condition:2"), "classifier-free guidance needs a null condition"),
    "condition": (("--guide", "condition=a:2"), "guide 'condition=a:2'; write condition:WEIGHT"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(sample, tmp_path, capsys, case):
    words, expected = BAD[case]
    before = sorted(tmp_path.iterdir())
    assert sample(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert expected in said.err
    assert sorted(tmp_path.iterdir()) == before


def test_guidance_that_breaks_a_run_is_told_how_to_be_mended(sample, capsys):
    assert sample("--guide", "left=2:1e38", "--way", "gradient", "--way-arg", "limit=none") == 2
    assert "lower the weights of --guide" in capsys.readouterr().err


def test_help_shows_an_example(capsys):
    assert main(["sample", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--guide NAME[=TARGET][:WEIGHT]" in text
    assert "--guide degree=2.2:50" in text
