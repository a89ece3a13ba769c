"""States that are encoded already: the arrays that `fit --export-states` wrote, or arrays at hand."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from scorefield.core.errors import InputError
from scorefield.core.loading import Batch, batch_loader
from scorefield.core.noise import stream_seed
from scorefield.core.states_check import check_states

__all__ = ["StatesData"]

Arrays = dict[str, NDArray[Any]]
_NOT_STATE = ("is_test", "is_validation", "meta")


class StatesData(LightningDataModule):
    """Encoded states with node masks.

    Args:
        path: an `.npz` of `mask [n, N]`, of components such as `x [n, N, F]` and `adj [n, N, N]` (axis 1 is the
            nodes; of those in `square` axis 2 too), of whole numbers such as `label [n]`, and where known
            `is_test [n]`, `is_validation [n]` and `meta`: a JSON text of `sizes`, `tables` and `provenance`.
        square: components with nodes on two axes: symmetric matrices without a diagonal.
        batch_size: samples in a training batch, over all processes together.
        validation_fraction: share held out for validation where `is_validation` is not given.
        num_workers: processes that load batches.
        seed: seed of the split and of the order of training.
    """

    def __init__(
        self,
        path: str | None = None,
        square: list[str] | None = None,
        batch_size: int = 256,
        validation_fraction: float = 0.05,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < validation_fraction < 1:
            raise InputError(f"data.validation_fraction is {validation_fraction}", mend="it must lie between 0 and 1")
        self.path, self.square = path, ["adj"] if square is None else list(square)
        self.batch_size, self.validation_fraction = batch_size, validation_fraction
        self.num_workers, self.seed = num_workers, seed
        self.values: Mapping[str, Any] | None = None
        self.sizes: dict[str, int] = {}
        self.tables: dict[str, Any] = {}
        self.provenance: dict[str, Any] = {}
        self._arrays: Arrays = {}
        self._rows: dict[str, NDArray[np.int64]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read and check the arrays, and split; called again it does nothing.

        Raises:
            InputError: a file is missing or damaged, or the states are not what `check_states` asks for.
        """
        if self._rows:
            return
        values = _read(self.path) if self.values is None else dict(self.values)
        meta = _meta(values.get("meta"), self.path)
        arrays = {name: np.asarray(value) for name, value in values.items() if name != "meta"}
        _check(arrays, self.square, self.path)
        self._arrays = {name: value for name, value in arrays.items() if name not in _NOT_STATE}
        self._rows = self._split(arrays)
        self.sizes = meta.get("sizes") or self._inferred_sizes()
        self.tables = meta.get("tables") or self._inferred_tables()
        if "0" in self.tables.get("node_counts", {}):
            raise InputError("counts samples without nodes", file=self.path, place="meta, tables.node_counts")
        self.provenance = {**meta.get("provenance", {}), **{n: len(rows) for n, rows in self._rows.items()}}
        self.provenance.setdefault("name", Path(self.path).name if self.path else "arrays in memory")

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled batches of the training split."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation split, in the stored order."""
        return self._loader("validation", shuffle=False)

    def local_files(self) -> dict[str, str]:
        """Arguments that open the same file from any folder; none for arrays in memory."""
        return {} if self.path is None else {"path": str(Path(self.path).absolute())}

    def arrays(self) -> Arrays:
        """All states as plain arrays, the splits and what is known of them; see `path`."""
        self.setup()
        count = len(self._arrays["mask"])
        meta = {"sizes": self.sizes, "tables": self.tables, "provenance": self.provenance}
        splits = {f"is_{name}": np.isin(np.arange(count), self._rows[name]) for name in ("test", "validation")}
        return {**self._arrays, **splits, "meta": np.array(json.dumps(meta))}

    def _split(self, arrays: Arrays) -> dict[str, NDArray[np.int64]]:
        count = len(arrays["mask"])
        test = np.asarray(arrays.get("is_test", np.zeros(count)), bool)
        held = np.asarray(arrays.get("is_validation", np.zeros(count)), bool)
        rest = np.flatnonzero(~test & ~held)
        if not held.any() and len(rest) > 1:
            generator = np.random.default_rng(stream_seed("validation", self.seed))
            number = min(max(round(len(rest) * self.validation_fraction), 1), len(rest) - 1)
            held = np.isin(np.arange(count), generator.choice(rest, number, replace=False))
        rows = {"train": ~test & ~held, "validation": held, "test": test}
        if not rows["train"].any():
            raise InputError("no sample is left for training", file=self.path)
        return {name: np.flatnonzero(chosen) for name, chosen in rows.items()}

    def _inferred_sizes(self) -> dict[str, int]:
        sizes = {"max_nodes": int(self._arrays["mask"].shape[1])}
        return sizes | ({"features": int(self._arrays["x"].shape[-1])} if "x" in self._arrays else {})

    def _inferred_tables(self) -> dict[str, Any]:
        counts = self._arrays["mask"][self._rows["train"]].astype(bool).sum(1)
        sizes, frequency = np.unique(counts, return_counts=True)
        return {
            "kind": "graphs",
            "node_counts": {str(size): int(n) for size, n in zip(sizes, frequency, strict=True)},
        }

    def _loader(self, split: str, *, shuffle: bool) -> DataLoader[Batch]:
        trainer = self.trainer
        return batch_loader(
            _Rows(self._arrays, self.square, self._rows[split]),
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            num_workers=self.num_workers,
            world_size=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
        )


