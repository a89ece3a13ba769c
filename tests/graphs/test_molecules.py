"""Populations of molecules and of graphs."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from scorefield.core.errors import InputError
from scorefield.domains.graphs.graph_samples import Graphs
from scorefield.domains.graphs.molecules import Molecules


def some_molecules() -> Molecules:
    return Molecules(
        np.array(["CCO", "", "c1ccccc1", ""]),
        valid_ref=np.array([True, False, True, True]),
        valid_strict=np.array([True, False, False, False]),
        valid_connected=np.array([False, False, False, False]),
        empty=np.array([False, False, False, True]),
    )


def some_graphs() -> Graphs:
    triangle, path, lone = np.ones((3, 3)) - np.eye(3), np.eye(4, k=1) + np.eye(4, k=-1), np.zeros((2, 2))
    return Graphs.from_adjacency([triangle, path, lone])


def test_molecules_and_their_arrays() -> None:
    molecules = some_molecules()
    arrays = molecules.arrays()
    assert not any(array.dtype == object for array in arrays.values())
    both = Molecules.concatenate([Molecules.from_arrays(arrays), molecules[1:3]])
    assert both.smiles.tolist() == ["CCO", "", "c1ccccc1", "", "", "c1ccccc1"]
    assert both.counts() == {
        "molecules": 6, "parsed": 3, "empty": 1, "valid_ref": 4, "valid_strict": 1, "valid_connected": 0
    }  # fmt: skip
    assert molecules.parsed == ["CCO", "c1ccccc1"]
    bare = Molecules.concatenate([molecules, Molecules(np.array(["C"]))])
    assert set(bare.arrays()) == {"smiles"}
    assert len(Molecules.concatenate([])) == 0


def test_columns_must_fit() -> None:
    with pytest.raises(InputError, match="column valid_ref holds 1 rows for 2 SMILES"):
        Molecules(np.array(["C", "N"]), valid_ref=np.array([True]))


def test_graphs_and_their_arrays() -> None:
    graphs = some_graphs()
    assert graphs.num_nodes.tolist() == [3, 4, 2]
    assert graphs.edge_ptr.tolist() == [0, 3, 6, 6]
    assert graphs.counts() == {"graphs": 3, "nodes": 9, "edges": 6}
    both = Graphs.concatenate([graphs, Graphs.from_arrays(graphs.arrays())[np.array([1, 0])]])
    assert both.num_nodes.tolist() == [3, 4, 2, 4, 3]
    assert (both.adjacency(3) == graphs.adjacency(1)).all()
    assert [graph.number_of_edges() for graph in both.to_networkx()] == [3, 3, 0, 3, 3]
    assert nx.is_isomorphic(both.to_networkx()[4], nx.complete_graph(3))
    assert len(Graphs.concatenate([])) == 0


def test_features_follow_their_graphs() -> None:
    graphs = some_graphs()
    features = np.arange(9)[:, None]
    graphs = Graphs.from_arrays({**graphs.arrays(), "features": features})
    chosen = graphs[np.array([2, 0])]
    assert chosen.features is not None
    assert chosen.features[:, 0].tolist() == [7, 8, 0, 1, 2]
    with pytest.raises(InputError, match="8 rows of features for 9 nodes"):
        Graphs.from_arrays({**graphs.arrays(), "features": features[1:]})


def test_isolated_nodes_go_but_one_stays() -> None:
    adj = np.zeros((2, 4, 4), dtype=np.uint8)
    adj[0, 0, 3] = adj[0, 3, 0] = 1
    mask = np.array([[True] * 4, [True, True, False, False]])
    dropped = Graphs.from_edges(adj, mask)
    assert (dropped.num_nodes.tolist(), dropped.edges.tolist()) == ([2, 1], [[0, 1]])
    kept = Graphs.from_edges(adj, mask, keep_isolated=True)
    assert (kept.num_nodes.tolist(), kept.edges.tolist()) == ([4, 2], [[0, 3]])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[0, 1], [0, 0]], r"graph 1: the adjacency matrix is not symmetric at \(0, 1\)"),
        ([[0, 1], [1, 1]], "graph 1: node 1 is joined to itself"),
        ([[0, np.nan], [np.nan, 0]], "graph 1: the adjacency matrix holds a value that is not finite"),
        (np.zeros((0, 0)), "graph 1: a graph without nodes"),
        ([[0, 1, 0], [1, 0, 0]], "graph 1: an adjacency matrix must be square, this one is 2 x 3"),
    ],
)
def test_bad_matrices(matrix: object, message: str) -> None:
    with pytest.raises(InputError, match=f"^f.npz: {message}"):
        Graphs.from_adjacency([np.zeros((1, 1)), np.array(matrix)], file="f.npz")


@pytest.mark.parametrize("edge", [(1, 0), (0, 2), (1, 1), (-1, 0)])
def test_bad_edges(edge: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="is no edge of a graph of 2 nodes"):
        Graphs(np.array([2]), np.array([0, 1]), np.array([edge]))
