"""The scaling of series: columns from their own range to [-1, 1], and back.

u = (x - low) / (high - low), s = 2 u - 1. A constant column counts with a range of 1, so that s = -1; on the way back
it is its constant, whatever a model made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scaling"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """Lowest and highest value of each column.

    Args:
        low: `(D,)`.
        high: `(D,)`, nowhere below `low`.
    """

    low: Array
    high: Array

    @classmethod
    def fit(cls, values: Array) -> Self:
        """The range of each column of `(rows, D)`."""
        return cls(values.min(0), values.max(0))

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Self:
        """What `tables` gave."""
        return cls(np.array(tables["low"], dtype=np.float64), np.array(tables["high"], dtype=np.float64))

    def tables(self) -> dict[str, list[float]]:
        """The numbers as JSON can hold them, to the last digit."""
        return {"low": self.low.tolist(), "high": self.high.tolist()}

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which columns have only one value, `(D,)`."""
        return np.asarray(self.low == self.high)

    def scaled(self, values: NDArray[Any]) -> Array:
        """Values `(..., D)` in units of the data as numbers in [-1, 1] (beyond where they leave the range)."""
        return 2 * self.unit(values) - 1

    def unit(self, values: NDArray[Any]) -> Array:
        """Values `(..., D)` in units of the data as numbers in [0, 1], the scale on which series are compared."""
        return np.asarray((values - self.low) / np.where(self.constant, 1.0, self.high - self.low))

    def original(self, scaled: NDArray[Any]) -> Array:
        """The inverse of `scaled`, float64; constant columns exactly."""
        share = (scaled.astype(np.float64) + 1) / 2
        return np.asarray(self.low + share * (self.high - self.low))
