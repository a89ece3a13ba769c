"""Every solver samples molecules."""

from __future__ import annotations

import pytest
import torch

import scorefield as sf
from scorefield.core.solver_registry import SOLVERS


@pytest.fixture(scope="module")
def model() -> sf.Model:
    return sf.load("molecules_small")


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_molecules_come_out(model: sf.Model, name: str) -> None:
    molecules = model.sample(6, name, steps=6, end=1e-2)
    adjacency = molecules.state["adj"]
    assert len(molecules) == 6
    assert any(molecules.smiles)
    assert torch.isfinite(molecules.state["x"]).all()
    torch.testing.assert_close(adjacency, adjacency.transpose(1, 2))
