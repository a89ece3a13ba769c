"""Tables and archives, written whole or not at all, the same bytes for the same content."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.files import atomic
from scorefield.domains.series.tables import suffix

__all__ = ["write_archive", "write_table"]


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write `.csv`, `.tsv` (each also `.gz`) or `.parquet`, numbers with all digits.

    Raises:
        InputError: the folder cannot be written to.
    """
    stream, kind = io.BytesIO(), suffix(path)
    if kind == ".parquet":
        frame.to_parquet(stream, index=False)
    else:
        # Without a time stamp in the archive the same table gives the same bytes.
        packed = {"method": "gzip", "mtime": 0} if kind.endswith(".gz") else None
        separator = "\t" if kind.startswith(".tsv") else ","
        frame.to_csv(stream, index=False, sep=separator, compression=packed, lineterminator="\n")
    with atomic(path) as temporary:
        temporary.write_bytes(stream.getvalue())


def write_archive(arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write `.npz`.

    Raises:
        InputError: the folder cannot be written to.
    """
    stream, content = io.BytesIO(), dict(arrays)
    np.savez_compressed(stream, allow_pickle=False, **content)
    with atomic(path) as temporary:
        temporary.write_bytes(stream.getvalue())
