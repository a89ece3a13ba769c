"""How a window of a series is put before a network, and read off what was sampled.

What a domain's completion knows of a series is a stretch of values in the units of the data: the window, and as much
before it as the network looks back on besides. An encoder turns stretches into what a state's condition holds, and
later the sampled component back into values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.completion import OBSERVED, Observing
from scorefield.core.state import State
from scorefield.domains.series.labels import OPEN
from scorefield.domains.series.scaling import Scaling

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord
    from scorefield.core.domain import Domain

__all__ = ["OBSERVING", "RangeEncoder", "Seen", "WindowEncoder"]

Array = NDArray[np.float64]

OBSERVING = Observing("moments", {"iterations": 3, "bounds": 1.0}, 0.01, 0.5, "ddpm", 25, {})
"""Measured on stocks; see docs/completion.md."""


@dataclass(frozen=True)
class Seen:
    """Stretches as a network sees them.

    Attributes:
        condition: entries of the state's condition, `[B, ...]`.
        decode: values `(B, L, D)` in the units of the data from the sampled component `(B, L, C)`.
    """

    condition: Mapping[str, torch.Tensor]
    decode: Callable[[Array], Array]


class WindowEncoder(Protocol):
    """What a run's windows are.

    Attributes:
        length: steps of a window, L.
        history: steps before it that are looked at.
        observes: see `core.completion.Items`.
        observing: see `core.completion.Items`.
    """

    length: int
    history: int
    observes: bool
    observing: Observing

    def frame(self, rows: int, generator: torch.Generator, conditions: Mapping[str, Any] | None) -> State:
        """An empty state.

        Raises:
            InputError: an unknown condition.
        """
        ...

    def seen(self, stretches: Array) -> Seen:
        """Stretches `(B, history + L, D)`, NaN where nothing is known."""
        ...


class RangeEncoder:
    """Windows of several columns, each in shares of its range; see `Scaling`.

    Args:
        domain: whose states they are.
        record: of the run.
    """

    history = 0
    observes = True
    observing = OBSERVING

    def __init__(self, domain: Domain, record: ModelRecord) -> None:
        self._domain, self._record = domain, record
        self.length: int = record.sizes["length"]
        self.scaling = Scaling.from_tables(record.tables)

    def frame(self, rows: int, generator: torch.Generator, conditions: Mapping[str, Any] | None) -> State:
        """See `WindowEncoder.frame`."""
        tables, sizes = self._record.tables, self._record.sizes
        if tables.get("conditional"):  # what is observed tells more of the class than a draw would
            conditions = {"label": OPEN, **(conditions or {})}
        return self._domain.frame(self._domain.draw(rows, tables, generator, conditions), sizes, tables)

    def seen(self, stretches: Array) -> Seen:
        """See `WindowEncoder.seen`."""
        known = torch.from_numpy(self.scaling.scaled(stretches)).float()
        return Seen({OBSERVED + "x": known}, self.scaling.original)
