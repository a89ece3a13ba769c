"""Directed graphs in files of every format, and files that are none."""

from __future__ import annotations

import gzip
import warnings

import networkx
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings

from scorefield.core.errors import InputError, InputWarning
from scorefield.domains.digraphs import Digraph, read_digraph, write_digraph
from scorefield.domains.digraphs.edge_files import SUFFIXES
from tests.digraphs.small_digraphs import digraphs, stored

GRAPH = Digraph(np.array([0, 1, 4, 2]), np.array([1, 4, 0, 4]), 6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_written_graphs_are_read_again(tmp_path, suffix):
    path = tmp_path / f"graph{suffix}"
    write_digraph(path, GRAPH)
    again = read_digraph(path, None if suffix in (".npz", ".graphml") else 6)
    np.testing.assert_array_equal(again.graph.keys, np.sort(GRAPH.keys))
    assert (again.graph.n, again.loops, again.duplicates) == (6, 0, 0)
    before = path.read_bytes()
    write_digraph(path, again.graph)
    assert path.read_bytes() == before


@settings(max_examples=30)
@given(graph=digraphs())
def test_any_graph_survives_text_and_tables(tmp_path_factory, graph):
    folder = tmp_path_factory.mktemp("graphs")
    for suffix in (".txt", ".csv", ".npz"):
        write_digraph(folder / f"graph{suffix}", graph)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)  # some are symmetric
            again = read_digraph(folder / f"graph{suffix}", graph.n)
        np.testing.assert_array_equal(again.graph.keys, np.sort(graph.keys))


def test_text_as_it_comes(tmp_path):
    path = tmp_path / "graph.txt"
    path.write_bytes(b"# FromNodeId\tToNodeId\n\n 10 \t 30\r\n30 10\n% more\n10 10\n10\t30\n 7 30")
    found = read_digraph(path)
    assert found.labels.tolist() == [7, 10, 30]
    assert (found.graph.src.tolist(), found.graph.dst.tolist()) == ([0, 1, 2], [2, 2, 1])
    assert (found.loops, found.duplicates) == (1, 1)
    packed = tmp_path / "graph.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_digraph(packed).graph.keys, found.graph.keys)
    path.write_text("")
    assert (read_digraph(path).graph.n, read_digraph(path, 3).graph.n) == (0, 3)


def test_ids_far_apart_are_renumbered(tmp_path):
    path = tmp_path / "graph.txt"
    path.write_text("5000000000000 3\n3 9\n")
    found = read_digraph(path)
    assert found.labels.tolist() == [3, 9, 5000000000000]
    assert found.graph.dst.tolist() == [1, 0]


def test_blocks_of_text_keep_their_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("scorefield.domains.digraphs.edge_text._BLOCK", 7)
    path = tmp_path / "graph.txt"
    path.write_text("".join(f"{k} {k + 1}\n" for k in range(50)))
    assert read_digraph(path).graph.m == 50
    path.write_text("".join(f"{k} {k + 1}\n" for k in range(50)) + "50 x\n")
    with pytest.raises(InputError, match="line 51: '50 x'"):
        read_digraph(path)


def test_weights_and_symmetry_are_told_of(tmp_path):
    path = tmp_path / "graph.txt"
    path.write_text("# weighted\n0 1 0.5\n1 2 2\n")
    with pytest.warns(InputWarning, match="line 2: columns after the first two"):
        assert read_digraph(path).graph.m == 2
    path.write_text("0 1\n1 0\n")
    with pytest.warns(InputWarning, match="every edge has its reverse"):
        read_digraph(path)
    table = tmp_path / "graph.csv"
    table.write_text("weight,target,source\n0.5,1,0\n")
    with pytest.warns(InputWarning, match="left out: weight"):
        found = read_digraph(table, 2)
    assert (found.graph.src.tolist(), found.graph.dst.tolist()) == ([0], [1])
    table.write_text("0,1\n1,2\n")
    assert read_digraph(table).graph.m == 2


