"""Diagnostics tell true scores from others: equation, symmetry, dimension, ODE against SDE, errors of solvers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import pytest
import torch
from torch import nn

from scorefield.core.analytic import mixture_system
from scorefield.core.diagnostics.conservativity import asymmetry
from scorefield.core.diagnostics.dimension import flipd, normal_space, time_of_noise
from scorefield.core.diagnostics.endpoints import endpoint_errors
from scorefield.core.diagnostics.gap import ode_sde_gap, sliced_w2
from scorefield.core.diagnostics.points import Points, spread_times
from scorefield.core.diagnostics.residual import fokker_planck
from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.noise import Seeded
from scorefield.core.objectives import DenoisingScoreMatching
from scorefield.core.objectives_fp import FokkerPlanckRegularised
from scorefield.core.paths import VE, VP, Cosine, GaussianPath, SubVP
from scorefield.core.solver_registry import SOLVERS
from scorefield.core.spaces import Masked, SymmetricAdjacency, ZeroCentreOfMass
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System
from tests.core import mixture
from tests.core.tiny_recipe import tiny_batch, tiny_system

WEIGHTS = torch.tensor([0.3, 0.5, 0.2])
MEANS = torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5]])
COVS = torch.stack([torch.tensor([[0.3, 0.1], [0.1, 0.2]]) * v for v in (1.0, 0.7, 1.5)])


def flat(path: GaussianPath, num: int = 24) -> tuple[System, State]:
    system = mixture.mixture_system(path, WEIGHTS, MEANS, COVS)
    labels = torch.multinomial(WEIGHTS, num, True, generator=torch.Generator().manual_seed(0))
    return system, system.network.data(State({"x": torch.zeros(num, 2).double()}), Seeded(0), labels)


def graphs(num: int = 12) -> tuple[System, State]:
    """A mixture over nodes, edges and centred positions of masked graphs, and samples of it."""
    components = {
        "x": Component(VP(), Masked(), "noise"),
        "adj": Component(VE(0.1, 3.0), SymmetricAdjacency(), "score"),
        "r": Component(Cosine(), ZeroCentreOfMass(), "data"),
    }
    shapes = {"x": (4, 2), "adj": (4, 4), "r": (4, 3)}
    generator = torch.Generator().manual_seed(1)
    means = {n: torch.randn(2, *s, generator=generator) for n, s in shapes.items()}
    system = mixture_system(
        components, torch.tensor([1.0, 2.0]), means, dict.fromkeys(shapes, torch.tensor([0.4, 0.2]))
    )
    mask = torch.arange(4) < torch.arange(num)[:, None] % 4 + 1
    frame = State({n: torch.zeros(num, *s, dtype=torch.float64) for n, s in shapes.items()}, {"mask": mask})
    return system, system.network.data(frame, Seeded(0), torch.arange(num) % 2)


class Bent(Network):
    """A true network and `slope` times a constant matrix on the noise prediction of x."""

    def __init__(self, true: Network, matrix: torch.Tensor, slope: float) -> None:
        super().__init__()
        self.true, self.matrix, self.slope = true, matrix.double(), slope

    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        return {n: v + self.slope * state[n] @ self.matrix.T for n, v in self.true(state, t).items()}


ROTATION = torch.tensor([[0.0, -1.0], [1.0, 0.0]])


def bent(slope: float, matrix: torch.Tensor = ROTATION, num: int = 24) -> tuple[System, State]:
    system, data = flat(VP(), num)
    return System(system.components, Bent(system.network, matrix, slope)), data


@pytest.mark.parametrize("path", [VP(), SubVP(), VE(0.01, 5.0), Cosine()], ids=lambda p: type(p).__name__)
def test_a_true_score_obeys_the_equation(path: GaussianPath) -> None:
    system, data = flat(path)
    found = fokker_planck(Points(system, data), spread_times(system, 5))
    assert max(found.size) < 1e-6
    assert max(found.relative) < 1e-9
    assert found.integral < 1e-6
    assert min(found.change) > 0


def test_the_equation_holds_on_masked_spaces_with_paths_of_their_own() -> None:
    system, data = graphs()
    points, times = Points(system, data), [0.05, 0.4, 0.8]
    assert max(fokker_planck(points, times, exact_up_to=64).size) < 1e-6
    estimated = fokker_planck(points, times, probes=32)
    assert max(estimated.relative) < 0.1


def test_a_false_score_does_not() -> None:
    system, data = bent(0.1)
    found = fokker_planck(Points(system, data), spread_times(system, 5))
    assert min(found.relative[1:]) > 1e-3
    assert found.integral > 0.1
    stronger = fokker_planck(Points(*bent(0.2)), found.times)
    assert stronger.integral > 1.5 * found.integral


def test_estimates_of_the_residual_agree_with_its_exact_value() -> None:
    system, data = bent(0.3, torch.tensor([[1.0, -1.0], [1.0, 0.0]]), 64)
    points = Points(system, data)
    exact, rough = (fokker_planck(points, [0.3, 0.6], 64, exact_up_to=n) for n in (8, 0))
    assert rough.size == pytest.approx(exact.size, rel=0.05)


def test_scores_of_mixtures_are_gradients() -> None:
    for system, data in (flat(SubVP()), graphs()):
        found = asymmetry(Points(system, data), [0.1, 0.5, 0.9])
        assert max(found.whole) < 1e-10
        assert all(max(shares) < 1e-10 for shares in found.blocks.values())


def test_asymmetry_is_the_share_of_the_jacobian_that_is_not_symmetric() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(6, 6, generator=generator)
    system = System({"x": Component(VP(), Masked(), "score")}, Bent(Zero(), matrix, 1.0))
    data = State({"x": torch.randn(400, 6, generator=generator).double()})
    found = asymmetry(Points(system, data), [0.5], probes=8)
    assert found.whole[0] == pytest.approx(float((matrix - matrix.T).norm() / matrix.norm()), rel=0.02)
    assert found.whole == found.blocks["x"]


class Zero(Network):
    """Predicts zero."""

    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        return {n: torch.zeros_like(v) for n, v in state.components.items()}


def test_asymmetry_counts_what_components_have_of_each_other() -> None:
    class Crossed(Network):
        """x does not see the edges, the edges see x."""

        def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
            x = state["x"]
            return {"x": -x, "adj": -state["adj"] + x @ x.transpose(1, 2)}

    components = {n: c for n, c in graphs()[0].components.items() if n != "r"}
    components = {n: Component(c.path, c.space, "score") for n, c in components.items()}
    data = graphs()[1]
    state = State({n: data[n] for n in components}, data.masks)
    found = asymmetry(Points(System(components, Crossed()), state), [0.5])
    assert found.whole[0] > 0.1
    assert max(max(shares) for shares in found.blocks.values()) < 1e-12


def test_zero_scores_have_neither_residual_nor_asymmetry() -> None:
    system = System({"x": Component(VE(0.1, 1.0), Masked(), "score")}, Zero())
    points = Points(system, State({"x": torch.randn(4, 3).double()}))
    assert fokker_planck(points, [0.2, 0.8]).size == [0.0, 0.0]
    assert asymmetry(points, [0.5]).whole == [0.0]


@pytest.mark.parametrize("dimension", [2, 5])
@pytest.mark.parametrize("noise", [0.05, 0.02])
def test_the_dimension_of_a_gaussian_on_a_plane(dimension: int, noise: float) -> None:
    spread = (torch.arange(10) < dimension).double()
    turn = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(2)).double())[0]
    system = mixture.mixture_system(VP(), torch.ones(1), torch.zeros(1, 10), (turn * (spread + 1e-12) @ turn.T)[None])
    x = (torch.randn(1000, 10, generator=torch.Generator().manual_seed(1)).double() * spread) @ turn.T
    t = time_of_noise(system, noise)
    assert float(system.components["x"].path.log_snr(torch.tensor(t).double())) == pytest.approx(-math.log(noise))
    points = Points(system, State({"x": x}))
    assert abs(float(flipd(points, t).mean()) - dimension) <= 0.01
    rough = flipd(Points(system, State({"x": x[:200]})), t, exact_up_to=0, probes=64)
    assert abs(float(rough.mean()) - dimension) <= 0.1
    few = Points(system, State({"x": x[:4]}))
    assert normal_space(few, t).tolist() == [dimension] * 4


def test_dimensions_on_masked_spaces_count_free_entries() -> None:
    components = {"adj": Component(VE(0.01, 3.0), SymmetricAdjacency(), "score")}
    system = mixture_system(components, torch.ones(1), {"adj": torch.zeros(1, 4, 4)}, {"adj": torch.ones(1)})
    mask = torch.arange(4) < torch.tensor([4, 3, 1])[:, None].repeat(100, 1)
    frame = State({"adj": torch.zeros(300, 4, 4, dtype=torch.float64)}, {"mask": mask})
    data = system.network.data(frame, Seeded(0), torch.zeros(300, dtype=torch.long))
    t = time_of_noise(system, 0.05)
    found = flipd(Points(system, data), t).reshape(100, 3).mean(0)
    torch.testing.assert_close(found, torch.tensor([6.0, 3.0, 0.0]).double(), atol=0.02, rtol=0)
    assert normal_space(Points(system, data.rows(slice(0, 3))), t).tolist() == [6, 3, 0]


def test_a_time_of_noise_stays_where_the_network_was_trained() -> None:
    system, _ = flat(VE(0.1, 1.0))
    assert time_of_noise(system, 1e-6) == 1e-5
    assert time_of_noise(system, 10.0) == 1.0


def test_ode_and_sde_agree_for_a_true_score_and_not_for_a_false_one() -> None:
    system, _ = flat(VP())
    frame = State({"x": torch.zeros(300, 2, dtype=torch.float64)})
    true = ode_sde_gap(system, frame, steps=40)
    assert true.p_value > 0.05
    assert true.ode["x"].std == pytest.approx(true.sde["x"].std, rel=0.06)
    false = ode_sde_gap(bent(-0.35, torch.eye(2))[0], frame, steps=40)
    assert false.p_value == 0.005
    assert false.w2 > 3 * false.floor


def test_the_sliced_distance_of_shifted_sets_is_the_shift() -> None:
    system, _ = flat(VP())
    a = State({"x": torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()})
    b = a.replace({"x": a["x"] + torch.tensor([3.0, 0.0])})
    assert sliced_w2(system, a, a, 0, 16) == 0.0
    assert sliced_w2(system, a, b, 0, 4000) == pytest.approx(3 / math.sqrt(2), rel=0.05)


def test_errors_of_solvers_fall_with_their_steps() -> None:
    system, data = flat(VP(), 8)
    found = endpoint_errors(system, data, (10, 20, 40), ["ddim", "unipc", "heun", "ddpm"])
    assert found.skipped == {"ddpm": "stochastic"}
    assert [(row.solver, row.setting) for row in found.rows[:2]] == [("ddim", "10 steps"), ("ddim", "20 steps")]
    assert [row.evaluations for row in found.rows] == [10, 20, 40, 10, 20, 40, 20, 40, 80]
    for solver in ("ddim", "unipc", "heun"):
        errors = [row.error for row in found.rows if row.solver == solver]
        assert all(late < early for early, late in pairwise(errors))
    assert found.reference_error < 1e-4 < min(row.error for row in found.rows)
    assert 0.5 < found.scale < 3


def test_every_deterministic_solver_is_tried_and_the_others_are_named() -> None:
    system, data = flat(VP(), 4)
    shares: list[float] = []
    found = endpoint_errors(system, data, (6,), reference_steps=20, progress=shares.append)
    tried = {row.solver for row in found.rows}
    assert tried | found.skipped.keys() == set(SOLVERS)
    assert all(found.skipped.get(name) == "stochastic" for name, entry in SOLVERS.items() if entry.stochastic)
    assert shares == sorted(shares)
    assert shares[-1] < 1
    settings = {row.setting for row in found.rows if row.solver == "rk45"}
    assert settings == {"rtol 0.1", "rtol 0.01", "rtol 0.001", "rtol 0.0001"}
    with pytest.raises(InputError, match="did you mean 'unipc'"):
        endpoint_errors(system, data, (6,), ["unipd"])


class Learner(Network):
    """A small smooth network that sees the time."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(3, 16), nn.Linear(16, 2)

    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        x = torch.cat([state["x"], t[:, None].to(state.dtype)], 1)
        return {"x": self.leave(torch.tanh(self.enter(x)))}


