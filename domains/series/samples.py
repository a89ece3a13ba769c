"""Series as sampling hands them on and as files hold them."""

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

__all__ = ["SeriesSamples"]


@dataclass(frozen=True)
class SeriesSamples:
    """A population of series of one length, in the units of the data they were learnt from.

    Args:
        x: `[n, L, D]`, as tslearn lays series out.
        columns: names of the D features.
        labels: class of each series, str `(n,)`, or None.
        state: the tensors they were decoded from; not part of `arrays` nor of any file.

    Raises:
        InputError: shapes that do not fit.
    """

    x: NDArray[np.float64]
    columns: tuple[str, ...]
    labels: NDArray[np.str_] | None = None
    state: State | None = None

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.x.shape[2] != len(self.columns):
            what = f"series of shape {self.x.shape} with {len(self.columns)} columns"
            raise InputError(what, mend="give [series, steps, features]")
        if self.labels is not None and self.labels.shape != (len(self.x),):
            raise InputError(f"{len(self.labels)} labels for {len(self.x)} series")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | NDArray[Any]) -> SeriesSamples:
        """Some of the series, without their tensors."""
        return SeriesSamples(self.x[rows], self.columns, None if self.labels is None else self.labels[rows])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`x`, `columns` and, where there are some, `label`."""
        arrays: dict[str, NDArray[Any]] = {"x": self.x, "columns": np.array(self.columns, dtype=np.str_)}
        return arrays if self.labels is None else {**arrays, "label": self.labels}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> SeriesSamples:
        """The inverse of `arrays`."""
        return cls(arrays["x"], tuple(str(name) for name in arrays["columns"].tolist()), arrays.get("label"))

    @classmethod
    def concatenate(cls, parts: Sequence[SeriesSamples]) -> SeriesSamples:
        """One population after the other; labels that a part lacks are left out, and so are the tensors.

        Raises:
            InputError: there is no part, or parts of other columns or lengths.
        """
        if not parts:
            raise InputError("no series to put together")
        first = parts[0]
        for part in parts:
            if part.columns != first.columns or part.x.shape[1:] != first.x.shape[1:]:
                raise InputError("series of different columns or lengths cannot be put together")
        labels = [part.labels for part in parts if part.labels is not None]
        joined = np.concatenate(labels) if len(labels) == len(parts) else None
        return cls(np.concatenate([part.x for part in parts]), first.columns, joined)

    def counts(self) -> dict[str, int | float]:
        """How many there are, how long, how wide; and how many of each class."""
        counts: dict[str, int | float] = {
            "series": len(self), "length": self.x.shape[1], "features": self.x.shape[2]
        }  # fmt: skip
        if self.labels is not None:
            for name, number in zip(*np.unique(self.labels, return_counts=True), strict=True):
                counts[f"label {name}"] = int(number)
        return counts

    def save(self, path: str | Path) -> None:
        """Write a file; the suffix says which format (`.npz`, `.csv`, `.tsv`, each also `.gz`, or `.parquet`).

        Raises:
            InputError: an unknown suffix, a column whose name a table needs itself, or a folder that cannot be
                written to.
        """
        from scorefield.domains.series.formats import write_series

        write_series(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> SeriesSamples:
        """Read a file that `save` wrote, or any other whose series are of one length.

        Raises:
            InputError: the file cannot be read, or its series differ in length.
        """
        from scorefield.domains.series.formats import read_series

        return read_series(Path(path))
