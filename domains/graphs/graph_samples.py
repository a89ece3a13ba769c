"""Generic graphs as the decoder hands them on and as files hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.graphs.packed import gather, pointer

if TYPE_CHECKING:
    import networkx as nx

    from scorefield.core.state import State

__all__ = ["Graphs", "check_adjacency"]


def check_adjacency(adjacency: NDArray[Any], place: str | None = None, file: str | Path | None = None) -> None:
    """Refuse what is no undirected graph.

    Args:
        adjacency: `(nodes, nodes)`.
        place: the place in the file, for messages.
        file: the file it came from.

    Raises:
        InputError: no square matrix, no node, NaN, a non-zero diagonal, or an asymmetric matrix.
    """
    what = None
    if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1]:
        what = f"an adjacency matrix must be square, this one is {' x '.join(map(str, adjacency.shape))}"
    elif adjacency.shape[0] == 0:
        what = "a graph without nodes"
    elif not np.isfinite(adjacency).all():
        what = "the adjacency matrix holds a value that is not finite"
    elif np.diagonal(adjacency).any():
        what = f"node {int(np.flatnonzero(np.diagonal(adjacency))[0])} is joined to itself"
    elif (adjacency != adjacency.T).any():
        first, second = np.argwhere(adjacency != adjacency.T)[0]
        what = f"the adjacency matrix is not symmetric at ({first}, {second})"
    if what:
        raise InputError(what, file=file, place=place)


@dataclass(frozen=True)
class Graphs:
    """A population of undirected graphs.

    Graph g has the edges `edges[edge_ptr[g]:edge_ptr[g+1]]` and, with features, the rows of `features` that
    follow those of the graphs before it.

    Args:
        num_nodes: nodes of each graph, int64 `(graphs,)`.
        edge_ptr: edge boundaries, int64 `(graphs + 1,)`.
        edges: local node numbers u < v, int64 `(total edges, 2)`.
        features: node features, `(total nodes, F)`, or None.
        state: the tensors the graphs were decoded from; not part of `arrays` nor of any file.

    Raises:
        InputError: arrays that do not fit together, or an edge that is none.
    """

    num_nodes: NDArray[np.int64]
    edge_ptr: NDArray[np.int64]
    edges: NDArray[np.int64]
    features: NDArray[Any] | None = None
    state: State | None = None

    def __post_init__(self) -> None:
        counts = np.diff(self.edge_ptr)
        fits = self.edge_ptr.shape == (len(self) + 1,) and self.edge_ptr[0] == 0 and bool((counts >= 0).all())
        if not fits or self.edges.shape != (int(self.edge_ptr[-1]), 2):
            raise InputError("num_nodes, edge_ptr and edges do not fit together")
        if self.features is not None and len(self.features) != self.num_nodes.sum():
            raise InputError(f"{len(self.features)} rows of features for {self.num_nodes.sum()} nodes")
        if (self.num_nodes < 1).any():
            raise InputError("a graph without nodes", place=f"graph {int(np.flatnonzero(self.num_nodes < 1)[0])}")
        owner = np.repeat(np.arange(len(self)), counts)
        first, second = self.edges.T
        wrong = np.flatnonzero((first < 0) | (first >= second) | (second >= self.num_nodes[owner]))
        if len(wrong):
            pair = tuple(self.edges[wrong[0]].tolist())
            raise InputError(
                f"{pair} is no edge of a graph of {self.num_nodes[owner[wrong[0]]]} nodes",
                place=f"graph {owner[wrong[0]]}",
                mend="edges are pairs u < v of node numbers from 0",
            )

    def __len__(self) -> int:
        return len(self.num_nodes)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Graphs:
        """Some of the graphs, without their tensors."""
        chosen = np.arange(len(self))[rows]
        _, edge = gather(self.edge_ptr, chosen)
        features = self.features
        if features is not None:
            features = features[gather(pointer(self.num_nodes), chosen)[1]]
        counts = np.diff(self.edge_ptr)[chosen]
        return Graphs(self.num_nodes[chosen], pointer(counts), self.edges[edge], features)

    @classmethod
    def from_adjacency(cls, matrices: Sequence[NDArray[Any]], file: str | Path | None = None) -> Graphs:
        """Graphs of 0/1 matrices of any sizes.

        Raises:
            InputError: a matrix that is no undirected graph; it names which.
        """
        pairs = []
        for number, matrix in enumerate(matrices):
            check_adjacency(np.asarray(matrix), f"graph {number}", file)
            pairs.append(np.argwhere(np.triu(matrix, 1)))
        return cls._pack([len(matrix) for matrix in matrices], pairs)

    @classmethod
    def from_edges(cls, adj: NDArray[np.uint8], mask: NDArray[np.bool_], keep_isolated: bool = False) -> Graphs:
        """Graphs of quantised adjacency matrices.

        Args:
            adj: 0/1 matrices, `(graphs, nodes, nodes)`; the entries above the diagonal are used.
            mask: which nodes there are, `(graphs, nodes)`.
            keep_isolated: keep nodes without an edge. By default they are removed, as in the published
                evaluation, and one node is kept where nothing else is left.
        """
        sizes, pairs = [], []
        for matrix, there in zip(adj, mask, strict=True):
            upper = np.triu(matrix, 1)
            kept = there if keep_isolated else there & (upper.any(0) | upper.any(1))
            number = np.cumsum(kept) - 1
            edges = np.argwhere(upper)
            sizes.append(max(int(kept.sum()), 1))
            pairs.append(number[edges])
        return cls._pack(sizes, pairs)

    def adjacency(self, graph: int) -> NDArray[np.uint8]:
        """The matrix of one graph, `(nodes, nodes)`."""
        matrix = np.zeros((int(self.num_nodes[graph]),) * 2, dtype=np.uint8)
        first, second = self.edges[self.edge_ptr[graph] : self.edge_ptr[graph + 1]].T
        matrix[first, second] = matrix[second, first] = 1
        return matrix

    def to_networkx(self) -> list[nx.Graph[int]]:
        """The graphs for networkx, without features."""
        import networkx as nx

        graphs = []
        for number, size in enumerate(self.num_nodes.tolist()):
            graph: nx.Graph[int] = nx.empty_graph(size)
            graph.add_edges_from(self.edges[self.edge_ptr[number] : self.edge_ptr[number + 1]].tolist())
            graphs.append(graph)
        return graphs

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The flat arrays by name."""
        arrays = {"num_nodes": self.num_nodes, "edge_ptr": self.edge_ptr, "edges": self.edges}
        return arrays if self.features is None else {**arrays, "features": self.features}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Graphs:
        """The inverse of `arrays`; further arrays are ignored."""
        integers = [np.asarray(arrays[name], dtype=np.int64) for name in ("num_nodes", "edge_ptr", "edges")]
        return cls(integers[0], integers[1], integers[2], arrays.get("features"))

    @classmethod
    def concatenate(cls, parts: Sequence[Graphs]) -> Graphs:
        """One population after the other; features stay where all parts have them, tensors do not."""
        if not parts:
            return cls._pack([], [])
        features = [part.features for part in parts if part.features is not None]
        return cls(
            np.concatenate([part.num_nodes for part in parts]),
            pointer(np.concatenate([np.diff(part.edge_ptr) for part in parts])),
            np.concatenate([part.edges for part in parts]),
            np.concatenate(features) if len(features) == len(parts) else None,
        )

    def counts(self) -> dict[str, int | float]:
        """How many graphs, nodes and edges there are."""
        return {"graphs": len(self), "nodes": int(self.num_nodes.sum()), "edges": len(self.edges)}

    def save(self, path: str | Path) -> None:
        """Write a file; the suffix says which format (`.npz`, `.graphml`, `.edgelist`, `.txt`).

        Raises:
            InputError: an unknown suffix, or a folder that cannot be written to.
        """
        from scorefield.domains.graphs.graph_formats import write_graphs

        write_graphs(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Graphs:
        """Read a file of graphs.

        Raises:
            InputError: a missing, empty or malformed file, or an unknown suffix.
        """
        from scorefield.domains.graphs.graph_formats import read_graphs

        return read_graphs(Path(path))

    @classmethod
    def _pack(cls, sizes: Sequence[int], pairs: Sequence[NDArray[np.int64]]) -> Graphs:
        edges = np.concatenate([np.zeros((0, 2), np.int64), *pairs]).astype(np.int64)
        return cls(np.array(sizes, dtype=np.int64), pointer(np.array([len(pair) for pair in pairs])), edges)
