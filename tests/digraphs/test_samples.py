"""Populations of digraphs: arrays, folders, files; and graphs of NetworkX and torch_geometric."""

from __future__ import annotations

from pathlib import Path

import networkx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from scorefield.core.errors import InputError
from scorefield.domains.digraphs import (
    Digraph,
    Digraphs,
    as_digraph,
    read_digraph,
    simple_digraph,
    to_data,
    to_networkx,
)


def graph(n: int, *edges: tuple[int, int]) -> Digraph:
    return simple_digraph(np.array(edges, np.int64).reshape(-1, 2), n).graph


@pytest.fixture
def some() -> Digraphs:
    graphs = (graph(3, (0, 1), (2, 0)), graph(1), graph(4, (3, 2), (2, 3), (0, 1)))
    facts = tuple({"clipped_stubs": k, "n": one.n} for k, one in enumerate(graphs))
    return Digraphs(graphs, facts)


def same(first: Digraphs, second: Digraphs) -> bool:
    pairs = zip(first, second, strict=True)
    return all(a.n == b.n and np.array_equal(a.keys, b.keys) for a, b in pairs)


def test_arrays_and_back(some: Digraphs) -> None:
    back = Digraphs.from_arrays(some.arrays())
    assert same(back, some)
    assert back.certificates == some.certificates
    joined = Digraphs.concatenate([some[:1], some[1:]])
    assert same(joined, some)
    assert joined.certificates == some.certificates
    assert some.counts() == {"graphs": 3, "nodes": 2.667, "edges": 1.667, "clipped_stubs": 3}


@pytest.mark.parametrize("place", ["all.npz", "folder"])
def test_files_and_back(some: Digraphs, tmp_path: Path, place: str) -> None:
    some.save(tmp_path / place)
    back = Digraphs.load(tmp_path / place)
    assert same(back, some)
    assert back.certificates == some.certificates
    some[:2].save(tmp_path / place)  # replaces the former, and nothing of it is left
    assert len(Digraphs.load(tmp_path / place)) == 2


def test_a_folder_of_somebody_else_is_kept(some: Digraphs, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        some.save(folder)
    assert [entry.name for entry in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


@pytest.mark.parametrize("name", ["a.txt.gz", "a.csv", "a.parquet", "a.graphml", "a.npz"])
def test_one_graph_in_any_format(tmp_path: Path, name: str) -> None:
    one = graph(3, (0, 1), (2, 0))
    Digraphs((one,)).save(tmp_path / name)
    found = read_digraph(tmp_path / name).graph
    assert (found.n, found.m) == (3, 2)
    np.testing.assert_array_equal(np.sort(found.keys), one.keys)


def test_several_graphs_need_a_folder_or_an_npz(some: Digraphs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hold one graph, not 3"):
        some.save(tmp_path / "a.txt")
    with pytest.raises(InputError, match="no format of directed graphs"):
        some.save(tmp_path / "a.foo")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edge_ptr": [0, 2, 2, 4]}, "edge_ptr"),
        ({"edge_ptr": [0, 5]}, "do not fit"),
        ({"dst": [1, 0, 3, 9, 1]}, "graph 2"),
        ({"dst": [1, 2, 3, 2, 1]}, "graph 0"),
    ],
)
def test_a_damaged_file_is_named(some: Digraphs, tmp_path: Path, change: dict[str, list[int]], message: str) -> None:
    arrays = {**some.arrays(), **{name: np.array(value) for name, value in change.items()}}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message) as found:
        Digraphs.load(tmp_path / "a.npz")
    assert "a.npz" in str(found.value)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no"):
        Digraphs.load(tmp_path)


def test_networkx_and_back() -> None:
    made = networkx.DiGraph([("b", "a"), ("a", "c"), ("c", "c")])
    made.add_node("alone")
    found = as_digraph(made)
    assert (found.graph.n, found.graph.m, found.loops) == (4, 2, 1)
    assert set(to_networkx(found.graph).edges) == {(0, 1), (1, 2)}
    both = as_digraph(networkx.Graph([(0, 1)]))
    assert both.graph.m == 2
    parallel = as_digraph(networkx.MultiDiGraph([(0, 1), (0, 1)]))
    assert parallel.duplicates == 1


def test_torch_geometric_and_back() -> None:
    found = as_digraph(Data(edge_index=torch.tensor([[0, 2], [1, 2]]), num_nodes=5))
    assert (found.graph.n, found.graph.m, found.loops) == (5, 1, 1)
    data = to_data(found.graph)
    assert data.num_nodes == 5
    assert data.edge_index.tolist() == [[0], [1]]
    assert as_digraph(found.graph).graph.n == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Data(edge_index=torch.tensor([[0], [7]]), num_nodes=5), "no node of 0 to 4"),
        (Data(edge_index=torch.zeros(3, 4)), "edge_index of shape"),
        ([(0, 1)], "list is no directed graph"),
    ],
)
def test_what_is_no_digraph(wrong: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_digraph(wrong)
