"""How sure a number is: intervals, permutation p-values and the floor. Every draw comes from the given generator.

For a distance D of n generated and m real objects, the interval is about the mean of D over all such samples, at these
n and m (so it includes the V-statistic's bias, as the value and the floor do).

Plain percentiles of a bootstrap do not serve: resampling adds its own bias, and near equality D is the norm of a
difference d = delta + e that is mostly noise, so that D* = |d + e*| spreads less where |d| happens to be small.
The interval is therefore the value plus and minus a normal quantile times the larger of two standard deviations: that
of the slope of D along bootstrap resamples (a step of a tenth, divided by a tenth: the infinitesimal jackknife),
right wherever D is smooth, and that of the permuted distances, right at equality, where the slope may vanish.
At equality the interval is conservative. The coverage is measured in the calibration test.

The permutation test is exact under exchangeability: p = (1 + permutations at least as far) / (1 + permutations), where
those equally far are ranked at random, so that p is uniform for discrete features too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from scorefield.core.statistics.distances import Array, Counts, Distance, Evaluator, memberships
from scorefield.core.statistics.features import Features, number_of_rows

__all__ = [
    "Interval",
    "Resampling",
    "bootstrap_counts",
    "normal_interval",
    "permutation_counts",
    "permutation_p_value",
    "permuted_distances",
    "real_floor",
    "slope_deviation",
    "t_interval",
    "wilson_interval",
]

_CHUNK_ENTRIES = 2_000_000  # rows * draws evaluated at once
_SLOPE_STEP = 0.1
_TIE = 1e-9  # distances that differ by less, relative to the largest, are equal up to rounding


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Resampling:
    """How much to resample.

    Args:
        permutations: random relabellings behind a p-value; the smallest p is 1 / (permutations + 1). 0: no p-value.
        bootstrap: draws behind an interval. 0: no interval.
        floors: real subsamples behind a floor. 0: no floor.
        level: confidence level of intervals.
    """

    permutations: int = 199
    bootstrap: int = 200
    floors: int = 20
    level: float = 0.95

    def at_most(self, draws: int) -> Resampling:
        """The same with no more than `draws` and a tenth as many floors, for distances that cost much."""
        permutations, bootstrap = min(self.permutations, draws), min(self.bootstrap, draws)
        return Resampling(permutations, bootstrap, min(self.floors, -(-draws // 10)), self.level)


def _chunks(draws: int, rows: int) -> list[int]:
    size = max(1, min(draws, _CHUNK_ENTRIES // max(1, rows)))
    return [min(size, draws - start) for start in range(0, draws, size)]


def permutation_counts(
    n_real: int, n_generated: int, draws: int, generator: np.random.Generator
) -> tuple[Counts, Counts]:
    """Random relabellings of the pool: multiplicities (rows, draws) of both samples."""
    rows = n_real + n_generated
    generated = np.zeros((rows, draws), dtype=np.int32)
    for draw in range(draws):
        generated[generator.permutation(rows)[:n_generated], draw] = 1
    return 1 - generated, generated


def bootstrap_counts(
    n_real: int, n_generated: int, draws: int, generator: np.random.Generator
) -> tuple[Counts, Counts]:
    """Draws with replacement within each sample: multiplicities (rows, draws)."""
    real = np.zeros((n_real + n_generated, draws), dtype=np.int32)
    generated = np.zeros_like(real)
    for draw in range(draws):
        real[:n_real, draw] = np.bincount(generator.integers(n_real, size=n_real), minlength=n_real)
        chosen = generator.integers(n_generated, size=n_generated)
        generated[n_real:, draw] = np.bincount(chosen, minlength=n_generated)
    return real, generated


def permuted_distances(
    evaluate: Evaluator, n_real: int, n_generated: int, permutations: int, generator: np.random.Generator
) -> Array:
    """The distances (permutations,) of random relabellings of the pool."""
    parts = _chunks(permutations, n_real + n_generated)
    drawn = [evaluate(*permutation_counts(n_real, n_generated, draws, generator)) for draws in parts]
    return np.concatenate(drawn) if drawn else np.zeros(0)


def permutation_p_value(
    observed: float, permuted: Array, generator: np.random.Generator, *, larger_is_closer: bool = False
) -> float:
    """How often a random relabelling is at least as far apart as the two samples are.

    Args:
        observed: their distance.
        permuted: the distances of random relabellings, by the same evaluator.
        generator: ranks those equally far.
        larger_is_closer: whether the distance is a similarity.
    """
    sign = -1.0 if larger_is_closer else 1.0
    tolerance = _TIE * max(float(np.abs(permuted).max(initial=0.0)), abs(observed))
    farther = int((sign * permuted > sign * observed + tolerance).sum())
    equal = int((np.abs(permuted - observed) <= tolerance).sum())
    return (1 + farther + int(generator.integers(equal + 1))) / (len(permuted) + 1)


def slope_deviation(
    evaluate: Evaluator, n_real: int, n_generated: int, draws: int, generator: np.random.Generator
) -> float:
    """The standard deviation of a distance by its slope along bootstrap resamples of both samples."""
    real, generated = memberships(n_real, n_generated)
    value = evaluate(real, generated)[0]
    slopes = []
    for part in _chunks(draws, n_real + n_generated):
        drawn_real, drawn_generated = bootstrap_counts(n_real, n_generated, part, generator)
        near_real = real + _SLOPE_STEP * (drawn_real - real)
        near_generated = generated + _SLOPE_STEP * (drawn_generated - generated)
        slopes.append((evaluate(near_real, near_generated) - value) / _SLOPE_STEP)
    return float(np.concatenate(slopes).std(ddof=1))


def normal_interval(
    value: float, deviation: float, level: float = 0.95, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Value plus and minus the normal quantile times the standard error, cut at the bounds."""
    reach = float(stats.norm.ppf(0.5 + level / 2)) * deviation
    return Interval(max(value - reach, min(bounds[0], value)), min(value + reach, max(bounds[1], value)))


def wilson_interval(successes: float, number: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share."""
    if number < 1:
        raise ValueError("a share needs at least one trial")
    z = float(stats.norm.ppf(0.5 + level / 2))
    share = successes / number
    centre = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z / (1 + z * z / number) * math.sqrt(share * (1 - share) / number + z * z / (4 * number**2))
    low = 0.0 if successes == 0 else max(0.0, centre - half)  # exact at the ends, where rounding is not
    high = 1.0 if successes == number else min(1.0, centre + half)
    return Interval(low, high)


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's interval for the mean of repeats (at least two)."""
    if len(values) < 2:
        raise ValueError("a t-interval needs at least two repeats")
    sample = np.asarray(values, dtype=np.float64)
    error = float(sample.std(ddof=1)) / math.sqrt(len(sample))
    reach = float(stats.t.ppf(0.5 + level / 2, df=len(sample) - 1)) * error
    return Interval(float(sample.mean()) - reach, float(sample.mean()) + reach)


def real_floor(
    distance: Distance, real: Features, n_generated: int, repeats: int, generator: np.random.Generator
) -> tuple[float, int]:
    """The mean distance of a real subsample to the disjoint rest, and the subsample's size.

    The size is that of the generated sample, but at most half of the real one: a smaller rest would measure its own
    smallness.
    """
    rows = number_of_rows(real)
    size = max(1, min(n_generated, rows // 2))
    evaluate = distance.evaluator(real)
    drawn = [evaluate(*permutation_counts(rows - size, size, draws, generator)) for draws in _chunks(repeats, rows)]
    return float(np.concatenate(drawn).mean()), size
