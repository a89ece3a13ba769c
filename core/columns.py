"""The names of a table's columns without the table: domains tell by them whose file it is."""

from __future__ import annotations

import gzip
from pathlib import Path

__all__ = ["column_names"]

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_LONGEST = 1 << 20


def column_names(path: Path) -> list[str] | None:
    """The header of a `.csv`, `.tsv` (also `.gz`) or `.parquet` file; None where that cannot be read."""
    packed = path.name.lower().endswith(".gz")
    kind = Path(path.name[:-3] if packed else path.name).suffix.lower()
    try:
        if kind == ".parquet":
            import pyarrow.parquet

            return [str(name) for name in pyarrow.parquet.read_schema(path).names]
        if kind not in _SEPARATORS:
            return None
        with (gzip.open if packed else open)(path, "rb") as stream:
            line = stream.readline(_LONGEST).decode("utf-8-sig")
    except Exception:  # whatever is wrong with the file, its reader says it better
        return None
    return [name.strip().strip('"') for name in line.rstrip("\r\n").split(_SEPARATORS[kind])]
