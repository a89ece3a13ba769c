"""Log-densities: published values, closed forms on masked graphs, padding, estimates, bad input."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import scorefield
from scorefield.core.analytic import mixture_system
from scorefield.core.calculus import divergences, free_bases, inner, leaves, total_dimension
from scorefield.core.errors import InputError
from scorefield.core.likelihood import Likelihood, Settings, gaussian_log_prior, log_likelihood
from scorefield.core.noise import Seeded
from scorefield.core.paths import VE, VP, Cosine, SubVP
from scorefield.core.spaces import DirectedAdjacency, Masked, SymmetricAdjacency, ZeroCentreOfMass
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System
from tests.core import mixture

PATHS = {"vp": VP(), "subvp": SubVP(), "ve": VE()}
NODES = 4


def true_prior(system: System, latent: State) -> torch.Tensor:
    """The mixture's own density at t = 1."""
    return system.network.log_density(latent, torch.ones(len(latent), dtype=torch.float64))


def graphs(counts: tuple[int, ...] = (4, 3, 3, 1), nodes: int = NODES) -> tuple[System, State]:
    """A mixture over nodes, edges and centred positions of graphs with these node counts, and samples of it."""
    generator = torch.Generator().manual_seed(1)
    components = {
        "x": Component(VP(), Masked(), "noise"),
        "adj": Component(VE(0.1, 3.0), SymmetricAdjacency(), "score"),
        "r": Component(VP(), ZeroCentreOfMass(), "data"),
    }
    shapes = {"x": (NODES, 2), "adj": (NODES, NODES), "r": (NODES, 3)}
    means = {n: torch.randn(2, *s, generator=generator) for n, s in shapes.items()}
    system = mixture_system(
        components, torch.tensor([1.0, 2.0]), means, dict.fromkeys(shapes, torch.tensor([0.3, 0.1]))
    )
    mask = torch.arange(NODES) < torch.tensor(counts)[:, None]
    frame = State({n: torch.zeros(len(counts), *s, dtype=torch.float64) for n, s in shapes.items()}, {"mask": mask})
    state = system.network.data(frame, Seeded(0), torch.arange(len(counts)) % 2)
    return padded(system, state, nodes - NODES)


def padded(system: System, state: State, more: int) -> tuple[System, State]:
    """The same graphs and mixture with further nodes that are masked out."""
    axes = {"x": (0, 0, 0, more), "adj": (0, more, 0, more), "r": (0, 0, 0, more)}
    clouds = system.network.clouds
    means = {n: functional.pad(clouds[n].means, pad) for n, pad in axes.items()}
    spreads = {n: cloud.spread[:, 0] for n, cloud in clouds.items()}
    wider = mixture_system(system.components, system.network.weights, means, spreads)
    values = {n: functional.pad(state[n], pad) for n, pad in axes.items()}
    return wider, State(values, {"mask": functional.pad(state.masks["mask"], (0, more))})


def stored(shared_dir: Path, name: str) -> tuple[System, State, dict[str, torch.Tensor]]:
    file = np.load(shared_dir / "fixtures" / "core" / "score_sde.npz")
    system = mixture.mixture_system(
        PATHS[name], *(torch.tensor(file[k]).double() for k in ("weights", "means", "covs"))
    )
    values = {k.rpartition("|")[2]: torch.tensor(file[k]).double() for k in file if k.startswith(f"{name}|lik|")}
    return system, State({"x": values["x"]}), values


slow = pytest.mark.slow


@pytest.mark.parametrize("name", ["vp", pytest.param("subvp", marks=slow), pytest.param("ve", marks=slow)])
def test_exact_divergence_gives_the_analytic_density(shared_dir: Path, name: str) -> None:
    system, state, wanted = stored(shared_dir, name)
    tight = Settings(t_min=1e-5, rtol=1e-11, atol=1e-11)
    got = log_likelihood(system, state, tight, log_prior=true_prior).nats
    torch.testing.assert_close(got, wanted["exact_logp_at_eps"], atol=1e-8, rtol=0)
    torch.testing.assert_close(got, wanted["exact_ode_logp_true_prior"], atol=1e-8, rtol=0)


@pytest.mark.parametrize("name", ["vp", "subvp", pytest.param("ve", marks=slow)])
def test_the_gaussian_prior_gives_the_published_setting_without_an_image_offset(shared_dir: Path, name: str) -> None:
    system, state, wanted = stored(shared_dir, name)
    got = log_likelihood(system, state, Settings(t_min=1e-5, rtol=1e-8, atol=1e-8))
    torch.testing.assert_close(got.nats, wanted["exact_ode_logp_gaussian_prior"], atol=1e-6, rtol=0)
    torch.testing.assert_close(got.bits_per_dimension, -got.nats / (2 * math.log(2)))
    torch.testing.assert_close(got.latent["x"], wanted["exact_z"], atol=2e-3, rtol=2e-5)  # stored to about 1e-6
    assert not bool(got.std_error.any())


