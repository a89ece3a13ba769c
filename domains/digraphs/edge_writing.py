"""Writing directed graphs: text as SNAP writes it, CSV, Parquet, NPZ with `src`, `dst` and `n`, GraphML."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast

import networkx
import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet

from scorefield.core.files import atomic
from scorefield.domains.digraphs.digraph import Digraph
from scorefield.domains.digraphs.edge_files import suffix_of

__all__ = ["write_digraph"]


def write_digraph(path: str | Path, graph: Digraph) -> None:
    """Write a graph, its edges by source and target, in the format of the suffix.

    Lists of edges (`.txt`, `.csv`, each also with `.gz`, and `.parquet`) hold no nodes without edges: give their reader
    the number of nodes, which stands in the first line of a text and in the metadata of a Parquet file. The same graph
    gives the same bytes.

    Raises:
        InputError: an unknown suffix, or a file that cannot be written.
    """
    path = Path(path)
    kind = suffix_of(path)
    ordered = graph.sorted()
    with atomic(path) as temporary:
        if kind == ".npz":
            with temporary.open("wb") as file:
                np.savez_compressed(file, src=ordered.src, dst=ordered.dst, n=np.array(ordered.n, ordered.src.dtype))
        elif kind == ".graphml":
            _write_graphml(temporary, ordered)
        elif kind == ".parquet":
            kept = {"n": str(ordered.n)}
            pyarrow.parquet.write_table(_table(ordered).replace_schema_metadata(kept), temporary)
        else:
            _write_text(temporary, ordered, kind)


def _table(graph: Digraph) -> pyarrow.Table:
    return pyarrow.table({"src": graph.src, "dst": graph.dst})


def _write_text(path: Path, graph: Digraph, kind: str) -> None:
    plain = not kind.startswith(".csv")
    options = pyarrow.csv.WriteOptions(include_header=not plain, delimiter="\t" if plain else ",", quoting_style="none")
    with path.open("wb") as whole:
        zipped = gzip.GzipFile(filename="", fileobj=whole, mode="wb", mtime=0) if kind.endswith(".gz") else None
        file = cast(BinaryIO, zipped or whole)
        if plain:
            file.write(
                f"# Directed graph of the nodes 0 to {graph.n - 1}\n# Nodes: {graph.n} Edges: {graph.m}\n".encode()
            )
        elif not graph.m:
            file.write(b"src,dst\n")
        if graph.m:
            pyarrow.csv.write_csv(_table(graph), file, options)
        if zipped:
            zipped.close()


def _write_graphml(path: Path, graph: Digraph) -> None:
    made = networkx.DiGraph()
    made.add_nodes_from(range(graph.n))
    made.add_edges_from(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))
    networkx.write_graphml(made, path)
