"""The analytic model: its denoiser is the derivative of its density, on every kind, space and under masks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorefield.core.analytic import GaussianMixture, mixture_system
from scorefield.core.errors import InputError
from scorefield.core.noise import Seeded
from scorefield.core.paths import VE, VP, Cosine, Linear
from scorefield.core.predictions import KINDS
from scorefield.core.spaces import Masked, SymmetricAdjacency, ZeroCentreOfMass
from scorefield.core.state import State
from scorefield.core.system import Component


def _graphs(kind: str = "noise", nodes: int = 4) -> tuple[GaussianMixture, State]:
    generator = torch.Generator().manual_seed(3)
    components = {
        "x": Component(VP(), Masked(), kind),
        "adj": Component(Cosine(), SymmetricAdjacency(), kind),
        "r": Component(VE(), ZeroCentreOfMass(), kind),
    }
    means = {
        "x": torch.randn(3, nodes, 2, generator=generator).double(),
        "adj": torch.randn(3, nodes, nodes, generator=generator).double(),
        "r": torch.randn(3, nodes, 3, generator=generator).double(),
    }
    spread = torch.tensor([0.3, 0.1, 0.5])
    network = GaussianMixture(components, torch.tensor([1.0, 2.0, 1.0]), means, dict.fromkeys(components, spread))
    mask = torch.arange(nodes) < torch.tensor([nodes, 3, 2])[:, None]
    shapes = {"x": (3, nodes, 2), "adj": (3, nodes, nodes), "r": (3, nodes, 3)}
    state = State({n: torch.zeros(s, dtype=torch.float64) for n, s in shapes.items()}, {"mask": mask})
    noise = Seeded(0)
    draws = {n: c.space.noise(state[n], state.masks, noise) for n, c in components.items()}
    return network, state.replace(draws)


@given(t=st.floats(0.05, 0.95))
@settings(max_examples=10, deadline=None)
def test_the_score_is_the_gradient_of_the_density(t: float) -> None:
    network, state = _graphs("score")
    times = torch.full((3,), t, dtype=torch.float64)
    leaf = state.map(lambda v: v.clone().requires_grad_() if v.is_floating_point() else v)
    gradients = torch.autograd.grad(network.log_density(leaf, times).sum(), list(leaf.components.values()))
    scores = network(state, times)
    for (name, score), gradient in zip(scores.items(), gradients, strict=True):
        space = network.clouds[name].space
        # A gradient by entries counts each of a space's copies once; the score is with respect to free entries.
        free = space.project(gradient, state.masks) * space.copies
        torch.testing.assert_close(score, free, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_agree(kind: str) -> None:
    network, state = _graphs(kind)
    other, _ = _graphs("noise")
    components = {n: Component(c.path, c.space, kind) for n, c in network.clouds.items()}
    system = mixture_system(components, *_arguments(network))
    times = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    for name, value in system.predict(state, times, "noise").items():
        torch.testing.assert_close(value, other(state, times)[name], atol=1e-9, rtol=1e-9)


def _arguments(network: GaussianMixture):
    clouds = network.clouds.items()
    return network.weights, {n: c.means for n, c in clouds}, {n: c.spread[:, 0] for n, c in clouds}


def test_full_covariances_equal_variances_where_they_are_isotropic() -> None:
    component = {"x": Component(Linear(), Masked(), "velocity")}
    means, x = torch.randn(2, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    variances = torch.tensor([0.2, 0.7], dtype=torch.float64)
    full = variances[:, None, None] * torch.eye(3, dtype=torch.float64)
    t = torch.linspace(0.1, 1.0, 5, dtype=torch.float64)
    one, two = (GaussianMixture(component, torch.ones(2), {"x": means}, {"x": c}) for c in (variances, full))
    torch.testing.assert_close(one(State({"x": x}), t)["x"], two(State({"x": x}), t)["x"])
    torch.testing.assert_close(one.log_density(State({"x": x}), t), two.log_density(State({"x": x}), t))


def test_data_have_the_mixture_s_moments() -> None:
    component = {"x": Component(VP(), Masked(), "noise")}
    covariance = torch.tensor([[[2.0, 0.6], [0.6, 0.5]]])
    network = GaussianMixture(component, torch.ones(1), {"x": torch.tensor([[1.0, -1.0]])}, {"x": covariance})
    frame = State({"x": torch.zeros(200_000, 2)})
    drawn = network.data(frame, Seeded(0), torch.zeros(200_000, dtype=torch.long))["x"]
    torch.testing.assert_close(drawn.mean(0), torch.tensor([1.0, -1.0]), atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), covariance[0], atol=0.03, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    component = {"x": Component(VP(), Masked(), "noise")}
    for means, covariances in [((2, 3), (3,)), ((2, 3), (2, 2, 2)), ((1, 3), (2,))]:
        with pytest.raises(InputError):
            GaussianMixture(component, torch.ones(2), {"x": torch.zeros(means)}, {"x": torch.ones(covariances)})
    shapes = (
        (torch.ones(1), torch.eye(9)[None]),
        (torch.tensor([-1.0]), torch.ones(1)),
        (torch.ones(1), -torch.ones(1)),
    )
    for (weights, covariance), words in zip(shapes, ("SymmetricAdjacency", "positive", "negative"), strict=True):
        adj = {"adj": Component(VP(), SymmetricAdjacency(), "noise")}
        with pytest.raises(InputError, match=words):
            GaussianMixture(adj, weights, {"adj": torch.zeros(1, 3, 3)}, {"adj": covariance})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_covariance_may_be_of_low_rank(dtype: torch.dtype) -> None:
    factor = torch.randn(10, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    component = {"x": Component(VP(), Masked(), "score")}
    network = GaussianMixture(component, torch.ones(1), {"x": torch.zeros(1, 10)}, {"x": (factor @ factor.T)[None]})
    t = torch.tensor([0.4], dtype=torch.float64)
    x = torch.ones(1, 10, dtype=torch.float64)
    covariance = VP().alpha(t) ** 2 * (factor @ factor.T).double() + VP().variance(t) * torch.eye(10)
    wanted = -torch.linalg.solve(covariance, x[0])[None]
    torch.testing.assert_close(network(State({"x": x}), t)["x"], wanted, atol=1e-4, rtol=1e-4)
