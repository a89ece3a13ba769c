"""Data that are one fixed molecule: its exact score, through every solver, must give that molecule back."""

from __future__ import annotations

import pytest
import torch

from scorefield.core.noise import Seeded
from scorefield.core.paths import VE, VP, GaussianPath
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System
from scorefield.domains.graphs.quantise import quantise

ATOMS = torch.tensor([0, 2, 1, 0, 0])
BONDS = torch.tensor([[0, 1, 0, 0, 1], [1, 0, 2, 0, 0], [0, 2, 0, 3, 0], [0, 0, 3, 0, 1], [1, 0, 0, 1, 0]])
PATHS: dict[str, GaussianPath] = {"VP": VP(0.1, 20.0), "VE": VE(0.01, 1.0)}
SAMPLERS = {
    "euler-langevin": ("pc", 200, {"predictor": "euler", "published": True, "snr": 0.05, "end": 1e-4}),
    "reverse-langevin": ("pc", 200, {"predictor": "reverse", "published": True, "snr": 0.05, "end": 1e-4}),
    "exponential-langevin": ("pc", 25, {"snr": 0.05, "end": 1e-4}),
    "s4": ("s4", 1000, {"snr": 0.05}),
    "dpmpp-2m": ("dpmpp-2m", 20, {"end": 1e-4}),
}


class FixedGraph(Network):
    """Score of N(alpha x_0, sigma^2) for one x_0."""

    def __init__(self, path: GaussianPath, x: torch.Tensor, adj: torch.Tensor) -> None:
        super().__init__()
        self.path, self.targets = path, {"x": x, "adj": adj}

    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        alpha, variance = self.path.alpha(t)[:, None, None], self.path.variance(t)[:, None, None]
        return {n: -(state[n] - alpha * target) / variance for n, target in self.targets.items()}


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("name", sorted(PATHS))
def test_the_graph_comes_back(name: str, sampler: str) -> None:
    path = PATHS[name]
    x = torch.nn.functional.one_hot(ATOMS, 3).double()
    network = FixedGraph(path, x, BONDS.double())
    components = {"x": Component(path, Masked(), "score"), "adj": Component(path, SymmetricAdjacency(), "score")}
    mask = torch.ones(8, 5, dtype=torch.bool)
    frame = State({"x": torch.zeros(8, 5, 3).double(), "adj": torch.zeros(8, 5, 5).double()}, {"mask": mask})
    solver_name, steps, arguments = SAMPLERS[sampler]
    state = sample(System(components, network), frame, make_solver(solver_name, steps, **arguments), Seeded(0)).state
    atoms, bonds = quantise(state["x"], state["adj"], mask)
    assert torch.equal(atoms, ATOMS.expand(8, 5))
    assert torch.equal(bonds.long(), BONDS.expand(8, 5, 5))
