"""What completion asks of the series that it has read: their values, and how results are laid out like them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scorefield.domains.series.answers import Answer, Completions

__all__ = ["SeriesFile"]


class SeriesFile(Protocol):
    """Series of a file, or of arrays.

    Attributes:
        file: where they came from.
        columns: names of the features.
        names: what each series is called.
    """

    @property
    def file(self) -> Path | None: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def series(self, number: int) -> NDArray[np.float64]:
        """The rows of one series, `(T, D)`."""
        ...

    def place(self, number: int) -> str | None:
        """How messages call a series; nothing where there is only one."""
        ...

    def digest(self) -> str:
        """SHA-256 of everything that results and their file depend on."""
        ...

    def keys(self, answer: Answer) -> dict[str, Any]:
        """Columns that say what each missing entry of an answer is, in the order of its cells."""
        ...

    def axis(self, answer: Answer) -> NDArray[Any]:
        """Times, or numbers, of the answer's rows."""
        ...

    def title(self, answer: Answer, column: int) -> str:
        """What a picture calls a column of an answer."""
        ...

    def check_filled(self, path: Path) -> None:
        """Find out whether the series can be written there with their gaps filled.

        Raises:
            InputError: they cannot.
        """
        ...

    def write_filled(self, found: Completions, fill: str, path: Path) -> None:
        """Write them with their gaps filled by `mean` or `median`, given cells as they came."""
        ...
