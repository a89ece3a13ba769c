"""Times of the rows after a series, as its own times go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["later"]

_LOOKED_AT = 50  # last rows that tell how times go on
_DAY = 10  # letters of a date


def later(times: Sequence[Any], rows: int) -> list[Any]:
    """The times of `rows` rows: those of the series, then, as far as they can be told, the ones to come, else ""."""
    own, more = list(times)[:rows], rows - len(times)
    return own + _coming(list(times), more) if more > 0 else own


def _coming(times: list[Any], more: int) -> list[Any]:
    last = times[-_LOOKED_AT:]
    numbers = pd.to_numeric(pd.Series(last), errors="coerce").to_numpy(dtype=np.float64)
    if len(last) > 1 and np.isfinite(numbers).all():
        steps = np.diff(numbers)
        coming = numbers[-1] + np.arange(1, more + 1) * steps[-1]
        if not np.allclose(steps, steps[-1]):
            return [""] * more
        return [int(v) if float(v).is_integer() else float(v) for v in coming]
    parsed = pd.to_datetime(pd.Series(last), errors="coerce", format="mixed")
    if len(last) < 2 or parsed.isna().any():
        return [""] * more
    frequency = _frequency(parsed)
    if frequency is None:
        return [""] * more
    stamps = pd.date_range(parsed.iloc[-1], periods=more + 1, freq=frequency)[1:]
    if not isinstance(times[0], str):
        return list(stamps)
    text = max(len(str(time)) for time in last) <= _DAY
    return [str(stamp.date()) if text else stamp.isoformat(sep=" ") for stamp in stamps]


def _frequency(parsed: pd.Series) -> Any:
    """As pandas infers it; days without weekends where the steps say so; else the one step there is."""
    if len(parsed) >= 3 and (found := pd.infer_freq(pd.DatetimeIndex(parsed))) is not None:
        return found
    steps = parsed.diff().dropna()
    if (parsed == parsed.dt.normalize()).all() and (parsed.dt.dayofweek < 5).all() and len(parsed) > 5:
        return "B"  # business days, some of them holidays
    return steps.iloc[0] if steps.nunique() == 1 else None
