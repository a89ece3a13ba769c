"""The command demo: the whole tour, and whose folders it replaces."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scorefield.core.cli.main import main


def test_a_folder_of_somebody_else_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "graphs" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert "was not made by the demo" in error
    assert mine.read_text() == "years of work"


def test_unknown_domain_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--domain", "graph", "--out", str(tmp_path)]) == 2
    assert "graphs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_tour(tmp_path: Path, program: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = program("demo", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "graphs"
    rows = {row["name"]: row["value"] for row in json.loads((folder / "statistics.json").read_text())["statistics"]}
    assert rows["valid_ref"] > 0.7
    assert rows["nspdk"] < 0.1  # half a minute of training
    page = (folder / "report.html").read_text()
    assert "<svg" in page or "data:image" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert program("sample", folder / "run", "--num", "3", "--out", tmp_path / "m.smi").returncode == 0


@pytest.mark.slow
def test_the_tour_of_series(tmp_path: Path, program: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = program("demo", "--domain", "series", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "series"
    rows = {row["name"]: row for row in json.loads((folder / "statistics.json").read_text())["statistics"]}
    assert rows["vds_exact"]["n_real"] == rows["vds_exact"]["n_generated"] == 1000
    assert rows["vds_exact"]["value"] < 0.1  # a minute of training
    assert rows["fdds"]["value"] < 0.1
    assert rows["memorisation"]["value"] > 0.5
    page = (folder / "report.html").read_text()
    assert page.count("data:image") >= 6
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_the_tour_of_digraphs(tmp_path: Path, program: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = program("demo", "--domain", "digraphs", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "digraphs"
    rows = {row["name"]: row for row in json.loads((folder / "statistics.json").read_text())["statistics"]}
    assert rows["ks_in"]["value"] < 1 / 330  # ten graphs of half the size keep the degrees
    assert (rows["ks_in"]["n_real"], rows["ks_in"]["n_generated"]) == (1, 10)
    page = (folder / "report.html").read_text()
    assert "<svg" in page or "data:image" in page
