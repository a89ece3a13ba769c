"""Averaged weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scorefield.core.ema import EMA
from scorefield.core.errors import InputError


def test_average_starts_from_the_initial_weights_and_follows_the_formula():
    layer = nn.Linear(2, 2)
    expected = layer.weight.detach().clone()
    ema = EMA(layer, 0.999)
    assert torch.equal(ema.shadows()["weight"], expected)
    for n in range(1, 30):
        with torch.no_grad():
            layer.weight.add_(n * 0.1)
        decay = min(0.999, (1 + n) / (10 + n))
        expected = expected - (1 - decay) * (expected - layer.weight.detach())
        ema.update()
        assert torch.allclose(ema.shadows()["weight"], expected, atol=1e-6)


def test_a_small_decay_is_reached():
    layer = nn.Linear(1, 1)
    ema = EMA(layer, 0.2)
    before = layer.weight.detach().clone()
    for _ in range(3):
        ema.update()
    with torch.no_grad():
        layer.weight.add_(1)
    ema.update()
    assert torch.allclose(ema.shadows()["weight"], before + 0.8)


def test_using_shows_either_set_and_leaves_all_as_it_was():
    layer = nn.Linear(1, 1)
    raw = layer.weight.item()
    ema = EMA(layer, 0.9)
    with torch.no_grad():
        layer.weight.add_(1)
    with ema.using(averaged=True):
        assert layer.weight.item() == pytest.approx(raw)
        with ema.using(averaged=False):
            assert layer.weight.item() == pytest.approx(raw + 1)
        assert layer.weight.item() == pytest.approx(raw)
    assert layer.weight.item() == pytest.approx(raw + 1)


def test_state_goes_on_where_it_was_stored():
    layer = nn.Linear(2, 1)
    first = EMA(layer, 0.9)
    with torch.no_grad():
        layer.weight.add_(1)
    first.update()
    second = EMA(layer, 0.9)
    second.load_state_dict(first.state_dict())
    for ema in (first, second):
        ema.update()
    assert second.updates == 2
    assert torch.equal(first.shadows()["weight"], second.shadows()["weight"])


def test_foreign_state_and_wrong_decay_are_refused():
    with pytest.raises(InputError, match="another network"):
        EMA(nn.Linear(1, 1), 0.9).load_state_dict(EMA(nn.Linear(1, 1, bias=False), 0.9).state_dict())
    with pytest.raises(InputError, match="ema_decay"):
        EMA(nn.Linear(1, 1), 1.0)


def test_frozen_weights_are_left_out():
    layer = nn.Linear(1, 1)
    layer.bias.requires_grad_(False)
    assert set(EMA(layer, 0.9).shadows()) == {"weight"}
