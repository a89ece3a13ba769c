"""Guided models in Python: by name, by potential, by guide."""

from __future__ import annotations

import pytest
import torch

import scorefield
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.generation import generate
from scorefield.core.guidance.classifier_free import ClassifierFree
from scorefield.core.guidance.gradient import Gradient
from scorefield.core.guidance.inpainting import Replacement
from scorefield.core.guidance.naming import Asked, make_guides
from scorefield.core.guidance.observations import GaussianObservation
from scorefield.core.guidance.properties import Reward
from scorefield.core.guide import ClampData

SETTINGS = {"steps": 5, "chunk_size": 8, "tile_size": 4, "decode": False}


@pytest.fixture
def model(toy_run):
    return scorefield.load(toy_run)


def right(state):
    mask = state.masks["mask"]
    return (state["x"][..., 0] * mask).sum(1) / mask.sum(1)


def test_names_potentials_and_guides_say_the_same(model):
    named = model.sample(20, guide="left=max:3", **SETTINGS)
    potential, guide = 3 * Reward(right), Gradient(Reward(right), 3.0)
    for wanted in (["left=max:3"], potential, [potential], guide, [guide]):
        assert torch.equal(model.sample(20, guide=wanted, **SETTINGS)["x"], named["x"])
    plain = model.sample(20, **SETTINGS)
    assert (right(named) > right(plain)).all()
    assert (named["x"] * ~named.masks["mask"][..., None] == 0).all()


def test_chunks_of_guided_runs_depend_on_their_number_alone(model):
    whole = model.sample(20, guide="left=2:5", **SETTINGS)["x"]
    generator = model.generator(steps=5, tile_size=4, guide="left=2:5")
    for number in (2, 0, 1):
        state, calls = generator.states(number, min(8, 20 - 8 * number), torch.device("cpu"))
        assert torch.equal(state["x"], whole[8 * number : 8 * number + 8])
        assert calls == 5


def test_guides_and_names_compose(model):
    known = torch.full((5, 2), torch.nan)
    known[0] = torch.tensor([3.0, 3.0])
    guides = [Replacement(GaussianObservation("x", known, 1.0)), ClampData(x=(-4.0, 4.0)), "left=2:5"]
    state = model.sample(20, guide=guides, conditions={"num_nodes": 5}, **SETTINGS)
    assert (state["x"][:, 0] == 3).all()
    plain = model.sample(20, guide=guides[:2], conditions={"num_nodes": 5}, **SETTINGS)
    # The one observed point is too far to the right, so that the others go to the left.
    assert float((right(plain) - right(state)).abs().mean()) > 0.01


def test_precisions(model):
    guide = Gradient(Reward(right), 3.0, through_network=False, data_std=0.5)
    for precision in ("bf16-mixed", "64-true"):
        plain, guided = (model.sample(8, guide=g, precision=precision, **SETTINGS) for g in ([], guide))
        assert (right(guided) > right(plain) + 0.1).all()


def test_gradients_that_drown_in_rounding_are_told(model):
    with pytest.warns(InputWarning, match="drown in rounding where noise is high; give precision 32-true, or the way"):
        model.generator(precision="bf16-mixed", guide="left=max")


def test_guides_given_as_objects_are_not_recorded(model, tmp_path):
    generator = model.generator(steps=5, guide=[Gradient(Reward(right))])
    with pytest.raises(InputError, match="guides given as objects cannot be recorded with a file; give them by name"):
        generate(generator, tmp_path / "points.txt", 4)


def test_what_a_user_writes_is_taken_apart():
    assert Asked.read("atoms.N=0.2:50") == Asked("atoms", "N", "0.2", 50.0)
    assert Asked.read("qed") == Asked("qed", "", None, 1.0)
    assert Asked.read("qed:-2") == Asked("qed", "", None, -2.0)
    assert Asked.read("logp=2.5") == Asked("logp", "", "2.5", 1.0)
    assert Asked.read("logp=min:1e2") == Asked("logp", "", "min", 100.0)


def test_the_condition_is_strengthened_by_classifier_free_guidance(model):
    first, second = make_guides(["condition:2.5", "left=2"], model.domain, {})
    assert isinstance(first, ClassifierFree)
    assert first.weight == 2.5
    assert isinstance(second, Gradient)


def test_a_domain_without_potentials_has_no_names(model):
    with pytest.raises(InputError, match="unknown potential 'left'; known: condition"):
        make_guides(["left=2"], object(), {})
