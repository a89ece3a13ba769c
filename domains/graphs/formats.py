"""Files of molecules: SMILES lists, tables, SD files; each also with `.gz` behind it.

Rows are numbered as a user sees them: lines of a SMILES list, rows of a table as a spreadsheet counts them
(the header is row 1), records of an SD or parquet file, all from 1.
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.files import atomic, check_format
from scorefield.domains.graphs.molecules import FLAGS, Molecules

if TYPE_CHECKING:
    from rdkit import Chem

__all__ = [
    "SUFFIXES",
    "MoleculeTable",
    "read_bytes",
    "read_molecules",
    "read_table",
    "suffix",
    "write_molecules",
]

SUFFIXES = (".smi", ".txt", ".csv", ".tsv", ".parquet", ".sdf")
"""Known formats of molecules."""

_SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class MoleculeTable:
    """What a file of molecules says.

    Args:
        smiles: SMILES as they stand in the file; empty where a row has none.
        rows: the number of each row, int64 `(n,)`.
        columns: further columns of text or flags: `ids` and the validities.
    """

    smiles: list[str]
    rows: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]


def suffix(path: Path) -> str:
    """The suffix that says the format: the last one, or the one before `.gz`, in lower case."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def read_bytes(path: Path) -> bytes:
    """The content of a file, decompressed if its name ends in `.gz`.

    Raises:
        InputError: the file is missing, empty, unreadable or truncated.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.name.lower().endswith(".gz") else content
    except FileNotFoundError as error:
        raise InputError("there is no such file", file=path) from error
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", file=path) from error
    except Exception as error:  # zlib raises a class of its own for a corrupted stream
        raise InputError(f"cannot be decompressed ({error})", file=path) from error
    if not content.strip():
        raise InputError("the file is empty", file=path)
    return content


def read_table(path: str | Path, smiles_column: str | None = None) -> MoleculeTable:
    """Read a file of molecules without looking into the SMILES.

    Args:
        path: `.smi`/`.txt` (`SMILES [id]` a line), `.csv`/`.tsv`/`.parquet` (a column of SMILES), `.sdf`.
        smiles_column: name of that column; by default the one called "smiles", in any case of letters.

    Raises:
        InputError: a missing or empty file, an unknown suffix, a missing column, an unreadable record.
    """
    path = Path(path)
    kind = suffix(path)
    check_format(kind, SUFFIXES, "molecules", path)
    content = read_bytes(path)
    if kind == ".sdf":
        table = _read_sdf(content, path)
    elif kind in (".smi", ".txt"):
        table = _read_lines(_text(content, path))
    else:
        table = _read_columns(content, kind, path, smiles_column)
    if not table.smiles:
        raise InputError("the file holds no molecule", file=path)
    return table


def read_molecules(path: Path, smiles_column: str | None = None) -> Molecules:
    """Read molecules with whatever columns the file has; the arguments are those of `read_table`."""
    table = read_table(path, smiles_column)
    return Molecules.from_arrays({"smiles": np.array(table.smiles, dtype=np.str_), **table.columns})


def write_molecules(molecules: Molecules, path: Path) -> None:
    """Write molecules in the format of the suffix; `.smi`, `.txt` and `.sdf` leave out those without a
    SMILES.

    Raises:
        InputError: an unknown suffix, or a folder that cannot be written to.
    """
    kind = suffix(path)
    check_format(kind, SUFFIXES, "molecules", path)
    if kind == ".sdf":
        content = _sdf(molecules).encode()
    elif kind in (".smi", ".txt"):
        content = "".join(f"{text} {name}\n" for text, name in _named(molecules)).encode()
    else:
        content = _columns(molecules, kind)
    if path.name.lower().endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError("is not UTF-8 text", file=path, place=f"row {line}") from error


def _read_lines(text: str) -> MoleculeTable:
    words = [line.split(maxsplit=1) for line in text.splitlines()]
    # A header is told from a molecule by its first word: no element is called "smiles".
    header = bool(words and words[0] and words[0][0].lower() == "smiles")
    rows = [row for row, parts in enumerate(words) if parts and not (header and row == 0)]
    names = [words[row][1].strip() if len(words[row]) > 1 else "" for row in rows]
    columns = {"ids": np.array(names, dtype=np.str_)} if any(names) else {}
    return MoleculeTable([words[row][0] for row in rows], np.array(rows, dtype=np.int64) + 1, columns)


def _read_columns(content: bytes, kind: str, path: Path, wanted: str | None) -> MoleculeTable:
    try:
        if kind == ".parquet":
            frame = pd.read_parquet(io.BytesIO(content))
        else:
            text = io.StringIO(_text(content, path))
            frame = pd.read_csv(text, sep=_SEPARATORS[kind], dtype=str, keep_default_na=False)
    except InputError:
        raise
    except Exception as error:  # pandas and pyarrow raise many classes for broken files
        raise InputError(f"cannot be read ({str(error).strip().splitlines()[0]})", file=path) from error
    names = [str(name) for name in frame.columns]
    found = [name for name in names if (name == wanted if wanted else name.strip().lower() == "smiles")]
    if not found:
        raise InputError(
            f"there is no column {wanted or 'smiles'}", file=path, place="row 1",
            mend=f"name one of {', '.join(names)} with smiles_column (in fit: --data.smiles_column)",
        )  # fmt: skip
    frame.columns = pd.Index(names)
    smiles = [str(text).strip() for text in frame[found[0]].fillna("")]
    columns = {name: _flags(frame[name], path) for name in (*FLAGS, "empty") if name in names}
    if "id" in names:
        columns["ids"] = frame["id"].astype(str).to_numpy(dtype=np.str_)
    return MoleculeTable(smiles, np.arange(len(smiles)) + (1 if kind == ".parquet" else 2), columns)


def _flags(column: pd.Series[Any], path: Path) -> NDArray[np.bool_]:
    words = column.astype(str).str.strip().str.lower()
    true = words.isin(["true", "1"]).to_numpy(dtype=bool)
    wrong = np.flatnonzero(~(true | words.isin(["false", "0"]).to_numpy(dtype=bool)))
    if len(wrong):
        raise InputError(f"column {column.name} must be true or false", file=path, place=f"row {wrong[0] + 2}")
    return np.asarray(true, dtype=bool)


def _read_sdf(content: bytes, path: Path) -> MoleculeTable:
    from rdkit import Chem, rdBase

    smiles, names = [], []
    with rdBase.BlockLogs():
        for row, mol in enumerate(Chem.ForwardSDMolSupplier(io.BytesIO(content)), start=1):
            if mol is None:
                raise InputError("this record is no molecule that RDKit can read", file=path, place=f"row {row}")
            smiles.append(Chem.MolToSmiles(mol))
            names.append(mol.GetProp("_Name") if mol.HasProp("_Name") else "")
    columns = {"ids": np.array(names, dtype=np.str_)} if any(names) else {}
    return MoleculeTable(smiles, np.arange(1, len(smiles) + 1), columns)


def _named(molecules: Molecules) -> list[tuple[str, str]]:
    """SMILES and name of the molecules that have a SMILES."""
    names = [str(row) for row in range(len(molecules))] if molecules.ids is None else molecules.ids.tolist()
    return [(str(text), name) for text, name in zip(molecules.smiles, names, strict=True) if text]


def _columns(molecules: Molecules, kind: str) -> bytes:
    arrays = molecules.arrays()
    names = arrays.pop("ids", np.arange(len(molecules)).astype(np.str_))
    frame = pd.DataFrame({"smiles": arrays.pop("smiles").tolist(), "id": names.tolist(), **arrays})
    if kind == ".parquet":
        return bytes(frame.to_parquet(None, index=False))
    return str(frame.to_csv(None, sep=_SEPARATORS[kind], index=False, lineterminator="\n")).encode()


def _sdf(molecules: Molecules) -> str:
    from rdkit import Chem, rdBase

    records = []
    with rdBase.BlockLogs():
        for text, name in _named(molecules):
            mol = Chem.MolFromSmiles(text)
            if mol is None:
                raise InputError(f"{text!r} is not a SMILES that RDKit can read")
            mol.SetProp("_Name", name)
            records.append(_record(mol))
    return "".join(records)


def _record(mol: Chem.Mol) -> str:
    """One record of an SD file, with coordinates in the plane."""
    from rdkit import Chem
    from rdkit.Chem import rdDepictor

    rdDepictor.Compute2DCoords(mol)
    return f"{Chem.MolToMolBlock(mol)}$$$$\n"
