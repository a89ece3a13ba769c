"""Particles on molecules: properties without a gradient, by RDKit."""

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
    settings = {"num": 64, "solver": "ddpm", "steps": 40, "seed": 1}
    plain, guided = (_mean(model.sample(**settings, **more)) for more in ({}, {"guide": "qed:60", "way": "particles"}))
    assert guided > plain + 0.03
    assert _mean(model.sample(**settings, guide="qed:60")) == guided  # the default way, and the same samples


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
