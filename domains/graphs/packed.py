"""Many graphs of different sizes in a few flat arrays.

Graph g owns the nodes `node_ptr[g]:node_ptr[g+1]` and the edges `edge_ptr[g]:edge_ptr[g+1]`; an edge is a
pair (i, j) of node numbers local to its graph with a positive order, and is stored once. This takes a few
bytes per bond where a padded tensor takes N² per molecule, so that millions of molecules fit into memory; a
batch is padded only when it is asked for, to the size of its own largest graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_NODE", "PackedGraphs", "gather", "pointer"]

NO_NODE = 255
"""The node type of padding in dense arrays."""


def gather(ptr: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the items of some rows of a ragged array lie.

    Args:
        ptr: row boundaries, `(rows + 1,)`.
        rows: the wanted rows, `(n,)`.

    Returns:
        For every item: its place in `rows`, and its position in the flat array.
    """
    counts = ptr[rows + 1] - ptr[rows]
    owner = np.repeat(np.arange(len(rows)), counts)
    first = np.cumsum(counts) - counts
    return owner, np.arange(int(counts.sum())) - first[owner] + ptr[rows][owner]


def pointer(counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Row boundaries, `(rows + 1,)`, of a ragged array with this many items in each row."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))]).astype(np.int64)


@dataclass(frozen=True)
class PackedGraphs:
    """Graphs with one small integer per node and per edge.

    Args:
        node_ptr: node boundaries, int64 `(graphs + 1,)`.
        nodes: node types, uint8 `(total nodes,)`.
        edge_ptr: edge boundaries, int64 `(graphs + 1,)`.
        edges: local node numbers, uint16 `(total edges, 2)`; each undirected edge stands once.
        orders: edge values (1, 2, 3 for bonds), uint8 `(total edges,)`.
    """

    node_ptr: NDArray[np.int64]
    nodes: NDArray[np.uint8]
    edge_ptr: NDArray[np.int64]
    edges: NDArray[np.uint16]
    orders: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.node_ptr) - 1

    @property
    def num_nodes(self) -> NDArray[np.int64]:
        """Nodes of each graph, `(graphs,)`."""
        return np.diff(self.node_ptr)

    @classmethod
    def from_lists(
        cls, nodes: Sequence[Sequence[int]], edges: Sequence[Sequence[tuple[int, int, int]]]
    ) -> PackedGraphs:
        """Pack graphs given as a list of node types and a list of (i, j, order) each."""
        flat = np.array([edge for graph in edges for edge in graph], dtype=np.uint16).reshape(-1, 3)
        return cls(
            node_ptr=pointer([len(graph) for graph in nodes]),
            nodes=np.array([node for graph in nodes for node in graph], dtype=np.uint8),
            edge_ptr=pointer([len(graph) for graph in edges]),
            edges=flat[:, :2].copy(),
            orders=flat[:, 2].astype(np.uint8),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[PackedGraphs]) -> PackedGraphs:
        """Put sets of graphs one behind the other."""
        if not parts:
            return cls.from_lists([], [])
        return cls(
            node_ptr=pointer(np.concatenate([np.diff(part.node_ptr) for part in parts])),
            nodes=np.concatenate([part.nodes for part in parts]),
            edge_ptr=pointer(np.concatenate([np.diff(part.edge_ptr) for part in parts])),
            edges=np.concatenate([part.edges for part in parts]),
            orders=np.concatenate([part.orders for part in parts]),
        )

    def rows(self, rows: NDArray[np.int64]) -> PackedGraphs:
        """The graphs of the given numbers, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        _, node = gather(self.node_ptr, rows)
        _, edge = gather(self.edge_ptr, rows)
        return PackedGraphs(
            node_ptr=pointer(self.num_nodes[rows]),
            nodes=self.nodes[node],
            edge_ptr=pointer(np.diff(self.edge_ptr)[rows]),
            edges=self.edges[edge],
            orders=self.orders[edge],
        )

    def with_nodes(self, nodes: NDArray[np.uint8]) -> PackedGraphs:
        """The same graphs with other node types."""
        return replace(self, nodes=nodes)

    def dense(
        self, rows: NDArray[np.int64] | None = None, size: int | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
        """Padded arrays of some graphs.

        Args:
            rows: numbers of the wanted graphs; all by default.
            size: padded number of nodes N; by default that of the largest wanted graph.

        Returns:
            Node types `(n, N)` with `NO_NODE` as padding, edge orders `(n, N, N)`, node counts `(n,)`.
        """
        rows = np.arange(len(self)) if rows is None else np.asarray(rows, dtype=np.int64)
        counts = self.num_nodes[rows]
        size = int(counts.max(initial=0)) if size is None else size
        types = np.full((len(rows), size), NO_NODE, dtype=np.uint8)
        owner, position = gather(self.node_ptr, rows)
        types[owner, position - self.node_ptr[rows][owner]] = self.nodes[position]
        adjacency = np.zeros((len(rows), size, size), dtype=np.uint8)
        owner, position = gather(self.edge_ptr, rows)
        first, second = self.edges[position].T.astype(np.int64)
        adjacency[owner, first, second] = self.orders[position]
        adjacency[owner, second, first] = self.orders[position]
        return types, adjacency, counts

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The flat arrays by name, for storage."""
        return {name: getattr(self, name) for name in ("node_ptr", "nodes", "edge_ptr", "edges", "orders")}
