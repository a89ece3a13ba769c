"""Spaces: projections, noise on the free entries, dimensions, masks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorefield.core.noise import Seeded
from scorefield.core.spaces import DirectedAdjacency, Masked, Space, SymmetricAdjacency, ZeroCentreOfMass

SPACES: dict[str, tuple[Space, tuple[int, ...]]] = {
    "masked": (Masked(), (6, 3)),
    "symmetric": (SymmetricAdjacency(), (6, 6)),
    "directed": (DirectedAdjacency(), (6, 6)),
    "centred": (ZeroCentreOfMass(), (6, 4, 3)),
}


def _masks(sizes: list[int]) -> dict[str, torch.Tensor]:
    return {"mask": torch.arange(6) < torch.tensor(sizes)[:, None]}


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(sorted(SPACES)), sizes=st.lists(st.integers(0, 6), min_size=1, max_size=4))
def test_projection_is_orthogonal_and_of_the_stated_dimension(name: str, sizes: list[int]) -> None:
    space, shape = SPACES[name]
    masks = _masks(sizes)
    for row, size in enumerate(sizes):
        mask = {"mask": masks["mask"][row : row + 1]}
        count = 1
        for s in shape:
            count *= s
        basis = torch.eye(count, dtype=torch.float64).reshape(count, *shape)
        matrix = space.project(basis, {"mask": mask["mask"].expand(count, -1)}).reshape(count, count)
        torch.testing.assert_close(matrix @ matrix, matrix)
        torch.testing.assert_close(matrix, matrix.T)
        like = torch.zeros(1, *shape)
        wanted = int(space.dimension(like, mask)[0])
        assert round(float(matrix.trace())) == max(wanted, 0)
        assert size > 0 or wanted == 0


@pytest.mark.parametrize("name", sorted(SPACES))
def test_noise_lies_in_the_space(name: str) -> None:
    space, shape = SPACES[name]
    masks = _masks([6, 4, 1, 0])
    noise = space.noise(torch.zeros(4, *shape), masks, Seeded(0))
    torch.testing.assert_close(space.project(noise, masks), noise)


def test_symmetric_noise_has_unit_variance_off_the_diagonal() -> None:
    noise = SymmetricAdjacency().noise(torch.zeros(160_000, 4, 4), {}, Seeded(3))
    variance = noise.var(0)
    assert bool((noise.diagonal(dim1=1, dim2=2) == 0).all())
    off = variance[~torch.eye(4, dtype=torch.bool)]
    torch.testing.assert_close(off, torch.ones_like(off), atol=0.01, rtol=0)


def test_frames_that_do_not_exist_stay_zero() -> None:
    masks = {"mask": torch.tensor([[True, True, False]]), "frame_mask": torch.tensor([[True, False]])}
    noise = ZeroCentreOfMass().noise(torch.zeros(1, 3, 2, 3), masks, Seeded(0))
    assert bool((noise[:, :, 1] == 0).all())
    assert bool((noise[:, 2] == 0).all())
    torch.testing.assert_close(noise.sum((1, 2)), torch.zeros(1, 3), atol=1e-6, rtol=0)
    assert int(ZeroCentreOfMass().dimension(noise, masks)[0]) == 2 * 3 - 3


def test_dimensions_count_free_entries() -> None:
    masks = _masks([5, 3])
    adj = torch.zeros(2, 6, 6)
    assert SymmetricAdjacency().dimension(adj, masks).tolist() == [10, 3]
    assert DirectedAdjacency().dimension(adj, masks).tolist() == [20, 6]
    assert Masked().dimension(torch.zeros(2, 6, 3), masks).tolist() == [15, 9]
