"""Parameter groups, clipping and the schedule of the learning rate."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.core.errors import InputError
from scorefield.core.optimisation import clip_groups, make_optimiser, rate_factor
from tests.core.tiny_recipe import tiny_system


def test_components_have_their_own_settings():
    groups = tiny_system().parameter_groups()
    optimiser = make_optimiser("adamw", groups, {"adj": {"lr": 0.5}}, lr=0.1, weight_decay=0.2)
    assert {group["name"]: (group["lr"], group["weight_decay"]) for group in optimiser.param_groups} == {
        "x": (0.1, 0.2),
        "adj": (0.5, 0.2),
    }


@pytest.mark.parametrize(
    ("per_component", "words"), [({"adh": {}}, "did you mean 'adj'"), ({"adj": {"lrr": 1}}, "did you mean 'lr'")]
)
def test_unknown_settings_name_the_nearest(per_component, words):
    with pytest.raises(InputError, match=words):
        make_optimiser("adam", tiny_system().parameter_groups(), per_component, lr=0.1)


def test_unknown_algorithm():
    with pytest.raises(InputError, match="adamw"):
        make_optimiser("sgd", {}, {}, lr=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [1.0, None])
def test_each_component_is_clipped_by_itself(limit):
    system = tiny_system()
    groups = system.parameter_groups()
    for name, scale in (("x", 100.0), ("adj", 0.001)):
        for parameter in groups[name]:
            parameter.grad = torch.full_like(parameter, scale)
    before = {name: torch.cat([p.grad.flatten() for p in members]).norm() for name, members in groups.items()}
    norms = clip_groups(make_optimiser("adam", groups, {}, lr=0.1), limit)
    after = {name: torch.cat([p.grad.flatten() for p in members]).norm() for name, members in groups.items()}
    for name in groups:
        assert norms[name] == pytest.approx(before[name].item())
    assert after["x"] == pytest.approx(1.0 if limit else before["x"].item(), rel=1e-4)
    assert after["adj"] == pytest.approx(before["adj"].item())


def test_exponential_schedule_changes_once_an_epoch():
    factor = rate_factor("exponential", 3, math.inf, 0.5, 0)
    assert [factor(step) for step in range(7)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_cosine_schedule_rises_then_falls_to_zero():
    factor = rate_factor("cosine", 1, 104, 1, 4)
    assert [factor(step) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert factor(4) == 1
    assert factor(54) == pytest.approx(0.5)
    assert factor(104) == pytest.approx(0, abs=1e-12)


def test_schedules_that_cannot_be():
    with pytest.raises(InputError, match="max_epochs"):
        rate_factor("cosine", 1, math.inf, 1, 0)
    with pytest.raises(InputError, match="cosine"):
        rate_factor("cosin", 1, 1, 1, 0)  # type: ignore[arg-type]
