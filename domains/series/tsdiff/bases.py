"""Base forecasts for refinement: of our own forecasters, by name, or of others, from files or arrays.

`seasonal-naive` repeats the last season of each history. `ridge` and `recurrent` are fitted to training windows of the
run, which its record says how to open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.checkpoints import instantiate
from scorefield.core.errors import InputError
from scorefield.domains.series.forecasters import LinearForecaster, RepeatedSeason
from scorefield.domains.series.recurrent_forecaster import RecurrentForecaster
from scorefield.domains.series.tsdiff.base_forecasts import Wanted, read_base
from scorefield.domains.series.tsdiff.encoding import WindowPlan

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord

__all__ = ["BASES", "Known", "base_forecasts"]

Array = NDArray[np.float64]
BASES = ("seasonal-naive", "ridge", "recurrent")
_WINDOWS = 10_000  # that a forecaster is fitted to, as published for the linear one
_PATHS = 100


@dataclass(frozen=True)
class Known:
    """What is known of one series.

    Attributes:
        history: all values before the forecast, NaN where one is missing.
        wanted: which forecast it is.
    """

    history: Array
    wanted: Wanted


def base_forecasts(
    base: Any, known: Sequence[Known], plan: WindowPlan, season: int, record: ModelRecord, train: str | None = None
) -> Array:
    """Base paths in the units of the data, `(n, S, prediction)`.

    Args:
        base: one of `BASES`, a file as of `read_base`, or an array `[n, prediction]` or `[n, S, prediction]`.
        known: the series.
        plan: lengths of the run's windows.
        season: steps of a season.
        record: of the run.
        train: file with the series that the run was trained on, in place of the one that the run names.

    Raises:
        InputError: a word or a file that is not known, or what cannot be read or does not fit.
    """
    if isinstance(base, str | Path):
        return _named(str(base), known, plan, season, record, train)
    found = np.asarray(base, dtype=np.float64)
    found = found[:, None] if found.ndim == 2 else found
    if found.ndim != 3 or len(found) != len(known) or found.shape[2] != plan.prediction or not found.shape[1]:
        what = f"base forecasts of shape {np.shape(base)}"
        raise InputError(what, mend=f"give [{len(known)}, S, {plan.prediction}]")
    if not np.isfinite(found).all():
        row, path, step = np.argwhere(~np.isfinite(found))[0]
        place = f"series {known[row].wanted.name}, path {path}, step {step}"
        raise InputError(f"{found[row, path, step]} is no finite number", place=place)
    return found


def _named(
    base: str, known: Sequence[Known], plan: WindowPlan, season: int, record: ModelRecord, train: str | None
) -> Array:
    if base not in BASES:
        path = Path(base)
        if not path.exists():
            mend = f"name a file, or one of {', '.join(BASES)}"
            raise InputError("neither a file nor a known base forecast", file=path, mend=mend)
        return read_base(path, [one.wanted for one in known], plan.prediction)
    if base == "seasonal-naive":
        naive = RepeatedSeason(season)
        return np.stack([naive.forecast(one.history[None], plan.prediction) for one in known])
    windows = _training_windows(record, base, train)[:, -plan.length :]
    contexts = np.stack([_recent(one.history, plan.context) for one in known])
    if base == "ridge":
        return LinearForecaster.fit(windows, plan.context).forecast(contexts)[:, None]
    forecaster = RecurrentForecaster.fit(windows, plan.context, season, progress=True)
    return forecaster.forecast(contexts, _PATHS)


def _recent(history: Array, context: int) -> Array:
    return np.pad(history[-context:], (max(context - len(history), 0), 0), constant_values=np.nan)


def _training_windows(record: ModelRecord, base: str, train: str | None) -> Array:
    """Windows of the run's training data.

    Raises:
        InputError: the run does not say what they were, they are not there, or not panels.
    """
    data: Mapping[str, Any] = record.data
    mend = f"name the file with --train, or give forecasts in a file with --forecast in place of {base}"
    if "class_path" not in data:
        raise InputError("the run does not say which data it was trained on", mend=mend)
    arguments = {**data.get("init_args", {}), **({} if train is None else {"path": train})}
    if train is not None and "path" not in data.get("init_args", {}):
        raise InputError("the run was trained on no file", file=train, mend="leave --train out")
    module = instantiate({"class_path": data["class_path"], "init_args": arguments})
    if not hasattr(module, "train_windows"):
        raise InputError(f"{type(module).__name__} holds no windows of panels", mend=mend)
    try:
        found: Array = module.train_windows(_WINDOWS)
    except InputError as error:
        raise InputError(f"the data that the run was trained on: {error.problem}", mend=mend) from error
    except OSError as error:
        what = f"the data that the run was trained on cannot be read ({error})"
        raise InputError(what, mend=mend) from error
    return found