def train(objective: DenoisingScoreMatching | FokkerPlanckRegularised, steps: int = 60) -> float:
    """The residual's penalty after some training."""
    torch.manual_seed(0)
    system, data = (
        System({"x": Component(VP(), Masked(), "noise")}, Learner()),
        flat(VP(), 64)[1].to(dtype=torch.float32),
    )
    optimiser = torch.optim.Adam(system.parameters(), 1e-2)
    for step in range(steps):
        draws = objective.draw(system, data, SampleStreams(len(data), "train", step))
        loss = objective.total(objective.losses(system, data, draws))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    probe = FokkerPlanckRegularised(probes=16)
    with torch.no_grad():
        return float(probe.penalty(system, data, probe.draw(system, data, SampleStreams(len(data), "check"))))


@pytest.mark.parametrize("stop_gradient", [False, True])
def test_the_penalty_lowers_the_residual(stop_gradient: bool) -> None:
    with torch.random.fork_rng(devices=[]):
        plain = train(DenoisingScoreMatching(t_min=0.05))
        held = train(FokkerPlanckRegularised(DenoisingScoreMatching(t_min=0.05), 1.0, stop_gradient=stop_gradient))
    assert held < (0.6 if stop_gradient else 0.2) * plain


def test_the_penalty_is_small_for_a_true_score_only() -> None:
    system, data = flat(VP(), 8)
    objective = FokkerPlanckRegularised(DenoisingScoreMatching(t_min=0.1), probes=200, time_step=1e-4)
    draws = objective.draw(system, data, SampleStreams(8, "x"))
    with torch.no_grad():
        losses = objective.losses(system, data, draws)
        false = objective.losses(bent(2.0)[0], data, draws)
    assert list(losses) == ["x", "fokker_planck"]
    assert float(losses["fokker_planck"]) < 0.2
    assert float(false["fokker_planck"]) > 1.0
    torch.testing.assert_close(objective.total(losses), losses["x"] + 1e-3 * losses["fokker_planck"])


