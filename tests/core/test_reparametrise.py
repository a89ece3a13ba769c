"""A model on another path says the same: stored conversions, closed forms, whole runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield.core.analytic import mixture_system
from scorefield.core.errors import InputError
from scorefield.core.noise import Seeded
from scorefield.core.paths import EDM, VE, VP, Cosine, DiscreteChain, GaussianPath, Linear, Polynomial
from scorefield.core.predictions import KINDS
from scorefield.core.reparametrise import Clock, Retimed, reparametrised
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, System
from tests.core.mixture import mixture_system as flat_system


class _LinearVP(GaussianPath):
    """alpha = 1 - t, sigma = sqrt(1 - alpha^2)."""

    def log_alpha(self, t: Tensor) -> Tensor:
        return torch.log1p(-t)

    def variance(self, t: Tensor) -> Tensor:
        return 1 - (1 - t) ** 2


PATHS = {"vp": VP(), "poly2": Polynomial(2), "cosine": Cosine(), "linear_vp": _LinearVP()}


@pytest.mark.parametrize("name", PATHS)
def test_velocities_are_those_stored(name: str, shared_dir: Path) -> None:
    folder = shared_dir / "fixtures" / "core"
    stored, mixture = np.load(folder / "flow_matching_paths.npz"), np.load(folder / "ode_solvers_vp.npz")
    parameters = [torch.from_numpy(mixture[key]) for key in ("weights", "means", "covs")]
    flow = flat_system(Linear(), *parameters, prediction="velocity")
    x = torch.from_numpy(stored["x_init"])
    t = torch.full((len(x),), 0.6, dtype=torch.float64)  # the library counts times from the noise
    velocity = -reparametrised(flow, PATHS[name]).predict(State({"x": x}), t, "velocity")["x"]
    for key in ("transformed_from_condot", "direct"):
        np.testing.assert_allclose(velocity.numpy(), stored[f"{name}|{key}|t0.4"], rtol=0, atol=2e-13)


def _graphs(paths: dict[str, GaussianPath], kind: str) -> tuple[System, State]:
    generator = torch.Generator().manual_seed(5)
    spaces = {"x": Masked(), "adj": SymmetricAdjacency()}
    components = {n: Component(path, spaces[n], kind) for n, path in paths.items()}
    shapes = {"x": (4, 2), "adj": (4, 4)}
    means = {n: torch.randn(2, *s, generator=generator).double() for n, s in shapes.items()}
    spreads = {"x": torch.tensor([0.3, 0.1]), "adj": torch.tensor([0.2, 0.4])}
    mask = torch.arange(4) < torch.tensor([4, 3, 2])[:, None]
    zeros = {n: torch.zeros(3, *s, dtype=torch.float64) for n, s in shapes.items()}
    system = mixture_system(components, torch.tensor([1.0, 2.0]), means, spreads)
    state = State(zeros, {"mask": mask})
    return system, state.replace(system.noise(state, Seeded(0)))


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        *(({"x": Linear(), "adj": Cosine()}, {"x": VP()}, kind) for kind in KINDS),
        ({"x": VP(), "adj": VE()}, {"adj": EDM(0.002, 50.0)}, "score"),
        ({"x": VP(), "adj": VP()}, {"adj": Linear(), "x": Linear()}, "velocity"),
        ({"x": DiscreteChain("cosine", 50), "adj": VP(0.1, 1.0)}, {"x": VP()}, "noise"),
    ],
)
def test_it_is_the_model_of_the_new_paths(
    old: dict[str, GaussianPath], new: dict[str, GaussianPath], kind: str
) -> None:
    system, state = _graphs(old, kind)
    converted = reparametrised(system, new)
    for name, path in new.items():
        assert type(converted.components[name].path) is type(path)
    exact, _ = _graphs({n: c.path for n, c in converted.components.items()}, kind)
    t = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    for times in (t, t[1].expand(3)):
        for name, value in exact(state, times).items():
            torch.testing.assert_close(converted(state, times)[name], value, atol=1e-9, rtol=1e-9)


def test_a_run_ends_where_it_ends_on_the_old_path() -> None:
    """First-order exponential steps on a grid of equal log-SNR do not know the path."""
    system, empty = _graphs({"x": Linear(), "adj": Linear()}, "velocity")
    path = VP()
    start, end = 0.9, 0.01
    log_snr = Linear().log_snr(torch.tensor([start, end], dtype=torch.float64))
    begin, stop = path.time_of(log_snr).tolist()
    noise = {n: v * start for n, v in system.noise(empty, Seeded(1)).items()}
    scale = float(path.alpha(path.time_of(log_snr[0]))) / (1 - start)
    moved = {n: v * scale for n, v in noise.items()}
    ends = [
        sample(s, empty, make_solver("ddim", 12, start=a, end=b, final="denoise"), Seeded(0), start=empty.replace(x))
        for s, a, b, x in (
            (system, start, end, noise),
            (reparametrised(system, {"x": path, "adj": path}), begin, stop, moved),
        )
    ]
    for name in ("x", "adj"):
        torch.testing.assert_close(ends[0].state[name], ends[1].state[name], atol=1e-10, rtol=0)
    assert ends[0].evaluations == ends[1].evaluations == 13


@pytest.mark.parametrize("kind", KINDS)
def test_origins_stay_where_they_are(kind: str) -> None:
    system, state = _graphs({"x": Linear(), "adj": Linear()}, kind)
    shift = torch.full((3, 4, 2), 0.7, dtype=torch.float64)
    plain = system.components
    away = {**plain, "x": Component(plain["x"].path, plain["x"].space, kind, origin=lambda state: shift)}
    old = System(away, system.network)
    new = reparametrised(old, {"x": VP(), "adj": VP()})
    t = torch.full((3,), 0.4, dtype=torch.float64)
    tau = Clock(Linear(), VP())(t)
    ratio = float(Linear().alpha(tau[0]) / VP().alpha(t[0]))
    scaled = state.replace({n: state[n] * ratio for n in plain})
    for name, value in old.predict(scaled, tau, "data").items():
        torch.testing.assert_close(new.predict(state, t, "data")[name], value, atol=1e-9, rtol=1e-9)


def test_a_clock_has_a_derivative() -> None:
    for old, new in ((Linear(), VP()), (VP(), Cosine()), (VE(), EDM())):
        clock = Clock(old, new)
        assert torch.autograd.gradcheck(clock, torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64, requires_grad=True))
    path = Retimed(Cosine(), Clock(Linear(), VP()))
    t, step = torch.tensor([0.3, 0.6], dtype=torch.float64), 1e-6
    slope = (path.log_alpha(t + step) - path.log_alpha(t - step)) / (2 * step)
    torch.testing.assert_close(path.drift(t), slope, atol=1e-6, rtol=1e-6)
    assert float(path.variance(torch.zeros(1))) < 1e-12


def test_times_stay_within_what_the_network_knows() -> None:
    system, _ = _graphs({"x": VP(), "adj": VP()}, "noise")
    path = reparametrised(system, Linear()).components["x"].path
    clock = Clock(VP(), Linear())
    ends = clock(torch.tensor([path.t_min, path.t_max], dtype=torch.float64))
    torch.testing.assert_close(ends, torch.tensor([VP.t_min, VP.t_max]).double(), atol=1e-9, rtol=0)
    assert Linear.t_min == 1e-3  # the path that was given is left as it was


def test_a_prior_follows_its_path() -> None:
    system, _ = _graphs({"x": Linear(), "adj": VE()}, "noise")
    converted = reparametrised(system, VP())
    last = torch.ones((), dtype=torch.float64)
    wide = float(VE().sigma(Clock(Linear(), VP())(last)))
    assert converted.components["adj"].path.prior_std == pytest.approx(wide)
    assert converted.components["x"].path.prior_std == 1


def test_single_precision_and_calls() -> None:
    system, state = _graphs({"x": Linear(), "adj": Linear()}, "velocity")
    system.network.calls = 3
    system.network.null_condition = {"y": 0}
    converted = reparametrised(system, {"x": VP(), "adj": VP()})
    half = converted(state.to(dtype=torch.float32), torch.full((3,), 0.4))
    assert half["x"].dtype == torch.float32
    torch.testing.assert_close(
        half["x"].double(), converted(state, torch.full((3,), 0.4).double())["x"], atol=1e-4, rtol=1e-4
    )
    assert converted.network.calls == 3
    assert converted.network.null_condition == {"y": 0}


def test_what_cannot_be() -> None:
    system, _ = _graphs({"x": VP(), "adj": VP(0.1, 1.0)}, "noise")
    with pytest.raises(InputError, match=r"unknown component 'ad'; did you mean 'adj'"):
        reparametrised(system, {"ad": Linear()})
    with pytest.raises(InputError, match="no path"):
        reparametrised(system, {})
    with pytest.raises(InputError, match=r"need the network at two times; leave adj out"):
        reparametrised(system, {"x": Linear(), "adj": Linear()})
