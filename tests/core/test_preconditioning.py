"""Preconditioned networks: the best linear prediction, and unit variance for what is left to learn."""

import pytest
import torch
from torch import Tensor

from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.objectives import DenoisingScoreMatching
from scorefield.core.paths import EDM, VP, Cosine, GaussianPath, Linear
from scorefield.core.preconditioning import Preconditioned
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System


class Fixed(Network):
    """Returns one tensor, and remembers what it saw."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        """See `Network.forward`."""
        self.seen, self.time = state["x"], t
        return {"x": self.output}


PATHS = [EDM(0.002, 20.0), VP(), Cosine()]
TIMES = torch.tensor([0.01, 0.1, 0.3, 0.5, 0.9], dtype=torch.float64)


def shaped(values: Tensor) -> Tensor:
    """As a factor of windows."""
    return values[:, None, None]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
def test_without_a_correction_it_is_the_best_linear_prediction(path: GaussianPath) -> None:
    std, x = 0.7, torch.randn(5, 4, 2, dtype=torch.float64)
    network = Preconditioned(Fixed(torch.zeros_like(x)), {"x": path}, std)
    alpha, sigma = shaped(path.alpha(TIMES)), shaped(path.sigma(TIMES))
    expected = alpha * std**2 / (alpha**2 * std**2 + sigma**2) * x  # E[x_0 | x_t] for x_0 of N(0, std^2)
    torch.testing.assert_close(network(State({"x": x}), TIMES)["x"], expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(network.network.seen, x / (alpha**2 * std**2 + sigma**2).sqrt(), rtol=1e-12, atol=0)


def test_unit_data_on_a_path_that_keeps_variance_make_it_a_prediction_of_v() -> None:
    path, x, v = VP(), torch.randn(5, 4, 2, dtype=torch.float64), torch.randn(5, 4, 2, dtype=torch.float64)
    alpha, sigma = shaped(path.alpha(TIMES)), shaped(path.sigma(TIMES))
    predicted = Preconditioned(Fixed(-v), {"x": path}, 1.0)(State({"x": x}), TIMES)["x"]
    torch.testing.assert_close(predicted, alpha * x - sigma * v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
def test_the_balanced_loss_is_the_squared_error_of_the_correction(path: GaussianPath) -> None:
    std, state = 0.7, State({"x": 0.7 * torch.randn(64, 4, 2, dtype=torch.float64)})
    network = Preconditioned(Fixed(torch.randn(64, 4, 2, dtype=torch.float64)), {"x": path}, std)
    system = System({"x": Component(path, Masked(), "data")}, network)
    objective = DenoisingScoreMatching("mean", "balanced", "log_snr", t_min=0.001, t_max=0.95, data_std=std)
    draws = objective.draw(system, state, SampleStreams(64, "train", 0, 0))
    alpha, sigma = shaped(path.alpha(draws.t)), shaped(path.sigma(draws.t))
    variance = alpha**2 * std**2 + sigma**2
    noised = alpha * state["x"] + sigma * draws.noise["x"]
    target = (state["x"] - alpha * std**2 / variance * noised) / (sigma * std / variance.sqrt())
    expected = (network.network.output - target).square().mean()
    torch.testing.assert_close(objective.losses(system, state, draws)["x"], expected, rtol=1e-9, atol=0)
    assert target.square().mean().item() == pytest.approx(1, abs=0.2)  # what is learnt has unit variance


def test_time_is_the_place_of_the_noise_level_and_one_time_stays_one() -> None:
    path, x = EDM(0.002, 20.0), torch.randn(5, 4, 2)
    network = Preconditioned(Fixed(torch.zeros_like(x)), {"x": path}).eval()
    sigmas = torch.tensor([0.002, 0.02, 0.2, 2.0, 20.0])
    network(State({"x": x}), sigmas / 20)
    torch.testing.assert_close(network.network.time, torch.linspace(0, 1, 5), rtol=1e-5, atol=1e-6)
    network(State({"x": x}), torch.tensor([0.3]).expand(5))
    assert network.network.time.stride(0) == 0


def test_predictions_stay_in_bounds_in_evaluation_only() -> None:
    x = torch.full((5, 4, 2), 100.0)
    network = Preconditioned(Fixed(torch.full_like(x, 100.0)), {"x": VP()}, bounds=(-1, 1))
    assert network.train()(State({"x": x}), TIMES.float())["x"].max() > 1
    assert network.eval()(State({"x": x}), TIMES.float())["x"].max() == 1


@pytest.mark.parametrize("std", [0.0, -1.0, float("inf"), float("nan")])
def test_bad_deviations_are_refused(std: float) -> None:
    with pytest.raises(InputError, match="data_std"):
        Preconditioned(Fixed(torch.zeros(1)), {"x": VP()}, std)
    with pytest.raises(InputError, match="data_std"):
        DenoisingScoreMatching(data_std=std)


def test_a_path_without_signal_at_an_end_is_refused() -> None:
    with pytest.raises(InputError, match="signal-to-noise ratio of Linear is infinite at an end; take another path"):
        Preconditioned(Fixed(torch.zeros(1)), {"x": Linear()})


@pytest.mark.parametrize(("first", "last"), [(0.001, 1.0), (0.0, 0.999)])
def test_times_uniform_in_an_infinite_range_are_refused(first: float, last: float) -> None:
    system = System({"x": Component(Linear(), Masked(), "data")}, Fixed(torch.zeros(1)))
    state = State({"x": torch.zeros(4, 2)})
    objective = DenoisingScoreMatching("mean", "data", "log_snr", first, last)
    with pytest.raises(
        InputError, match=f"t from {first:g} to {last:g}: the log signal-to-noise ratio of Linear is infinite"
    ):
        objective.draw(system, state, SampleStreams(4, "train", 0, 0))
    fine = DenoisingScoreMatching("mean", "data", "log_snr", 0.001, 0.999)
    assert len(fine.draw(system, state, SampleStreams(4, "train", 0, 0)).t.unique()) == 4
