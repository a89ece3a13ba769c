"""Directed graphs in files: text as SNAP writes it, CSV, Parquet, NPZ with `src`, `dst` and `n`, GraphML.

Lists of edges cannot tell of nodes without edges, so the number of nodes may be given; ids are then 0 to n-1 as they
stand. Without it the nodes are those that the file names: those of an NPZ or a GraphML, or the ids seen in a list,
which are renumbered in increasing order and kept as `labels`.
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError

import networkx
import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError, InputWarning
from scorefield.core.files import check_format
from scorefield.domains.digraphs.digraph import Digraph, simple_digraph
from scorefield.domains.digraphs.edge_tables import csv_batches, parquet_batches
from scorefield.domains.digraphs.edge_text import text_batches

__all__ = ["SUFFIXES", "ReadDigraph", "edge_batches", "read_digraph", "suffix_of"]

Ids = NDArray[np.int64]
_LISTS: dict[str, Callable[[Path], Iterator[tuple[Ids, Ids]]]] = {
    ".txt": text_batches,
    ".txt.gz": text_batches,
    ".csv": csv_batches,
    ".csv.gz": csv_batches,
    ".parquet": parquet_batches,
}
SUFFIXES = (*_LISTS, ".npz", ".graphml")
"""Known formats."""


@dataclass(frozen=True, eq=False)
class ReadDigraph:
    """A graph from a file.

    Args:
        graph: the graph, simple.
        labels: what the file calls each node, `(n,)` integers or names.
        loops: edges from a node to itself that were dropped.
        duplicates: repetitions of an edge that were dropped.
    """

    graph: Digraph
    labels: NDArray[np.int64] | NDArray[np.str_]
    loops: int
    duplicates: int


def suffix_of(path: Path) -> str:
    """The suffix in lower case, with that before `.gz`, if it is that of a known format.

    Raises:
        InputError: it is not.
    """
    parts = [part.lower() for part in path.suffixes[-2:]]
    found = "".join(parts) if parts[-1:] == [".gz"] else "".join(parts[-1:])
    check_format(found, SUFFIXES, "directed graphs", path)
    return found


def read_digraph(path: str | Path, n: int | None = None) -> ReadDigraph:
    """Read a graph; loops and duplicates are dropped and counted.

    Args:
        path: the file.
        n: number of nodes, isolated ones included, if ids are 0 to n-1; a GraphML has its own.

    Raises:
        InputError: a file that cannot be read, a place in it that is no edge, or ids that are no nodes.
    """
    path = Path(path)
    kind = suffix_of(path)
    if not path.is_file():
        raise InputError("is no file", file=path, mend="name a file that exists")
    if n is not None and n < 1:
        raise InputError(f"{n} nodes", mend="give a number of nodes from 1 up")
    if kind == ".graphml":
        found = _read_graphml(path, n)
    elif kind == ".npz":
        found = _read_npz(path, n)
    else:
        src, dst = _gathered(_LISTS[kind](path))
        found = _named(src, dst) if n is None else _numbered(path, src, dst, n)
    cleaned = simple_digraph(np.stack([found.graph.src, found.graph.dst], axis=1), found.graph.n)
    if cleaned.is_symmetric:
        message = f"{path}: every edge has its reverse, as if an undirected graph were written twice"
        warnings.warn(message, InputWarning, stacklevel=2)
    return ReadDigraph(cleaned.graph, found.labels, cleaned.loops, cleaned.duplicates)


def edge_batches(path: Path) -> Iterator[tuple[Ids, Ids]] | None:
    """Sources and targets of a list of edges as they stand in the file, batch by batch; None of other formats.

    Raises:
        InputError: at once for an unknown suffix or no file; while reading, for a place in the file that is no edge.
    """
    kind = suffix_of(path)
    if not path.is_file():
        raise InputError("is no file", file=path, mend="name a file that exists")
    return _LISTS[kind](path) if kind in _LISTS else None


def _gathered(batches: Iterator[tuple[Ids, Ids]]) -> tuple[Ids, Ids]:
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64)), *batches]
    return np.concatenate([src for src, _ in parts]), np.concatenate([dst for _, dst in parts])


def _named(src: Ids, dst: Ids) -> ReadDigraph:
    """Ids renumbered in increasing order."""
    top = int(max(src.max(initial=-1), dst.max(initial=-1))) + 1
    if top <= 8 * src.size + 1024:
        seen = np.zeros(top, bool)
        seen[src] = seen[dst] = True
        rank = np.cumsum(seen) - 1
        labels = np.flatnonzero(seen)
        return ReadDigraph(Digraph(rank[src], rank[dst], labels.size), labels, 0, 0)
    labels, both = np.unique(np.concatenate([src, dst]), return_inverse=True)
    return ReadDigraph(Digraph(both[: src.size], both[src.size :], labels.size), labels, 0, 0)


def _numbered(path: Path, src: Ids, dst: Ids, n: int) -> ReadDigraph:
    for ids in (src, dst):
        if ids.size and int(ids.max()) >= n:
            edge = int(np.flatnonzero((src >= n) | (dst >= n))[0])
            what = f"{src[edge]} -> {dst[edge]} has an id that is not below n = {n}"
            raise InputError(what, file=path, place=f"edge {edge + 1}", mend="give the right n, or none")
    return ReadDigraph(Digraph(src, dst, n), np.arange(n), 0, 0)


def _read_npz(path: Path, n: int | None) -> ReadDigraph:
    try:
        with np.load(path, allow_pickle=False) as file:
            lacking = {"src", "dst", *(() if n is not None else ("n",))} - set(file.files)
            if lacking:
                raise InputError(f"lacks {', '.join(sorted(lacking))}", file=path, mend="give src, dst and n")
            src, dst = file["src"], file["dst"]
            size = file["n"] if n is None else np.int64(n)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot be read ({error})", file=path, mend="give an .npz of arrays") from error
    if size.ndim or size.dtype.kind not in "iu":
        raise InputError(f"n of shape {size.shape} and kind {size.dtype} is no number of nodes", file=path)
    try:
        graph = Digraph(src, dst, int(size))
    except InputError as error:
        raise InputError(str(error), file=path) from error
    return ReadDigraph(graph, np.arange(graph.n), 0, 0)


def _read_graphml(path: Path, n: int | None) -> ReadDigraph:
    try:
        found = networkx.read_graphml(path)
    except ParseError as error:
        line = error.position[0]
        raise InputError(f"is no XML ({error})", file=path, place=f"line {line}", mend="give a GraphML file") from error
    except (OSError, ValueError, KeyError, networkx.NetworkXError) as error:
        raise InputError(f"is no GraphML ({error})", file=path, mend="give a GraphML file") from error
    if n is not None and n != len(found):
        raise InputError(f"has {len(found)} nodes, not n = {n}", file=path, mend="leave n out: the file has its nodes")
    names = {name: number for number, name in enumerate(found)}
    edges = np.array([(names[u], names[v]) for u, v in found.edges()], dtype=np.int64).reshape(-1, 2)
    if not found.is_directed():
        warnings.warn(f"{path}: is undirected: each edge is taken both ways", InputWarning, stacklevel=3)
        edges = np.concatenate([edges, edges[:, ::-1]])
    return ReadDigraph(Digraph(edges[:, 0], edges[:, 1], len(names)), np.array(list(names), dtype=np.str_), 0, 0)
