"""The data module of molecules.

Nothing heavy happens before `setup`: the file is encoded once and kept in the cache, and batches are padded
as they are asked for. RDKit is needed only where a file is encoded for the first time.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from scorefield.core.downloads import file_digest
from scorefield.core.errors import InputError
from scorefield.core.loading import Batch, batch_loader
from scorefield.domains.graphs.batches import StateDataset, one_hot
from scorefield.domains.graphs.chemistry.atoms import AtomTable, apply_table
from scorefield.domains.graphs.chemistry.cache import EncodedFile
from scorefield.domains.graphs.chemistry.files import encode_file
from scorefield.domains.graphs.packed import PackedGraphs
from scorefield.domains.graphs.sources import MoleculeSource, rows_digest
from scorefield.domains.graphs.splits import choose_rows, published_index, read_index, split_digest

__all__ = ["PUBLISHED", "MoleculeData"]

PUBLISHED = "published split"

log = logging.getLogger(__name__)


class MoleculeData(LightningDataModule):
    """Molecules from a file of SMILES, a table or an SD file.

    Charges and stereo are not part of what a model sees. Molecules of several fragments (salts) are kept
    whole unless `fragment` says otherwise. Duplicates stay in.

    Args:
        path: `.smi`/`.txt` (`SMILES [id]` a line), `.csv`/`.tsv`/`.parquet` (a column of SMILES) or `.sdf`,
            each also with `.gz` behind it.
        smiles_column: the column with the SMILES; by default the one called "smiles".
        test_index: a JSON list of the 0-based rows of the test split; by default a random split.
        test_fraction: share of the rows that go into a random test split.
        batch_size: molecules in a training batch, over all processes together.
        atoms: the elements, in the order of the features; by default those of the file by atomic number.
        max_nodes: largest number of atoms allowed; by default that of the file.
        fragment: "largest" keeps only the fragment with the most heavy atoms, "all" the whole molecule.
        validation: the split that is looked at during training: "train" holds out a part of the training
            split, "test" takes the test split, as published.
        validation_fraction: the share that "train" holds out.
        num_workers: processes that load batches.
        seed: seed of the random splits and of the order of training.
        encode_workers: processes that encode the file; by default one per core.
        cache: keep the encoded file in `$SCOREFIELD_CACHE` (by default `~/.cache/scorefield`).
    """

    sizes: dict[str, int]
    tables: dict[str, Any]
    provenance: dict[str, Any]

    def __init__(
        self,
        path: str | None = None,
        smiles_column: str | None = None,
        test_index: str | None = None,
        test_fraction: float = 0.1,
        batch_size: int = 256,
        atoms: list[str] | None = None,
        max_nodes: int | None = None,
        fragment: Literal["all", "largest"] = "all",
        validation: Literal["test", "train"] = "train",
        validation_fraction: float = 0.05,
        num_workers: int = 0,
        seed: int = 0,
        encode_workers: int | None = None,
        cache: bool = True,
    ) -> None:
        super().__init__()
        for name, share in (("test_fraction", test_fraction), ("validation_fraction", validation_fraction)):
            if not 0 < share < 1:
                raise InputError(f"data.{name} is {share}", mend="it must lie between 0 and 1")
        self.path, self.smiles_column, self.test_index = path, smiles_column, test_index
        self.test_fraction, self.batch_size = test_fraction, batch_size
        self.atoms, self.max_nodes, self.fragment = atoms, max_nodes, fragment
        self.validation, self.validation_fraction = validation, validation_fraction
        self.num_workers, self.seed = num_workers, seed
        self.encode_workers, self.cache = encode_workers, cache
        self._source: MoleculeSource | None = None
        self._url: str | None = None
        self._packed: PackedGraphs | None = None
        self._smiles: list[str] = []
        self._rows: dict[str, NDArray[np.int64]] = {}

    def prepare_data(self) -> None:
        """Download what is not there and encode the file into the cache."""
        if self.cache:
            self._encoded()

    def setup(self, stage: str | None = None) -> None:
        """Read the molecules, build the tables and split; called again it does nothing."""
        if self._packed is not None:
            return
        file, encoded = self._encoded()
        if self._source is not None and len(encoded.smiles) != self._source.size:
            raise InputError(
                f"holds {len(encoded.smiles)} molecules, {self._source.name} has {self._source.size}",
                file=file, mend="use MoleculeData for other files",
            )  # fmt: skip
        table = AtomTable(tuple(self.atoms)) if self.atoms else AtomTable.from_numbers(encoded.packed.nodes)
        packed = apply_table(encoded.packed, table, self.max_nodes, file=file, rows=encoded.rows)
        max_nodes = self.max_nodes or int(packed.num_nodes.max())
        split = self._split(file, len(packed))
        counts, frequency = np.unique(packed.num_nodes[self._rows["train_split"]], return_counts=True)
        self.sizes = {"features": len(table), "max_nodes": max_nodes}
        self.tables = {
            "kind": "molecules",
            "atoms": list(table.symbols),
            "node_counts": {str(size): int(n) for size, n in zip(counts, frequency, strict=True)},
        }
        self.provenance = self._provenance(file, encoded.smiles, split)
        self._packed, self._smiles = packed, encoded.smiles
        rank_zero_info(
            f"{file}: {len(packed)} molecules of up to {packed.num_nodes.max()} atoms "
            f"({' '.join(table.symbols)}), "
            f"{self.provenance['train']} for training, {self.provenance['validation']} for validation, "
            f"{self.provenance['test']} for testing: {split}"
        )
        self._warn()

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled batches of the training split."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation split, in the order of the file."""
        return self._loader("validation", shuffle=False)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test split, in the order of the file."""
        return self._loader("test", shuffle=False)

    def train_references(self) -> list[str]:
        """SMILES of the training split as they stand in the file, held out ones included."""
        return self._references("train_split")

    def test_references(self) -> list[str]:
        """SMILES of the test split as they stand in the file."""
        return self._references("test")

    def facts(self) -> list[str]:
        """What a training says of these data besides the sizes."""
        return [f"atoms {' '.join(self.tables['atoms'])}"]

    def local_files(self) -> dict[str, str]:
        """Arguments that open the same files from any folder; what is downloaded is found again without."""
        files = {} if self.path is None else {"path": str(Path(self.path).absolute())}
        index = None if self.test_index is None else Path(self.test_index)
        if index is None and self.path is not None and self._source is not None:
            index = Path(self.path).with_name(f"{self._source.index}.json")
        return files | ({"test_index": str(index.absolute())} if index is not None and index.exists() else {})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All molecules as plain arrays, for a machine without RDKit.

        Returns:
            `x` one-hot uint8 `(n, N, F)`, `adj` uint8 `(n, N, N)`, `mask` bool `(n, N)`; `is_test` and
            `is_validation` bool `(n,)`; `meta`: a JSON text of `sizes`, `tables`, `provenance`.
        """
        packed = self._molecules()
        types, adjacency, counts = packed.dense(size=self.sizes["max_nodes"])
        everything = np.arange(len(packed))
        meta = {"sizes": self.sizes, "tables": self.tables, "provenance": self.provenance}
        return {
            "x": one_hot(types, self.sizes["features"]),
            "adj": adjacency,
            "mask": np.arange(types.shape[1]) < counts[:, None],
            "is_test": np.isin(everything, self._rows["test"]),
            "is_validation": np.isin(everything, self._rows["validation"]),
            "meta": np.array(json.dumps(meta)),
        }

    def _encoded(self) -> tuple[Path, EncodedFile]:
        if self.path is not None:
            file = Path(self.path)
        elif self._source is not None:
            file = self._source.fetch(self._url)
        else:
            raise InputError("no file of molecules is named", mend="give one with --data.path")
        return file, encode_file(file, self.smiles_column, self.fragment, self.encode_workers, self.cache)

    def _split(self, file: Path, num_rows: int) -> str:
        """Fill in the rows of the splits; how the test split was made."""
        everything = np.arange(num_rows)
        test, made = self._test_rows(file, num_rows)
        train = np.setdiff1d(everything, test)
        validation, kept = test, train
        if self.validation == "train" and len(train) > 1:
            number = min(max(round(len(train) * self.validation_fraction), 1), len(train) - 1)
            validation = choose_rows(train, number, self.seed)
            kept = np.setdiff1d(train, validation)
        if not len(kept) or not len(test):
            what = "1 molecule" if num_rows == 1 else f"{num_rows} molecules"
            raise InputError(f"{what} cannot be split for training and testing", file=file)
        self._rows = {"train": kept, "validation": validation, "test": test, "train_split": train}
        return made

    def _test_rows(self, file: Path, num_rows: int) -> tuple[NDArray[np.int64], str]:
        """Rows of the test split and how they were chosen: as told, as published, else at random."""
        source = self._source
        published = published_index(source.index, num_rows) if source is not None else None
        beside = file.with_name(f"{source.index}.json") if source is not None else None
        index = Path(self.test_index) if self.test_index else beside
        if index is not None and (self.test_index or index.exists()):
            test = read_index(index, num_rows)
            same = published is not None and np.array_equal(test, published)
            return test, PUBLISHED if same else f"rows listed in {index.name}"
        if published is not None:
            return published, PUBLISHED
        number = source.test_size if source is not None else round(num_rows * self.test_fraction)
        test = choose_rows(np.arange(num_rows), min(max(number, 1), num_rows), self.seed)
        return test, f"random split, seed {self.seed}"

    def _provenance(self, file: Path, smiles: list[str], split: str) -> dict[str, Any]:
        source = self._source
        provenance = {
            "name": source.name if source else file.name,
            "file": str(file),
            "sha256": file_digest(file),
            "licence": source.licence if source else "not stated",
            "molecules": len(smiles),
            "split": split,
            "fragment": self.fragment,
            **{name: len(self._rows[name]) for name in ("train", "validation", "test")},
            "test_rows": split_digest(self._rows["test"]),
            "validation_from": self.validation,
        }
        if source is not None:
            # Another copy in another order would make another test split out of the same row numbers.
            provenance["rows_as_published"] = rows_digest(smiles) == source.digest
        return provenance

    @rank_zero_only
    def _warn(self) -> None:
        """Say where results on a published set will not be comparable with others'."""
        if self._source is None:
            return
        name, split = self._source.name, str(self.provenance["split"])
        if split.startswith("random"):
            log.warning("warning: %s is split at random, not as published: results are not comparable", name)
        elif not self.provenance["rows_as_published"]:
            log.warning("warning: not the rows of %s known here: its test rows may name other molecules", name)

    def _molecules(self) -> PackedGraphs:
        if self._packed is None:
            self.setup()
        if self._packed is None:
            raise RuntimeError("setup did not read the molecules")
        return self._packed

    def _references(self, split: str) -> list[str]:
        self._molecules()
        return [self._smiles[row] for row in self._rows[split].tolist()]

    def _loader(self, split: str, *, shuffle: bool) -> DataLoader[Batch]:
        packed = self._molecules()
        trainer = self.trainer
        return batch_loader(
            StateDataset(packed, self.sizes["features"], self._rows[split]),
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            num_workers=self.num_workers,
            world_size=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
        )
