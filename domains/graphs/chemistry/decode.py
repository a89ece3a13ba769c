"""Atoms and bonds to molecules: construction, correction, choice of fragment, final SMILES.

Three notions of validity are taken before the correction:

- `valid_ref`, the published one: no valence is too high after the charge rule. Neither connectivity nor
  aromaticity is looked at, and a molecule without atoms counts as valid.
- `valid_strict`: RDKit's full sanitisation passes without any charge.
- `valid_connected`: strict, and in one piece.

A molecule without atoms has no SMILES, is neither strict nor connected, and is counted as `empty`.
Source: GDSS (arXiv 2202.02514).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from torch import Tensor

from scorefield.domains.graphs.chemistry.atoms import AtomTable
from scorefield.domains.graphs.chemistry.valence import Bond, assemble
from scorefield.domains.graphs.molecules import Molecules
from scorefield.domains.graphs.quantise import quantise

__all__ = ["DecodedMolecule", "decode_molecule", "decode_molecules", "decode_tensors"]

_TYPES = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}


@dataclass(frozen=True)
class DecodedMolecule:
    """What became of one molecule.

    Args:
        smiles: canonical SMILES after correction, of the fragment with the longest SMILES; None where RDKit
            cannot read it again, and for a molecule without atoms.
        constructed: SMILES before the correction (of molecules that needed none, the same string as
            `corrected`).
        corrected: SMILES after it, with all fragments.
        valid_ref: validity as published, see the module.
        valid_strict: RDKit's full sanitisation without charges.
        valid_connected: strict and in one piece.
        charge: total formal charge set by the charge rule.
        num_atoms: atoms of the molecule before the choice of fragment.
    """

    smiles: str | None
    constructed: str
    corrected: str
    valid_ref: bool
    valid_strict: bool
    valid_connected: bool
    charge: int
    num_atoms: int


def decode_molecule(atoms: NDArray[np.integer], bonds: NDArray[np.integer], table: AtomTable) -> DecodedMolecule:
    """Decode one molecule.

    Args:
        atoms: columns of the table, `(nodes,)`; negative or beyond the table where there is no atom.
        bonds: bond orders 0..3, `(nodes, nodes)`; the entries below the diagonal are used.
        table: the atom table.
    """
    kept = np.flatnonzero((atoms >= 0) & (atoms < len(table)))
    known = table.numbers
    numbers = [known[index] for index in atoms[kept].tolist()]
    if not numbers:
        return DecodedMolecule(None, "", "", True, False, False, charge=0, num_atoms=0)
    lower = np.tril(bonds[np.ix_(kept, kept)], -1)
    first, second = np.nonzero(lower)
    orders = lower[first, second].tolist()
    assembly = assemble(numbers, list(zip(first.tolist(), second.tolist(), orders, strict=True)))
    with rdBase.BlockLogs():
        mol = _build(numbers, assembly.charges, assembly.corrected)
        corrected = Chem.MolToSmiles(mol)
        constructed = corrected
        if assembly.corrected is not assembly.constructed:
            constructed = Chem.MolToSmiles(_build(numbers, assembly.charges, assembly.constructed))
        strict = assembly.uncharged_valid and _sanitises(mol)
        smiles = _final(corrected)
    return DecodedMolecule(
        smiles=smiles,
        constructed=constructed,
        corrected=corrected,
        valid_ref=assembly.valid,
        valid_strict=strict,
        valid_connected=strict and "." not in constructed,
        charge=sum(assembly.charges),
        num_atoms=len(numbers),
    )


def decode_molecules(atoms: NDArray[np.integer], bonds: NDArray[np.integer], table: AtomTable) -> Molecules:
    """Decode a batch.

    Args:
        atoms: columns of the table, `(batch, nodes)`, negative where there is no atom.
        bonds: bond orders, `(batch, nodes, nodes)`.
        table: the atom table.
    """
    decoded = [decode_molecule(row, orders, table) for row, orders in zip(atoms, bonds, strict=True)]
    return Molecules(
        smiles=np.array([molecule.smiles or "" for molecule in decoded], dtype=np.str_),
        valid_ref=np.array([molecule.valid_ref for molecule in decoded], dtype=bool),
        valid_strict=np.array([molecule.valid_strict for molecule in decoded], dtype=bool),
        valid_connected=np.array([molecule.valid_connected for molecule in decoded], dtype=bool),
        empty=np.array([molecule.num_atoms == 0 for molecule in decoded], dtype=bool),
    )


def decode_tensors(x: Tensor, adj: Tensor, mask: Tensor | None, table: AtomTable) -> Molecules:
    """Quantise and decode what a sampler ended with.

    Args:
        x: node features, `(batch, nodes, types)`.
        adj: bond orders as real numbers, `(batch, nodes, nodes)`.
        mask: which nodes there are, `(batch, nodes)`; None: all.
        table: the atom table.
    """
    atoms, bonds = quantise(x, adj, mask)
    return decode_molecules(atoms.cpu().numpy(), bonds.cpu().numpy(), table)


def _build(numbers: list[int], charges: list[int], bonds: list[Bond]) -> Chem.RWMol:
    mol = Chem.RWMol()
    for number, charge in zip(numbers, charges, strict=True):
        atom = Chem.Atom(number)
        if charge:
            atom.SetFormalCharge(charge)
        mol.AddAtom(atom)
    for first, second, order in bonds:
        mol.AddBond(first, second, _TYPES[order])
    mol.UpdatePropertyCache(strict=False)
    return mol


def _sanitises(mol: Chem.RWMol) -> bool:
    copy = Chem.Mol(mol)
    return bool(Chem.SanitizeMol(copy, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE)


def _final(corrected: str) -> str | None:
    """Canonical SMILES of the fragment with the longest string, the first of equals."""
    mol = Chem.MolFromSmiles(max(corrected.split("."), key=len))
    return None if mol is None else str(Chem.MolToSmiles(mol))
