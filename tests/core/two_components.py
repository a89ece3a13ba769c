"""A small network on two components with a mask, for tests of the loop itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scorefield.core.noise import Seeded
from scorefield.core.paths import VE, VP
from scorefield.core.solver_registry import make_solver
from scorefield.core.solvers.solver import Solver
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System

# Arguments with which solvers take a few steps on a VP path with beta_max = 20.
ARGUMENTS = {"s4": {"num_scales": 1000}, "dpm-v3": {"statistics": None}}


class Small(Network):
    """Two linear maps; x depends on adj."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.adj = nn.Linear(4, 4), nn.Linear(5, 5)

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        x = state["adj"] @ self.x(state["x"]) * t[:, None, None].to(state.dtype)
        return {"x": x.tanh(), "adj": self.adj(state["adj"]).tanh()}


def make_system(device: str = "cpu") -> tuple[System, State]:
    """The system, and a draw of its prior for graphs of 3, 5 and 4 nodes."""
    torch.manual_seed(0)
    components = {
        "x": Component(VP(), Masked(), "noise"),
        "adj": Component(VE(0.1, 1.0), SymmetricAdjacency(), "noise"),
    }
    system = System(components, Small()).to(device)
    mask = torch.arange(5, device=device) < torch.tensor([3, 5, 4], device=device)[:, None]
    frame = State(
        {"x": torch.zeros(3, 5, 4, device=device), "adj": torch.zeros(3, 5, 5, device=device)}, {"mask": mask}
    )
    return system, system.prior(frame, Seeded(0, device=device))


def solver_named(name: str, steps: int) -> Solver:
    """A solver of the registry that can take few steps."""
    return make_solver(name, steps, **ARGUMENTS.get(name, {}))
