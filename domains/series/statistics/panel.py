"""Windows of a panel as they are compared: each divided by the mean size of its context, on either side.

A window that a run makes up has a scale drawn from those of training, and series of a panel have their own; what is
compared is the shape. The mean size of a made-up context is about that scale, and differs from it: real and generated
windows are divided alike, by what they hold themselves. Windows whose context is zero have no size and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.series.forecasters import sizes
from scorefield.domains.series.scaling import Scaling
from scorefield.domains.series.statistics.population import SeriesPopulation
from scorefield.domains.series.tables import SeriesTable

__all__ = ["PanelPair", "PanelTest", "shaped", "shapes"]

Array = NDArray[np.float64]
_RANGE = (0.005, 0.995)


@dataclass(frozen=True)
class PanelTest:
    """The test entries of a run, and what its windows are.

    Attributes:
        context: steps of a window that come before the forecast.
        season: steps of a season.
        histories: what comes before each entry's forecast, `context` values or more; NaN where one is missing.
        truth: the values to forecast, `(entries, steps)`.
        series: which entries are of the same series, `(entries,)`.
    """

    context: int
    season: int
    histories: tuple[Array, ...]
    truth: Array
    series: NDArray[np.int64]


@dataclass(frozen=True)
class PanelPair:
    """What scores that train a forecaster need.

    Attributes:
        test: the entries to forecast.
        synthetic: all generated windows as shapes, `(n, context + steps)`.
        real: training windows as shapes, None where they are not known.
    """

    test: PanelTest
    synthetic: Array
    real: Array | None = None


def shapes(windows: Array, context: int) -> Array:
    """Windows `(n, context + steps)` divided by the mean size of their contexts, without those that have none.

    Raises:
        InputError: all contexts are zero.
    """
    loud = windows[np.abs(windows[:, :context]).sum(1) > 0]
    if not len(loud):
        raise InputError("all windows have a context of zeros, and no size", mend="give others")
    return np.asarray(loud / sizes(loud[:, :context])[:, None])


def shaped(
    population: SeriesPopulation, test: PanelTest, name: str, scaling: Scaling | None = None
) -> SeriesPopulation:
    """A population of windows as one of shapes; what is one already stays.

    Args:
        population: windows in units of the data.
        test: of the run.
        name: what messages call the population.
        scaling: the range of shapes; by default that between the quantiles 0.005 and 0.995 of these.

    Raises:
        InputError: it does not consist of windows as the run's.
    """
    if population.panel is not None:
        return population
    length, table = test.context + test.truth.shape[1], population.table
    if population.length != length or len(population.columns) != 1:
        least, most = table.lengths.min(), table.lengths.max()
        steps = f"{least}" if least == most else f"{least} to {most}"
        what = f"series of {steps} steps with {len(population.columns)} columns"
        raise InputError(what, file=name, mend=f"the run's windows have {length} steps and 1 column")
    x = shapes(table.values.reshape(-1, length), test.context)
    if scaling is None:
        low, high = np.quantile(x, _RANGE)
        scaling = Scaling(np.array([low]), np.array([high]))
    bounds = np.arange(len(x) + 1, dtype=np.int64) * length
    names = tuple(map(str, range(len(x))))
    return SeriesPopulation(
        SeriesTable(x.reshape(-1, 1), table.columns, bounds, names), scaling,
        overlapping=population.overlapping, panel=test, silent=len(population) - len(x),
    )  # fmt: skip
