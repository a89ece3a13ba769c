"""The data module of generic graphs.

The adjacency is 0/1; the node features are the one-hot degree, which is generated too and thrown away
afterwards. Source: GDSS (arXiv 2202.02514).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from scorefield.core.downloads import file_digest
from scorefield.core.errors import InputError
from scorefield.core.loading import Batch, batch_loader
from scorefield.domains.graphs.batches import StateDataset, one_hot
from scorefield.domains.graphs.graph_samples import Graphs
from scorefield.domains.graphs.packed import PackedGraphs
from scorefield.domains.graphs.splits import split_digest

__all__ = ["GraphData", "degree_packed"]


def degree_packed(graphs: Graphs, features: int | None = None, file: str | Path | None = None) -> PackedGraphs:
    """Graphs with the degree as node type.

    Args:
        graphs: the graphs.
        features: number of one-hot columns F; None: as many as the degrees need.
        file: the file they came from, for messages.

    Raises:
        InputError: a degree of F or more.
    """
    node_ptr = np.concatenate([[0], np.cumsum(graphs.num_nodes)]).astype(np.int64)
    owner = np.repeat(np.arange(len(graphs)), np.diff(graphs.edge_ptr))
    ends = (graphs.edges + node_ptr[owner][:, None]).ravel()
    degrees = np.bincount(ends, minlength=int(node_ptr[-1]))
    limit = min(features or 255, 255)
    wrong = np.flatnonzero(degrees >= limit)
    if len(wrong):
        graph = int(np.searchsorted(node_ptr, wrong[0], side="right")) - 1
        what = f"a node of degree {degrees[wrong[0]]}, features hold degrees up to {limit - 1}"
        raise InputError(what, file=file, place=f"graph {graph}", mend="raise data.features (255 at most)")
    ones = np.ones(len(graphs.edges), dtype=np.uint8)
    edges = graphs.edges.astype(np.uint16)
    return PackedGraphs(node_ptr, degrees.astype(np.uint8), graphs.edge_ptr, edges, ones)


class GraphData(LightningDataModule):
    """Generic graphs from a file.

    The first graphs of the file are the test split, as published, unless an `.npz` says otherwise by an array
    `is_test`. The test split is also what is looked at during training.

    Args:
        path: `.npz`, `.graphml`, `.edgelist` or `.txt`.
        test_fraction: share of the graphs that go into the test split.
        batch_size: graphs in a training batch, over all processes together.
        features: one-hot columns of the degree; by default the largest degree plus one.
        max_nodes: largest number of nodes allowed; by default that of the file.
        num_workers: processes that load batches.
        seed: seed of the order of training.
    """

    sizes: dict[str, int]
    tables: dict[str, Any]
    provenance: dict[str, Any]

    def __init__(
        self,
        path: str | None = None,
        test_fraction: float = 0.2,
        batch_size: int = 128,
        features: int | None = None,
        max_nodes: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < test_fraction < 1:
            raise InputError(f"data.test_fraction is {test_fraction}", mend="it must lie between 0 and 1")
        self.path, self.test_fraction, self.batch_size = path, test_fraction, batch_size
        self.features, self.max_nodes, self.num_workers, self.seed = features, max_nodes, num_workers, seed
        self._graphs: Graphs | None = None
        self._is_test: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def setup(self, stage: str | None = None) -> None:
        """Read the graphs and split; called again it does nothing."""
        if self._graphs is not None:
            return
        if self.path is None:
            raise InputError("no file of graphs is named", mend="give one with --data.path")
        file = Path(self.path)
        graphs = Graphs.load(file)
        self._packed = degree_packed(graphs, self.features, file)
        large = np.flatnonzero(graphs.num_nodes > (self.max_nodes or graphs.num_nodes.max()))
        if len(large):
            what = f"{graphs.num_nodes[large[0]]} nodes, more than the maximum of {self.max_nodes}"
            raise InputError(what, file=file, place=f"graph {large[0]}", mend="raise max_nodes")
        self._is_test, split = self._split(file, len(graphs))
        counts, frequency = np.unique(graphs.num_nodes[~self._is_test], return_counts=True)
        features = self.features or int(self._packed.nodes.max()) + 1
        self.sizes = {"features": features, "max_nodes": self.max_nodes or int(graphs.num_nodes.max())}
        node_counts = {str(size): int(n) for size, n in zip(counts, frequency, strict=True)}
        self.tables = {"kind": "graphs", "node_counts": node_counts}
        self.provenance = {
            "name": file.name,
            "file": str(file),
            "sha256": file_digest(file),
            "licence": "not stated",
            "graphs": len(graphs),
            "split": split,
            "train": int((~self._is_test).sum()),
            "test": int(self._is_test.sum()),
            "test_rows": split_digest(np.flatnonzero(self._is_test)),
        }
        self._graphs = graphs
        rank_zero_info(
            f"{file}: {len(graphs)} graphs of up to {graphs.num_nodes.max()} nodes "
            f"and degree {self._packed.nodes.max()}, "
            f"{self.provenance['train']} for training, {self.provenance['test']} for testing"
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled batches of the training split."""
        return self._loader(test=False, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test split, in the order of the file."""
        return self._loader(test=True, shuffle=False)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test split, in the order of the file."""
        return self._loader(test=True, shuffle=False)

    def train_references(self) -> Graphs:
        """The graphs of the training split."""
        graphs = self._read()
        return graphs[np.flatnonzero(~self._is_test)]

    def test_references(self) -> Graphs:
        """The graphs of the test split."""
        graphs = self._read()
        return graphs[np.flatnonzero(self._is_test)]

    def local_files(self) -> dict[str, str]:
        """Arguments that open the same file from any folder."""
        return {} if self.path is None else {"path": str(Path(self.path).absolute())}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All graphs as plain arrays, laid out as those of `MoleculeData.arrays`."""
        self._read()
        types, adjacency, counts = self._packed.dense(size=self.sizes["max_nodes"])
        meta = {"sizes": self.sizes, "tables": self.tables, "provenance": self.provenance}
        return {
            "x": one_hot(types, self.sizes["features"]),
            "adj": adjacency,
            "mask": np.arange(types.shape[1]) < counts[:, None],
            "is_test": self._is_test,
            "is_validation": self._is_test,
            "meta": np.array(json.dumps(meta)),
        }

    def _split(self, file: Path, number: int) -> tuple[NDArray[np.bool_], str]:
        if file.suffix.lower() == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                if "is_test" in arrays:
                    is_test = np.asarray(arrays["is_test"]).astype(bool)
                    if is_test.shape != (number,) or is_test.all() or not is_test.any():
                        raise InputError(f"is_test must split {number} graphs", file=file)
                    return is_test, "is_test of the file"
        first = int(self.test_fraction * number)
        if not 0 < first < number:
            what = "1 graph" if number == 1 else f"{number} graphs"
            raise InputError(f"{what} cannot be split for training and testing", file=file)
        return np.arange(number) < first, f"the first {first} graphs"

    def _read(self) -> Graphs:
        self.setup()
        if self._graphs is None:
            raise RuntimeError("setup did not read the graphs")
        return self._graphs

    def _loader(self, *, test: bool, shuffle: bool) -> DataLoader[Batch]:
        self._read()
        trainer = self.trainer
        return batch_loader(
            StateDataset(self._packed, self.sizes["features"], np.flatnonzero(self._is_test == test)),
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            num_workers=self.num_workers,
            world_size=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
        )
