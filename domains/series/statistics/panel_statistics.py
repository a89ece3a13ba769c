"""Statistics of windows that a run of a panel makes up, beside those of the catalogue.

`lps` and `tstr` train a forecaster on them and let it forecast the test set. `w2` matches as many generated windows to
real ones, one to one, so that the sum of squared distances is least, and gives the root of its mean over windows and
steps: the Wasserstein-2 distance of the two sets, which shrinks as sets grow. Its floor matches real to real windows of
the same number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from scorefield.core.statistics.statistic import generator_of
from scorefield.core.statistics.table import Row
from scorefield.domains.series.statistics.catalogue import Entry, Work
from scorefield.domains.series.statistics.forecasting import ForecastScores
from scorefield.domains.series.statistics.linear import linear_predictive_score
from scorefield.domains.series.statistics.panel import PanelPair

__all__ = ["PANEL_CATALOGUE", "matched_distance"]

Floats = NDArray[np.floating]
_MATCHED = 500  # windows of either set: the matching takes their number to the third


def matched_distance(one: Floats, other: Floats) -> float:
    """The root of the mean squared difference of vectors `(n, d)` of two sets, matched so that it is least."""
    squared = cdist(one, other, "sqeuclidean")
    return float(np.sqrt(squared[linear_sum_assignment(squared)].mean() / one.shape[1]))


def _w2(entry: Entry, work: Work) -> Row:
    generator = generator_of(work.seed, entry.name)
    parts = [part.x.reshape(len(part), -1).astype(np.float64) for part in (work.pair.real, work.pair.generated)]
    half = min(len(parts[0]) // 2, _MATCHED)
    real, generated = (part[generator.permutation(len(part))[: 2 * half]].reshape(2, half, -1) for part in parts)
    value = np.mean([matched_distance(real[k], generated[k]) for k in range(2)])
    floor = matched_distance(real[0], real[1])
    note = f"{half} windows against {half}, twice; the floor is of as many"
    return Row(entry.name, float(value), floor=floor, n_real=2 * half, n_generated=2 * half, note=note)


def _trained(score: Callable[[Floats, PanelPair, Work], ForecastScores], what: str) -> Callable[[Entry, Work], Row]:
    """CRPS of a forecaster trained on generated windows; the floor is that of one trained on real ones."""

    def compute(entry: Entry, work: Work) -> Row:
        panel = work.panel
        if panel is None:
            return Row(entry.name, None, note="needs a run of a panel, for its test set")
        found = next(row for row in score(panel.synthetic, panel, work).rows(work.settings.level) if row.name == "crps")
        floor, note = None, what
        if panel.real is not None:
            number = min(len(panel.real), len(panel.synthetic))
            chosen = generator_of(work.seed, entry.name).permutation(len(panel.real))[:number]
            floor = score(panel.real[chosen], panel, work)["crps"]
            note = f"{what}; floor: of the same, trained on {number:,} training windows"
        return Row(
            entry.name, found.value, found.low, found.high, floor,
            n_real=len(panel.test.truth), n_generated=len(panel.synthetic), note=note,
        )  # fmt: skip

    return compute


def _linear(windows: Floats, panel: PanelPair, work: Work) -> ForecastScores:
    test = panel.test
    return linear_predictive_score(windows, test.histories, test.truth, test.context, test.season, test.series)


def _recurrent(windows: Floats, panel: PanelPair, work: Work) -> ForecastScores:
    from scorefield.domains.series.statistics.tstr import tstr_score  # which itself needs this package

    test = panel.test
    return tstr_score(
        windows, test.histories, test.truth, test.context, test.season, test.series,
        seed=work.seed, progress=work.progress,
    )  # fmt: skip


PANEL_CATALOGUE: tuple[Entry, ...] = (
    Entry("w2", "Wasserstein-2 distance of whole windows, matched one to one (runs of panels)", _w2),
    Entry(
        "lps",
        "linear predictive score: CRPS on the test set of ridge trained on generated windows (runs of panels)",
        _trained(_linear, "CRPS of forecasts of the test set"),
    ),
    Entry(
        "tstr",
        "the same of a recurrent forecaster (runs of panels)",
        _trained(_recurrent, "CRPS of forecasts of the test set"),
        True,
    ),
)
