"""The data modules that configurations name."""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

from scorefield.domains.graphs.graph_data import GraphData
from scorefield.domains.graphs.molecule_data import MoleculeData
from scorefield.domains.graphs.sources import QM9, ZINC250K

__all__ = ["GraphData", "MoleculeData", "MoleculesSmallData", "QM9Data", "ZINC250kData"]


class MoleculesSmallData(MoleculeData):
    """The embedded set: 4,000 molecules of up to seven atoms C, N, O, F, enumerated by this project.

    Args:
        batch_size: molecules in a training batch, over all processes together.
        validation_fraction: the share of the training split that is held out.
        num_workers: processes that load batches.
        seed: seed of the random splits and of the order of training.
    """

    def __init__(
        self, batch_size: int = 128, validation_fraction: float = 0.05, num_workers: int = 0, seed: int = 0
    ) -> None:
        path = files("scorefield.data").joinpath("molecules_small.smi.gz")
        super().__init__(
            str(path), batch_size=batch_size, validation_fraction=validation_fraction, num_workers=num_workers,
            seed=seed, encode_workers=1, cache=False,
        )  # fmt: skip

    def setup(self, stage: str | None = None) -> None:
        """As for any file; what is recorded does not depend on where the package is installed."""
        super().setup(stage)
        self.provenance |= {"name": "molecules_small", "file": "molecules_small", "licence": "Apache-2.0"}

    def local_files(self) -> dict[str, str]:
        """None: the file comes with the package."""
        return {}


class QM9Data(MoleculeData):
    """QM9: 133,885 molecules of up to nine atoms C, N, O, F, with the published test split of 13,082.

    Args:
        path: a file of the molecules in the order of GDB-9; by default MoleculeNet's table is downloaded.
        test_index: a list of test rows; by default `qm9_test_idx.json` beside the data file, and without such a
            file the published list, which the package holds.
        batch_size: molecules in a training batch, over all processes together.
        validation: "test" looks at the test split during training, as published; "train" holds out a part of
            the training split.
        validation_fraction: the share that "train" holds out.
        num_workers: processes that load batches.
        seed: seed of the random splits and of the order of training.
        encode_workers: processes that encode the file; by default one per core.
        cache: keep the encoded file in `$SCOREFIELD_CACHE` (by default `~/.cache/scorefield`).
        url: another address of the table.
    """

    def __init__(
        self,
        path: str | None = None,
        test_index: str | None = None,
        batch_size: int = 1024,
        validation: Literal["test", "train"] = "train",
        validation_fraction: float = 0.05,
        num_workers: int = 0,
        seed: int = 0,
        encode_workers: int | None = None,
        cache: bool = True,
        url: str | None = None,
    ) -> None:
        super().__init__(
            path,
            test_index=test_index,
            batch_size=batch_size,
            atoms=list(QM9.atoms),
            max_nodes=QM9.max_nodes,
            validation=validation,
            validation_fraction=validation_fraction,
            num_workers=num_workers,
            seed=seed,
            encode_workers=encode_workers,
            cache=cache,
        )
        self._source, self._url = QM9, url


class ZINC250kData(MoleculeData):
    """ZINC250k: 249,455 drug-like molecules of up to 38 atoms of nine elements.

    The published test split holds 24,887 of them.

    Args:
        path: a file of the molecules in the published order; by default the published table is downloaded.
        test_index: the published list of test rows; by default `zinc250k_test_idx.json` beside the data file,
            and without such a file a random split of the same size.
        batch_size: molecules in a training batch, over all processes together.
        validation: "test" looks at the test split during training, as published; "train" holds out a part of
            the training split.
        validation_fraction: the share that "train" holds out.
        num_workers: processes that load batches.
        seed: seed of the random splits and of the order of training.
        encode_workers: processes that encode the file; by default one per core.
        cache: keep the encoded file in `$SCOREFIELD_CACHE` (by default `~/.cache/scorefield`).
        url: another address of the table.
    """

    def __init__(
        self,
        path: str | None = None,
        test_index: str | None = None,
        batch_size: int = 1024,
        validation: Literal["test", "train"] = "train",
        validation_fraction: float = 0.05,
        num_workers: int = 0,
        seed: int = 0,
        encode_workers: int | None = None,
        cache: bool = True,
        url: str | None = None,
    ) -> None:
        super().__init__(
            path,
            test_index=test_index,
            batch_size=batch_size,
            atoms=list(ZINC250K.atoms),
            max_nodes=ZINC250K.max_nodes,
            validation=validation,
            validation_fraction=validation_fraction,
            num_workers=num_workers,
            seed=seed,
            encode_workers=encode_workers,
            cache=cache,
        )
        self._source, self._url = ZINC250K, url