class _Rows:
    """Some rows of the arrays; a batch is padded to its own largest sample."""

    def __init__(self, arrays: Arrays, square: Sequence[str], rows: NDArray[np.int64]) -> None:
        self.arrays, self.square, self.rows = arrays, tuple(square), rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        mask = self.arrays["mask"][rows].astype(bool)
        present = np.flatnonzero(mask.any(0))
        nodes = int(present[-1]) + 1 if len(present) else 1
        batch = {"mask": torch.from_numpy(mask[:, :nodes].copy())}
        for name, values in self.arrays.items():
            if name != "mask":
                batch[name] = self._cut(name, values[rows], nodes)
        return batch

    def _cut(self, name: str, values: NDArray[Any], nodes: int) -> Tensor:
        if values.ndim == 1:
            return torch.from_numpy(values.astype(np.int64))
        cut = values[:, :nodes, :nodes] if name in self.square else values[:, :nodes]
        return torch.from_numpy(np.ascontiguousarray(cut, dtype=np.float32))


def _read(path: str | None) -> dict[str, Any]:
    if path is None:
        raise InputError("no file of states is named", mend="give one with --data.path")
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise InputError("not an .npz of arrays", file=path, mend="write one with fit --export-states") from error


def _meta(value: Any, path: str | None) -> dict[str, Any]:
    if value is None or isinstance(value, Mapping):
        return dict(value or {})
    try:
        return dict(json.loads(str(value)))
    except ValueError as error:
        raise InputError("not JSON", file=path, place="meta") from error


def _check(arrays: Arrays, square: Sequence[str], path: str | None) -> None:
    given = {name: value for name, value in arrays.items() if name not in (*_NOT_STATE, "mask")}
    components = {name: value for name, value in given.items() if value.ndim != 1}
    if "mask" not in arrays or not components:
        raise InputError("needs a mask and the components", file=path, mend="give mask [n, N], x [n, N, F], ...")
    check_states(arrays["mask"], components, square, path)
    for name in given.keys() - components.keys():
        if arrays[name].dtype.kind not in "biu":
            raise InputError(f"holds {arrays[name].dtype}, not whole numbers", file=path, place=name)
    for name in arrays.keys() & {*_NOT_STATE, *(given.keys() - components.keys())}:
        if arrays[name].shape != arrays["mask"].shape[:1]:
            raise InputError(f"has shape {arrays[name].shape}, one number a sample is needed", file=path, place=name)
