"""`scorefield list`, and that looking around imports nothing heavy."""

from __future__ import annotations

import json

import pytest

from scorefield.core.cli.main import main
from scorefield.core.configs import packaged_configs
from scorefield.core.domains import find_domains

HEAVY = "torch lightning numpy scipy pandas pyarrow rdkit matplotlib networkx jsonargparse jinja2 yaml"

LIGHT = [
    ["--help"],
    ["--version"],
    ["list", "configs"],
    ["list", "domains"],
    ["list", "runs"],
    ["list", "--help"],
]


def rows(capsys, what) -> dict[str, str]:
    assert main(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {name: text.strip() for name, _, text in (line.partition(" ") for line in lines)}


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_looking_around_imports_nothing_heavy(python, arguments):
    code = f"""
import sys
from scorefield.core.cli.main import main
code = main({arguments!r})
heavy = sorted(set({HEAVY!r}.split()) & set(sys.modules))
sys.exit(f"imported {{heavy}}" if heavy else code)
"""
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_configs(capsys):
    listed = rows(capsys, "configs")
    if not packaged_configs():
        assert list(listed) == ["no"]
    else:
        assert list(listed) == list(packaged_configs())
        assert all(listed.values()), "the first line of a configuration is a comment that says what it is"


def test_domains(capsys):
    listed = rows(capsys, "domains")
    assert list(listed) == list(find_domains())
    assert listed["graphs"]


def test_solvers(capsys):
    listed = rows(capsys, "solvers")
    assert listed
    assert all(listed.values())


def test_solvers_with_their_arguments(capsys):
    assert main(["list", "solvers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    after = lines[next(i for i, line in enumerate(lines) if line.startswith("pc ")) + 1]
    assert after.strip().startswith("arguments: predictor=sde (or reverse, euler, ancestral), snr=0.16, scale=1.0")
    assert "published=false" in after


def test_potentials_with_the_ways_that_can_use_them(capsys):
    listed = rows(capsys, "potentials")
    assert listed["graphs/degree=NUMBER|max|min"].startswith("differentiable; gradient")
    assert listed["graphs/degree=NUMBER|max|min"].endswith("; mean number of neighbours")
    assert listed["graphs/qed[=NUMBER|max|min]"].startswith("no gradient; ")
    assert "gradient, dps, replacement" in listed["core/GaussianObservation"]
    assert listed["core/condition"].startswith("classifier-free; ")
    assert all(listed.values())


def test_ways_with_their_arguments(capsys):
    assert main(["list", "ways"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.partition(" ")[0] for line in lines if not line.startswith(" ")]
    assert {"gradient", "dps", "replacement"} <= set(names)
    after = lines[next(i for i, line in enumerate(lines) if line.startswith("gradient ")) + 1]
    assert after.split() == ["arguments:", "weight=1.0,", "through_network=true,", "data_std=1.0,", "limit=3.0"]


def test_statistics(capsys):
    listed = rows(capsys, "statistics")
    assert any(name.startswith("graphs/") for name in listed)
    assert all(listed.values())


def test_runs_shows_finished_unfinished_and_broken(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/001", "a/002", "b/001"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    model = {
        "format": 1,
        "domain": "graphs",
        "system": {"class_path": "package.Recipe"},
        "sizes": {},
        "tables": {},
        "sampling": {"solver": "pc", "steps": 25},
    }
    (tmp_path / "runs/a/001/model.json").write_text(json.dumps(model))
    (tmp_path / "runs/b/001/model.json").write_text("{")
    listed = rows(capsys, "runs")
    assert listed["runs/a/001"] == "graphs, Recipe, pc with 25 steps"
    assert listed["runs/a/002"] == "not finished"
    assert "broken" in listed["runs/b/001"]


def test_misspelt_subject_names_the_nearest(capsys):
    assert main(["list", "config"]) == 2
    assert "did you mean 'configs'?" in capsys.readouterr().err
