"""Denoising score matching against its own definition."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.objectives import DenoisingScoreMatching, Draws
from tests.core.tiny_recipe import tiny_batch, tiny_system


def padded(batch, extra):
    grow = torch.nn.functional.pad
    return {
        "x": grow(batch["x"], (0, 0, 0, extra)),
        "adj": grow(batch["adj"], (0, extra, 0, extra)),
        "mask": grow(batch["mask"], (0, extra)),
    }


@pytest.mark.parametrize("weighting", ["noise", "likelihood", "data", "min_snr"])
def test_free_mean_does_not_see_padding(weighting):
    system, batch = tiny_system(), tiny_batch(16)
    objective = DenoisingScoreMatching(weighting=weighting)
    losses = []
    for values in (batch, padded(batch, 4)):
        state = system.state(values)
        losses.append(objective.losses(system, state, objective.draw(system, state, SampleStreams(16, "t"))))
    for name in losses[0]:
        assert losses[0][name].item() == pytest.approx(losses[1][name].item(), rel=1e-6)


def test_free_mean_of_a_zero_prediction_is_the_variance_of_noise():
    system, batch = tiny_system(), tiny_batch(400)
    for parameter in system.parameters():
        parameter.data.zero_()
    state = system.state(batch)
    objective = DenoisingScoreMatching()
    losses = objective.losses(system, state, objective.draw(system, state, SampleStreams(400, "t")))
    assert losses["x"].item() == pytest.approx(1, abs=0.1)
    assert losses["adj"].item() == pytest.approx(1, abs=0.15)


def test_weightings_are_factors_of_the_noise_error():
    system, batch = tiny_system(), tiny_batch(1)
    state = system.state(batch)
    t = torch.tensor([0.3])
    noise = system.noise(state, SampleStreams(1, "t"))
    plain, data, likelihood, snr = (
        DenoisingScoreMatching(weighting=name).losses(system, state, Draws(t, noise))["x"].item()
        for name in ("noise", "data", "likelihood", "min_snr")
    )
    path = system.components["x"].path
    alpha, sigma, g = (float(f(t.double())) for f in (path.alpha, path.sigma, path.diffusion))
    assert data == pytest.approx(plain * (sigma / alpha) ** 2, rel=1e-5)
    assert likelihood == pytest.approx(plain * (g / sigma) ** 2, rel=1e-5)
    assert snr == pytest.approx(plain * min(1, 5 * (sigma / alpha) ** 2), rel=1e-5)


def test_total_weighs_components():
    objective = DenoisingScoreMatching(weights={"adj": 3.0})
    assert objective.total({"x": torch.tensor(1.0), "adj": torch.tensor(2.0)}).item() == 7.0


def test_uniform_times_reach_from_t_min_to_one():
    system, batch = tiny_system(), tiny_batch(2000)
    t = DenoisingScoreMatching(t_min=0.2).draw(system, system.state(batch), SampleStreams(2000, "t")).t
    assert 0.2 <= t.min() < 0.21
    assert 0.99 < t.max() <= 1
    assert t.mean().item() == pytest.approx(0.6, abs=0.02)


def test_times_by_log_snr_follow_the_likelihood_weight_of_vp():
    # For VP the integral of g^2 / sigma^2 is log(expm1(B)), B = b0 t + (b1 - b0) t^2 / 2.
    system, batch = tiny_system(), tiny_batch(2000)
    objective = DenoisingScoreMatching(times="log_snr", t_min=1e-3)
    t = objective.draw(system, system.state(batch), SampleStreams(2000, "t")).t.double()

    def integral(time):
        return torch.log(torch.expm1(0.1 * time + 0.45 * time**2))

    low, high = integral(torch.tensor(1e-3, dtype=torch.float64)), integral(torch.tensor(1.0, dtype=torch.float64))
    share = ((integral(t) - low) / (high - low)).sort().values
    assert (share - torch.linspace(0, 1, 2000, dtype=torch.float64)).abs().max() < 1.63 / math.sqrt(2000)


def test_a_graph_of_one_node_has_no_pairs_and_no_loss_on_them():
    system = tiny_system()
    batch = {"x": torch.ones(2, 1, 3), "adj": torch.zeros(2, 1, 1), "mask": torch.ones(2, 1, dtype=torch.bool)}
    state = system.state(batch)
    objective = DenoisingScoreMatching()
    losses = objective.losses(system, state, objective.draw(system, state, SampleStreams(2, "t")))
    assert losses["adj"].item() == 0
    assert torch.isfinite(losses["x"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"reduction": "half_sun"}, "half_sum"),
        ({"weighting": "noises"}, "noise"),
        ({"times": "unifrom"}, "uniform"),
        ({"t_min": 1.0}, "t_min"),
    ],
)
def test_wrong_settings_name_what_is_right(arguments, words):
    with pytest.raises(InputError, match=words):
        DenoisingScoreMatching(**arguments)


def test_a_weight_of_an_unknown_component_is_refused():
    system = tiny_system()
    state = system.state(tiny_batch(2))
    draws = Draws(torch.full((2,), 0.5), system.noise(state, SampleStreams(2, "t")))
    with pytest.raises(InputError, match="did you mean 'adj'"):
        DenoisingScoreMatching(weights={"adg": 1.0}).losses(system, state, draws)
