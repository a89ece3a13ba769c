"""Features of molecules as the published featuriser makes them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from scorefield.core.errors import InputError
from scorefield.domains.geometry.molecular_graph import atom_features, molecular_graph


@pytest.mark.parametrize("molecule", ["ethanol", "malonaldehyde"])
@pytest.mark.parametrize("all_pairs", [False, True])
def test_stored_molecules(shared_dir: Path, molecule, all_pairs):
    stored = np.load(shared_dir / "fixtures" / "geometry_geotdm" / "md_featuriser.npz")
    positions, numbers = stored[f"{molecule}.pos"], stored[f"{molecule}.z"]
    found = molecular_graph(positions, numbers, all_pairs=all_pairs)
    wanted = f"{molecule}.fc{int(all_pairs)}"
    assert_array_equal(found.features, stored[f"{wanted}.h"])
    assert_array_equal(found.edges.T, stored[f"{wanted}.edge_index"])
    assert_array_equal(found.edge_features, stored[f"{wanted}.edge_attr"])
    told = molecular_graph(positions * 9, numbers, all_pairs=all_pairs, bonds=found.bonds[::-1, ::-1].tolist())
    for name in ("features", "edges", "edge_features", "bonds"):
        assert_array_equal(getattr(told, name), getattr(found, name))


def test_a_lone_atom_has_no_edges():
    found = molecular_graph(np.zeros((1, 3)), np.array([8]))
    assert (found.features.shape, found.edges.shape, found.edge_features.shape) == ((1, 30), (0, 2), (0, 4))


@pytest.mark.parametrize("number", [10, -1, 1.5])
def test_numbers_without_a_column(number):
    with pytest.raises(InputError, match=f"atom 1 has the atomic number {number}"):
        atom_features(np.array([6, number]))


@pytest.mark.parametrize("bond", [[0, 2], [1, 1], [-1, 0], [0], [0, 0.5]])
def test_bonds_between_atoms_that_are_not_there(bond):
    with pytest.raises(InputError, match=r"data\.bonds\[0\]"):
        molecular_graph(np.zeros((2, 3)), np.array([1, 1]), bonds=[bond])
