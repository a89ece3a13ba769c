"""Forecasts of any kind as samples of a panel's model, for refinement (`core.guidance.refine`), and back.

A base forecast becomes S paths a series whose values stand in order at each step, so that path i = 0, ..., S - 1 is the
quantile (i + 1) / (S + 1) of the base: of S' base paths, quantile k is their order statistic at place k (S' + 1), with
what lies between two by interpolation; S' = S sorts, one path is repeated. Scaled by the context's mean size they fill
the forecast window of channel 0; context and lags stand beside them as the history has them, zero where unknown.

Samples are held to the observed entries, or to all of these and the base forecast as well. Lags that reach into the
forecast are unknown: zero at the start, and held to nothing (in the published code they counted as observed zeros, as
did missing values where the base was held on to). All channels move; what is handed back is the forecast window.

Source: Kollovieh et al. 2023 (arXiv 2307.11494, section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.completion import OBSERVED
from scorefield.core.errors import InputError
from scorefield.core.guidance.levels import LEVEL, quantile_levels
from scorefield.core.guidance.refine import HELD_BY, Held, Refinement, Regularisation, refine, regularisation
from scorefield.core.names import unknown
from scorefield.core.noise import NoiseSource
from scorefield.core.state import State
from scorefield.core.system import System
from scorefield.domains.series.tsdiff.encoding import WindowPlan, encode

__all__ = ["HELD", "Refinable", "as_quantiles", "refinable", "refine_paths"]

Array = NDArray[np.float64]
HELD: tuple[Held, ...] = get_args(Held)


@dataclass(frozen=True)
class Refinable:
    """Base forecasts of some series as the network sees them.

    Attributes:
        x: samples to start from, `(n * paths, length, channels)`, paths of a series in consecutive rows.
        seen: what they are held to, NaN where to nothing, of the same shape.
        scale: of each series, `(n,)`.
        prediction: steps of the forecast.
    """

    x: Array
    seen: Array
    scale: Array
    prediction: int

    def paths(self, x: Array) -> Array:
        """Refined samples in the units of the data, `(n, paths, prediction)`."""
        forecasts = x[:, -self.prediction :, 0].reshape(len(self.scale), -1, self.prediction)
        return np.asarray(forecasts * self.scale[:, None, None])


def as_quantiles(base: NDArray[np.floating], paths: int) -> Array:
    """Base paths `(n, S, steps)` as so many quantiles each, `(n, paths, steps)`.

    Raises:
        InputError: no path is asked for.
    """
    if paths < 1:
        raise InputError(f"{paths} paths", mend="give at least 1")
    levels = quantile_levels(1, paths).numpy()
    found = np.quantile(np.asarray(base, dtype=np.float64), levels, axis=1, method="weibull")
    return np.ascontiguousarray(np.moveaxis(found, 0, 1))


def refinable(
    values: Array, base: NDArray[np.floating], plan: WindowPlan, fallback: float, paths: int, held: Held
) -> Refinable:
    """Base forecasts as samples.

    Args:
        values: the last `plan.history + plan.context` values before each forecast, `(n, history + context)`, NaN where
            one is missing or before the start.
        base: base paths in the units of the data, `(n, S, prediction)`.
        plan: lengths of a window.
        fallback: scale of contexts that have none.
        paths: samples of each series.
        held: what samples are held to.

    Raises:
        InputError: shapes that do not fit, or a base that is not finite.
    """
    if held not in HELD:
        raise unknown("part of a window to hold on to", held, HELD)
    steps = plan.prediction
    if base.ndim != 3 or len(base) != len(values) or base.shape[2] != steps or not base.shape[1]:
        what = f"base forecasts of shape {base.shape} for {len(values)} series"
        raise InputError(what, mend=f"give [series, paths, {steps}]")
    if not np.isfinite(base).all():
        row, path, step = np.argwhere(~np.isfinite(base))[0]
        raise InputError(f"{base[row, path, step]} in base forecast {row}, path {path}, step {step}")
    encoded = encode(np.concatenate([values, np.full((len(values), steps), np.nan)], 1), plan, fallback)
    quantiles = as_quantiles(base / encoded.scale[:, None, None], paths).reshape(-1, steps)
    x, seen = (np.repeat(part, paths, 0) for part in (encoded.x, encoded.known()))
    x[:, -steps:, 0] = quantiles
    if held == "all":
        seen[:, -steps:, 0] = quantiles
    return Refinable(x, seen, encoded.scale, steps)


def refine_paths(
    system: System,
    values: Array,
    base: NDArray[np.floating],
    plan: WindowPlan,
    noise: NoiseSource,
    settings: Refinement | None = None,
    *,
    fallback: float = 1.0,
    paths: int = 100,
    potential: Regularisation = "quantile",
    held: Held | None = None,
    rows: int = 256,
) -> Array:
    """Refine base forecasts.

    Args:
        system: the model, with frozen weights for speed.
        values: see `refinable`.
        base: see `refinable`.
        plan: lengths of the model's windows.
        noise: random numbers.
        settings: how; the representative time is found from the base forecasts of the first rows, if it is not given.
        fallback: see `refinable`.
        paths: of each series.
        potential: what holds samples.
        held: to what; by default as published, `all` for quantiles and `observed` for the Gaussian.
        rows: of one network call.

    Returns:
        Paths `(n, paths, prediction)` in the units of the data.

    Raises:
        InputError: as `refinable` and `refine` raise.
    """
    settings = settings or Refinement()
    start = refinable(values, base, plan, fallback, paths, held or HELD_BY[potential])
    first = next(system.parameters())
    levels = quantile_levels(len(values), paths)
    done = []
    for k in range(0, len(start.x), rows):
        x, seen = (torch.from_numpy(part[k : k + rows]).to(first) for part in (start.x, start.seen))
        state = State({"x": x}, {}, {OBSERVED + "x": seen, LEVEL: levels[k : k + rows].to(first)})
        refined = refine(system, state, noise, regularisation(system, state, potential), settings)
        settings = replace(settings, time=refined.time)
        done.append(refined.state["x"].cpu().double().numpy())
    return start.paths(np.concatenate(done))
