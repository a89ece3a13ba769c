"""What samples of every solver must not depend on: the order of nodes, batch mates, the number type of the state."""

from __future__ import annotations

import pytest
import torch

from scorefield.core.noise import Seeded
from scorefield.core.paths import VE, VP
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import SOLVERS, make_solver
from scorefield.core.solvers.solver import Solver
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System
from tests.core.two_components import ARGUMENTS

# Its steps are those of the whole batch, unless they are equal.
ARGUMENTS_HERE = ARGUMENTS | {"rk45": {"method": "rk4"}}
ORDER = torch.tensor([3, 0, 5, 1, 4, 2])
FRAME = State(
    {"x": torch.zeros(3, 6, 2, dtype=torch.float64), "adj": torch.zeros(3, 6, 6, dtype=torch.float64)},
    {"mask": torch.arange(6) < torch.tensor([6, 4, 3])[:, None]},
)


class Equivariant(Network):
    """Outputs that follow any new order of the nodes."""

    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        x, adj, late = state["x"], state["adj"], t[:, None, None].cos().to(state.dtype)
        return {"x": (adj @ x).tanh() * late, "adj": (x @ x.mT / 3).sin() + 0.1 * adj}


class Reordered:
    """The draws of one batch of three, some of its rows, their nodes in another order."""

    def __init__(self, order: torch.Tensor | None = None, rows: slice = slice(None)) -> None:
        self.source, self.order, self.rows = Seeded(5), order, rows

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        draw = self.source.normal(like.new_zeros(3, *like.shape[1:]))
        square = like.shape[1] == like.shape[2]
        if square:
            draw = draw.triu(1) + draw.triu(1).mT
        if self.order is not None:
            draw = draw[:, self.order][:, :, self.order] if square else draw[:, self.order]
        return draw[self.rows]


def _system() -> System:
    components = {
        "x": Component(VP(0.1, 1.0), Masked(), "noise"),
        "adj": Component(VE(0.2, 1.0), SymmetricAdjacency(), "noise"),
    }
    return System(components, Equivariant())


def _solver(name: str) -> Solver:
    return make_solver(name, 6, end=1e-2, **ARGUMENTS_HERE.get(name, {}))


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_samples_follow_the_order_of_nodes(name: str) -> None:
    plain = sample(_system(), FRAME, _solver(name), Reordered()).state
    frame = State(FRAME.components, {"mask": FRAME.masks["mask"][:, ORDER]})
    moved = sample(_system(), frame, _solver(name), Reordered(ORDER)).state
    torch.testing.assert_close(moved["x"], plain["x"][:, ORDER], atol=1e-10, rtol=0)
    torch.testing.assert_close(moved["adj"], plain["adj"][:, ORDER][:, :, ORDER], atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_a_sample_does_not_see_its_batch_mates(name: str) -> None:
    whole = sample(_system(), FRAME, _solver(name), Reordered()).state
    row = slice(1, 2)
    alone = sample(_system(), FRAME.rows(row), _solver(name), Reordered(rows=row)).state
    for part in ("x", "adj"):
        torch.testing.assert_close(alone[part], whole[part][row], atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_the_state_keeps_its_number_type(name: str) -> None:
    found = {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        start = _system().prior(FRAME, Seeded(0)).to(dtype=dtype)
        draws = Rounded()
        found[dtype] = sample(_system(), start, _solver(name), draws, start=start).state
        assert found[dtype]["x"].dtype == found[dtype]["adj"].dtype == dtype
    for part, exact in found[torch.float64].components.items():
        torch.testing.assert_close(found[torch.float32][part].double(), exact, atol=1e-4, rtol=0)
        torch.testing.assert_close(found[torch.bfloat16][part].double(), exact, atol=0.3, rtol=0)


class Rounded:
    """The same draws in every number type."""

    def __init__(self) -> None:
        self.source = Seeded(1)

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        return self.source.normal(like.double()).to(like.dtype)
