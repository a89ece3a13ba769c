"""What a domain hands to the core: how its states become objects, files and statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from scorefield.core.state import State

__all__ = ["Domain", "Samples", "Tables", "Tour"]

Tables = Mapping[str, Any]
"""JSON-able facts of the training data that sampling needs (atom table, node-count histogram)."""


class Samples(Protocol):
    """A decoded population: molecules, graphs, series.

    A class whose `in_folders` is true saves a path without a suffix as a folder.
    """

    def __len__(self) -> int: ...

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays without objects, for shards."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse of `arrays`."""
        ...

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join populations in order."""
        ...

    def save(self, path: Path) -> None:
        """Write in the format of the suffix, whole or not at all."""
        ...

    def counts(self) -> dict[str, int | float]:
        """What `sample` records beside its file."""
        ...


@dataclass(frozen=True)
class Tour:
    """What `scorefield demo` shows of a domain.

    Attributes:
        config: a packaged configuration on embedded data.
        overrides: options of `fit` that keep it short.
        num: samples to generate.
        file: name of the generated file.
    """

    config: str
    overrides: tuple[str, ...]
    num: int
    file: str


class Domain(Protocol):
    """A domain of the suite.

    A domain may have more: `conditions`, names that `draw` takes as a condition; `check_tables(tables, sizes, file)`,
    which raises `InputError` where a run's tables are not what sampling needs; `versions(tables)`, those of libraries
    that samples depend on, by name; `compare` with its kin (`core.comparison.Comparing`); `import_formats` with
    `import_model` (`core.importing.Importing`); `tasks` with `open_items` (`core.completion.Completing`);
    `check_place(path, num)`, which raises `InputError` where `num` samples cannot be saved there and stands in for the
    check of suffixes; `potentials()`, what guidance can be asked for, a mapping of names to
    `core.guidance.naming.PotentialEntry`.
    """

    name: str
    description: str

    def samples_type(self, tables: Tables) -> type[Samples]:
        """The class of decoded samples."""
        ...

    def suffixes(self, tables: Tables) -> tuple[str, ...]:
        """File suffixes that samples can be saved with."""
        ...

    def draw(
        self, num: int, tables: Tables, generator: torch.Generator, condition: Mapping[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """What is drawn before sampling (sizes), one row a sample, on the CPU; `condition` fixes some of it.

        Raises:
            InputError: a condition is unknown or out of the run's range.
        """
        ...

    def order(self, drawn: Mapping[str, Tensor]) -> Tensor:
        """Rows by size, `[num]`: neighbours share a tile and its padding."""
        ...

    def frame(self, drawn: Mapping[str, Tensor], sizes: Mapping[str, int], tables: Tables) -> State:
        """An empty state for these rows: component shapes padded to the largest row, masks, condition."""
        ...

    def pad(self, state: State, sizes: Mapping[str, int]) -> State:
        """Pad a tile's state to the run's sizes, so that tiles can be joined."""
        ...

    def decode(self, state: State, tables: Tables) -> Samples:
        """Domain objects from the state at t = 0."""
        ...

    def demo(self) -> Tour:
        """What `scorefield demo` shows."""
        ...
