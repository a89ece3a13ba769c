"""Times of the rows after a series, as its own times go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["later"]

_LOOKED_AT = 50  # last rows that tell how times go on
_DAY = 10  # letters of a date
_WEEKEND = 5  # Saturday, as pandas counts


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
    """The one step there is; months, from the same day or last day of each; else days without weekends."""
    steps = parsed.diff().dropna()
    if steps.nunique() == 1:
        return steps.iloc[0] if steps.iloc[0] > pd.Timedelta(0) else None
    months = (12 * parsed.dt.year + parsed.dt.month).diff().dropna()
    if months.nunique() == 1 and months.iloc[0] > 0:
        if bool(parsed.dt.is_month_end.all()):
            return pd.offsets.MonthEnd(int(months.iloc[0]))
        return pd.DateOffset(months=int(months.iloc[0])) if parsed.dt.day.nunique() == 1 else None
    days = bool((parsed == parsed.dt.normalize()).all() and (parsed.dt.day_of_week < _WEEKEND).all())
    return pd.offsets.BDay() if days and steps.median() == pd.Timedelta(days=1) else None  # some may be holidays