def closed_form(system: System, state: State, t: float) -> torch.Tensor:
    return system.network.log_density(state, torch.full((len(state),), t, dtype=torch.float64))


def test_masked_graphs_of_several_sizes_have_their_closed_form_density() -> None:
    system, state = graphs()
    result = log_likelihood(system, state, Settings(t_min=1e-2, rtol=1e-8, atol=1e-8), log_prior=true_prior)
    torch.testing.assert_close(result.nats, closed_form(system, state, 1e-2), atol=1e-6, rtol=0)
    assert result.dimension.tolist() == [8 + 6 + 9, 6 + 3 + 6, 6 + 3 + 6, 2]


def test_padding_and_the_rest_of_the_batch_change_nothing() -> None:
    settings = Settings(t_min=1e-2, tile_size=1)
    system, state = graphs()
    whole = log_likelihood(system, state, settings)
    wider = log_likelihood(*padded(system, state, 3), settings)
    torch.testing.assert_close(wider.nats, whole.nats, atol=1e-10, rtol=0)
    assert wider.dimension.tolist() == whole.dimension.tolist()
    alone = log_likelihood(system, state.rows(slice(1, 2)), settings)
    assert float(alone.nats) == float(whole.nats[1])
    together = log_likelihood(system, state, Settings(t_min=1e-2))
    torch.testing.assert_close(together.nats, whole.nats, atol=1e-3, rtol=0)


def test_estimates_agree_with_the_exact_divergence_within_their_standard_errors() -> None:
    system, state = graphs()
    exact = log_likelihood(system, state, Settings(t_min=1e-2))
    rough = log_likelihood(system, state, Settings(t_min=1e-2, exact_up_to=0, probes=64))
    assert bool((rough.std_error > 0).all())
    assert bool(((rough.nats - exact.nats).abs() < 4 * rough.std_error + 1e-4).all()), (rough, exact)
    assert float(rough.std_error.max()) < 2.0


def test_probes_do_not_depend_on_padding_and_one_tells_no_error() -> None:
    settings = Settings(t_min=1e-2, exact_up_to=0, probes=1, seed=3)
    system, state = graphs()
    one = log_likelihood(system, state, settings)
    wider = log_likelihood(*padded(system, state, 2), settings)
    torch.testing.assert_close(wider.nats, one.nats, atol=1e-8, rtol=0)
    assert bool(one.std_error.isnan().all())


def test_only_rows_with_many_free_entries_are_estimated() -> None:
    system, state = graphs()
    result = log_likelihood(system, state, Settings(t_min=1e-2, exact_up_to=20, probes=4))
    assert (result.std_error > 0).tolist() == [True, False, False, False]


def test_a_sample_without_nodes_has_density_one() -> None:
    system, state = graphs((4, 0))
    result = log_likelihood(system, state, Settings(t_min=1e-2))
    assert float(result.nats[1]) == 0.0
    assert int(result.dimension[1]) == 0


@pytest.mark.parametrize("space", [Masked(), SymmetricAdjacency(), DirectedAdjacency(), ZeroCentreOfMass()])
def test_bases_are_orthonormal_and_sum_the_divergence(space) -> None:
    system = System({"x": Component(VP(), space, "noise")}, Blank())
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 0]], dtype=torch.bool)
    state = leaves(State({"x": space.project(torch.randn(3, 4, 4).double(), {"mask": mask})}, {"mask": mask}))
    basis = free_bases(system, state)
    gram = torch.stack([torch.stack([inner(system, a, b) for a in basis]) for b in basis])  # [D, D, B]
    assert torch.equal(total_dimension(system, state), gram.diagonal().sum(1).round())
    torch.testing.assert_close(gram, torch.diag_embed(gram.diagonal().round()).permute(1, 2, 0), atol=1e-12, rtol=0)
    field = {"x": space.project(3 * state["x"] + state["x"].sin(), {"mask": mask})}
    slope = (3 + state["x"].detach().cos()) * (space.project(torch.ones_like(state["x"]), {"mask": mask}) != 0)
    got = divergences(system, field, state, basis).sum(0)
    if not isinstance(space, ZeroCentreOfMass):
        torch.testing.assert_close(got, slope.flatten(1).sum(1) / space.copies)
    linear = {"x": space.project(3 * state["x"], {"mask": mask})}
    torch.testing.assert_close(divergences(system, linear, state, basis).sum(0), 3 * total_dimension(system, state))


