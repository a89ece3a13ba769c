"""Files of generic graphs.

`.npz` holds `num_nodes[g]`, `edge_ptr[g+1]`, `edges[e, 2]` and perhaps `features`; `.graphml` one `<graph>`
element per graph; an edge list (`.edgelist`, `.txt`) lines `graph u v` with numbers from 0, after a line `#
graph G nodes N` for every graph so that nodes without an edge are kept. An edge list of two columns is one
graph with the nodes that it names, by increasing number.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.files import atomic, check_format
from scorefield.domains.graphs.formats import read_bytes, suffix
from scorefield.domains.graphs.graph_samples import Graphs

__all__ = ["SUFFIXES", "read_graphs", "write_graphs"]

SUFFIXES = (".npz", ".graphml", ".edgelist", ".txt")
"""Known formats of generic graphs."""


def read_graphs(path: Path) -> Graphs:
    """Read graphs in the format of the suffix.

    Raises:
        InputError: a missing, empty or malformed file, or an unknown suffix.
    """
    kind = _kind(path)
    content = read_bytes(path)
    if kind == ".npz":
        return _read_npz(content, path)
    if kind == ".graphml":
        return _read_graphml(content, path)
    return _read_edges(content, path)


def write_graphs(graphs: Graphs, path: Path) -> None:
    """Write graphs in the format of the suffix.

    Raises:
        InputError: an unknown suffix, or a folder that cannot be written to.
    """
    kind = _kind(path)
    stream = io.BytesIO()
    if kind == ".npz":
        arrays: dict[str, Any] = graphs.arrays()
        np.savez_compressed(stream, **arrays)
    elif kind == ".graphml":
        import networkx as nx

        writer = nx.readwrite.graphml.GraphMLWriter()
        for graph in graphs.to_networkx():
            writer.add_graph_element(graph)
        writer.dump(stream)
    else:
        stream.write("".join(_lines(graphs)).encode())
    with atomic(path) as temporary:
        temporary.write_bytes(stream.getvalue())


def _kind(path: Path) -> str:
    kind = suffix(path)
    check_format(kind, SUFFIXES, "graphs", path)
    return kind


def _read_npz(content: bytes, path: Path) -> Graphs:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return Graphs.from_arrays({name: arrays[name] for name in arrays})
    except KeyError as error:
        raise InputError(f"has no array {error}", file=path, mend="write num_nodes, edge_ptr, edges") from error
    except InputError as error:
        raise InputError(str(error), file=path) from error
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"is no archive of plain arrays ({error})", file=path) from error


def _read_graphml(content: bytes, path: Path) -> Graphs:
    import networkx as nx

    try:
        graphs = list(nx.readwrite.graphml.GraphMLReader()(string=content.decode()))
    except (ParseError, UnicodeDecodeError, ValueError, nx.NetworkXError) as error:
        raise InputError(f"is no GraphML ({error})", file=path) from error
    sizes, pairs = [], []
    for number, graph in enumerate(graphs):
        place = f"graph {number}"
        if graph.is_directed():
            raise InputError("this graph is directed", file=path, place=place)
        index = {node: position for position, node in enumerate(graph.nodes)}
        sizes.append(len(index))
        pairs.append(_edges(((index[u], index[v]) for u, v in graph.edges()), path, place))
    return _packed(sizes, pairs, path)


def _read_edges(content: bytes, path: Path) -> Graphs:
    sizes: dict[int, int] = {}
    edges: dict[int, list[tuple[int, int]]] = {}
    widths: set[int] = set()
    for row, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
        words = line.replace(",", " ").split()
        try:
            if words[:2] == ["#", "graph"] and words[3:4] == ["nodes"]:
                sizes[int(words[2])] = int(words[4])
            elif words and not words[0].startswith("#"):
                graph, u, v = map(int, words) if len(words) == 3 else (0, *map(int, words))
                widths.add(len(words))
                edges.setdefault(graph, []).append((u, v))
        except (ValueError, IndexError) as error:
            raise InputError(
                f"{line.strip()!r} is not `graph u v`", file=path, place=f"row {row}", mend="use whole numbers"
            ) from error
    if len(widths) > 1:
        raise InputError("mixes lines of two and of three numbers", file=path)
    if widths == {2}:
        return _one_graph(edges[0], path)
    numbers = sorted({*sizes, *edges})
    counts = [sizes.get(k, 1 + max((max(pair) for pair in edges.get(k, [])), default=-1)) for k in numbers]
    pairs = [_edges(edges.get(k, []), path, f"graph {k}") for k in numbers]
    return _packed(counts, pairs, path)


def _one_graph(edges: list[tuple[int, int]], path: Path) -> Graphs:
    index = {node: position for position, node in enumerate(sorted({node for pair in edges for node in pair}))}
    return _packed([len(index)], [_edges(((index[u], index[v]) for u, v in edges), path, "graph 0")], path)


def _edges(pairs: Iterable[tuple[int, int]], path: Path, place: str) -> NDArray[np.int64]:
    """Distinct edges u < v, sorted."""
    edges = np.array(sorted({(min(pair), max(pair)) for pair in pairs}), dtype=np.int64).reshape(-1, 2)
    loops = edges[edges[:, 0] == edges[:, 1]]
    if len(loops):
        raise InputError(f"node {loops[0, 0]} is joined to itself", file=path, place=place)
    return edges


def _packed(sizes: list[int], pairs: list[NDArray[np.int64]], path: Path) -> Graphs:
    if not sizes:
        raise InputError("the file holds no graph", file=path)
    pointer = np.concatenate([[0], np.cumsum([len(edges) for edges in pairs])]).astype(np.int64)
    try:
        return Graphs(np.array(sizes, dtype=np.int64), pointer, np.concatenate(pairs))
    except InputError as error:
        raise InputError(str(error), file=path) from error


def _lines(graphs: Graphs) -> Iterable[str]:
    for number, size in enumerate(graphs.num_nodes.tolist()):
        yield f"# graph {number} nodes {size}\n"
        for u, v in graphs.edges[graphs.edge_ptr[number] : graphs.edge_ptr[number + 1]].tolist():
            yield f"{number} {u} {v}\n"
