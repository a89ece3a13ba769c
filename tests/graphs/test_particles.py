"""Particles, search and refinement on molecules: properties by RDKit, by the names that users type."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem.QED import qed

import scorefield
from scorefield.core.errors import InputError
from scorefield.core.guidance.particles import Particles
from scorefield.core.guidance.properties import Property


@pytest.fixture(scope="module")
def model() -> object:
    return scorefield.load("molecules_small")


def _mean(molecules: object) -> float:
    return float(np.mean([qed(Chem.MolFromSmiles(s)) if s else 0.0 for s in map(str, molecules.smiles)]))


def test_particles_raise_a_property_without_a_gradient(model: object) -> None:
    plain, guided, default = (
        _mean(model.sample(32, "ddpm", steps=25, seed=1, **guidance))
        for guidance in ({}, {"guide": "qed:60", "way": "particles"}, {"guide": "qed:60"})
    )
    assert guided > plain + 0.03
    assert default == guided


def test_sizes_may_be_kept(model: object) -> None:
    plain = model.sample(48, "ddpm", steps=10, seed=1, decode=False)
    guidance = {"guide": "weight=120:0.01", "way": "particles", "way_arguments": {"groups": "sizes"}}
    guided, evaluations = model.generator("ddpm", 10, 1, **guidance).states(0, 48, torch.device("cpu"))
    assert bool((plain.masks["mask"].sum(1) == guided.masks["mask"].sum(1)).all())
    assert evaluations == 10


def test_a_guide_of_one_s_own_and_a_solver_that_cannot(model: object) -> None:
    rings = Property(lambda state: -state["adj"].sum((1, 2)), "max")
    state = model.sample(16, "ddpm", steps=10, guide=Particles(rings), decode=False)
    assert len(state) == 16
    with pytest.raises(InputError, match=r"particles need a solver .* take euler-maruyama"):
        model.sample(16, "dpmpp-2m", steps=10, guide="qed:10")


def test_search_spends_its_budget_on_a_property(model: object) -> None:
    guidance = {"guide": "qed", "way": "rbf", "way_arguments": {"budget": "40", "initial": "8"}}
    state, evaluations = model.generator("ddpm", 8, 1, **guidance).states(0, 24, torch.device("cpu"))
    assert evaluations == 40
    generator = model.generator("ddpm", 8, 1)
    plain = generator.states(0, 24, torch.device("cpu"))[0]
    assert _mean(generator.decode(state)) > _mean(generator.decode(plain)) + 0.05
    with pytest.raises(InputError, match="leave other guides"):
        model.generator("ddpm", 8, guide=["qed", Particles(Property(len))], way="rbf")


def test_refinement_follows_a_potential(model: object) -> None:
    guidance = {"guide": "edges=12:5", "way": "refine", "way_arguments": {"time": "0.3", "step_size": "0.02"}}
    plain, refined = (model.generator("ddpm", 8, 1, **g).states(0, 32, torch.device("cpu")) for g in ({}, guidance))
    assert (plain[1], refined[1]) == (8, 28)
    counts = [(state["adj"] > 0.5).double().sum((1, 2)).mean() / 2 for state, _ in (plain, refined)]
    assert abs(float(counts[1]) - 12) < abs(float(counts[0]) - 12)
