"""Windows of panels: scaling, lags, missing values, conditions, and what is drawn, without leaks."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from scorefield.core.errors import InputWarning
from scorefield.core.loading import DrawSampler
from scorefield.domains.series.tsdiff.encoding import WindowPlan, encode, features, hidden_steps, mean_scale
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panel_files import PanelFile, write_panel
from scorefield.domains.series.tsdiff.panels import Panel
from tests.series.small_panels import ready, waves

Stored = dict[str, NDArray[Any]]
HOURLY = Frequency.parse("h").lags()


@pytest.fixture(scope="module")
def fixtures(shared_dir: Path) -> Callable[[str], Stored]:
    @functools.cache
    def load(name: str) -> Stored:
        found: Stored = load_file(shared_dir / "fixtures" / "series_tsdiff" / f"{name}.safetensors")
        return found

    return load


@pytest.fixture
def panel_file(tmp_path: Path) -> Path:
    write_panel(PanelFile(waves()), tmp_path / "waves.npz")
    return tmp_path / "waves.npz"


@pytest.mark.parametrize(
    ("aliases", "season"),
    [
        (("H", "h", "1H", "1h"), 24), (("B",), 5), (("D", "1D"), 1), (("T", "min", "1T"), 1440),
        (("15T", "15min"), 96), (("M", "ME"), 12), (("Q", "QE"), 4), (("A", "Y", "YE"), 1), (("W", "w"), 1),
        (("W-MON",), 1), (("5h", "5H"), 1), (("S", "s"), 3600),
    ],
)  # fmt: skip
def test_aliases_of_any_version(aliases: tuple[str, ...], season: int) -> None:
    assert len({Frequency.parse(alias) for alias in aliases}) == 1
    found = Frequency.parse(aliases[0])
    assert found.season == season
    assert Frequency.parse(str(found)) == found
    assert len(found.stamps("2024-01-01", 3)) == 3


def test_lags_and_seasons_as_published(fixtures: Callable[[str], Stored]) -> None:
    stored = fixtures("transforms")
    for unit in "HBD":
        frequency = Frequency.parse(unit)
        assert list(frequency.lags()) == stored[f"lags.{unit}"].tolist()
        assert frequency.season == int(stored[f"seasonality.{unit}"])


def test_the_scaler_as_published(fixtures: Callable[[str], Stored]) -> None:
    stored = fixtures("transforms")
    data, observed = stored["scaler.data"], stored["scaler.weights"] > 0
    scale = mean_scale(data, observed, None)
    np.testing.assert_allclose(scale[:, None], stored["scaler.scale"], rtol=1e-12)
    np.testing.assert_allclose(data / scale[:, None], stored["scaler.scaled"], rtol=1e-12)
    fixed = mean_scale(data, observed, 7.0)
    np.testing.assert_array_equal(fixed[[1, 3]], [7.0, 7.0])
    np.testing.assert_array_equal(fixed[[0, 2, 4]], scale[[0, 2, 4]])
    np.testing.assert_array_equal(mean_scale(data[1:2], observed[1:2], 7.0), fixed[1:2])  # neighbours say nothing


@pytest.mark.parametrize("kind", ["BM-B", "BM-E", "RM"])
def test_missing_values_as_published(fixtures: Callable[[str], Stored], kind: Any) -> None:
    stored = fixtures("transforms")
    observed = stored[f"mask.{kind}.past_observed"]
    context = 48
    hidden = hidden_steps(kind, 1, context, None, [np.random.default_rng(0)])[0]
    published = observed[-context:] == 0
    assert hidden.sum() == published.sum() == context // 2
    assert (observed[:-context] == 1).all()
    if kind != "RM":
        np.testing.assert_array_equal(hidden, published)
    again, other = (hidden_steps("RM", 1, context, 5, [np.random.default_rng(seed)])[0] for seed in (0, 1))
    assert again.sum() == other.sum() == 5
    assert (again != other).any()


def test_windows_with_lags_as_published(fixtures: Callable[[str], Stored]) -> None:
    stored, plan = fixtures("tsdiff_loss"), WindowPlan(48, 12, HOURLY)
    values = np.concatenate([stored["data.past_target"], stored["data.future_target"]], 1)
    found = encode(values, plan, None)
    assert values.shape[1] == plan.total
    np.testing.assert_allclose(found.scale, stored["scale"].ravel(), rtol=1e-12)
    np.testing.assert_allclose(found.x, stored["x"], rtol=0, atol=1e-12)
    assert found.observed.all()


def test_observations_are_lagged_too() -> None:
    plan = WindowPlan(4, 3, (2, 5))
    values = np.arange(1.0, 13.0)[None]
    values[0, -3:] = np.nan  # to be forecast
    hidden = np.zeros((1, 4), dtype=bool)
    hidden[0, 1] = True
    found = encode(values, plan, 1.0, hidden)
    known = ~np.isnan(values[0])
    known[5 + 1] = False
    for channel, lag in enumerate((0, 2, 5)):
        steps = np.arange(5, 12) - lag
        np.testing.assert_array_equal(found.observed[0, :, channel], known[steps])
        expected = np.where(known[steps], np.nan_to_num(values[0, steps]) / found.scale[0], 0.0)
        np.testing.assert_allclose(found.x[0, :, channel], expected)
    assert found.scale[0] == pytest.approx((6 + 8 + 9) / 3)


def test_conditions_as_published(fixtures: Callable[[str], Stored]) -> None:
    stored, plan = fixtures("tsdiff_cond"), WindowPlan(48, 12, HOURLY)
    whole = np.concatenate([stored["data.orig_past_target"], stored["data.future_target"]], 1)
    hidden = stored["data.past_observed_values"][:, -48:] == 0
    found = features(whole, plan, None, hidden)
    np.testing.assert_allclose(found.scale, stored["scale"].ravel(), rtol=1e-12)
    np.testing.assert_allclose(found.x, stored["features"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(whole[:, 672:] / found.scale[:, None], stored["x"][..., 0], rtol=0, atol=1e-12)


def test_conditions_know_nothing_of_the_future() -> None:
    """With 48 steps to forecast, a lag of 24 hours points at what is to be forecast."""
    plan, draws = WindowPlan(60, 48, (24, 72)), np.random.default_rng(0)
    values = draws.normal(5, 1, (3, plan.total))
    changed = values.copy()
    changed[:, -48:] = draws.normal(100, 9, (3, 48))
    before, after = (features(rows, plan, 1.0) for rows in (values, changed))
    np.testing.assert_array_equal(before.x, after.x)
    np.testing.assert_array_equal(before.scale, after.scale)
    assert (before.x[:, -24:, 0] == 0).all()
    assert (encode(values, plan, 1.0).x[:, -24:, 1] != encode(changed, plan, 1.0).x[:, -24:, 1]).all()


def test_nothing_of_what_is_held_out_is_trained_on(tmp_path: Path) -> None:
    whole = waves()
    marked = whole.values.reshape(3, 60).copy()
    marked[:, -4:], marked[:, -8:-4] = 2000.0, 1000.0
    changed = replace(whole, values=marked.ravel())
    write_panel(PanelFile(changed), tmp_path / "marked.npz")
    data = ready(tmp_path / "marked.npz")
    assert data.train_windows(10**6).max() < 100
    assert data.fallback < 100
    assert data.provenance["train"] == 3 * (60 - 8 - 12 + 1)
    held = data.val_dataloader()
    assert [b["x"].shape[0] for b in held] == [3]
    assert float(next(iter(held))["x"][:, -4:].min()) > 100  # 1000 over about 6
    assert data.test is not None
    assert (data.test.truth() == 2000).all()
    published = ready(tmp_path / "marked.npz", holdout=0)
    assert published.train_windows(10**6).max() == 1000  # as published, only the test set is kept apart
    assert ready(tmp_path / "marked.npz", holdout=0, windows=0).train_windows(10**6).max() == 2000


def test_draws_are_the_same_for_any_number_of_processes(panel_file: Path) -> None:
    data = ready(panel_file)
    whole = data.train_dataloader()
    sampler = whole.sampler
    assert isinstance(sampler, DrawSampler)
    windows = whole.dataset
    assert len(whole) == 5
    for epoch in (0, 3):
        sampler.set_epoch(epoch)
        every = np.array(list(sampler)).reshape(5, 4)
        parts = []
        for rank in range(2):
            part = DrawSampler(windows, 4, 0, 2, rank, 5)  # type: ignore[arg-type]
            part.set_epoch(epoch)
            parts.append(np.array(list(part)).reshape(5, 2))
        np.testing.assert_array_equal(np.stack(parts, 2).reshape(5, 4), every)
        assert all(len(set(batch)) == 4 for batch in every.tolist())
    first, again = (next(iter(ready(panel_file).train_dataloader()))["x"] for _ in range(2))
    assert (first == again).all()
    other = next(iter(ready(panel_file, seed=1).train_dataloader()))["x"]
    assert (first != other).any()


def test_all_windows_are_drawn_alike_and_mixed(panel_file: Path) -> None:
    data = ready(panel_file, epoch_batches=1000)
    draws = np.array(list(data.train_dataloader().sampler))
    counts = np.bincount(draws, minlength=data.provenance["train"])
    expected = 4000 / len(counts)
    assert ((counts - expected) ** 2 / expected).sum() < 1.5 * len(counts)
    assert len(set((draws.reshape(-1, 4) // (len(counts) / 3)).astype(int)[0])) > 1


def test_conditional_batches(panel_file: Path) -> None:
    options = {"conditional": True, "lags": [2, 6], "context": 10, "prediction": 4}
    data = ready(panel_file, missing="RM", missing_count=3, **options)
    assert data.sizes == {"length": 14, "features": 1, "given": 4, "context": 10, "season": 24}
    batch = next(iter(data.train_dataloader()))
    assert (batch["x"].shape, batch["given"].shape) == ((4, 14, 1), (4, 14, 4))
    assert (batch["given"][:, :10, 3].sum(1) == 7).all()
    assert (batch["given"][:, 10:, 2:] == 0).all()
    assert (batch["x"] != 0).all()  # what is learnt is whole
    again = next(iter(ready(panel_file, missing="RM", missing_count=3, **options).train_dataloader()))
    assert (batch["given"] == again["given"]).all()


def hidden_of(loader: Any, epoch: int) -> dict[int, tuple[bool, ...]]:
    """By window, the steps of its context that an epoch hides."""
    loader.sampler.set_epoch(epoch)
    asked = list(loader.sampler)
    observed = np.concatenate([batch["given"][:, :10, -1].numpy() > 0 for batch in loader])
    return {row % len(loader.dataset): tuple(~steps) for row, steps in zip(asked, observed, strict=True)}


@pytest.mark.parametrize("kind", ["RM", "BM-B", "BM-E"])
def test_random_steps_are_hidden_anew_in_every_epoch(panel_file: Path, kind: str) -> None:
    options = {"conditional": True, "context": 10, "missing": kind, "epoch_batches": 60}
    loader = ready(panel_file, **options).train_dataloader()
    first, second = hidden_of(loader, 0), hidden_of(loader, 1)
    assert first.keys() <= set(range(len(loader.dataset)))  # type: ignore[arg-type]
    both = first.keys() & second.keys()
    assert len(both) > 30
    same = sum(first[window] == second[window] for window in both)
    assert same == len(both) if kind != "RM" else same < len(both) / 10
    assert {sum(steps) for steps in (*first.values(), *second.values())} == {5}
    assert hidden_of(loader, 0) == first
    again = ready(panel_file, **options)
    assert hidden_of(again.train_dataloader(), 1) == second
    assert hidden_of(again.val_dataloader(), 0) == hidden_of(again.val_dataloader(), 1)  # losses of epochs compare
    if kind == "RM":
        other = hidden_of(ready(panel_file, seed=1, **options).train_dataloader(), 1)
        assert any(second[window] != other[window] for window in second.keys() & other.keys())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_loading_processes_hide_the_same_steps(panel_file: Path) -> None:
    options = {"conditional": True, "context": 10, "missing": "RM"}
    loaders = [ready(panel_file, num_workers=number, **options).train_dataloader() for number in (0, 2)]
    for epoch in (0, 1):
        one, other = (hidden_of(loader, epoch) for loader in loaders)
        assert one == other


def test_states_can_be_exported(panel_file: Path) -> None:
    data = ready(panel_file, lags=[2])
    arrays = data.arrays()
    number = data.provenance["train"]
    assert arrays["x"].shape == (number + 3, 12, 2)
    assert arrays["is_validation"].sum() == 3
    assert json.loads(str(arrays["meta"]))["tables"]["context"] == 8


def test_short_and_silent_series_are_told(tmp_path: Path) -> None:
    whole = waves()
    series = [whole.series(0), whole.series(1)[:15], np.zeros(60), np.where(np.arange(60) == 20, np.nan, 3.0)]
    panel = Panel.of(series, list("abcd"), [None] * 4, Frequency("h"))
    write_panel(PanelFile(panel), tmp_path / "mixed.npz")
    with pytest.warns(InputWarning) as told:
        data = ready(tmp_path / "mixed.npz", holdout=0)
    texts = [str(warning.message) for warning in told]
    assert any("1 of 4 series are left out; the first is b (11 values" in text for text in texts)
    assert any("45 of 135 windows have a context of zeros" in text for text in texts)
    assert data.provenance["short"] == 1
    batch = data.train_dataloader().dataset.__getitems__(range(135))["x"]  # type: ignore[attr-defined]
    assert bool(batch.isfinite().all())
    assert (batch[45:90] == 0).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        padded = ready(tmp_path / "mixed.npz", windows=1).test
    assert padded is not None
    recent = padded.recent(20)[1]
    assert np.isnan(recent[:9]).all()  # before its start nothing is observed
    assert (
        not encode(np.pad(recent[None], ((0, 0), (0, 4)), constant_values=np.nan), WindowPlan(20, 4), 1.0)
        .observed[0, :9]
        .any()
    )
