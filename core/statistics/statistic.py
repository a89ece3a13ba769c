"""A statistic is a feature times a distance; what is not of that form is a score.

`Statistic(name, feature, distance)` applies one distance to one feature of two populations, and everything that makes
the number readable follows from the form: interval, permutation p-value and floor, from the features computed once.
`Score(name, compute)` measures a generated population itself (validity, novelty) and brings its own interval;
its floor is the same score of a real subsample, as far as that makes sense.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from scorefield.core.statistics.distances import Distance, memberships
from scorefield.core.statistics.features import Features, number_of_rows, pool
from scorefield.core.statistics.table import Row
from scorefield.core.statistics.uncertainty import (
    Interval,
    Resampling,
    normal_interval,
    permutation_p_value,
    permuted_distances,
    real_floor,
    slope_deviation,
)

__all__ = ["Measurement", "Score", "Statistic", "generator_of"]

P = TypeVar("P")


def generator_of(seed: int, name: str) -> np.random.Generator:
    """The random stream of one statistic: the same whatever others are computed beside it."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@dataclass(frozen=True)
class Statistic(Generic[P]):
    """A feature times a distance.

    Args:
        name: lower case, the field's abbreviation.
        description: what it is, in a few words.
        feature: population to features, one row per object.
        distance: the distance of two samples of that feature.
        resampled: a cheaper distance that varies alike, for the p-value and the interval's width.
        most_draws: bound on resampling, for distances that cost much.
        most_floors: bound on the real subsamples behind the floor, each of which costs as much as the value.
    """

    name: str
    description: str
    feature: Callable[[P], Features]
    distance: Distance
    resampled: Distance | None = None
    most_draws: int = 1_000_000
    most_floors: int = 1_000_000

    @property
    def better(self) -> str:
        """Which direction is better."""
        return "higher" if self.distance.larger_is_closer else "lower"

    def row(self, real: P, generated: P, settings: Resampling, seed: int) -> Row:
        """The statistic of two populations."""
        return self.row_of_features(self.feature(real), self.feature(generated), settings, seed)

    def row_of_features(self, real: Features, generated: Features, settings: Resampling, seed: int) -> Row:
        """The statistic of two samples of features."""
        m, n = number_of_rows(real), number_of_rows(generated)
        if min(m, n) < 2:
            return self.empty_row("needs at least two objects on either side", m, n)
        settings, generator = settings.at_most(self.most_draws), generator_of(seed, self.name)
        pooled = pool(real, generated)
        value = float(self.distance.evaluator(pooled)(*memberships(m, n))[0])
        p_value, interval = self._uncertainty(pooled, value, m, n, settings, generator)
        floor, note = None, ""
        if settings.floors and m // 2 >= 2:
            repeats = min(settings.floors, self.most_floors)
            floor, size = real_floor(self.distance, _first_rows(real, pooled, m), n, repeats, generator)
            note = "" if size == n else f"floor of {size} real objects against the {m - size} others"
        low, high = (interval.low, interval.high) if interval else (None, None)
        return Row(self.name, value, low, high, floor, p_value, m, n, self.description, self.better, note)

    def _uncertainty(
        self, pooled: Features, value: float, m: int, n: int, settings: Resampling, generator: np.random.Generator
    ) -> tuple[float | None, Interval | None]:
        """The p-value and the interval, as far as they are asked for."""
        evaluate = (self.resampled or self.distance).evaluator(pooled)
        permuted = permuted_distances(evaluate, m, n, settings.permutations, generator)
        p_value, interval = None, None
        if len(permuted):
            observed = float(evaluate(*memberships(m, n))[0])
            flag = self.distance.larger_is_closer
            p_value = permutation_p_value(observed, permuted, generator, larger_is_closer=flag)
        if settings.bootstrap > 1:
            deviation = slope_deviation(evaluate, m, n, settings.bootstrap, generator)
            at_equality = float(permuted.std(ddof=1)) if len(permuted) > 1 else 0.0
            interval = normal_interval(value, max(deviation, at_equality), settings.level, self.distance.bounds)
        return p_value, interval

    def empty_row(self, note: str, n_real: int | None = None, n_generated: int | None = None) -> Row:
        """A row without a value, and why."""
        return Row(
            self.name,
            None,
            n_real=n_real,
            n_generated=n_generated,
            description=self.description,
            better=self.better,
            note=note,
        )


def _first_rows(features: Features, pooled: Features, rows: int) -> Features:
    """The real rows in a form that distances take (token counts: with the pool's columns)."""
    return features if isinstance(features, np.ndarray) else pooled[:rows]


@dataclass(frozen=True)
class Measurement:
    """What a score measured.

    Args:
        value: the score, None where it does not apply.
        interval: its interval, or None.
        number: the number of objects behind it.
    """

    value: float | None
    interval: Interval | None
    number: int


@dataclass(frozen=True)
class Score(Generic[P]):
    """A measure of a generated population itself.

    Args:
        name: lower case, the field's abbreviation.
        description: what it is, in a few words.
        compute: (generated, train) to a measurement, or None where it does not apply.
        better: "lower", "higher" or "".
        real_is_floor: whether the same score of a real subsample says something.
        absent: why there is none, where there is none.
    """

    name: str
    description: str
    compute: Callable[[P, P | None], Measurement | None]
    better: str = "higher"
    real_is_floor: bool = False
    absent: str = ""

    def row(self, generated: P, train: P | None, real_subsample: P | None) -> Row:
        """The score of a population; `real_subsample`, of the generated one's size, gives the floor."""
        measured = self.compute(generated, train)
        if measured is None:
            return Row(self.name, None, description=self.description, better=self.better, note=self.absent)
        interval = measured.interval
        floor = None
        if self.real_is_floor and real_subsample is not None:
            of_real = self.compute(real_subsample, train)
            floor = None if of_real is None else of_real.value
        return Row(
            self.name,
            measured.value,
            interval.low if interval else None,
            interval.high if interval else None,
            floor,
            n_generated=measured.number,
            description=self.description,
            better=self.better,
        )
