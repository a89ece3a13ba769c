"""The data modules of one large directed graph: a file whose edges are streamed, or the embedded one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from scorefield.core.downloads import file_digest
from scorefield.core.errors import InputError, InputWarning
from scorefield.domains.digraphs.digraph import Digraph
from scorefield.domains.digraphs.edge_files import edge_batches, read_digraph
from scorefield.domains.digraphs.edge_store import EdgeStore
from scorefield.domains.digraphs.samples import Digraphs

__all__ = ["EdgeListData", "ImportsData"]

Batch = dict[str, Tensor]
_MODULES = 659  # nodes of the embedded graph, isolated ones included


class EdgeListData(LightningDataModule):
    """A directed graph from a file; its edges come in batches, shared out over the processes.

    Args:
        path: `.txt`, `.csv` (each also `.gz`), `.parquet`, `.npz` or `.graphml`. Lists of edges are streamed: they may
            be larger than memory.
        n: number of nodes, isolated ones included, if ids are 0 to n - 1; by default the nodes are those that the file
            names.
        batch_size: edges in a batch.
        edges_in_memory: edges up to which nothing is written to the system's folder of temporary files.

    Raises:
        InputError: a number that cannot be.
    """

    sizes: dict[str, int]
    provenance: dict[str, Any]

    def __init__(
        self,
        path: str | None = None,
        n: int | None = None,
        batch_size: int = 1_000_000,
        edges_in_memory: int = 50_000_000,
    ) -> None:
        super().__init__()
        for name, value in (("n", n), ("batch_size", batch_size), ("edges_in_memory", edges_in_memory)):
            if value is not None and value < 1:
                raise InputError(f"data.{name} is {value}", mend="give at least 1")
        self.path, self.n, self.batch_size, self.edges_in_memory = path, n, batch_size, edges_in_memory
        self.tables: dict[str, Any] = {}
        self._store: EdgeStore | None = None

    @property
    def file(self) -> Path:
        """The file.

        Raises:
            InputError: none is named.
        """
        if self.path is None:
            raise InputError("no graph is named", mend="give a file with --data.path")
        return Path(self.path)

    def setup(self, stage: str | None = None) -> None:
        """Read the edges and clean them; called again it does nothing.

        Raises:
            InputError: the file cannot be read, a place in it is no edge, or an id is no node.
        """
        if self._store is not None:
            return
        file = self.file
        raw, n = self._raw(file)
        store = EdgeStore(raw, n, self.edges_in_memory, file)
        if not store.n:
            raise InputError("holds no nodes", file=file, mend="give a graph with nodes, or their number with --data.n")
        self._store = store
        self.sizes = {"nodes": store.n, "edges": store.m}
        self.tables = {"loops": store.loops, "duplicates": store.duplicates}
        self.provenance = {
            "name": file.name,
            "file": str(file),
            "sha256": file_digest(file),
            "licence": "not stated",
            "train": store.m,
        }
        self._tell(file, store)

    def _tell(self, file: Path, store: EdgeStore) -> None:
        """Say what was found."""
        kept = " (on disk)" if store.on_disk else ""
        left = f"; {store.loops} loops and {store.duplicates} repetitions left out"
        left = left if store.loops + store.duplicates else ""
        rank_zero_info(f"{file}: {store.n} nodes, {store.m} edges{kept}{left}")
        if store.is_symmetric and edge_batches(file) is not None:  # other readers have said it
            message = f"{file}: every edge has its reverse, as if an undirected graph were written twice"
            warnings.warn(message, InputWarning, stacklevel=3)

    def _raw(self, file: Path) -> tuple[Iterator[tuple[Any, Any]], int | None]:
        streamed = edge_batches(file)
        if streamed is not None:
            return streamed, self.n
        graph = read_digraph(file, self.n).graph
        return iter([(graph.src.astype("int64"), graph.dst.astype("int64"))]), graph.n

    def edges(self, rank: int = 0, processes: int = 1) -> Iterator[Batch]:
        """The batches of one of several processes, `src` and `dst`, int64 `(edges,)` each."""
        assert self._store is not None  # Lightning sets up first
        total = self._store.number_of_batches(self.batch_size)
        for number, (src, dst) in enumerate(self._store.batches(self.batch_size)):
            if number % processes == rank:
                yield {"src": torch.from_numpy(src), "dst": torch.from_numpy(dst)}
        if (rank >= total % processes and total % processes) or not total:
            yield {name: torch.zeros(0, dtype=torch.int64) for name in ("src", "dst")}  # all make as many steps

    def train_dataloader(self) -> DataLoader[Batch]:
        """All edges, in the same order in each pass."""
        trainer = self.trainer
        rank, processes = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        return DataLoader(_Edges(self, rank, processes), batch_size=None)

    def teardown(self, stage: str) -> None:
        """Remove what is on disk."""
        if stage == "fit" and self._store is not None:
            self._store.close()
            self._store = None

    def graph(self) -> Digraph:
        """The whole graph, in memory."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)  # said when it was counted
            return read_digraph(self.file, self.n).graph

    def test_references(self) -> Digraphs:
        """The graph: there is but one."""
        return Digraphs((self.graph(),))

    def train_references(self) -> Digraphs:
        """The graph."""
        return self.test_references()

    def local_files(self) -> dict[str, str]:
        """The file, from any folder."""
        return {"path": str(self.file.resolve())}


class _Edges(IterableDataset[Batch]):
    """The batches of one process."""

    def __init__(self, data: EdgeListData, rank: int, processes: int) -> None:
        self._data, self._rank, self._processes = data, rank, processes

    def __iter__(self) -> Iterator[Batch]:
        return self._data.edges(self._rank, self._processes)


class ImportsData(EdgeListData):
    """The embedded graph: which modules of the Python standard library import which (`data/make_stdlib_imports.py`).

    Args:
        batch_size: edges in a batch.
    """

    def __init__(self, batch_size: int = 1_000_000) -> None:
        path = files("scorefield.data").joinpath("stdlib_imports.txt.gz")
        super().__init__(str(path), _MODULES, batch_size=batch_size)

    def setup(self, stage: str | None = None) -> None:
        """As for any file; what is recorded does not depend on where the package is installed."""
        super().setup(stage)
        self.provenance |= {"name": "stdlib_imports", "file": "stdlib_imports", "licence": "PSF-2.0 (CPython)"}

    def local_files(self) -> dict[str, str]:
        """None: the file comes with the package."""
        return {}
