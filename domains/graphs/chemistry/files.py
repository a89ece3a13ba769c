"""Encoded molecules of a file, from the cache where the file was encoded before."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Literal

from scorefield.core.downloads import file_digest
from scorefield.domains.graphs.chemistry.cache import EncodedFile, cache_key, load_encoded, store_encoded
from scorefield.domains.graphs.formats import read_table, suffix

__all__ = ["encode_file"]


def encode_file(
    path: Path,
    smiles_column: str | None = None,
    fragment: Literal["all", "largest"] = "all",
    workers: int | None = None,
    cache: bool = True,
) -> EncodedFile:
    """The encoded molecules of a file, from the cache where it was encoded before.

    Args:
        path: a file of molecules.
        smiles_column: the column with the SMILES of a table.
        fragment: "largest" keeps only the largest fragment of each molecule.
        workers: processes for encoding; by default one per core.
        cache: read and write the cache.

    Raises:
        InputError: a file that cannot be read, or a molecule that cannot be encoded.
    """
    options = {"kind": suffix(path), "column": smiles_column, "fragment": fragment, "rdkit": _rdkit()}
    key = cache_key(file_digest(path), options)
    encoded = load_encoded(key) if cache else None
    if encoded is None:
        from scorefield.domains.graphs.chemistry.encode import encode_numbers

        table = read_table(path, smiles_column)
        packed = encode_numbers(table.smiles, fragment=fragment, workers=workers, file=path, rows=table.rows)
        encoded = EncodedFile(packed, table.smiles, table.rows)
        if cache:
            store_encoded(key, encoded)
    return encoded


def _rdkit() -> str:
    """The version of RDKit: another one may order the atoms in another way."""
    try:
        return metadata.version("rdkit")
    except metadata.PackageNotFoundError:
        return "none"
