"""Files of generated series.

`.npz` holds `x [n, L, D]`, `columns` and perhaps `label`. Tables (`.csv`, `.tsv`, `.parquet`) are long, with the
columns `sample`, `step`, perhaps `label`, then the features; one series without a label is wide, its features only.
Numbers are written with all digits, so that reading gives the same ones again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scorefield.core.errors import InputError
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.tables import LABEL, SAMPLE, STEP, SeriesTable, format_of, read_table
from scorefield.domains.series.writing import write_archive, write_table

__all__ = ["read_series", "samples_of", "write_series"]


def write_series(samples: SeriesSamples, path: Path) -> None:
    """Write series in the format of the suffix, whole or not at all.

    Raises:
        InputError: an unknown suffix, a column whose name the table needs itself, or a folder that cannot be written
            to.
    """
    if format_of(path) == ".npz":
        write_archive(samples.arrays(), path)
    else:
        write_table(_frame(samples, path), path)


def _frame(samples: SeriesSamples, path: Path) -> pd.DataFrame:
    number, length, _ = samples.x.shape
    own: dict[str, Any] = {}
    wide = number == 1 and samples.labels is None
    if not wide:
        own = {SAMPLE: np.repeat(np.arange(number), length), STEP: np.tile(np.arange(length), number)}
        if samples.labels is not None:
            own[LABEL] = np.repeat(samples.labels.astype(object), length)
    features = set(samples.columns)
    reserved = {SAMPLE, STEP} <= features or LABEL in features if wide else features & {SAMPLE, STEP, LABEL}
    if reserved:
        what = f"the columns {SAMPLE}, {STEP} and {LABEL} of a table cannot be features"
        raise InputError(what, file=path, mend="write .npz")
    values = samples.x.reshape(-1, len(samples.columns))
    return pd.DataFrame({**own, **{name: values[:, d] for d, name in enumerate(samples.columns)}})


def read_series(path: Path) -> SeriesSamples:
    """Series of one length from a file.

    Raises:
        InputError: as `read_table`; or series of different lengths.
    """
    return samples_of(read_table(path), path)


def samples_of(table: SeriesTable, path: Path | None = None) -> SeriesSamples:
    """The series of a table as a population, where they have one length.

    Raises:
        InputError: they have not.
    """
    lengths = np.unique(table.lengths)
    if len(lengths) > 1:
        what = f"series of {lengths[0]} to {lengths[-1]} steps"
        raise InputError(what, file=path, mend="give series of one length")
    x = table.values.reshape(-1, int(lengths[0]), len(table.columns))
    return SeriesSamples(x, table.columns, None if table.labels is None else np.array(table.labels, dtype=np.str_))
