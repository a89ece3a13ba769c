"""Moment matching: the posterior mean of Gaussian data in every space and through matrices; bounds; what it refuses."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from scorefield.core.analytic import mixture_system
from scorefield.core.errors import InputError
from scorefield.core.guidance.gradient import Gradient
from scorefield.core.guidance.moments import Moments
from scorefield.core.guidance.observations import GaussianObservation, QuantileObservation
from scorefield.core.noise import Seeded
from scorefield.core.paths import VP
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System
from tests.core.guided_systems import correlated, evaluated, flat, time_of

ENTRIES, STD = 5, 0.05
NAN = float("nan")


def covariance(entries: int = ENTRIES) -> Tensor:
    """A covariance far from the unit matrix."""
    steps = torch.arange(entries).double()
    return 0.8 ** (steps[:, None] - steps).abs() * (1 + steps[:, None] * steps / 8)


def noised(seed: int = 0) -> tuple[System, State]:
    system, state = correlated(covariance()), flat(4, ENTRIES)
    return system, state.replace(system.noise(state, Seeded(seed)))


def posterior(x: Tensor, t: float, value: Tensor, operator: Tensor, prior: Tensor) -> Tensor:
    """E[x_0 | x_t, y] for N(0, prior): the solution of the normal equations."""
    path, time = VP(), torch.tensor(t, dtype=torch.float64)
    alpha, variance = path.alpha(time), path.variance(time)
    precision = prior.inverse() + alpha**2 / variance * torch.eye(len(prior)) + operator.T @ operator / STD**2
    right = alpha / variance * x + value @ operator / STD**2
    return torch.linalg.solve(precision, right.T).T


def test_the_posterior_mean_of_dependent_data_is_exact() -> None:
    system, state = noised()
    value = torch.tensor([0.4, NAN, NAN, -0.3, NAN]).double()
    guide = Moments(GaussianObservation("x", value, STD), iterations=ENTRIES)
    found = evaluated(system, state, [guide], "data")["x"]
    seen = ~value.isnan()
    wanted = posterior(state["x"], time_of(system), value[seen], torch.eye(ENTRIES).double()[seen], covariance())
    torch.testing.assert_close(found, wanted, atol=1e-7, rtol=1e-7)


def test_observations_through_a_matrix_and_of_entries_go_together() -> None:
    system, state = noised(1)
    rows = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0, 2.0]]).double()
    value, sums = torch.tensor([NAN, 0.2, NAN, NAN, NAN]).double(), torch.tensor([0.5, -0.1]).double()
    both = [GaussianObservation("x", value, STD), GaussianObservation("x", sums, STD, operator=rows)]
    found = evaluated(system, state, [Moments(both, iterations=ENTRIES)], "data")["x"]
    operator = torch.cat([torch.eye(ENTRIES).double()[1:2], rows])
    wanted = posterior(
        state["x"], time_of(system), torch.tensor([0.2, 0.5, -0.1]).double(), operator, covariance()
    )  # fmt: skip
    torch.testing.assert_close(found, wanted, atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("mirrored", [True, False])
def test_mirrored_entries_count_once(mirrored: bool) -> None:
    """One observed bond of a graph with independent bonds; directly, or as its sum with itself through a matrix."""
    prior, nodes = 0.3, 3
    component = {"adj": Component(VP(), SymmetricAdjacency(), "noise")}
    means = {"adj": torch.zeros(1, nodes, nodes).double()}
    system = mixture_system(component, torch.ones(1), means, {"adj": torch.tensor([prior]).double()})
    mask = {"mask": torch.ones(2, nodes, dtype=torch.bool)}
    state = State({"adj": torch.zeros(2, nodes, nodes, dtype=torch.float64)}, mask)
    state = state.replace(system.noise(state, Seeded(0)))
    operator = None
    value = torch.full((nodes, nodes), NAN).double()
    value[0, 1] = value[1, 0] = 0.6
    if not mirrored:
        operator = torch.zeros(1, nodes * nodes).double()
        operator[0, [1, 3]] = 0.5
        value = torch.tensor([0.6]).double()
    guide = Moments(GaussianObservation("adj", value, STD, operator=operator), iterations=3)
    found = evaluated(system, state, [guide], "data")["adj"]
    path, time = VP(), torch.tensor(time_of(system), dtype=torch.float64)
    alpha, variance = path.alpha(time), path.variance(time)
    bond = state["adj"][:, 0, 1]
    wanted = (alpha / variance * bond + 0.6 / STD**2) / (1 / prior + alpha**2 / variance + 1 / STD**2)
    torch.testing.assert_close(found[:, 0, 1], wanted, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(found, found.transpose(1, 2))
    plain = evaluated(system, state, [], "data")["adj"]
    torch.testing.assert_close(found[:, 0, 2], plain[:, 0, 2])


class _Joint(Network):
    """E[x_0 | x_t] where nodes x `[B, N, 1]` and the bonds of adj `[B, N, N]` are Gaussian together, both on VP."""

    def __init__(self, prior: Tensor, nodes: int) -> None:
        super().__init__()
        self.prior, self.nodes, self.pairs = prior, nodes, torch.triu_indices(nodes, nodes, 1)

    def free(self, values: Mapping[str, Tensor]) -> Tensor:
        """Nodes, then bonds, `[B, D]`."""
        return torch.cat([values["x"][..., 0], values["adj"][:, self.pairs[0], self.pairs[1]]], 1)

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        alpha, variance = VP().alpha(t[:1]), VP().variance(t[:1])
        noised = alpha**2 * self.prior + variance * torch.eye(len(self.prior)).double()
        found = self.free(state.components) @ torch.linalg.solve(noised, alpha * self.prior)
        adj = torch.zeros_like(state["adj"])
        adj[:, self.pairs[0], self.pairs[1]] = found[:, self.nodes :]
        return {"x": found[:, : self.nodes, None], "adj": adj + adj.transpose(1, 2)}


@pytest.mark.parametrize("seen", [("bond",), ("node", "bond"), ("bond", "sum"), ("node", "bond", "sum")])
def test_components_that_depend_on_each_other_are_exact(seen: tuple[str, ...]) -> None:
    """Nodes and bonds of a graph, observed directly or through a matrix, move each other as they should."""
    network = _Joint(covariance(6), nodes=3)
    component = {"x": Component(VP(), Masked(), "data"), "adj": Component(VP(), SymmetricAdjacency(), "data")}
    system = System(component, network)
    empty = {"x": torch.zeros(2, 3, 1).double(), "adj": torch.zeros(2, 3, 3).double()}
    state = State(empty, {"mask": torch.ones(2, 3, dtype=torch.bool)})
    state = state.replace(system.noise(state, Seeded(3)))
    bond, both = torch.full((3, 3), NAN).double(), torch.zeros(1, 9).double()
    bond[0, 1] = bond[1, 0] = 0.6
    both[0, 2] = both[0, 5] = 1.0  # bonds (0, 2) and (1, 2)
    known = {
        "node": (GaussianObservation("x", torch.tensor([[NAN], [0.4], [NAN]]).double(), STD), 0.4, [1]),
        "bond": (GaussianObservation("adj", bond, STD), 0.6, [3]),
        "sum": (GaussianObservation("adj", torch.tensor([-0.5]).double(), STD, operator=both), -0.5, [4, 5]),
    }
    found = evaluated(system, state, [Moments([known[name][0] for name in seen], iterations=6)], "data")
    operator = torch.zeros(len(seen), 6).double()
    for row, name in zip(operator, seen, strict=True):
        row[known[name][2]] = 1.0
    value = torch.tensor([known[name][1] for name in seen]).double()
    wanted = posterior(network.free(state.components), time_of(system), value, operator, covariance(6))
    torch.testing.assert_close(network.free(found), wanted, atol=1e-7, rtol=1e-7)


def test_another_guide_may_follow() -> None:
    system, state = noised()
    first, second = torch.tensor([0.4, NAN, NAN, NAN, NAN]).double(), torch.tensor([NAN, NAN, NAN, NAN, -0.3]).double()
    moments = Moments(GaussianObservation("x", first, STD), iterations=ENTRIES)
    pulling = Gradient(GaussianObservation("x", second, 0.5))
    alone = evaluated(system, state, [moments], "data")["x"]
    found = evaluated(system, state, [moments, pulling], "data")["x"]
    assert bool(((found - alone)[:, 4] * (-0.3 - alone[:, 4]) > 0).all())


class _Moved(Network):
    """The denoiser of u, which is handed u + origin."""

    def __init__(self, inner: Network, origin: float) -> None:
        super().__init__()
        self.inner, self.origin = inner, origin

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        return self.inner(state.replace({"x": state["x"] - self.origin}), t)


@pytest.mark.parametrize("bounds", [None, 0.9])
def test_observations_are_of_what_stands_on_the_origin(bounds: float | None) -> None:
    system, state = noised(2)
    value = torch.tensor([0.4, NAN, NAN, -0.3, NAN]).double()
    moved = System(
        {"x": Component(VP(), Masked(), "noise", lambda state: torch.full_like(state["x"], 0.7))},
        _Moved(system.network, 0.7),
    )
    here = Moments(GaussianObservation("x", value, STD), ENTRIES)
    there = Moments(GaussianObservation("x", value + 0.7, STD), ENTRIES, bounds)
    found = evaluated(moved, state, [there], "data")["x"]
    wanted = evaluated(system, state, [here], "data")["x"]
    if bounds is not None:
        wanted = (wanted + 0.7).clamp(-bounds, bounds) - 0.7
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-9)


class _Linear(Network):
    """x0_hat = M x of each row, with M `[B, D, D]`: a derivative of any kind."""

    def __init__(self, matrices: Tensor) -> None:
        super().__init__()
        self.matrices = matrices

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        return {"x": (self.matrices @ state["x"][..., None])[..., 0]}


def moved(matrices: Tensor, value: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """What was left to the values before and after, `[B, D]`, all entries of such a network observed."""
    system, state = System({"x": Component(VP(), Masked(), "data")}, _Linear(matrices)), flat(len(matrices), 3)
    state = state.replace(system.noise(state, Seeded(4)))
    plain = evaluated(system, state, [], "data")["x"]
    found = evaluated(system, state, [Moments(GaussianObservation("x", value, 1e-4), iterations)], "data")["x"]
    return plain - value, found - value


@pytest.mark.parametrize("iterations", [1, 2, 3, 20])
@pytest.mark.parametrize("lopsided", [0.0, 0.4])
def test_no_prediction_is_pushed_further_off_than_it_was(iterations: int, lopsided: float) -> None:
    """However unlike the directions' variances are, and though a network's derivative be no symmetric matrix."""
    matrix = torch.diag(torch.tensor([1.0, 1e-3, 1e-6]).double())
    matrix[0, 1], matrix[1, 0] = lopsided, -lopsided
    left, after = moved(matrix.expand(4, 3, 3), torch.tensor([0.01, 0.5, -0.5]).double(), iterations)
    assert bool((after.norm(dim=1) < left.norm(dim=1)).all())


def test_rows_of_negative_variance_stay_and_others_are_solved() -> None:
    matrices = torch.eye(3).double() * torch.tensor([0.5, -0.5, 0.0]).double()[:, None, None]
    left, after = moved(matrices, torch.tensor([0.3, -0.2, 0.1]).double(), 3)
    torch.testing.assert_close(after[1:], left[1:])
    assert bool((after[0].abs() < 1e-6).all())


def test_what_cannot_be_is_refused() -> None:
    seen = GaussianObservation("x", torch.zeros(ENTRIES).double(), STD)
    with pytest.raises(InputError, match="leave weights out, choose std"):
        Moments(2 * seen)
    with pytest.raises(InputError, match="0 iterations, bounds None"):
        Moments(seen, iterations=0)
    with pytest.raises(InputError, match="moments cannot use QuantileObservation: it does not say what the data are"):
        Moments(QuantileObservation("x", torch.zeros(ENTRIES)))
