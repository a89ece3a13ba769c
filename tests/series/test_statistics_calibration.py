"""Calibration on independent sines: uniform p-values, intervals that cover, changes that are seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.series.sources import sines
from scorefield.domains.series.statistics import compare_series

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]  # five minutes together, on one quiet core

SPLITS, SIZE = 200, 250
DRAWS = Resampling(permutations=49, bootstrap=50, floors=0)
NAMES = ["vds", "vds_exact", "fdds", "fdds_unbiased", "acf", "correlational"]


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """Coupled sines: the second and third column share their frequency in part."""
    x = sines(8000, 16, 3, 5)
    x[:, :, 2] = 0.5 * x[:, :, 1] + 0.5 * x[:, :, 2]
    return x


def measured(windows, change=None):
    generator = np.random.default_rng(11)
    rows = []
    for split in range(SPLITS if change is None else 40):
        order = generator.permutation(len(windows))
        generated = windows[order[:SIZE]].copy()
        if change is not None:
            change(generator, generated)
        found = compare_series(
            windows[order[SIZE : 2 * SIZE]], generated, seed=split, resampling=DRAWS, only=NAMES, figures=False
        )
        rows.append(found)
    return rows


def coverage(rows, name):
    mean = np.mean([row[name].value for row in rows])
    return float(np.mean([row[name].low <= mean <= row[name].high for row in rows]))


def test_real_against_real(windows):
    rows = measured(windows)
    for name in NAMES:
        p_values = [row[name].p_value for row in rows]
        print(f"{name}: KS {stats.kstest(p_values, 'uniform').pvalue:.3f}, coverage {coverage(rows, name):.3f}")
    for name in NAMES:
        # p lies on multiples of 1/50, which moves the KS distance by .02 at most; the critical one is .115.
        assert stats.kstest([row[name].p_value for row in rows], "uniform").pvalue > 0.01
        assert coverage(rows, name) >= 0.91


def test_the_unbiased_shift_has_mean_zero(windows):
    values = [row["fdds_unbiased"].value for row in measured(windows)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


@pytest.mark.parametrize("kind", ["values", "dependence"])
def test_a_change_is_seen_and_covered(windows, kind):
    def change(generator, generated):
        if kind == "values":
            generated[:, :, 0] = 0.5 + 0.8 * (generated[:, :, 0] - 0.5)
        else:
            generated[:, :, 2] = generated[generator.permutation(len(generated)), :, 2]

    names = ["vds", "vds_exact"] if kind == "values" else ["fdds", "fdds_unbiased"]
    rows = measured(windows, change)
    for name in names:
        power = np.mean([row[name].p_value <= 0.05 for row in rows])
        print(f"{name}, {kind}: power {power:.3f}, coverage {coverage(rows, name):.3f}")
    for name in names:
        assert np.mean([row[name].p_value <= 0.05 for row in rows]) >= 0.9
        assert coverage(rows, name) >= 0.8
