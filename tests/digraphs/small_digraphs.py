"""Small directed graphs for tests: at random, by enumeration, and from the shared data."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from scorefield.domains.digraphs import DegreeMatrices, Digraph, measure, simple_digraph

NAMES = (
    "polblogs", "email-Eu-core", "p2p-Gnutella08", "wiki-Vote", "p2p-Gnutella31", "cit-HepTh", "soc-Epinions1",
    "soc-Slashdot0902",
)  # fmt: skip


def stored(shared: Path, name: str) -> Digraph:
    with np.load(shared / "data" / "digraphs" / f"{name}.npz") as file:
        return Digraph(file["src"], file["dst"], int(file["n"]))


@st.composite
def digraphs(draw, most: int = 9) -> Digraph:
    """Simple digraphs of 1 to `most` nodes, isolated ones included."""
    n = draw(st.integers(1, most))
    pairs = [(u, v) for u in range(n) for v in range(n) if u != v]
    kept = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return simple_digraph(np.array(kept, dtype=np.int64).reshape(-1, 2), n).graph


def every_digraph(n: int) -> Iterator[Digraph]:
    pairs = np.array([(u, v) for u in range(n) for v in range(n) if u != v])
    for bits in range(1 << len(pairs)):
        kept = pairs[[bool(bits >> place & 1) for place in range(len(pairs))]]
        yield Digraph(kept[:, 0], kept[:, 1], n)


def candidates(n: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every pair of matrices of n nodes whose margins agree, whether or not within caps."""
    for nodes in combinations_with_replacement(product(range(n), repeat=2), n):
        degrees = np.array(nodes)
        if degrees[:, 0].sum() != degrees[:, 1].sum():
            continue
        cells, counts = np.unique(degrees, axis=0, return_counts=True)
        outs, rows = np.unique(degrees[degrees[:, 1] > 0, 1], return_counts=True)
        ins, columns = np.unique(degrees[degrees[:, 0] > 0, 0], return_counts=True)
        for table in _tables(tuple(outs * rows), tuple(ins * columns)):
            filled = [(k, i, c) for k, row in zip(outs, table, strict=True) for i, c in zip(ins, row, strict=True) if c]
            yield np.column_stack([cells, counts]), np.array(filled, dtype=np.int64).reshape(-1, 3)


def _tables(rows: tuple[int, ...], columns: tuple[int, ...]) -> Iterator[list[tuple[int, ...]]]:
    if not rows:
        if not any(columns):
            yield []
        return
    for first in _split(rows[0], columns):
        for rest in _tables(rows[1:], tuple(c - f for c, f in zip(columns, first, strict=True))):
            yield [first, *rest]


def _split(total: int, room: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if not room:
        if total == 0:
            yield ()
        return
    for first in range(min(total, room[0]) + 1):
        for rest in _split(total - first, room[1:]):
            yield (first, *rest)


def same(first: DegreeMatrices, second: DegreeMatrices) -> bool:
    return np.array_equal(first.jdm, second.jdm) and np.array_equal(first.dcm, second.dcm)


def is_simple(graph: Digraph) -> bool:
    return bool((np.diff(np.sort(graph.keys)) > 0).all() and (graph.src != graph.dst).all())


def has_exactly(graph: Digraph, matrices: DegreeMatrices) -> bool:
    """Whether a graph is simple and has these matrices."""
    return is_simple(graph) and same(measure(graph), matrices)
