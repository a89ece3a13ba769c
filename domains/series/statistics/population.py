"""A population of series, and its windows as they are scored: of one length, in [0, 1], float32.

What scoring needs of windows is computed once, however many statistics ask for it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from scorefield.core.errors import InputError
from scorefield.core.population import Autocorrelations, LaggedCorrelations, WindowCorrelations, WindowFeature
from scorefield.core.statistics.statistic import generator_of
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.scaling import Scaling
from scorefield.domains.series.statistics.encoder import ContrastiveEncoder, train_encoder
from scorefield.domains.series.statistics.moments import window_moments
from scorefield.domains.series.tables import SeriesTable
from scorefield.domains.series.windows import cut, window_starts

if TYPE_CHECKING:
    from scorefield.domains.series.statistics.panel import PanelTest

__all__ = ["ScoredWindows", "SeriesPopulation", "table_of"]

Floats = npt.NDArray[np.float32]
AUTOCORRELATION_LAGS = (1, 2, 4, 8, 16, 32, 64)
LOWEST, HIGHEST = -0.5, 1.5
"""On the real scale from 0 to 1; kernels are laid out for numbers that are no further apart."""
_BLOCK = 4096


class ScoredWindows:
    """Windows on the scale of the scores, and their features.

    Args:
        x: `(n, L, D)`, float32; real windows lie in [0, 1].
        labels: class of each, `(n,)`, where they have classes.
    """

    def __init__(self, x: Floats, labels: npt.NDArray[np.str_] | None = None) -> None:
        self.x, self.labels = x, labels

    def __len__(self) -> int:
        return len(self.x)

    @property
    def length(self) -> int:
        """Steps of a window."""
        return int(self.x.shape[1])

    @property
    def features(self) -> int:
        """Columns."""
        return int(self.x.shape[2])

    def values(self) -> Floats:
        """The values of each column, `(n, D, L)`: a bag a window."""
        return np.ascontiguousarray(self.x.transpose(0, 2, 1))

    def _computed(self, feature: WindowFeature) -> Floats:
        parts = [feature(torch.from_numpy(self.x[k : k + _BLOCK])).numpy() for k in range(0, len(self.x), _BLOCK)]
        return np.concatenate(parts)

    @cached_property
    def correlations(self) -> Floats:
        """Correlations of each pair of columns, `(n, D (D - 1) / 2)`."""
        return self._computed(WindowCorrelations())

    @cached_property
    def autocorrelations(self) -> Floats:
        """Correlation of each column with itself at lags 1, 2, 4, ... up to half a window, `(n, lags D)`."""
        lags = [lag for lag in AUTOCORRELATION_LAGS if lag <= max(1, self.length // 2)]
        return self._computed(Autocorrelations(lags))

    def lagged(self, lag: int) -> Floats:
        """Correlation of each ordered pair of columns at a lag, `(n, D (D - 1))`; no column where L is too short."""
        return self._computed(LaggedCorrelations((lag,)))

    @cached_property
    def moments(self) -> npt.NDArray[np.float64]:
        """See `moments.window_moments`."""
        return window_moments(self.x)

    def encoder(self, seed: int, *, progress: bool = False) -> ContrastiveEncoder:
        """The encoder trained on these windows."""
        if seed not in self._encoders:
            self._encoders[seed] = train_encoder(self.x, seed, progress=progress)
        return self._encoders[seed]

    @cached_property
    def _encoders(self) -> dict[int, ContrastiveEncoder]:
        return {}


def table_of(samples: SeriesSamples | npt.NDArray[np.floating]) -> SeriesTable:
    """Series of one length as a table.

    Raises:
        InputError: an array of another shape than `(n, L, D)`, or numbers that are not finite.
    """
    if not isinstance(samples, SeriesSamples):
        x = np.asarray(samples, dtype=np.float64)
        if x.ndim != 3 or 0 in x.shape:
            raise InputError(f"series as an array of shape {x.shape}", mend="give [series, steps, features]")
        samples = SeriesSamples(x, tuple(f"x{i}" for i in range(x.shape[2])))
    if not np.isfinite(samples.x).all():
        series, step, column = np.argwhere(~np.isfinite(samples.x))[0]
        place = f"series {series}, step {step}, column {samples.columns[column]!r}"
        raise InputError(f"{samples.x[series, step, column]} is not a finite number", place=place)
    labels = None if samples.labels is None else tuple(samples.labels.tolist())
    return SeriesTable.of(samples.x, samples.columns, labels)


class SeriesPopulation:
    """Series, and the windows that are scored.

    Args:
        table: the series, in units of the data; real ones may be longer than a window.
        scaling: the range of the data, where it is known otherwise than from the series.
        overlapping: whether the series are windows that share rows.
        panel: the test entries of a run of a panel, where these are shapes of its windows (see `panel`).
        silent: windows that were left out since they have no shape.
    """

    def __init__(
        self,
        table: SeriesTable,
        scaling: Scaling | None = None,
        *,
        overlapping: bool = False,
        panel: PanelTest | None = None,
        silent: int = 0,
    ) -> None:
        self.table, self.overlapping, self.panel, self.silent = table, overlapping, panel, silent
        self.scaling = Scaling.fit(table.values) if scaling is None else scaling
        self._kept: dict[tuple[object, ...], ScoredWindows] = {}

    def __len__(self) -> int:
        """How many series there are."""
        return len(self.table.lengths)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features."""
        return self.table.columns

    @property
    def length(self) -> int | None:
        """Steps of each series, or None where they differ."""
        lengths = np.unique(self.table.lengths)
        return int(lengths[0]) if len(lengths) == 1 else None

    @property
    def is_windows(self) -> bool:
        """Whether this is a set of windows rather than of long series: more series than steps, all of one length."""
        return self.length is not None and len(self) >= self.length

    def ordered(self, columns: tuple[str, ...]) -> SeriesPopulation:
        """The same with its columns in another order."""
        if columns == self.columns:
            return self
        places = [self.columns.index(name) for name in columns]
        table = replace(self.table, values=self.table.values[:, places], columns=columns)
        scaling = Scaling(self.scaling.low[places], self.scaling.high[places])
        return SeriesPopulation(table, scaling, overlapping=self.overlapping)

    def starts(self, length: int) -> npt.NDArray[np.int64]:
        """Rows where the windows of stride 1 start; none straddles two series."""
        ends = zip(self.table.bounds[:-1], self.table.bounds[1:], strict=True)
        return np.concatenate([window_starts(int(first), int(last), length, 1) for first, last in ends])

    def scored(self, length: int, number: int, scaling: Scaling, seed: int | None = None) -> ScoredWindows:
        """Windows of a length, scaled by a range: the first so many or, with a seed, a random choice in their order.

        Generated sets are cut to their first windows, as published; those of a long series would all be early ones.
        """
        key = (length, number, scaling.low.tobytes(), scaling.high.tobytes(), seed)
        if key not in self._kept:
            starts = self.starts(length)
            if seed is not None and number < len(starts):
                starts = starts[np.sort(generator_of(seed, "windows").permutation(len(starts))[:number])]
            starts = starts[:number]
            windows = cut(self.table.values, starts, length)
            labels = None if self.table.labels is None else self.table.labels_at(starts)
            unit = scaling.unit(windows)
            if self.panel is not None:  # the range is not that of all values
                unit = unit.clip(LOWEST, HIGHEST)
            self._kept[key] = ScoredWindows(unit.astype(np.float32), labels)
        return self._kept[key]
