"""A simulated panel of hourly series, for trying the program without any file; it needs no licence.

Series k, with a level l, days and weeks of its own and a trend of a few straight pieces,

    y_i = l exp(trend_i) (1 + a day(i mod 24) + b week(i mod 168) + AR(1) noise_i),

where day is a smooth curve of mean zero, week tells weekends (or single days off) from working days, and a, b and the
noise are of random strength, from series that are nearly all season to some that are nearly all noise. A few values are
missing, single ones and in some series a short stretch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.noise import stream_seed
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panel_data import Lags, PanelData
from scorefield.domains.series.tsdiff.panel_files import PanelFile
from scorefield.domains.series.tsdiff.panels import Panel

__all__ = ["SimulatedPanelData", "simulated_panel"]

Array = NDArray[np.float64]
_DAY, _WEEK = 24, 168
_START = np.datetime64("2024-01-01", "h")  # a Monday
_PIECES = 5
_LEAST_LENGTH = 2 * _WEEK


def simulated_panel(number: int = 100, length: int = 1200, seed: int = 0) -> Panel:
    """The first `number` series of the panel of a seed; series do not depend on how many there are.

    Raises:
        InputError: no series, or fewer than two weeks.
    """
    for name, count, least in (("number", number, 1), ("length", length, _LEAST_LENGTH)):
        if count < least:
            raise InputError(f"data.{name} is {count}", mend=f"give at least {least}")
    generators = [np.random.default_rng(stream_seed("panel", seed, k)) for k in range(number)]
    drawn = [_series(np.arange(length) + _DAY * (k % 7), generator) for k, generator in enumerate(generators)]
    starts = [str(_START + _DAY * (k % 7)) for k in range(number)]
    return Panel.of(drawn, [f"s{k:03d}" for k in range(number)], starts, Frequency("h"))


def _series(hours: NDArray[np.int64], generator: np.random.Generator) -> Array:
    """The values at some hours since a Monday."""
    length = len(hours)
    level = np.exp(generator.normal(3, 1.5))
    day = generator.uniform(0.1, 0.6) * _day(generator)[hours % _DAY]
    week = generator.uniform(0, 0.4) * _week(generator)[hours % _WEEK // _DAY]
    noise = generator.uniform(0.02, 0.12) * _autoregressive(length, generator.uniform(0, 0.9), generator)
    y = level * np.exp(_trend(length, generator)) * np.maximum(1 + day + week + noise, 0.0)
    y[generator.random(length) < 0.001] = np.nan
    if generator.random() < 0.3:
        first = generator.integers(0, length)
        y[first : first + generator.integers(2, 7)] = np.nan
    return np.asarray(y)


def _day(generator: np.random.Generator) -> Array:
    """A course of a day of mean zero and largest size 1, from two waves."""
    angles = 2 * np.pi * np.arange(_DAY) / _DAY
    phases = generator.uniform(0, 2 * np.pi, 2)
    course = np.sin(angles + phases[0]) + generator.uniform(0, 0.7) * np.sin(2 * angles + phases[1])
    return np.asarray(course / np.abs(course).max())


def _week(generator: np.random.Generator) -> Array:
    """What weekdays add, of mean zero: weekends differ, now and then another day too."""
    days = np.zeros(7)
    days[5:] = generator.choice([-1.0, 1.0], p=[0.8, 0.2]) * generator.uniform(0.6, 1, 2)
    if generator.random() < 0.3:
        days[generator.integers(0, 5)] -= generator.uniform(0.3, 0.8)
    return np.asarray(days - days.mean())


def _trend(length: int, generator: np.random.Generator) -> Array:
    """A logarithm that goes straight between a few changes."""
    places = np.sort(generator.uniform(0, length, _PIECES - 1))
    heights = np.cumsum(generator.normal(0, 0.12, _PIECES + 1))
    return np.interp(np.arange(length), np.concatenate([[0], places, [length]]), heights)


def _autoregressive(length: int, share: float, generator: np.random.Generator) -> Array:
    """Noise of unit variance in which each value keeps a share of the one before."""
    shocks = generator.normal(size=length) * np.sqrt(1 - share**2)
    values = np.empty(length)
    value = generator.normal()
    for place, shock in enumerate(shocks):
        value = share * value + shock
        values[place] = value
    return values


class SimulatedPanelData(PanelData):
    """Simulated hourly series with days, weeks, trends and missing values; the same for everyone, and from no file.

    Args:
        number: series.
        length: hours of each.
        context: see `PanelData`.
        prediction: see `PanelData`.
        lags: see `PanelData`.
        windows: see `PanelData`.
        holdout: see `PanelData`.
        batch_size: see `PanelData`.
        epoch_batches: see `PanelData`.
        conditional: see `PanelData`.
        generator_seed: seed of the series.
        num_workers: see `PanelData`.
        seed: see `PanelData`.
    """

    def __init__(
        self,
        number: int = 100,
        length: int = 1200,
        context: int = 168,
        prediction: int = 24,
        lags: Lags | list[int] = "none",
        windows: int = 1,
        holdout: int | None = None,
        batch_size: int = 64,
        epoch_batches: int = 128,
        conditional: bool = False,
        generator_seed: int = 0,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            None,
            context=context,
            prediction=prediction,
            lags=lags,
            windows=windows,
            holdout=holdout,
            batch_size=batch_size,
            epoch_batches=epoch_batches,
            conditional=conditional,
            num_workers=num_workers,
            seed=seed,
        )
        self.number, self.length, self.generator_seed = number, length, generator_seed

    def read(self) -> tuple[str, PanelFile]:
        """See `PanelData.read`."""
        return "simulated panel", PanelFile(simulated_panel(self.number, self.length, self.generator_seed))

    def described(self, where: str) -> dict[str, object]:
        """See `PanelData.described`."""
        return super().described(where) | {"licence": "none needed: the series are computed"}
