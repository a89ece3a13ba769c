"""`rescale` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scorefield.core.cli.main import main
from scorefield.domains.digraphs import Digraph, Digraphs, deviations, measure, simple_digraph, write_digraph

EDGES = np.random.default_rng(1).integers(0, 80, (600, 2))


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Digraph:
    """A graph that lies in `graph.txt.gz` of the working folder."""
    monkeypatch.chdir(tmp_path)
    made = simple_digraph(EDGES).graph
    write_digraph("graph.txt.gz", made)
    return made


def test_folder_certificates_and_line(graph: Digraph, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rescale", "graph.txt.gz", "--ratio", "0.5", "--num", "3", "--seed", "4"]
    assert main([*words, "--out", "samples/"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("samples: 3 graphs of 40 nodes and ")
    assert printed.err == ""
    assert sorted(entry.name for entry in Path("samples").iterdir()) == [
        "000.npz", "001.npz", "002.npz", "certificates.json",
    ]  # fmt: skip
    told = json.loads(Path("samples/certificates.json").read_text())
    original = measure(graph)
    for one, facts in zip(Digraphs.load("samples"), told, strict=True):
        assert (one.n, one.m) == (facts["n"], facts["m"])
        assert facts["deviations"] == vars(deviations(measure(one), original))
        assert facts["deviations"]["ks_in"] < facts["bound_ks"]
        assert facts["deviations"]["tv_dcm"] <= facts["bound_tv_dcm"]
    assert main([*words, "--out", "samples"]) == 0
    assert "already there" in capsys.readouterr().out
    assert main([*words, "--out", "other", "--devices", "2"]) == 0
    assert all((Path("other") / e.name).read_bytes() == e.read_bytes() for e in Path("samples").iterdir())
    assert not list(Path().glob("*.parts"))


def test_another_request_needs_overwrite(graph: Digraph, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rescale", "graph.txt.gz", "--ratio", "0.5", "--num", "2", "--out", "s"]) == 0
    assert main(["rescale", "graph.txt.gz", "--nodes", "50", "--out", "s"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["rescale", "graph.txt.gz", "--nodes", "50", "--out", "s", "--overwrite"]) == 0
    assert [one.n for one in Digraphs.load("s")] == [50]


def test_whole_ratios_are_exact_and_one_graph_goes_into_any_file(graph: Digraph) -> None:
    assert main(["rescale", "graph.txt.gz", "--ratio", "2", "--out", "twice.parquet"]) == 0
    found = measure(Digraphs.load("twice.parquet")[0])
    np.testing.assert_array_equal(found.dcm[:, 2], 2 * measure(graph).dcm[:, 2])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.txt", "--ratio", "1"], "none.txt: is no file"),
        (["graph.txt.gz", "--ratio", "0"], "not above 0"),
        (["graph.txt.gz", "--ratio", "nan"], "no number"),
        (["graph.txt.gz", "--nodes", "0"], "0 nodes asked for"),
        (["graph.txt.gz", "--ratio", "0.001"], "leaves no node"),
        (["graph.txt.gz"], "required"),
        (["graph.txt.gz", "--ratio", "1", "--nodes", "3"], "not allowed with"),
        (["graph.txt.gz", "--ratio", "1", "--n", "5"], "is not below n = 5"),
        (["graph.txt.gz", "--ratio", "1", "--num", "0"], "--num: 0 is too small"),
        (["graph.txt.gz", "--ratio", "1", "--steps-per-edge", "-1"], "steps_per_edge is -1"),
        (["graph.txt.gz", "--ratio", "1", "--start", "x"], "give cyclic or random"),
        (["graph.txt.gz", "--nodes", "4", "--on-infeasible", "raise"], "too few for the largest degrees"),
        (["bad.csv", "--ratio", "1"], "bad.csv: line 3: '-1' is no id"),
        (["empty.csv", "--ratio", "1"], "empty.csv: holds no nodes"),
    ],
)
def test_what_cannot_be_is_one_line(
    graph: Digraph, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.csv").write_text("src,dst\n0,1\n-1,2\n")
    Path("empty.csv").write_text("src,dst\n")
    before = sorted(entry.name for entry in Path().iterdir())
    assert main(["rescale", *words, "--out", "out"]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert sorted(entry.name for entry in Path().iterdir()) == before


def test_a_graph_without_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.csv").write_text("src,dst\n")
    assert main(["rescale", "empty.csv", "--n", "10", "--ratio", "0.55", "--out", "out"]) == 0
    assert [(one.n, one.m) for one in Digraphs.load("out")] == [(6, 0)]
