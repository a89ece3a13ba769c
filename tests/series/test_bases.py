"""Bases of interpolants of series: what they draw, their season and pool, and bad input."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.noise import Seeded
from scorefield.core.state import State
from scorefield.domains.series.bases import BlockBootstrap, SeasonalNaive, SeriesBase, season_of
from tests.series.windows import Windows


def numbered(count: int = 7, length: int = 12, features: int = 2) -> Tensor:
    """Windows in which every value tells its window, step and feature."""
    steps = torch.arange(length)[:, None] + 0.1 * torch.arange(features)
    return (100.0 * torch.arange(count))[:, None, None] + steps


def prepared(base: SeriesBase, windows: Tensor) -> SeriesBase:
    base.prepare(Windows(windows))
    return base


def drawn(base: SeriesBase, number: int = 64, seed: int = 0) -> Tensor:
    return base.draw(State({"x": torch.zeros(number, *base.pool.shape[1:])}), Seeded(seed))["x"]


def test_blocks_keep_their_places_and_features_together() -> None:
    x = drawn(prepared(BlockBootstrap(block=4, jitter=0.0), numbered()), 256)
    torch.testing.assert_close(x % 100, numbered(1).expand(256, -1, -1), atol=1e-4, rtol=0)
    window = (x / 100).floor()
    assert torch.equal(window[..., 0], window[..., 1])
    phases = [{int(step) % 4 for step in torch.nonzero(row[1:] != row[:-1])} for row in window[..., 0]]
    assert all(len(phase) <= 1 for phase in phases)
    assert set().union(*phases) == {0, 1, 2, 3}  # cut anywhere
    assert set(window.unique().tolist()) == set(range(7))


def test_a_base_has_the_marginal_law_of_the_data_at_every_step() -> None:
    x = torch.rand(500, 12, 2, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.1, 1, 12)[:, None]
    made = drawn(prepared(BlockBootstrap(block=5, jitter=0.0), x), 20000)
    assert float((made.mean(0) - x.mean(0)).abs().max()) < 0.02
    assert float((made.std(0) - x.std(0)).abs().max()) < 0.02
    noisy = drawn(prepared(BlockBootstrap(block=5, jitter=0.3), x), 20000)
    torch.testing.assert_close(noisy.var(0), x.var(0) + 0.09, atol=0.02, rtol=0)


def test_a_season_is_repeated_in_its_place() -> None:
    x = drawn(prepared(SeasonalNaive(period=5, jitter=0.0), numbered()), 256)
    torch.testing.assert_close(x[:, 5:], x[:, :-5])
    step = (x[..., 0] % 100).round().long()
    assert torch.equal(step % 5, torch.arange(12).expand(256, -1) % 5)
    assert set(step[:, 0].tolist()) == {0, 5, 10}
    assert torch.equal((x / 100).floor().amax((1, 2)), (x / 100).floor().amin((1, 2)))


def test_the_season_is_that_of_the_data(tmp_path: Path) -> None:
    steps, phases = torch.arange(40.0), torch.linspace(0, 6, 50)[:, None]
    waves = torch.stack([torch.sin(2 * math.pi * steps / 8 + phases), torch.cos(2 * math.pi * steps / 8 + phases)], -1)
    noise = 0.2 * torch.randn(50, 40, 2, generator=torch.Generator().manual_seed(0))
    assert season_of(waves + noise) == 8
    base = prepared(SeasonalNaive(jitter=0.0), waves)
    again = SeasonalNaive(jitter=0.0)
    again.load_state_dict(base.state_dict())
    assert torch.equal(drawn(again), drawn(base))
    with pytest.raises(InputError, match="no season shows in windows of 24 steps; give the period"):
        season_of(torch.linspace(0, 1, 24)[None, :, None].expand(3, 24, 2))


def test_a_pool_is_bounded_and_spread_over_the_training_set() -> None:
    base = prepared(BlockBootstrap(block=4, pool=5), numbered(101))
    assert (base.pool[:, 0, 0] / 100).tolist() == [0, 25, 50, 75, 100]
    assert base.pool.dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BlockBootstrap(block=0), "block is 0; give at least 1"),
        (lambda: SeasonalNaive(period=0), "period is 0; give at least 1"),
        (lambda: BlockBootstrap(jitter=-0.1), "jitter is -0.1; give 0 or more"),
        (lambda: BlockBootstrap(pool=0), "pool is 0; give at least 1"),
        (
            lambda: prepared(BlockBootstrap(block=13), numbered()),
            "blocks of 13 steps in windows of 12; give at most 12",
        ),
        (lambda: prepared(SeasonalNaive(period=13), numbered()), "seasons of 13 steps in windows of 12"),
        (lambda: BlockBootstrap().draw(State({"x": torch.zeros(2, 12, 2)}), Seeded(0)), "no samples to draw from"),
        (lambda: BlockBootstrap().prepare(Windows(numbered(), mask=torch.zeros(7, 12))), "padded"),
    ],
)
def test_what_cannot_be(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