def test_undirected_graphml_is_taken_both_ways(tmp_path):
    path = tmp_path / "graph.graphml"
    networkx.write_graphml(networkx.path_graph(["a", "b", "c"]), path)
    with pytest.warns(InputWarning) as told:
        found = read_digraph(path)
    assert found.graph.m == 4
    assert found.labels.tolist() == ["a", "b", "c"]
    assert any("is undirected" in str(warning.message) for warning in told)


TEXTS = [
    ("g.txt", "0 1\n1 -2\n", ["line 2", "negative"]),
    ("g.txt", "# c\n0 1\n3\n", ["line 3", "only one"]),
    ("g.txt", "0 1\n1 2.5\n", ["line 2", "whole numbers"]),
    ("g.txt", "0 a\n", ["line 1", "'0 a'"]),
    ("g.txt", "0 99999999999999999999\n", ["line 1", "above"]),
    ("g.csv", "src,dst\n0,1\n1,x\n", ["line 3", "'x'"]),
    ("g.csv", "src,dst\n0,1\n1,-4\n", ["line 3", "'-4'"]),
    ("g.csv", "src,dst\n0,1\n1\n", ["line 3", "1 cells"]),
    ("g.csv", "src,dst\n0,1\n1,\n", ["line 3", "''"]),
    ("g.csv", "src\n0\n", ["header", "columns src"]),
    ("g.csv", "", ["empty"]),
    ("g.txt.gz", "0 1\n", ["cannot be read"]),
    ("g.graphml", "<graphml>", ["line 1", "no XML"]),
    ("g.npz", "0 1\n", ["cannot be read"]),
    ("g.parquet", "0 1\n", ["cannot be read"]),
    ("g.gml", "graph", ["no format of directed graphs"]),
]


@pytest.mark.parametrize(("name", "text", "words"), TEXTS)
def test_bad_files_are_told_with_file_and_line(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_digraph(path)
    assert all(word in str(error.value) for word in [name, *words])
    assert "\n" not in str(error.value)


def test_bad_arrays_and_columns(tmp_path):
    path = tmp_path / "g.npz"
    for arrays, words in [
        ({"src": [0], "dst": [1]}, "lacks n"),
        ({"src": [0], "dst": [5], "n": 3}, "edge 0: target 5"),
        ({"src": [0.5], "dst": [1.0], "n": 3}, "not integers"),
        ({"src": [0], "dst": [1], "n": [3, 4]}, "no number of nodes"),
    ]:
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=words):
            read_digraph(path)
    table = tmp_path / "g.parquet"
    for columns, words in [
        ({"src": [0, 1], "dst": [1, None]}, "row 2, column dst: is empty"),
        ({"src": [0, -1], "dst": [1, 2]}, "row 2, column src: -1 is negative"),
        ({"src": ["a"], "dst": ["b"]}, "column src: holds string"),
    ]:
        pyarrow.parquet.write_table(pyarrow.table(columns), table)
        with pytest.raises(InputError, match=words):
            read_digraph(table)
    with pytest.raises(InputError, match="no file"):
        read_digraph(tmp_path / "none.txt")


def test_numbers_of_nodes_that_do_not_fit(tmp_path):
    path = tmp_path / "g.txt"
    path.write_text("0 1\n1 7\n")
    with pytest.raises(InputError, match="edge 2: 1 -> 7 has an id that is not below n = 5"):
        read_digraph(path, 5)
    with pytest.raises(InputError, match="0 nodes"):
        read_digraph(path, 0)


def test_a_stored_graph_is_read(shared_dir):
    found = read_digraph(shared_dir / "data" / "digraphs" / "polblogs.npz")
    np.testing.assert_array_equal(found.graph.keys, stored(shared_dir, "polblogs").keys)
    assert found.graph.n == 1490
