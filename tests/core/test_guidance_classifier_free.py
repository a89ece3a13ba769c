"""Classifier-free guidance: identities in the weight, one batched call, interval, rescaling, null tokens."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from scorefield.core.errors import InputError
from scorefield.core.guidance.classifier_free import ClassifierFree
from scorefield.core.guidance.gradient import Gradient
from scorefield.core.guidance.properties import Reward
from scorefield.core.noise import Seeded
from scorefield.core.paths import VE, VP
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System
from tests.core.guided_systems import evaluated, time_of


class Labelled(Network):
    """Outputs that depend on a label; label 3 is the null token."""

    null_condition = {"label": 3}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.embedding, self.x, self.adj = nn.Embedding(4, 2), nn.Linear(2, 2), nn.Linear(5, 5)
        self.batches: list[int] = []

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        self.batches.append(len(state))
        told = self.embedding(state.condition["label"])
        x = (self.x(state["x"]) + told[:, None] * t[:, None, None]).tanh()
        return {"x": x, "adj": self.adj(state["adj"]) * told[:, :1, None]}


def make() -> tuple[System, State]:
    components = {"x": Component(VP(), Masked(), "data"), "adj": Component(VE(), SymmetricAdjacency(), "score")}
    system = System(components, Labelled().double()).requires_grad_(False)
    mask = torch.arange(5) < torch.tensor([3, 5, 4])[:, None]
    frame = {"x": torch.zeros(3, 5, 2).double(), "adj": torch.zeros(3, 5, 5).double()}
    state = State(frame, {"mask": mask}, {"label": torch.tensor([0, 1, 2]), "name": "kept"})
    return system, state.replace(system.noise(state, Seeded(1)))


def null(state: State) -> State:
    return State(state.components, state.masks, {"label": torch.full((3,), 3), "name": "kept"})


@given(st.floats(-3, 8), st.floats(0.01, 1))
@settings(max_examples=15)
def test_outputs_lie_on_the_line_through_both_answers(weight: float, time: float) -> None:
    system, state = make()
    t = torch.full((3,), time).double()
    guided = ClassifierFree(weight).wrap(system)(state, t)
    conditional, unconditional = system(state, t), system(null(state), t)
    for name, value in guided.items():
        expected = unconditional[name] + weight * (conditional[name] - unconditional[name])
        torch.testing.assert_close(value, expected)


def test_weight_one_is_the_conditional_model_to_the_bit_and_zero_the_unconditional() -> None:
    system, state = make()
    solver = make_solver("unipc", 5)
    plain, free = (sample(system, given, solver, Seeded(0)).state for given in (state, null(state)))
    one, zero = (sample(ClassifierFree(w).wrap(system), state, solver, Seeded(0)).state for w in (1.0, 0.0))
    for name in plain.components:
        assert torch.equal(one[name], plain[name])
        torch.testing.assert_close(zero[name], free[name])
        assert not torch.allclose(plain[name], free[name])


def test_both_answers_come_from_one_call_that_counts_twice() -> None:
    system, state = make()
    done = sample(ClassifierFree(2.0).wrap(system), state, make_solver("dpmpp-2m", 4), Seeded(0))
    assert system.network.batches == [6] * 4
    assert done.evaluations == 8


def test_the_weight_holds_inside_its_interval_only() -> None:
    system, state = make()
    guided = ClassifierFree(3.0, interval=(0.2, 0.6)).wrap(system)
    everywhere = ClassifierFree(3.0).wrap(system)
    for time, inside in ((0.1, False), (0.2, True), (0.4, True), (0.6, True), (0.7, False)):
        t = torch.full((3,), time).double()
        expected = everywhere(state, t) if inside else system(state, t)
        for name, value in guided(state, t).items():
            assert torch.equal(value, expected[name])


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_rescaling_restores_the_standard_deviation_of_the_answer(share: float) -> None:
    system, state = make()
    t = torch.full((3,), 0.5).double()
    guided, plain = ClassifierFree(4.0, rescale=share).wrap(system)(state, t), system(state, t)
    raw = ClassifierFree(4.0).wrap(system)(state, t)
    for row, nodes in enumerate((3, 5, 4)):
        entries = {"x": lambda v, r=row, n=nodes: v[r, :n].flatten()}
        pairs = torch.triu_indices(nodes, nodes, 1)
        entries["adj"] = lambda v, r=row, p=pairs: v[r][p[0], p[1]]
        for name, select in entries.items():
            factor = select(plain[name]).std(correction=0) / select(raw[name]).std(correction=0)
            expected = select(raw[name]) * (share * factor + 1 - share)
            torch.testing.assert_close(select(guided[name]), expected)


def test_it_composes_with_gradients() -> None:
    system, state = make()
    cfg = ClassifierFree(2.0)
    push = Gradient(Reward(lambda seen: seen["x"].flatten(1).sum(1)), through_network=False, limit=None)
    plain, guided = (evaluated(cfg.wrap(system), state, guides, "data") for guides in ([cfg], [cfg, push]))
    t = torch.tensor(time_of(system)).double()
    moved = VP().sigma(t) ** 2 * system.components["x"].space.project(torch.ones(3, 5, 2).double(), state.masks)
    torch.testing.assert_close(guided["x"], plain["x"] + moved)
    torch.testing.assert_close(guided["adj"], plain["adj"])


def test_null_tokens_may_be_tensors() -> None:
    class Vectors(Labelled):
        null_condition = None

        def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
            return {"x": state["x"] + state.condition["label"][:, None], "adj": state["adj"]}

    system, state = make()
    system = System(system.components, Vectors())
    state = State(state.components, state.masks, {"label": torch.randn(3, 2).double()})
    token = torch.tensor([5.0, -5.0])
    t = torch.full((3,), 0.5).double()
    guided = ClassifierFree(0.0, null={"label": token}).wrap(system)(state, t)["x"]
    empty = State(state.components, state.masks, {"label": token.double().expand(3, 2)})
    torch.testing.assert_close(guided, system(empty, t)["x"])


def _without(name: str) -> State:
    _, state = make()
    return State(state.components, state.masks, {k: v for k, v in state.condition.items() if k != name})


def _run(guide: ClassifierFree, state: State | None = None) -> None:
    system, own = make()
    sample(guide.wrap(system), state or own, make_solver("ddim", 2), Seeded(0))


def _unwrapped() -> None:
    system, state = make()
    sample(system, state, make_solver("ddim", 2), Seeded(0), guides=[ClassifierFree(2.0)])


def _no_null() -> None:
    system, _ = make()
    network = Labelled()
    network.null_condition = None
    ClassifierFree(2.0).wrap(System(system.components, network))


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (_no_null, "needs a null condition; train the network with its condition left out at times"),
        (_unwrapped, r"acts on the network; sample guide.wrap\(system\)"),
        (lambda: _run(ClassifierFree(2.0), _without("label")), "the state lacks the condition 'label'"),
        (
            lambda: _run(ClassifierFree(2.0, null={"label": torch.zeros(2, 2)})),
            r"null token of label has shape \(2, 2\)",
        ),
        (lambda: ClassifierFree(math.inf), "guidance weight inf; give a finite number"),
        (lambda: ClassifierFree(1.0, interval=(0.5, 0.5)), "guidance from 0.5 to 0.5; need 0 <= first < last <= 1"),
        (lambda: ClassifierFree(1.0, rescale=1.5), "rescale 1.5; give 0 to 1"),
    ],
)
def test_what_cannot_work_is_one_line(guide, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        guide()
    assert "\n" not in str(error.value)
