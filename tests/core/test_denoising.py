"""Errors of data predictions: at most the data's spread, unless the network predicts something else."""

from __future__ import annotations

import pytest
import torch

from scorefield.core.analytic import mixture_system
from scorefield.core.diagnostics.denoising import denoising_errors
from scorefield.core.diagnostics.points import Points, spread_times
from scorefield.core.noise import Seeded
from scorefield.core.paths import VP, Cosine, Linear
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, System

MEANS, SPREAD = torch.tensor([[2.0, 0.0], [-1.0, 1.0]]), torch.tensor([0.3, 0.1])


def points(path, predicted, said) -> Points:
    exact = mixture_system({"x": Component(path, Masked(), predicted)}, torch.ones(2), {"x": MEANS}, {"x": SPREAD})
    labels = torch.arange(400) % 2
    data = exact.network.data(State({"x": torch.zeros(400, 2, dtype=torch.float64)}), Seeded(0), labels)
    return Points(System({"x": Component(path, Masked(), said)}, exact.network), data)


@pytest.mark.parametrize("path", [VP(), Cosine()])
@pytest.mark.parametrize("kind", ["noise", "data", "score", "velocity"])
def test_an_exact_denoiser_is_no_worse_than_the_mean(path, kind) -> None:
    found = denoising_errors(points(path, kind, kind), spread_times(points(path, kind, kind).system, 6))
    assert max(found.errors["x"]) < 1.1
    assert found.errors["x"][0] < 0.2
    assert not found.suspicious()


@pytest.mark.parametrize(
    ("path", "predicted", "said"),
    [(VP(), "velocity", "noise"), (VP(), "data", "noise"), (VP(), "score", "velocity"), (Cosine(), "velocity", "noise"),
     (Linear(), "velocity", "noise")],
)  # fmt: skip
def test_another_kind_of_prediction_is_noticed(path, predicted, said) -> None:
    found = denoising_errors(points(path, predicted, said), [0.3, 0.9, 0.99])
    assert found.suspicious() == ["x"]
