"""Directed graphs of other libraries: NetworkX, and `torch_geometric.data.Data`."""

from __future__ import annotations

import warnings
from typing import Any

import networkx
import numpy as np

from scorefield.core.errors import InputError
from scorefield.domains.digraphs.digraph import Cleaned, Digraph, simple_digraph

__all__ = ["as_digraph", "to_data", "to_networkx"]


def as_digraph(graph: Any) -> Cleaned:
    """A simple graph of what another library holds; loops and parallel edges are dropped and counted.

    Args:
        graph: a `networkx.DiGraph` (nodes in its order; of an undirected graph each edge both ways), a
            `torch_geometric.data.Data` with `edge_index` (set `num_nodes` where the last nodes are isolated), or a
            `Digraph`.

    Raises:
        InputError: something else, or edges that are none.
    """
    if isinstance(graph, Digraph):
        return simple_digraph(np.stack([graph.src, graph.dst], axis=1), graph.n)
    if isinstance(graph, networkx.Graph):
        numbers = {node: number for number, node in enumerate(graph)}
        directed = graph if graph.is_directed() else graph.to_directed()
        pairs = np.array([(numbers[u], numbers[v]) for u, v in directed.edges()], np.int64).reshape(-1, 2)
        return simple_digraph(pairs, len(numbers))
    index = getattr(graph, "edge_index", None)
    if index is None:
        mend = "give a networkx.DiGraph, a torch_geometric Data with edge_index, or a Digraph"
        raise InputError(f"{type(graph).__name__} is no directed graph", mend=mend)
    ends = index.detach().cpu().numpy()
    if ends.ndim != 2 or ends.shape[0] != 2:
        raise InputError(f"edge_index of shape {ends.shape}", mend="give (2, edges)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that num_nodes is taken to be the largest id + 1, as it is everywhere here
        nodes = getattr(graph, "num_nodes", None)
    return simple_digraph(ends.T, None if nodes is None else int(nodes))


def to_networkx(graph: Digraph) -> Any:
    """A `networkx.DiGraph` of the nodes 0 to n - 1."""
    made = networkx.DiGraph()
    made.add_nodes_from(range(graph.n))
    made.add_edges_from(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))
    return made


def to_data(graph: Digraph) -> Any:
    """A `torch_geometric.data.Data` with `edge_index`, int64 `(2, m)`, and `num_nodes`."""
    import torch
    from torch_geometric.data import Data

    index = torch.from_numpy(np.stack([graph.src, graph.dst]).astype(np.int64))
    return Data(edge_index=index, num_nodes=graph.n)
