"""Scores of forecasts: those by which forecasters are published, and those that see all of a forecast.

The published ones follow the evaluator of GluonTS to the last digit. Of S samples in order, the quantile q is number
round((S - 1) q), ties to even, no interpolation; with the sum over steps of a series

    QL_q = 2 sum |(Q_q - y) (1[y <= Q_q] - q)|,   wql_q = sum over entries QL_q / sum |y|,

`crps` is the mean of wql_q over q = 0.1, ..., 0.9: a ratio of sums, so that series of large values count most. `nd` is
sum |y - median| / sum |y|; `nrmse` the root of the mean squared error of the mean forecast over the mean |y|; `mase`
the mean over entries of the mean |y - median| over that of seasonal differences in the history, without entries in
whose history these are all zero, or none is known; `coverage_error` the mean over q of |share of y <= Q_q - q|.
Missing true values are left out.

Beyond: `crps_all` is the fair CRPS of all samples over sum |y|, `energy` the energy score of whole horizons over the
sum of their norms, `crps_sum` that of the horizon's sum over the sums of y. The last two judge paths: a forecast whose
samples are shuffled at each step by itself keeps `crps` and loses here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.statistics.scoring import crps, energy_score, probability_transform
from scorefield.core.statistics.statistic import generator_of
from scorefield.core.statistics.table import Row
from scorefield.core.statistics.uncertainty import Interval, normal_interval, t_interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEVELS", "ForecastScores", "forecast_quantiles", "score_forecasts", "seasonal_error", "spread"]

Array = NDArray[np.float64]
LEVELS = tuple(k / 10 for k in range(1, 10))
_BINS = 10
_NAMES: Mapping[str, tuple[str, str]] = {
    "crps": ("mean weighted quantile loss of nine quantiles", "lower"),
    "nd": ("absolute error of the median over the size of the truth", "lower"),
    "nrmse": ("root mean squared error of the mean over the size of the truth", "lower"),
    "mase": ("absolute error of the median over that of seasonal differences", "lower"),
    "coverage_error": ("how far the shares below nine quantiles are from their levels", "lower"),
    "coverage_80": ("share of the truth between the quantiles 0.1 and 0.9", ""),
    "crps_all": ("CRPS of all samples over the size of the truth", "lower"),
    "energy": ("energy score of whole horizons over the size of the truth", "lower"),
    "crps_sum": ("CRPS of the horizon's sum over the size of that sum", "lower"),
}


def forecast_quantiles(samples: NDArray[np.floating], levels: Sequence[float] = LEVELS) -> Array:
    """Quantiles `(levels, n, steps)` of samples `(n, S, steps)`: single samples, nothing in between."""
    ordered = np.sort(np.asarray(samples, dtype=np.float64), axis=1)
    places = [int(np.round((samples.shape[1] - 1) * level)) for level in levels]
    return np.moveaxis(ordered[:, places], 1, 0)


def seasonal_error(history: Array, season: int) -> float:
    """Mean absolute difference of values a season apart; of neighbours, where the history is not longer than a season.

    NaN where no two such values are known.
    """
    lag = season if season < len(history) else 1
    apart = np.abs(history[lag:] - history[:-lag])
    apart = apart[~np.isnan(apart)]
    return float(apart.mean()) if len(apart) else float("nan")


@dataclass(frozen=True)
class ForecastScores:
    """Scores of some entries.

    Attributes:
        parts: per entry, `(n,)` or `(n, levels)`: sums and means of which the scores are ratios.
        series: which entries are of the same series, `(n,)`; they are resampled together.
        names: what each series is called, `(n,)`.
        levels: of the quantiles.
        histogram: how often truth lay in each tenth of the samples, `(10,)`; even if the forecast is calibrated.
        steps: sums over entries of CRPS, and of the size of the truth, at each step, `(2, steps)`.
    """

    parts: Mapping[str, Array]
    series: NDArray[np.int64]
    names: tuple[str, ...]
    levels: tuple[float, ...]
    histogram: NDArray[np.int64]
    steps: Array

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> float:
        """One score; `wql_0.5`, `coverage_0.5` are those of a single quantile."""
        kind, _, level = name.partition("_0.")
        if level:
            return float(
                _ratios(self.parts, np.ones(len(self)), self.levels)[kind][self.levels.index(float(f"0.{level}"))]
            )
        return self.values()[name]

    def values(self) -> dict[str, float]:
        """All scores; NaN where the truth is zero everywhere, or unknown."""
        found = _ratios(self.parts, np.ones(len(self)), self.levels)
        return {name: float(found[name]) for name in _NAMES}

    @property
    def without_mase(self) -> int:
        """Entries with a known truth that `mase` leaves out: their history has no seasonal error above 0."""
        return int((np.isnan(self.parts["mase"]) & ~np.isnan(self.parts["mean_size"])).sum())

    def rows(self, level: float = 0.95, draws: int = 200, seed: int = 0) -> list[Row]:
        """Scores with intervals, by drawing series with replacement; none for fewer than ten series."""
        values, codes = self.values(), np.unique(self.series, return_inverse=True)[1].ravel()
        number = int(codes.max()) + 1
        spreads: dict[str, float] = {}
        if number >= 10 and draws > 1:
            generator = generator_of(seed, "forecasts")
            drawn = [np.bincount(generator.integers(number, size=number), minlength=number) for _ in range(draws)]
            found = [_ratios(self.parts, counts[codes].astype(np.float64), self.levels) for counts in drawn]
            spreads = {name: float(np.std([one[name] for one in found], ddof=1)) for name in _NAMES}
        rows = []
        for name, (description, better) in _NAMES.items():
            interval = normal_interval(values[name], spreads[name], level) if name in spreads else None
            low, high = (None, None) if interval is None else (interval.low, interval.high)
            value = values[name]
            judged = len(self) - (self.without_mase if name == "mase" else 0)
            rows.append(Row(name, value, low, high, n_real=judged, description=description, better=better))
        return rows

    def per_series(self) -> pd.DataFrame:
        """A row for each entry, with its own scores."""
        import pandas as pd

        alone = ({name: part[k : k + 1] for name, part in self.parts.items()} for k in range(len(self)))
        found = [_ratios(parts, np.ones(1), self.levels) for parts in alone]
        columns = {name: [float(one[name]) for one in found] for name in _NAMES}
        return pd.DataFrame({"series": list(self.names), **columns, "size": self.parts["size"]})

    def horizon(self) -> Array:
        """CRPS of all samples over the size of the truth at each step, `(steps,)`; NaN where that is zero."""
        loss, size = self.steps
        return np.asarray(loss / np.where(size > 0, size, np.nan))

    def as_json(self) -> dict[str, Any]:
        """Scores, how many entries MASE leaves out, and the histogram; NaN becomes null."""
        values = {name: value if np.isfinite(value) else None for name, value in self.values().items()}
        counts = {"n": len(self), "series": len(np.unique(self.series))}
        return {**counts, **values, "mase_left_out": self.without_mase, "pit": self.histogram.tolist()}


def score_forecasts(
    samples: NDArray[np.floating],
    truth: Array,
    errors: Array,
    *,
    names: Sequence[str] | None = None,
    series: NDArray[np.int64] | None = None,
    levels: tuple[float, ...] = LEVELS,
    seed: int = 0,
) -> ForecastScores:
    """Score sample paths.

    Args:
        samples: `(n, S, steps)`.
        truth: `(n, steps)`, NaN where a value is missing.
        errors: the seasonal error of each entry's history, `(n,)`.
        names: what each entry's series is called.
        series: which entries are of the same series; by default each is of its own.
        levels: of the quantiles.
        seed: of the histogram, where truth equals a sample.

    Raises:
        InputError: shapes that do not fit, or samples that are not finite.
    """
    x = np.asarray(samples, dtype=np.float64)
    if x.ndim != 3 or truth.shape != (x.shape[0], x.shape[2]) or not x.size or len(errors) != len(x):
        what = f"forecasts of shape {x.shape} for truth of shape {truth.shape}"
        raise InputError(what, mend="give [entries, samples, steps] and [entries, steps]")
    if not np.isfinite(x).all():
        entry, path, step = np.argwhere(~np.isfinite(x))[0]
        raise InputError(f"{x[entry, path, step]} in forecast {entry}, path {path}, step {step}", mend="forecast again")
    transformed = probability_transform(np.moveaxis(x, 1, 2), truth, generator_of(seed, "pit"))
    histogram = np.histogram(transformed[~np.isnan(transformed)], _BINS, (0.0, 1.0))[0]
    groups = np.arange(len(x)) if series is None else np.asarray(series, dtype=np.int64)
    called = tuple(map(str, range(len(x)))) if names is None else tuple(names)
    means = np.asarray(samples).mean(1)  # in the samples' own precision, as the evaluator takes it
    losses = crps(np.moveaxis(x, 1, 2), truth)
    parts = {**_published_parts(x, means, truth, errors, levels), **_path_parts(x, truth, losses)}
    steps = np.stack([np.nansum(losses, 0), np.nansum(np.abs(truth), 0)])
    return ForecastScores(parts, groups, called, levels, histogram.astype(np.int64), steps)


def _published_parts(
    x: Array, means: NDArray[np.floating], truth: Array, errors: Array, levels: tuple[float, ...]
) -> dict[str, Array]:
    """What the evaluator sums or averages, per entry."""
    known = ~np.isnan(truth)
    number = known.sum(1).astype(np.float64)
    y = np.where(known, truth, 0.0)
    quantiles = forecast_quantiles(x, levels)
    below = (y <= quantiles) & known
    q = np.array(levels)[:, None, None]
    loss = 2 * np.where(known, np.abs((quantiles - y) * (below - q)), 0.0).sum(2).T
    absolute = np.where(known, np.abs(y - forecast_quantiles(x, (0.5,))[0]), 0.0).sum(1)
    squared = np.where(known, (y - means) ** 2, 0.0).sum(1)
    low, high = forecast_quantiles(x, (0.1, 0.9))
    inside = ((low <= y) & (y <= high) & known).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "size": np.abs(y).sum(1),
            "loss": loss,
            "absolute": absolute,
            "mean_size": np.abs(y).sum(1) / number,
            "squared": squared / number,
            "mase": np.where(errors > 0, absolute / number / errors, np.nan),
            "below": below.sum(2).T / number[:, None],
            "inside": inside / number,
        }


def _path_parts(x: Array, truth: Array, losses: Array) -> dict[str, Array]:
    known = ~np.isnan(truth)
    sums = np.where(known, truth, 0.0).sum(1)
    of_paths = np.where(known[:, None], x, 0.0).sum(2)
    return {
        "crps_all": np.nansum(losses, 1),
        "energy": np.array([energy_score(paths, y) for paths, y in zip(x, truth, strict=True)]),
        "norm": np.sqrt(np.nansum(truth**2, 1)),
        "crps_sum": np.where(known.any(1), crps(of_paths, sums), 0.0),
        "sum": np.abs(sums),
    }


def _ratios(parts: Mapping[str, Array], weights: Array, levels: Sequence[float]) -> dict[str, Any]:
    """Scores of entries that count so often each; entries without any known truth count nowhere."""

    def total(name: str) -> Any:
        return weights @ np.nan_to_num(parts[name])

    def mean(name: str) -> Any:
        values = parts[name]
        there = ~np.isnan(values)
        share = weights @ there
        return weights @ np.nan_to_num(values) / np.where(share > 0, share, np.nan)

    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.where(total("size") > 0, total("size"), np.nan)
        wql, coverage = total("loss") / size, mean("below")
        return {
            "wql": wql,
            "coverage": coverage,
            "crps": wql.mean(),
            "nd": total("absolute") / size,
            "nrmse": np.sqrt(mean("squared")) / np.where(mean("mean_size") > 0, mean("mean_size"), np.nan),
            "mase": mean("mase"),
            "coverage_error": np.abs(coverage - np.array(levels)).mean(),
            "coverage_80": mean("inside"),
            "crps_all": total("crps_all") / size,
            "energy": total("energy") / np.where(total("norm") > 0, total("norm"), np.nan),
            "crps_sum": total("crps_sum") / np.where(total("sum") > 0, total("sum"), np.nan),
        }


def spread(scores: Sequence[ForecastScores], level: float = 0.95) -> dict[str, tuple[float, float, Interval]]:
    """Of runs with different seeds: mean, standard deviation and t-interval of each score.

    Raises:
        InputError: fewer than two runs.
    """
    if len(scores) < 2:
        raise InputError(f"the spread of {len(scores)} run", mend="score at least 2, better 3, seeds")
    found = {}
    for name in _NAMES:
        values = [one.values()[name] for one in scores]
        found[name] = (float(np.mean(values)), float(np.std(values, ddof=1)), t_interval(values, level))
    return found
