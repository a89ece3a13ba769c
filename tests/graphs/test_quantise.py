"""Quantisation: thresholds, ties, deleted atoms, and the identity on encoded molecules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorefield.domains.graphs.quantise import quantise, quantise_edges


def test_thresholds() -> None:
    values = torch.tensor([-0.2, 0.0, 0.499, 0.5, 1.499, 1.5, 2.499, 2.5, 7.0, float("nan")])
    adj = torch.zeros(len(values), 2, 2)
    adj[:, 0, 1] = adj[:, 1, 0] = values
    adj[:, 0, 0] = 3.0
    _, bonds = quantise(torch.ones(len(values), 2, 1), adj)
    assert bonds[:, 0, 1].tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 0]
    assert torch.equal(bonds, bonds.transpose(1, 2))
    assert not bonds.diagonal(dim1=1, dim2=2).any()
    assert quantise_edges(adj)[:, 0, 1].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 0]


def test_atoms_and_their_bonds() -> None:
    x = torch.tensor([[[0.6, 0.4], [0.5, 0.5], [0.7, 0.9], [0.1, 0.51]]])
    adj = torch.ones(1, 4, 4) - torch.eye(4)
    atoms, bonds = quantise(x, adj)
    assert atoms.tolist() == [[0, -1, 0, 1]]
    assert bonds.sum().item() == 6
    assert not bonds[0, 1].any()
    assert not bonds[0, :, 1].any()


def test_mask_takes_nodes_away() -> None:
    mask = torch.tensor([[True, True, False]])
    atoms, bonds = quantise(torch.ones(1, 3, 2), torch.ones(1, 3, 3), mask)
    assert atoms.tolist() == [[0, 0, -1]]
    assert bonds.sum().item() == 2
    assert quantise_edges(torch.ones(1, 3, 3), mask).sum().item() == 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.floats(0.0, 0.49))
def test_identity_up_to_noise(seed: int, size: int, noise: float) -> None:
    generator = np.random.default_rng(seed)
    atoms = generator.integers(-1, 4, (3, size))
    there = atoms >= 0
    orders = np.triu(generator.integers(0, 4, (3, size, size)), 1)
    orders = (orders + orders.transpose(0, 2, 1)) * there[:, :, None] * there[:, None, :]
    x = (atoms[..., None] == np.arange(4)) + generator.uniform(-noise, noise, (3, size, 4))
    adj = orders + generator.uniform(-noise, noise, orders.shape)
    got = quantise(torch.from_numpy(x), torch.from_numpy(adj), torch.from_numpy(there))
    assert got[0].tolist() == atoms.tolist()
    assert got[1].tolist() == orders.tolist()


def test_needs_no_rdkit(python: object) -> None:
    code = (
        "import sys; sys.modules['rdkit'] = None\n"
        "import scorefield.domains.graphs.quantise, scorefield.domains.graphs.data, scorefield.domains.graphs.batches"
        "\nimport scorefield.domains.graphs.molecules, scorefield.domains.graphs.graph_samples"
    )
    result = python("-c", code)  # type: ignore[operator]
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_types(dtype: torch.dtype) -> None:
    atoms, bonds = quantise(torch.ones(2, 3, 4, dtype=dtype), torch.ones(2, 3, 3, dtype=dtype))
    assert (atoms.dtype, bonds.dtype) == (torch.int64, torch.uint8)
