"""What the network sees of a stretch of a series: scaled by the size of its context, with lagged copies beside it.

A stretch holds K values of history for the lags, the context, and the forecast, K the largest lag. With w = 1 where a
value is observed, the scale is sum |x| w / max(sum w, 1) over the context alone, at least 1e-10; there is no shift.
Channel 0 is the scaled series over context and forecast, channel j the same lag_j steps earlier. What is not observed
is 0, and channels are observed where the value that they repeat is.

Where the context says nothing of the scale (all zero, nothing observed), a fixed one of the data stands in for it; in
the published code it was the mean over the batch, so that results depended on their neighbours.

Source: Kollovieh et al. 2023 (arXiv 2307.11494).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.names import unknown

__all__ = [
    "LEAST_SCALE", "MISSING", "Encoded", "Missing", "WindowPlan", "encode", "features", "hidden_steps",
    "mean_scale",
]  # fmt: skip

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
LEAST_SCALE = 1e-10
Missing = Literal["none", "RM", "BM-B", "BM-E"]
_Value = TypeVar("_Value", bound=np.generic)
MISSING: tuple[Missing, ...] = get_args(Missing)


@dataclass(frozen=True)
class WindowPlan:
    """The lengths of a window.

    Args:
        context: steps before the forecast.
        prediction: steps of the forecast.
        lags: how far lagged channels look back.

    Raises:
        InputError: a number that cannot be.
    """

    context: int
    prediction: int
    lags: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, value in (("context", self.context), ("prediction", self.prediction)):
            if value < 1:
                raise InputError(f"data.{name} is {value}", mend="give at least 1")
        if any(lag < 1 for lag in self.lags) or len(set(self.lags)) < len(self.lags):
            raise InputError(f"lags {list(self.lags)}", mend="give different numbers of at least 1")

    @property
    def length(self) -> int:
        """Steps that the network sees."""
        return self.context + self.prediction

    @property
    def history(self) -> int:
        """Steps before the context that lags reach back to."""
        return max(self.lags, default=0)

    @property
    def total(self) -> int:
        """Steps of a whole stretch."""
        return self.history + self.length

    @property
    def channels(self) -> int:
        """The series and its lagged copies."""
        return 1 + len(self.lags)

    def lagged(self, values: NDArray[_Value]) -> NDArray[_Value]:
        """Channels `(B, length, channels)` of whole stretches `(B, total)`."""
        first = self.history
        parts = [values[:, first - lag : first - lag + self.length] for lag in (0, *self.lags)]
        return np.asarray(np.stack(parts, -1))


@dataclass(frozen=True)
class Encoded:
    """Stretches as the network sees them.

    Attributes:
        x: `(B, length, channels)`, 0 where nothing is observed.
        observed: of the same shape.
        scale: `(B,)`.
    """

    x: Array
    observed: Flags
    scale: Array

    def known(self) -> Array:
        """`x` with NaN where nothing is observed, as completion wants its observations."""
        return np.where(self.observed, self.x, np.nan)


def mean_scale(values: Array, observed: Flags, fallback: float | None) -> Array:
    """Scales `(B,)` of contexts `(B, context)`.

    Args:
        values: anything where they are not observed.
        observed: of the same shape.
        fallback: for contexts that are zero or not observed; None takes the mean over all rows, as published.
    """
    total = np.where(observed, np.abs(values), 0.0).sum(1)
    number = observed.sum(1)
    if fallback is None:
        fallback = float(total.sum() / max(number.sum(), 1))
    scale = np.where(total > 0, total / np.maximum(number, 1), fallback)
    return np.asarray(np.maximum(scale, LEAST_SCALE))


def encode(values: Array, plan: WindowPlan, fallback: float | None, hidden: Flags | None = None) -> Encoded:
    """Encode stretches.

    Args:
        values: `(B, total)`, NaN where nothing is observed: in a forecast, its steps.
        plan: the lengths.
        fallback: see `mean_scale`.
        hidden: steps of the context to take as not observed, `(B, context)`.
    """
    observed = ~np.isnan(values)
    context = slice(plan.history, plan.history + plan.context)
    if hidden is not None:
        observed[:, context] &= ~hidden
    scale = mean_scale(values[:, context], observed[:, context], fallback)
    scaled = np.where(observed, values, 0.0) / scale[:, None]
    return Encoded(plan.lagged(scaled), plan.lagged(observed), scale)


def features(values: Array, plan: WindowPlan, fallback: float | None, hidden: Flags | None = None) -> Encoded:
    """What a conditional model is given: lags, the context, and where it is observed, `(B, length, lags + 2)`.

    No step of the forecast enters, by whatever lag: values there are taken as missing before anything is computed.
    """
    known = values.copy()
    known[:, -plan.prediction :] = np.nan
    seen = encode(known, plan, fallback, hidden)
    parts = [seen.x[..., 1:], seen.x[..., :1], seen.observed[..., :1]]
    return Encoded(np.concatenate(parts, -1), seen.observed, seen.scale)


def hidden_steps(
    kind: Missing,
    rows: int,
    context: int,
    count: int | None = None,
    generators: list[np.random.Generator] | None = None,
) -> Flags:
    """Steps of the context that a scenario of missing values hides, `(rows, context)`.

    Args:
        kind: `BM-E` the last steps, `BM-B` the first, `RM` as many at random, `none`.
        rows: how many contexts.
        context: their steps.
        count: hidden steps; half of them by default, as published.
        generators: one for each row of `RM`.

    Raises:
        InputError: an unknown scenario, or more steps than there are.
    """
    if kind not in MISSING:
        raise unknown("scenario of missing values", kind, MISSING)
    count = context // 2 if count is None else count
    if not 0 <= count <= context:
        raise InputError(f"{count} missing steps in a context of {context}", mend=f"give 0 to {context}")
    hidden = np.zeros((rows, context), dtype=bool)
    if kind == "BM-E":
        hidden[:, context - count :] = True
    elif kind == "BM-B":
        hidden[:, :count] = True
    elif kind == "RM":
        for row, generator in zip(hidden, generators or [], strict=True):
            row[generator.permutation(context)[:count]] = True
    return hidden
