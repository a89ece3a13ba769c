"""Populations of directed graphs as sampling hands them on and as files hold them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.digraphs.digraph import Digraph, index_type

if TYPE_CHECKING:
    from scorefield.core.state import State

__all__ = ["Digraphs"]

Facts = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Digraphs(Sequence[Digraph]):
    """Directed graphs, a sequence of `Digraph`.

    Args:
        graphs: the graphs.
        certificates: of rescaled graphs, for each how far its degree matrices are from the original ones, JSON-able.
        state: the tensors they were decoded from; not part of `arrays` nor of any file.

    Raises:
        InputError: another number of certificates than of graphs.
    """

    graphs: tuple[Digraph, ...]
    certificates: tuple[Facts, ...] | None = None
    state: State | None = None
    in_folders = True

    def __post_init__(self) -> None:
        if self.certificates is not None and len(self.certificates) != len(self.graphs):
            raise InputError(f"{len(self.certificates)} certificates for {len(self.graphs)} graphs")

    def __len__(self) -> int:
        return len(self.graphs)

    def __iter__(self) -> Iterator[Digraph]:
        return iter(self.graphs)

    @overload
    def __getitem__(self, rows: int) -> Digraph: ...

    @overload
    def __getitem__(self, rows: slice) -> Digraphs: ...

    def __getitem__(self, rows: int | slice) -> Digraph | Digraphs:
        """A graph, or some of them, without their tensors."""
        if not isinstance(rows, slice):
            return self.graphs[rows]
        return Digraphs(self.graphs[rows], None if self.certificates is None else self.certificates[rows])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`nodes (g,)`, `edge_ptr (g + 1,)`, `src` and `dst (edges,)`; `certificates (g,)` as JSON where there are."""
        kind = index_type(max((graph.n for graph in self), default=0))
        counts = [graph.m for graph in self]
        arrays: dict[str, NDArray[Any]] = {
            "nodes": np.array([graph.n for graph in self], np.int64),
            "edge_ptr": np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
            "src": np.concatenate([np.zeros(0, kind), *(graph.src.astype(kind, copy=False) for graph in self)]),
            "dst": np.concatenate([np.zeros(0, kind), *(graph.dst.astype(kind, copy=False) for graph in self)]),
        }
        if self.certificates is not None:
            arrays["certificates"] = np.array([json.dumps(facts) for facts in self.certificates], dtype=np.str_)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Digraphs:
        """The inverse of `arrays`.

        Raises:
            InputError: arrays that do not fit each other, or an id that no node of its graph has.
        """
        nodes, bounds = arrays["nodes"], arrays["edge_ptr"]
        _check_bounds(nodes, bounds, arrays["src"], arrays["dst"])
        graphs = []
        for number, n in enumerate(nodes.tolist()):
            part = slice(int(bounds[number]), int(bounds[number + 1]))
            try:
                graphs.append(Digraph(arrays["src"][part], arrays["dst"][part], n))
            except InputError as error:
                raise InputError(str(error), place=f"graph {number}") from error
        told = arrays.get("certificates")
        return cls(tuple(graphs), None if told is None else tuple(json.loads(text) for text in told.tolist()))

    @classmethod
    def concatenate(cls, parts: Sequence[Digraphs]) -> Digraphs:
        """One population after the other; certificates that a part lacks are left out, and so are the tensors."""
        told = [part.certificates for part in parts if part.certificates is not None]
        certificates = tuple(facts for some in told for facts in some) if len(told) == len(parts) else None
        return cls(tuple(graph for part in parts for graph in part), certificates)

    def counts(self) -> dict[str, int | float]:
        """How many there are, and how large."""
        counts: dict[str, int | float] = {"graphs": len(self)}
        for name, sizes in (("nodes", [graph.n for graph in self]), ("edges", [graph.m for graph in self])):
            counts[name] = sizes[0] if len(set(sizes)) == 1 else round(float(np.mean(sizes or [0])), 3)
        if self.certificates is not None:
            counts |= _worst(self.certificates)
        return counts

    def save(self, path: str | Path) -> None:
        """Write a folder (`000.npz`, ..., and `certificates.json`), an `.npz` of all, or one graph in any format.

        Raises:
            InputError: an unknown suffix, several graphs where the format holds one, or a place that cannot be
                written to.
        """
        from scorefield.domains.digraphs.sample_files import write_digraphs

        write_digraphs(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Digraphs:
        """Read what `save` wrote, or any other file of a directed graph.

        Raises:
            InputError: the file or a file of the folder cannot be read, or holds no directed graph.
        """
        from scorefield.domains.digraphs.sample_files import read_digraphs

        return read_digraphs(Path(path))


def _worst(certificates: Sequence[Facts]) -> dict[str, int | float]:
    """What certificates say at worst."""
    found = [facts["deviations"] for facts in certificates if "deviations" in facts]
    kinds = {"max_ks": ("ks_in", "ks_out"), "max_tv_jdm": ("tv_jdm",), "max_tv_dcm": ("tv_dcm",)}
    worst = (
        {name: max(float(one[key]) for one in found for key in keys) for name, keys in kinds.items()} if found else {}
    )
    return {"clipped_stubs": sum(int(facts.get("clipped_stubs", 0)) for facts in certificates), **worst}


def _check_bounds(nodes: NDArray[Any], bounds: NDArray[Any], src: NDArray[Any], dst: NDArray[Any]) -> None:
    lists = nodes.ndim == bounds.ndim == src.ndim == 1 and src.shape == dst.shape
    if not lists or nodes.dtype.kind not in "iu" or bounds.dtype.kind not in "iu" or len(bounds) != len(nodes) + 1:
        raise InputError(
            "nodes, edge_ptr, src and dst do not fit each other", mend="see docs/digraphs.md for the format"
        )
    steps = np.diff(bounds.astype(np.int64))
    if int(bounds[0]) or int(bounds[-1]) != src.size or (steps < 0).any():
        raise InputError("edge_ptr is no list of bounds from 0 to the number of edges", place="edge_ptr")
