"""Systems with closed forms on which guidance is tested, and single evaluations under guides."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.core.analytic import GaussianMixture, mixture_system
from scorefield.core.denoiser import Denoiser
from scorefield.core.guide import Guide, Guides, Run
from scorefield.core.noise import Seeded
from scorefield.core.paths import VE, VP, GaussianPath
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, System


def gaussian(std: float = 1.0, entries: int = 3, path: GaussianPath | None = None) -> System:
    """Independent N(0, std^2) entries, one component `x` `[B, entries]`."""
    component = {"x": Component(path or VP(), Masked(), "noise")}
    mean, variance = torch.zeros(1, entries).double(), torch.tensor([std**2]).double()
    return mixture_system(component, torch.ones(1), {"x": mean}, {"x": variance})


def correlated(covariance: Tensor) -> System:
    """N(0, covariance), one component `x` `[B, D]` on a VP path."""
    component = {"x": Component(VP(), Masked(), "noise")}
    return mixture_system(
        component, torch.ones(1), {"x": torch.zeros(1, len(covariance)).double()}, {"x": covariance[None]}
    )


def flat(rows: int, entries: int = 3) -> State:
    """An empty batch, float64 `[rows, entries]`."""
    return State({"x": torch.zeros(rows, entries, dtype=torch.float64)})


def graphs(seed: int = 0, nodes: int = 4, sizes: Sequence[int] = (4, 3, 2)) -> tuple[System, State]:
    """A mixture of graphs (x on VP, adj on VE, masked) and a draw in its spaces."""
    generator = torch.Generator().manual_seed(seed)
    components = {
        "x": Component(VP(), Masked(), "noise"),
        "adj": Component(VE(0.1, 1.0), SymmetricAdjacency(), "score"),
    }
    # Means that do not tell nodes apart, so that the model is equivariant.
    kinds = torch.randn(3, 1, 2, generator=generator).double()
    bonds = torch.randn(3, 1, 1, generator=generator).double()
    means = {"x": kinds.expand(3, nodes, 2), "adj": bonds.expand(3, nodes, nodes)}
    system = mixture_system(
        components, torch.tensor([1.0, 2.0, 1.0]), means, {n: torch.tensor([0.3, 0.1, 0.5]) for n in means}
    )
    mask = torch.arange(nodes) < torch.tensor(sizes)[:, None]
    shapes = {"x": (len(sizes), nodes, 2), "adj": (len(sizes), nodes, nodes)}
    state = State({n: torch.zeros(s, dtype=torch.float64) for n, s in shapes.items()}, {"mask": mask})
    return system, state.replace(system.noise(state, Seeded(seed + 1)))


def density(system: System, state: State, t: Tensor) -> Tensor:
    """log p_t of an analytic system."""
    network = system.network
    assert isinstance(network, GaussianMixture)
    return network.log_density(state, t)


def evaluated(
    system: System, state: State, guides: Sequence[Guide], kind: str = "score", index: int = 5
) -> dict[str, Tensor]:
    """One evaluation in the middle of a run."""
    solver = make_solver("ddim", 10, grid="uniform")
    plan = solver.plan(system)
    run = Run(system, state, solver, plan)
    denoise = Denoiser(system, state, plan.times, Guides([guide.begin(run) for guide in guides]))
    with torch.no_grad():
        return denoise(state, index, kind)


def time_of(system: System, index: int = 5) -> float:
    """The time of `evaluated`."""
    return make_solver("ddim", 10, grid="uniform").plan(system).times[index]
