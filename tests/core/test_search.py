"""Search spends its budget exactly, never loses reward but where a share is used up, and beats the best of as many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield.core.errors import InputError
from scorefield.core.guidance.properties import Expert, Property, Reward
from scorefield.core.guidance.search import RolloverSearch
from scorefield.core.noise import Seeded
from scorefield.core.paths import VP, Linear
from scorefield.core.sampling import Sampled, sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System, Values
from tests.core.mixture import mixture_system

CENTRE = torch.tensor([0.7, -0.4], dtype=torch.float64)
SOLVER = make_solver("ddpm", 10)


def _reward(state: State) -> torch.Tensor:
    return -(state["x"] - CENTRE).square().sum(1)


class Counted(Network):
    """Counts the rows that it is asked for."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.asked = network, 0

    def forward(self, state: State, t: torch.Tensor) -> Values:
        self.asked += len(state)
        outputs: Values = self.network(state, t)
        return outputs


def mixture(path: object = None, kind: str = "noise") -> System:
    weights = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
    means = torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -2.0]], dtype=torch.float64)
    covariances = torch.tensor([0.1, 0.2, 0.05], dtype=torch.float64)[:, None, None] * torch.eye(2).double()
    return mixture_system(path or VP(), weights, means, covariances, kind)


def frame(rows: int) -> State:
    return State({"x": torch.zeros(rows, 2, dtype=torch.float64)})


def searched(system: System, rows: int, seed: int = 0, solver: object = SOLVER, **arguments: object) -> Sampled:
    search = RolloverSearch(Reward(_reward), **{"budget": 100, "initial": 10, **arguments})
    return search.run(system, frame(rows), solver, Seeded(seed))


@pytest.mark.parametrize(("budget", "initial", "steps"), [(100, 10, 10), (37, 5, 8), (12, 3, 10), (7, 2, 1)])
def test_the_budget_is_spent_exactly(budget: int, initial: int, steps: int) -> None:
    system = mixture()
    system.network = Counted(system.network)
    solver = make_solver("ddpm", steps)
    result = searched(system, 20, solver=solver, budget=budget, initial=initial)
    assert system.network.asked == 20 * result.evaluations == 20 * budget
    assert bool(torch.isfinite(result.guides[0].rewards).all())
    assert result.guides[0].rewards.shape == (steps, 20)


def test_rewards_rise_but_where_a_share_is_used_up() -> None:
    guide = searched(mixture(), 200).guides[0]
    record = guide.rewards.cummax(0).values
    rising = guide.rewards[1:] > record[:-1]
    assert torch.equal(rising, ~guide.exhausted[1:])
    assert 0.02 < float(guide.exhausted[1:].double().mean()) < 0.98
    assert not bool(guide.exhausted[0].any())


def test_the_last_reward_is_that_of_the_sample() -> None:
    result = searched(mixture(), 50)
    torch.testing.assert_close(_reward(result.state), result.guides[0].rewards[-1])


def _best_of(system: System, num: int, rows: int, solver: object) -> torch.Tensor:
    """Best reward among `num` independent samples, `[rows]`."""
    rewards = _reward(sample(system, frame(rows * num), solver, Seeded(9)).state)
    return rewards.reshape(rows, num).amax(1)


@pytest.mark.parametrize("kind", ["noise", "velocity"])
def test_it_beats_the_best_of_as_many_calls(kind: str) -> None:
    """A flow is searched on the variance-preserving path."""
    system = mixture(Linear() if kind == "velocity" else VP(), kind)
    found = _reward(searched(system, 400).state)
    best = _best_of(mixture(), 10, 400, SOLVER)
    error = float((found.var() / 400 + best.var() / 400).sqrt())
    assert float(found.mean()) > float(best.mean()) - 2 * error
    assert float(found.mean()) > float(best.mean())


def test_a_flow_is_converted_and_its_own_path_can_be_kept() -> None:
    flow = mixture(Linear(), "velocity")
    solver = make_solver("ddpm", 10, start=0.99)
    converted, same, own = (searched(flow, 30, solver=solver, path=path).state["x"] for path in ("auto", "vp", "own"))
    assert torch.equal(converted, same)
    assert not torch.equal(converted, own)
    assert float(_reward(State({"x": own})).mean()) > -0.6


def test_samples_do_not_depend_on_each_other() -> None:
    """With the noise of its own row, a sample is what it is alone."""

    class Rows:
        def __init__(self, rows: list[int]) -> None:
            self.source, self.rows = Seeded(4), rows

        def normal(self, like: torch.Tensor) -> torch.Tensor:
            return self.source.normal(torch.zeros(8, 2, dtype=like.dtype))[self.rows]

    search = RolloverSearch(Reward(_reward), 60, 6)
    whole = search.run(mixture(), frame(8), SOLVER, Rows(list(range(8)))).state["x"]
    part = search.run(mixture(), frame(3), SOLVER, Rows([1, 4, 6])).state["x"]
    torch.testing.assert_close(part, whole[[1, 4, 6]])


def test_rewards_without_a_gradient_and_calls_of_the_potential() -> None:
    costly = Property(_reward)
    costly.calls = 1
    done: list[tuple[int, int]] = []
    search = RolloverSearch(costly, 100, 10)
    result = search.run(mixture(), frame(10), SOLVER, Seeded(0), lambda *step: done.append(step))
    assert result.evaluations == 100
    assert done == [(n + 1, 50) for n in range(50)]
    assert not hasattr(search, "rewards")


def test_a_reward_that_is_nan_is_never_taken() -> None:
    def some(state: State) -> torch.Tensor:
        return torch.where(state["x"][:, 0] > 0.5, torch.nan, _reward(state))

    result = RolloverSearch(Property(some), 100, 10).run(mixture(), frame(50), SOLVER, Seeded(0))
    assert float(result.state["x"][:, 0].max()) <= 0.5


def test_seeds() -> None:
    one, two, other = (searched(mixture(), 6, seed).state["x"] for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


class Broken(Network):
    def forward(self, state: State, t: torch.Tensor) -> Values:
        return {"x": state["x"] * torch.nan}


def test_what_cannot_be() -> None:
    reward = Reward(_reward)
    with pytest.raises(InputError, match="has no value"):
        RolloverSearch(Expert(mixture()))
    with pytest.raises(InputError, match="0 priors"):
        RolloverSearch(reward, initial=0)
    with pytest.raises(InputError, match="path 'v'"):
        RolloverSearch(reward, path="v")
    with pytest.raises(InputError, match="call its method run"):
        sample(mixture(), frame(2), SOLVER, Seeded(0), guides=[RolloverSearch(reward)])
    with pytest.raises(InputError, match=r"a budget of 15 calls for 10 steps from 10 priors; give at least 19"):
        searched(mixture(), 2, budget=15)
    with pytest.raises(InputError, match="take euler-maruyama"):
        searched(mixture(), 2, solver=make_solver("ddim", 10))
    with pytest.raises(FloatingPointError, match="in a search"):
        searched(System({"x": Component(VP(), Masked(), "noise")}, Broken()), 2)


def test_the_mixture_of_the_stored_tensors(shared_dir: Path) -> None:
    stored = np.load(shared_dir / "fixtures" / "core" / "ode_solvers_vp.npz")
    system = mixture_system(VP(), *(torch.from_numpy(stored[key]) for key in ("weights", "means", "covs")))
    found = _reward(searched(system, 400).state)
    best = _best_of(system, 10, 400, SOLVER)
    assert float(found.mean()) > float(best.mean()) - 2 * float((found.var() / 400 + best.var() / 400).sqrt())
