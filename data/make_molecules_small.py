"""Makes `molecules_small.smi.gz`: small molecules of carbon, nitrogen, oxygen and fluorine, enumerated by
rule.

Molecules grow atom by atom: a new atom is joined to one atom by a bond of order 1 to 3, or closes a ring with
single bonds to two atoms, or takes its second bond as a double one. What a molecule of one size may look like
is said by `is_allowed`; molecules of the next size grow from allowed ones only. Those of the largest size are
thinned out by the SHA-256 of their SMILES, so that the choice is the same everywhere. The file has no time
stamp and the same bytes each time for one version of RDKit.

Rules: RDKit's full sanitisation passes, no charges, at most seven heavy atoms, at most as many heteroatoms as
carbons; rings of three to six atoms that share at most one atom with each other, without a triple bond, an
allene, or a double bond in a ring of three; no cumulated double bonds; heteroatoms are not joined to each
other unless both are aromatic; fluorine only on carbon; no hydroxyl, amino or fluorine group at a
carbon-carbon or carbon-nitrogen multiple bond outside aromatic rings, none of oxygen, nitrogen, fluorine at a
triple bond, no acyl fluoride, no carbon with single bonds to two heteroatoms of which one carries hydrogen,
no imine with hydrogen on its nitrogen.
"""

from __future__ import annotations

import gzip
import hashlib
from itertools import combinations
from pathlib import Path

from rdkit import Chem, rdBase

from scorefield.core.files import atomic

__all__ = ["enumerate_molecules", "is_allowed", "main", "pick"]

LARGEST = 7
TARGET = 4000

_ORDERS = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)
_VALENCES = {6: 4, 7: 3, 8: 2, 9: 1}
_FORBIDDEN = tuple(
    Chem.MolFromSmarts(pattern)
    for pattern in (
        "[!#6;!$([a;r5,r6])]~[!#6]",
        "[!#6]~[!#6;!$([a;r5,r6])]",
        "[R]#[R]",
        "[R]=[R]=[*]",
        "*=*=*",
        "[r3]=[r3]",
        "[r3]:[r3]",
        "[OX2H,NX3;H2,H1,F]-[#6;!a]=,#[#6]",
        "[OH,NH,NH2]-[CX4]-[OH,NH,NH2,OX2,NX3]",
        "[OX2H,NX3;H2,H1]-[#6;!a]=,#[#7]",
        "[F]-[CX4]-[OH,NH,NH2]",
        "[F]-[#6;!a]=,#[#7,#8]",
        "[O,N,F]-[CX2]#[*]",
        "[NX2;H1]=[#6]",
    )
)


def is_allowed(mol: Chem.Mol) -> bool:
    """Whether a sanitised molecule keeps the rules of this module."""
    hetero = sum(atom.GetAtomicNum() != 6 for atom in mol.GetAtoms())
    if hetero > mol.GetNumAtoms() - hetero and mol.GetNumAtoms() > 1:
        return False
    rings = [set(ring) for ring in mol.GetRingInfo().AtomRings()]
    if any(len(ring) > 6 for ring in rings) or any(len(a & b) > 1 for a, b in combinations(rings, 2)):
        return False
    return not any(mol.HasSubstructMatch(pattern) for pattern in _FORBIDDEN)


def enumerate_molecules(largest: int = LARGEST) -> list[list[str]]:
    """All allowed molecules by number of heavy atoms.

    Args:
        largest: the largest number of heavy atoms.

    Returns:
        For each size from 1 on, the sorted canonical SMILES.
    """
    level = {"C", "N", "O"}
    sizes = [sorted(level)]
    with rdBase.BlockLogs():
        for _ in range(largest - 1):
            level = {smiles for text in sizes[-1] for smiles in _grow(text)}
            sizes.append(sorted(level))
    return sizes


def pick(smiles: list[str], number: int) -> list[str]:
    """A part of the SMILES that depends on each of them alone, sorted."""
    return sorted(sorted(smiles, key=lambda text: hashlib.sha256(text.encode()).hexdigest())[:number])


def main() -> None:
    """Write `molecules_small.smi.gz` beside this file."""
    sizes = enumerate_molecules()
    small = [smiles for level in sizes[:-1] for smiles in level]
    chosen = small + pick(sizes[-1], max(TARGET - len(small), 0))
    text = "".join(f"{smiles} small-{number:04d}\n" for number, smiles in enumerate(chosen))
    with atomic(Path(__file__).with_name("molecules_small.smi.gz")) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    print([len(level) for level in sizes], len(chosen))


def _grow(smiles: str) -> set[str]:
    """Canonical SMILES of the allowed molecules with one atom more."""
    mol = Chem.MolFromSmiles(smiles)
    free = [atom.GetTotalNumHs() for atom in mol.GetAtoms()]
    Chem.Kekulize(mol, clearAromaticFlags=True)
    grown = set()
    for number, valence in _VALENCES.items():
        for links in _links(free, valence):
            found = _extend(mol, number, links)
            if found is not None:
                grown.add(found)
    return grown


def _links(free: list[int], valence: int) -> list[tuple[tuple[int, int], ...]]:
    """Ways to join a new atom: (atom, order) once or twice."""
    atoms = [atom for atom, hydrogens in enumerate(free) if hydrogens]
    links: list[tuple[tuple[int, int], ...]] = [
        ((atom, order),) for atom in atoms for order in range(1, min(free[atom], valence, 3) + 1)
    ]
    for first, second in combinations(atoms, 2):
        for orders in ((1, 1), (1, 2), (2, 1)):
            if sum(orders) <= valence and free[first] >= orders[0] and free[second] >= orders[1]:
                links.append(((first, orders[0]), (second, orders[1])))
    return links


def _extend(mol: Chem.Mol, number: int, links: tuple[tuple[int, int], ...]) -> str | None:
    """The canonical SMILES of a molecule with a further atom, if it is allowed."""
    grown = Chem.RWMol(mol)
    new = grown.AddAtom(Chem.Atom(number))
    for atom, order in links:
        grown.AddBond(atom, new, _ORDERS[order - 1])
    for atom in grown.GetAtoms():
        atom.SetNumExplicitHs(0)
        atom.SetNoImplicit(False)
    if Chem.SanitizeMol(grown, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    smiles = str(Chem.MolToSmiles(grown))
    again = Chem.MolFromSmiles(smiles)
    return smiles if again is not None and is_allowed(again) and Chem.MolToSmiles(again) == smiles else None


if __name__ == "__main__":
    main()
