"""The module that `fit` runs over the edges of a graph: two passes, degrees and then classes.

Pass 1 counts the in- and out-degree of every node; the joint degree matrix follows. Pass 2 counts edges by the
out-degree of their source and the in-degree of their target, in a dense array over the classes that occur, which has
at most 2 m cells (see `matrices.py`). All numbers are int64: sums over processes, and on a GPU in any order, are the
same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from scorefield.core.counting import CountingModule
from scorefield.core.errors import InputError
from scorefield.domains.digraphs.matrices import DegreeMatrices, jdm_of_degrees
from scorefield.domains.digraphs.rescaler import Rescaler

__all__ = ["DegreeCounter"]


class DegreeCounter(CountingModule):
    """Counts the degree matrices of a directed graph.

    Args:
        system: what samples are drawn by.
    """

    passes = 2

    def __init__(self, system: Rescaler) -> None:
        super().__init__()
        self.recipe = system
        self.matrices: DegreeMatrices | None = None
        self._degrees: Tensor | None = None  # in- and out-degrees, (2, n)
        self._cells: Tensor | None = None  # edges of out-class x in-class, dense and flat
        self._ranks: Tensor | None = None  # class of each node as a source and as a target, (2, n)
        self._values: list[Tensor] = []  # the degrees of the classes

    @property
    def ready(self) -> bool:
        """Whether both passes are done."""
        return self.matrices is not None

    def setup(self, stage: str | None = None) -> None:
        """Refuse data that are no edges.

        Raises:
            InputError: they are not.
        """
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not hasattr(data, "edges"):
            raise InputError(f"{type(data).__name__} has no edges to count", place="data", mend="name an EdgeListData")

    def headline(self) -> str:
        """The size of the graph."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        return f"counting {data.provenance['name']} ({data.sizes['nodes']} nodes, {data.sizes['edges']} edges)"

    def on_train_epoch_start(self) -> None:
        """Zeros to count into."""
        if self.current_epoch == 0:
            nodes = self.trainer.datamodule.sizes["nodes"]  # type: ignore[attr-defined]
            self._degrees = torch.zeros(2, nodes, dtype=torch.int64, device=self.device)
            return
        if self._degrees is None:
            raise InputError("the checkpoint holds no degrees", mend="start again")
        self._ranks, self._values = _classes(self._degrees.to(self.device))
        size = self._values[0].numel() * self._values[1].numel()
        self._cells = torch.zeros(size, dtype=torch.int64, device=self.device)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Count a batch."""
        src, dst = batch["src"], batch["dst"]
        if self.current_epoch == 0:
            assert self._degrees is not None  # made when the pass began
            for row, ends in enumerate((dst, src)):
                _add(self._degrees[row], ends)
            return
        assert self._cells is not None  # made when the pass began
        assert self._ranks is not None
        _add(self._cells, self._ranks[0][src] * self._values[1].numel() + self._ranks[1][dst])

    def on_train_epoch_end(self) -> None:
        """Sum over the processes; after the second pass the matrices are known."""
        if self.current_epoch == 0:
            assert self._degrees is not None
            self._degrees = self.summed(self._degrees)
            top_in, top_out = (int(row.max()) for row in self._degrees)
            self.log_dict({"max_in_degree": float(top_in), "max_out_degree": float(top_out)}, sync_dist=True)
            rank_zero_info(f"pass 1 of 2: largest in-degree {top_in}, largest out-degree {top_out}")
            return
        assert self._cells is not None
        self.matrices = self._found(self.summed(self._cells))
        self._cells = self._ranks = None
        entries = {"jdm_entries": len(self.matrices.jdm), "dcm_entries": len(self.matrices.dcm)}
        self.log_dict({name: float(number) for name, number in entries.items()}, sync_dist=True)
        told = f"{entries['jdm_entries']} entries of the JDM, {entries['dcm_entries']} of the DCM"
        rank_zero_info(f"pass 2 of 2: {told}")

    def _found(self, cells: Tensor) -> DegreeMatrices:
        assert self._degrees is not None
        in_degrees, out_degrees = self._degrees.cpu().numpy()
        filled = torch.nonzero(cells).flatten()
        width = max(self._values[1].numel(), 1)
        columns = (self._values[0][filled // width], self._values[1][filled % width], cells[filled])
        dcm = torch.stack(columns, 1).cpu().numpy()
        found = DegreeMatrices(jdm_of_degrees(in_degrees, out_degrees), dcm)
        edges = self.trainer.datamodule.sizes["edges"]  # type: ignore[attr-defined]
        if found.m != edges:
            raise RuntimeError(f"{found.m} edges counted, not {edges}")
        return found

    def weights(self) -> tuple[dict[str, Tensor], None]:
        """The matrices, rows of three numbers."""
        if self.matrices is None:
            raise RuntimeError("the passes are not done")
        return {
            name: torch.from_numpy(np.ascontiguousarray(getattr(self.matrices, name))) for name in ("jdm", "dcm")
        }, None

    def get_extra_state(self) -> dict[str, Any]:
        """What has been counted: degrees after the first pass, matrices after the second."""
        if self.matrices is not None:
            return dict(self.weights()[0])
        return {} if self._degrees is None else {"degrees": self._degrees.cpu()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._degrees = state.get("degrees")
        if "dcm" in state:
            self.matrices = DegreeMatrices(state["jdm"].numpy(), state["dcm"].numpy())


def _add(counts: Tensor, places: Tensor) -> None:
    """Add 1 at every place; places may repeat."""
    if counts.numel() <= 4 * places.numel():
        counts += torch.bincount(places, minlength=counts.numel())
    else:
        counts.index_add_(0, places, torch.ones_like(places))


def _classes(degrees: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The class of every node as a source and as a target, and the degrees of these classes."""
    ranks, values = [], []
    for row in (degrees[1], degrees[0]):
        present = torch.bincount(row) > 0
        ranks.append((torch.cumsum(present, 0) - 1)[row])
        values.append(torch.nonzero(present).flatten())
    return torch.stack(ranks), values