class Blank(Network):
    """Predicts zero."""

    def forward(self, state, t):
        return {n: torch.zeros_like(v) for n, v in state.components.items()}


class Broken(Network):
    """Returns NaN early in time."""

    def forward(self, state, t):
        return {"x": torch.where(t[:, None] < 0.3, state["x"], math.nan)}


def test_a_learned_origin_shifts_the_density() -> None:
    parts = {"x": Component(VP(), Masked(), "noise")}
    plain = mixture_system(parts, torch.ones(1), {"x": torch.ones(1, 2)}, {"x": torch.ones(1)})
    moved = {"x": Component(VP(), Masked(), "noise", lambda state: state.condition["mu"])}
    x, mu = torch.randn(2, 3, 2, dtype=torch.float64).unbind()
    without = log_likelihood(plain, State({"x": x}))
    within = log_likelihood(System(moved, Shifted(plain.network)), State({"x": x + mu}, condition={"mu": mu}))
    torch.testing.assert_close(within.nats, without.nats, atol=1e-4, rtol=0)


class Shifted(Network):
    """A network that sees x = u + origin."""

    def __init__(self, plain):
        super().__init__()
        self.plain = plain

    def forward(self, state, t):
        return self.plain(state.replace({"x": state["x"] - state.condition["mu"]}), t)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"probes": 0}, "probes is 0"),
        ({"tile_size": 0}, "tile_size is 0"),
        ({"rtol": 0.0}, "rtol is 0"),
        ({"atol": math.nan}, "atol is nan"),
        ({"t_min": 0.9, "t_max": 0.5}, "t_min = 0.9, t_max = 0.5"),
        ({"t_max": 1.5}, "t_max = 1.5"),
    ],
)
def test_settings_that_cannot_be(settings, words) -> None:
    system, state = graphs((2,))
    with pytest.raises(InputError, match=words):
        log_likelihood(system, state, Settings(**settings))


def test_a_sample_outside_its_space_is_refused() -> None:
    system, state = graphs((3,))
    crooked = state["adj"].clone()
    crooked[0, 0, 1] += 1
    with pytest.raises(InputError, match="adj does not lie in its space, SymmetricAdjacency"):
        log_likelihood(system, state.replace({"adj": crooked}))


def test_a_network_that_fails_is_named_with_its_time() -> None:
    system = System({"x": Component(Cosine(), Masked(), "noise")}, Broken())
    with pytest.raises(FloatingPointError, match=r"NaN or infinity at t = 0\.[3-9]"):
        log_likelihood(system, State({"x": torch.randn(2, 3, dtype=torch.float64)}))


def test_a_tolerance_beyond_the_number_type_is_refused() -> None:
    system, state = graphs((2,))
    with pytest.raises(InputError, match="cannot be met"):
        log_likelihood(system, state.to(dtype=torch.float32), Settings(t_min=1e-3, rtol=1e-12, atol=1e-12))


def test_without_torchdiffeq_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(InputError, match=r"scorefield\[ode\]"):
        log_likelihood(*graphs((2,)))


def test_a_model_tells_densities_of_its_states() -> None:
    model = scorefield.load("molecules_small")
    state = model.sample(2, steps=5, decode=False, device="cpu", progress=False, conditions={"num_nodes": 2})
    result = model.log_likelihood(state, rtol=1e-2, atol=1e-2)
    assert isinstance(result, Likelihood)
    assert result.nats.dtype == torch.float64
    assert result.dimension.tolist() == [9, 9]
    assert bool(result.nats.isfinite().all())
    with pytest.raises(InputError, match="did you mean 'probes'"):
        model.log_likelihood(state, probe=3)


def test_the_prior_counts_free_entries_only() -> None:
    system, state = graphs((4, 2))
    latent = state.replace({n: torch.zeros_like(v) for n, v in state.components.items()})
    free, edges = total_dimension(system, state), torch.tensor([6.0, 1.0], dtype=torch.float64)
    wanted = -0.5 * free * math.log(2 * math.pi) - edges * math.log(3.0)
    torch.testing.assert_close(gaussian_log_prior(system, latent), wanted)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_densities() -> None:
    system, state = graphs()
    for settings in (Settings(t_min=1e-2), Settings(t_min=1e-2, exact_up_to=0, probes=4)):
        wanted = log_likelihood(system, state, settings)
        got = log_likelihood(system, state.to("cuda"), settings)
        torch.testing.assert_close(got.nats.cpu(), wanted.nats, atol=1e-6, rtol=0)
