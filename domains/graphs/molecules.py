"""Molecules as the decoder hands them on and as files hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError

if TYPE_CHECKING:
    from scorefield.core.state import State

__all__ = ["FLAGS", "Molecules"]

FLAGS = ("valid_ref", "valid_strict", "valid_connected")
"""The validities before correction, in the order of files."""


@dataclass(frozen=True)
class Molecules:
    """A population of molecules.

    Args:
        smiles: canonical SMILES, str `(n,)`; empty where a molecule has none.
        valid_ref: validity as published, bool `(n,)`; None where the molecules were not decoded here.
        valid_strict: RDKit's full sanitisation passed, bool `(n,)` or None.
        valid_connected: strict and in one piece, bool `(n,)` or None.
        empty: the molecule had no atom at all, bool `(n,)` or None.
        ids: names of the molecules, str `(n,)` or None; files number unnamed ones from 0.
        state: the tensors the molecules were decoded from; not part of `arrays` nor of any file.

    Raises:
        InputError: columns of different lengths.
    """

    smiles: NDArray[np.str_]
    valid_ref: NDArray[np.bool_] | None = None
    valid_strict: NDArray[np.bool_] | None = None
    valid_connected: NDArray[np.bool_] | None = None
    empty: NDArray[np.bool_] | None = None
    ids: NDArray[np.str_] | None = None
    state: State | None = None

    def __post_init__(self) -> None:
        for name, column in self.arrays().items():
            if column.shape != self.smiles.shape:
                raise InputError(f"column {name} holds {len(column)} rows for {len(self.smiles)} SMILES")

    def __len__(self) -> int:
        return len(self.smiles)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Molecules:
        """Some of the molecules, without their tensors."""
        return Molecules.from_arrays({name: column[rows] for name, column in self.arrays().items()})

    @property
    def parsed(self) -> list[str]:
        """The SMILES of the molecules that have one."""
        return [str(text) for text in self.smiles if text]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The columns that are there, by name."""
        columns = {name: getattr(self, name) for name in ("smiles", *FLAGS, "empty", "ids")}
        return {name: column for name, column in columns.items() if column is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Molecules:
        """The inverse of `arrays`."""
        columns: dict[str, Any] = dict(arrays)
        return cls(**columns)

    @classmethod
    def concatenate(cls, parts: Sequence[Molecules]) -> Molecules:
        """One population after the other; columns that a part lacks are left out, and so are the tensors."""
        if not parts:
            return cls(np.zeros(0, dtype=np.str_))
        columns = [part.arrays() for part in parts]
        names = [name for name in columns[0] if all(name in part for part in columns)]
        return cls.from_arrays({name: np.concatenate([part[name] for part in columns]) for name in names})

    def counts(self) -> dict[str, int | float]:
        """How many there are, have a SMILES, were empty, and were valid in each sense."""
        counts: dict[str, int | float] = {
            "molecules": len(self), "parsed": int((self.smiles != "").sum())
        }  # fmt: skip
        for name in ("empty", *FLAGS):
            column = getattr(self, name)
            if column is not None:
                counts[name] = int(column.sum())
        return counts

    def save(self, path: str | Path) -> None:
        """Write a file; the suffix says which format (`.smi`, `.txt`, `.sdf`, `.csv`, `.tsv`, `.parquet`).

        Raises:
            InputError: an unknown suffix, or a folder that cannot be written to.
        """
        from scorefield.domains.graphs.formats import write_molecules

        write_molecules(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, smiles_column: str | None = None) -> Molecules:
        """Read a file that `save` wrote, or any other of these formats.

        Raises:
            InputError: a missing or empty file, an unknown suffix, or a column that is not there.
        """
        from scorefield.domains.graphs.formats import read_molecules

        return read_molecules(Path(path), smiles_column)