@pytest.mark.parametrize("scale", ["noise", "none"])
def test_a_step_of_the_penalty_on_masked_graphs(scale: str) -> None:
    system, batch = tiny_system(), tiny_batch(5)
    objective = FokkerPlanckRegularised(weight=0.1, scale=scale)
    found = {}
    for more in (0, 2):
        state = system.state(padded(batch, more))
        found[more] = objective.losses(system, state, objective.draw(system, state, SampleStreams(5, "x")))
    for name, loss in found[0].items():
        torch.testing.assert_close(found[2][name], loss, rtol=1e-4, atol=1e-6)
    objective.total(found[0]).backward()
    assert all(bool(p.grad.isfinite().all()) for p in system.parameters() if p.grad is not None)
    with torch.inference_mode():
        state = system.state(batch)
        again = objective.losses(system, state, objective.draw(system, state, SampleStreams(5, "x")))
    torch.testing.assert_close(again["fokker_planck"], found[0]["fokker_planck"].detach())


def padded(batch: Mapping[str, torch.Tensor], more: int) -> dict[str, torch.Tensor]:
    axes = {"x": (0, 0, 0, more), "adj": (0, more, 0, more), "mask": (0, more)}
    return {n: nn.functional.pad(v, axes[n]) for n, v in batch.items()}


@pytest.mark.parametrize("wrong", [{"weight": -1.0}, {"probes": 0}, {"time_step": 0.0}, {"scale": "nose"}])
def test_penalties_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(InputError):
        FokkerPlanckRegularised(**wrong)
