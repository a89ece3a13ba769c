"""Scores of forecasts: the published evaluator to the last digit, proper scores by an oracle, simple forecasters."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scoringrules
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from scorefield.core.errors import InputError
from scorefield.core.statistics.scoring import crps, energy_score, probability_transform
from scorefield.domains.series.forecasters import LinearForecaster, RepeatedSeason
from scorefield.domains.series.statistics.forecasting import (
    LEVELS,
    ForecastScores,
    forecast_quantiles,
    score_forecasts,
    seasonal_error,
    spread,
)
from scorefield.domains.series.statistics.linear import linear_predictive_score
from scorefield.domains.series.tsdiff.panel_data import PanelData
from scorefield.domains.series.tsdiff.panels import Entries

Array = NDArray[np.float64]
Stored = dict[str, Array]


@pytest.fixture(scope="module")
def stored(shared_dir: Path) -> Stored:
    with np.load(shared_dir / "fixtures" / "series_tsdiff" / "metrics_crps.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def scored(stored: Stored) -> ForecastScores:
    history, truth = np.split(stored["target"], [int(stored["context"])], axis=1)
    return score_forecasts(stored["samples"], truth, np.array([seasonal_error(row, 24) for row in history]))


@pytest.fixture(scope="module")
def opened(shared_dir: Path) -> Callable[[str], PanelData]:
    kept: dict[str, PanelData] = {}

    def open_data(name: str) -> PanelData:
        if name not in kept:
            file = str(shared_dir / "data" / "series_tsdiff" / f"{name}.npz")
            context, prediction = (312, 48) if name == "m4_hourly" else (360, 30)
            kept[name] = PanelData(file, context=context, prediction=prediction, lags="none", holdout=0)
            kept[name].setup("fit")
        return kept[name]

    return open_data


def point_scores(entries: Entries, forecast: Array, season: int) -> dict[str, float]:
    errors = np.array([seasonal_error(entries.history(k), season) for k in range(len(entries))])
    return score_forecasts(forecast[:, None], entries.truth(), errors).values()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("crps", "mean_wQuantileLoss"), ("nd", "ND"), ("nrmse", "NRMSE"), ("mase", "MASE")]
    + [(f"wql_{level:g}", f"wQuantileLoss_{level:g}") for level in LEVELS]
    + [(f"coverage_{level:g}", f"Coverage_{level:g}") for level in LEVELS],
)
def test_the_evaluator(scored: ForecastScores, stored: Stored, ours: str, theirs: str) -> None:
    assert scored[ours] == pytest.approx(float(stored[f"agg_{theirs}"]), abs=1e-9)


def test_quantiles_are_samples(scored: ForecastScores, stored: Stored) -> None:
    found = forecast_quantiles(stored["samples"], (0.1, 0.5, 0.9))
    for place, name in enumerate(("0p1", "0p5", "0p9")):
        np.testing.assert_array_equal(found[place], stored[f"quantile_{name}"])
    losses = scored.parts["loss"][:, LEVELS.index(0.5)]
    np.testing.assert_allclose(losses, stored["per_series_QL_0p5"], rtol=0, atol=1e-9)
    # (100 - 1) / 2 = 49.5 goes to the even 50; (2 - 1) / 2 to 0.
    assert forecast_quantiles(np.arange(100.0).reshape(1, 100, 1), (0.5,)).item() == 50
    assert forecast_quantiles(np.array([[[1.0], [2.0]]]), (0.5,)).item() == 1


def test_the_error_of_coverage_is_the_mean_over_levels(scored: ForecastScores, stored: Stored) -> None:
    shares = [float(stored[f"agg_Coverage_{level:g}"]) for level in LEVELS]
    assert scored["coverage_error"] == pytest.approx(np.abs(np.array(shares) - LEVELS).mean(), abs=1e-12)


@pytest.mark.parametrize(("name", "season", "value"), [("exchange_rate_nips", 5, 0.01075), ("m4_hourly", 24, 0.04831)])
def test_seasonal_naive_on_published_sets(
    opened: Callable[[str], PanelData], name: str, season: int, value: float
) -> None:
    entries = opened(name).test
    assert entries is not None
    expected = {"exchange_rate_nips": (0.01588, 1.62029), "m4_hourly": (0.25955, 1.19321)}[name]
    forecast = RepeatedSeason(season).forecast(entries.recent(season), entries.prediction)
    scores = point_scores(entries, forecast, season)
    assert scores["crps"] == pytest.approx(value, abs=5.1e-6)
    assert scores["nd"] == pytest.approx(scores["crps"], abs=1e-12)
    assert (scores["nrmse"], scores["mase"]) == pytest.approx(expected, abs=5.1e-6)


# One draw of 10,000 windows of m4_hourly gives 0.037 to 0.041: few series make up most of the sum.
@pytest.mark.parametrize(
    ("name", "value", "reach", "whole", "whole_reach"),
    [("exchange_rate_nips", 0.0112, 0.001, 0.0160, 0.001), ("m4_hourly", 0.0371, 0.002, 0.0471, 0.004)],
)
def test_ridge_on_published_sets(
    opened: Callable[[str], PanelData], name: str, value: float, reach: float, whole: float, whole_reach: float
) -> None:
    data = opened(name)
    entries, context = data.test, data.plan.context
    assert entries is not None
    windows, recent = data.train_windows(10000), entries.recent(context)
    found = point_scores(entries, LinearForecaster.fit(windows, context).forecast(recent), 1)["crps"]
    assert found == pytest.approx(value, abs=reach)
    mismatched = windows / np.abs(windows).mean(1, keepdims=True)
    forecast = LinearForecaster.fit(mismatched, context, scaled=True).forecast(recent)
    assert point_scores(entries, forecast, 1)["crps"] == pytest.approx(whole, abs=whole_reach)


def test_the_linear_predictive_score(shared_dir: Path) -> None:
    stored = np.load(shared_dir / "fixtures" / "series_tsdiff" / "metrics_lps.npz")
    context, steps = int(stored["context"]), int(stored["prediction"])
    histories, truth = [row[:-steps] for row in stored["test"]], stored["test"][:, -steps:]
    found = linear_predictive_score(stored["synthetic"], histories, truth, context)
    for ours, theirs in (("crps", "mean_wQuantileLoss"), ("nd", "ND"), ("nrmse", "NRMSE")):
        assert found[ours] == pytest.approx(float(stored[theirs]), abs=1e-6)
    forecaster = LinearForecaster.fit(stored["synthetic"], context, scaled=True)
    recent = np.stack([row[-context:] for row in histories])
    np.testing.assert_allclose(forecaster.forecast(recent), stored["forecast"][:, 0], rtol=1e-5)


def test_ridge_as_scikit_learn_has_it() -> None:
    draws = np.random.default_rng(0)
    windows = draws.normal(2, 1, (60, 12))
    oracle = Ridge(alpha=0.7).fit(windows[:, :9], windows[:, 9:])
    ours = LinearForecaster.fit(windows, 9, 0.7, scaled=True)
    size = np.abs(windows[:5, :9]).mean(1, keepdims=True)
    np.testing.assert_allclose(ours.forecast(windows[:5, :9]), oracle.predict(windows[:5, :9] / size) * size)


@pytest.mark.parametrize("fair", [True, False])
def test_proper_scores_as_the_oracle_has_them(fair: bool) -> None:
    draws = np.random.default_rng(1)
    samples, truth = draws.normal(size=(4, 3, 20)), draws.normal(size=(4, 3))
    estimator = "fair" if fair else "nrg"
    found = crps(samples, truth, fair=fair)
    np.testing.assert_allclose(found, scoringrules.crps_ensemble(truth, samples, estimator=estimator), atol=1e-12)
    if not fair:
        oracle = scoringrules.es_ensemble(truth, np.moveaxis(samples, 2, 1))
        ours = [energy_score(x.T, y, fair=False) for x, y in zip(samples, truth, strict=True)]
        np.testing.assert_allclose(ours, oracle, atol=1e-7)


def test_fair_scores_do_not_depend_on_the_number_of_samples_in_the_mean() -> None:
    draws = np.random.default_rng(2)
    truth = draws.normal(size=20000)
    few, many = (crps(draws.normal(size=(20000, number)), truth).mean() for number in (3, 30))
    assert few == pytest.approx(1 / np.sqrt(np.pi), abs=0.01)  # of the standard normal law for itself
    assert many == pytest.approx(few, abs=0.01)
    of_few = np.mean([energy_score(draws.normal(size=(3, 2)), y) for y in draws.normal(size=(3000, 2))])
    of_many = np.mean([energy_score(draws.normal(size=(40, 2)), y) for y in draws.normal(size=(3000, 2))])
    assert of_few == pytest.approx(of_many, abs=0.04)


def test_one_path_is_its_distance() -> None:
    assert crps(np.array([3.0]), np.array(1.0)) == 2.0
    assert energy_score(np.array([[3.0, 4.0]]), np.zeros(2)) == 5.0
    assert np.isnan(energy_score(np.ones((2, 2)), np.full(2, np.nan)))


def test_the_transform_is_uniform_for_the_right_law_only() -> None:
    draws = np.random.default_rng(3)
    truth = np.round(draws.normal(size=20000))
    right = probability_transform(np.round(draws.normal(size=(20000, 9))), truth, draws)  # with ties
    narrow = probability_transform(draws.normal(0, 0.3, size=(20000, 9)), truth, draws)
    shares = np.histogram(right, 10, (0, 1))[0] / 20000
    np.testing.assert_allclose(shares, 0.1, atol=0.01)
    assert np.histogram(narrow, 10, (0, 1))[0][0] > 4000
    assert np.isnan(probability_transform(np.zeros((1, 3)), np.array([np.nan]), draws)).all()


def test_a_calibrated_forecast_and_its_shuffled_paths() -> None:
    draws = np.random.default_rng(4)
    walks = draws.normal(size=(500, 101, 8)).cumsum(2) + 10
    samples, truth = walks[:, 1:], walks[:, 0]
    good = score_forecasts(samples, truth, np.ones(500))
    assert good["coverage_80"] == pytest.approx(0.782, abs=0.04)  # samples 11 to 90 of 100
    assert good["coverage_error"] < 0.04
    assert good.histogram.sum() == 4000
    np.testing.assert_allclose(good.histogram / 4000, 0.1, atol=0.035)
    torn = score_forecasts(draws.permuted(samples, axis=1), truth, np.ones(500))
    assert torn["crps"] == pytest.approx(good["crps"], rel=1e-12)
    assert torn["crps_sum"] > 1.03 * good["crps_sum"]
    assert torn["energy"] > good["energy"]


def test_missing_truth_counts_nowhere() -> None:
    draws = np.random.default_rng(5)
    samples, truth = draws.normal(5, 1, (6, 10, 4)), draws.normal(5, 1, (6, 4))
    errors = np.ones(6)
    holes = truth.copy()
    holes[:, 3] = np.nan
    without, cut = score_forecasts(samples, holes, errors), score_forecasts(samples[..., :3], truth[:, :3], errors)
    assert without.values() == pytest.approx(cut.values(), rel=1e-12)
    holes[0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unknown = score_forecasts(samples, holes, errors)
        rest = score_forecasts(samples[1:], holes[1:], errors[1:])
    assert unknown.values() == pytest.approx(rest.values(), rel=1e-12)
    assert np.isnan(unknown.per_series()["crps"][0])


def test_mase_tells_how_many_it_leaves_out() -> None:
    draws = np.random.default_rng(8)
    samples, truth = draws.normal(5, 1, (12, 10, 4)), draws.normal(5, 1, (12, 4))
    truth[0] = np.nan  # which is left out of everything
    errors = np.array([0.0, 0.0, np.nan, *np.ones(9)])
    scores, rest = score_forecasts(samples, truth, errors), score_forecasts(samples[3:], truth[3:], errors[3:])
    assert scores["mase"] == rest["mase"]
    assert (scores.without_mase, rest.without_mase) == (2, 0)
    assert (scores.as_json()["mase_left_out"], rest.as_json()["mase_left_out"]) == (2, 0)
    assert {row.name: row.n_real for row in scores.rows()} == {**dict.fromkeys(scores.values(), 12), "mase": 10}
    assert np.isnan(scores.per_series()["mase"][:3]).all()


def test_a_truth_of_zeros_has_no_relative_score() -> None:
    scores = score_forecasts(np.ones((2, 5, 3)), np.zeros((2, 3)), np.zeros(2))
    assert all(np.isnan(scores[name]) for name in ("crps", "nd", "nrmse", "mase", "crps_all"))
    assert scores.as_json()["crps"] is None
    assert scores["coverage_80"] == 0


def test_tables_intervals_and_spread(scored: ForecastScores) -> None:
    table = scored.per_series()
    assert len(table) == 6
    pooled = (table["crps"] * table["size"]).sum() / table["size"].sum()
    assert pooled == pytest.approx(scored["crps"], rel=1e-12)
    assert all(row.low is None for row in scored.rows())  # six series tell nothing of an interval
    draws = np.random.default_rng(6)
    runs = []
    for _ in range(3):
        samples, truth = draws.normal(9, 2, (60, 20, 5)), draws.normal(9, 2, (60, 5))
        runs.append(score_forecasts(samples, truth, np.ones(60), series=np.repeat(np.arange(20), 3)))
    rows = {row.name: row for row in runs[0].rows()}
    low, value, high = rows["crps"].low, rows["crps"].value, rows["crps"].high
    assert low is not None
    assert value is not None
    assert high is not None
    assert low < value < high
    assert high - low < 0.3 * value
    assert rows["crps"].n_real == 60
    mean, deviation, interval = spread(runs)["crps"]
    assert deviation > 0
    assert interval.low < mean < interval.high
    with pytest.raises(InputError, match="at least 2"):
        spread(runs[:1])


def test_the_season_is_repeated_through_gaps() -> None:
    history = np.array([[1.0, 2, 3, 4, np.nan, 6], [np.nan] * 6, [0, 0, 0, np.nan, np.nan, np.nan]])
    found = RepeatedSeason(3).forecast(history, 5)
    np.testing.assert_array_equal(found, [[4, 2, 6, 4, 2], [0] * 5, [0] * 5])
    np.testing.assert_array_equal(RepeatedSeason(4).forecast(np.array([[1.0, 3.0]]), 2), [[2.0, 2.0]])


def test_seasonal_errors() -> None:
    assert seasonal_error(np.arange(10.0), 4) == 4
    assert seasonal_error(np.arange(4.0), 4) == 1  # too short for the season
    assert seasonal_error(np.array([1.0, np.nan, 4.0, 9.0]), 2) == 3
    assert np.isnan(seasonal_error(np.array([1.0]), 24))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: score_forecasts(np.ones((2, 3, 4)), np.ones((2, 5)), np.ones(2)), "shape"),
        (lambda: score_forecasts(np.ones((2, 0, 4)), np.ones((2, 4)), np.ones(2)), "shape"),
        (lambda: score_forecasts(np.full((1, 2, 3), np.nan), np.ones((1, 3)), np.ones(1)), "path 0, step 0"),
        (lambda: LinearForecaster.fit(np.ones((3, 4)), 4), "context of 4"),
        (lambda: LinearForecaster.fit(np.full((3, 4), np.inf), 2), "window 0"),
        (lambda: LinearForecaster.fit(np.ones((3, 4)), 2).forecast(np.ones((1, 3))), "3 steps of context"),
        (lambda: linear_predictive_score(np.ones((9, 7)), [np.ones(5)], np.ones((1, 3)), 5), "5 \\+ 3 steps"),
        (lambda: linear_predictive_score(np.ones((9, 8)), [np.ones(4)], np.ones((1, 3)), 5), "4 values before"),
        (lambda: linear_predictive_score(np.full((9, 8), np.nan), [np.ones(5)], np.ones((1, 3)), 5), "finite"),
    ],
)
def test_bad_input_is_told_in_one_line(call: Callable[[], object], text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_scores_along_the_horizon(scored: ForecastScores) -> None:
    from scorefield.domains.series.statistics.forecast_figures import forecast_svg

    horizon = scored.horizon()
    assert len(horizon) == scored.steps.shape[1]
    assert float((horizon * scored.steps[1]).sum() / scored.steps[1].sum()) == pytest.approx(scored["crps_all"])
    drawn = forecast_svg(scored, {"the same": scored})
    assert drawn == forecast_svg(scored, {"the same": scored})
    assert drawn.startswith("<?xml")
    zero = score_forecasts(np.ones((2, 3, 4)), np.zeros((2, 4)), np.ones(2))
    assert np.isnan(zero.horizon()).all()
