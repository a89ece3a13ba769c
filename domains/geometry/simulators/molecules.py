"""The eight molecules of MD17 with the MMFF94 force field of RDKit (Halgren, J. Comput. Chem. 17, 1996).

Lengths are in angstrom, energies in kcal/mol, masses in atomic units. Atoms come in RDKit's order, heavy ones first; it
is not that of MD17's files. Malonaldehyde is the dialdehyde, not the enol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.names import unknown

__all__ = ["SMILES", "Molecule", "molecule"]

Array = NDArray[np.float64]

SMILES = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "benzene": "c1ccccc1",
    "ethanol": "CCO",
    "malonaldehyde": "O=CCC=O",
    "naphthalene": "c1ccc2ccccc2c1",
    "salicylic_acid": "O=C(O)c1ccccc1O",
    "toluene": "Cc1ccccc1",
    "uracil": "O=c1cc[nH]c(=O)[nH]1",
}
"""The molecules by name."""


@dataclass(frozen=True)
class Molecule:
    """A molecule at rest, and its force field.

    Attributes:
        numbers: atomic numbers, int64 `(N,)`.
        masses: `(N,)`.
        bonds: pairs of bonded atoms, int64 `(bonds, 2)`.
        rest: a minimum of the energy, `(N, 3)`.
    """

    numbers: NDArray[np.int64]
    masses: Array
    bonds: NDArray[np.int64]
    rest: Array
    _field: Any = field(repr=False)

    def energy(self, x: Array) -> float:
        """Potential energy at positions `(N, 3)`."""
        return float(self._field.CalcEnergy(x.ravel().tolist()))

    def forces(self, x: Array) -> Array:
        """Minus its gradient, `(N, 3)`."""
        flat = x.ravel().tolist()
        # Gradients are taken with remembered distances, which only an energy measures anew.
        self._field.CalcEnergy(flat)
        return -np.array(self._field.CalcGrad(flat)).reshape(x.shape)


def molecule(name: str, seed: int = 0) -> Molecule:
    """One of the eight, in the conformation that a seed leads to.

    Args:
        name: see `SMILES`.
        seed: of the embedding, below 2^31.

    Raises:
        InputError: the name is unknown.
    """
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    if name not in SMILES:
        raise unknown("molecule", name, SMILES)
    mol = Chem.AddHs(Chem.MolFromSmiles(SMILES[name]))
    if rdDistGeom.EmbedMolecule(mol, randomSeed=seed) < 0:
        raise InputError(f"{name}: RDKit found no geometry with seed {seed}", mend="give another seed")
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol)
    force_field = rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, properties)
    force_field.Minimize(maxIts=10_000)
    atoms = list(mol.GetAtoms())
    return Molecule(
        np.array([atom.GetAtomicNum() for atom in atoms], dtype=np.int64),
        np.array([atom.GetMass() for atom in atoms]),
        np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()], dtype=np.int64),
        np.array(force_field.Positions()).reshape(-1, 3),
        # The force field keeps its own hold of the atoms, but not of the molecule they belong to.
        _Held(force_field, mol),
    )


class _Held:
    """A force field together with the molecule that it points into."""

    def __init__(self, force_field: Any, mol: Any) -> None:
        self._mol = mol
        self.CalcEnergy, self.CalcGrad = force_field.CalcEnergy, force_field.CalcGrad
