"""Valence: what RDKit allows, the charge rule, and the correction of too many bonds.

The published procedure adds the bonds (i, j), i > j, in row-major order and sanitises the molecule after
each: where RDKit reports an atom (the first in order whose valence is not allowed) of type N, O or S whose
valence exceeds the table by exactly one, that atom gets the charge +1. Correction then takes, as long as
RDKit reports an atom, its bond of highest order (the first added of equals) and lowers it by one.

Whether RDKit reports an atom depends on its element, charge and sum of bond orders only. RDKit is therefore
asked once for each such triple, and molecules are followed with integers. Source: GDSS (arXiv 2202.02514).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from rdkit import Chem, rdBase

__all__ = ["Assembly", "assemble", "is_allowed"]

Bond = tuple[int, int, int]

_CHARGEABLE = {7: 3, 8: 2, 16: 2}
"""Usual valences of the elements that may be charged: N, O, S."""


@dataclass(frozen=True)
class Assembly:
    """A molecule before and after the correction of its valences.

    Args:
        charges: formal charge of each atom, 0 or 1.
        constructed: the bonds (i, j, order) as they were given.
        corrected: the bonds after correction.
        uncharged_valid: no valence was too high, without any charge.
        valid: no valence is too high with the charges and before the correction.
    """

    charges: list[int]
    constructed: list[Bond]
    corrected: list[Bond]
    uncharged_valid: bool
    valid: bool


@cache
def is_allowed(number: int, charge: int, valence: int) -> bool:
    """Whether RDKit's strict check passes for an atom.

    Args:
        number: atomic number.
        charge: formal charge.
        valence: sum of the orders of its bonds.
    """
    mol = Chem.RWMol()
    centre = Chem.Atom(number)
    centre.SetFormalCharge(charge)
    mol.AddAtom(centre)
    for neighbour in range(1, valence + 1):
        mol.AddAtom(Chem.Atom(0))
        mol.AddBond(0, neighbour, Chem.BondType.SINGLE)
    with rdBase.BlockLogs():
        problems = Chem.DetectChemistryProblems(mol, int(Chem.SanitizeFlags.SANITIZE_PROPERTIES))
    return not any(problem.GetType() == "AtomValenceException" for problem in problems)


def assemble(numbers: list[int], bonds: list[Bond]) -> Assembly:
    """Apply the charge rule and the correction.

    Args:
        numbers: atomic numbers.
        bonds: (i, j, order) with i > j, in row-major order.
    """
    valences = [0] * len(numbers)
    for first, second, order in bonds:
        valences[first] += order
        valences[second] += order
    charges = [0] * len(numbers)
    if all(is_allowed(number, 0, valence) for number, valence in zip(numbers, valences, strict=True)):
        return Assembly(charges, bonds, bonds, uncharged_valid=True, valid=True)
    wrong = _charge(numbers, bonds, charges)
    corrected = _correct(numbers, charges, bonds, valences) if wrong else bonds
    return Assembly(charges, bonds, corrected, uncharged_valid=False, valid=not wrong)


def _charge(numbers: list[int], bonds: list[Bond], charges: list[int]) -> set[int]:
    """Add the bonds one by one and set the charges; the atoms that stay with too high a valence."""
    valences = [0] * len(numbers)
    wrong: set[int] = set()
    for first, second, order in bonds:
        for atom in (first, second):
            valences[atom] += order
            if not is_allowed(numbers[atom], charges[atom], valences[atom]):
                wrong.add(atom)
        if not wrong:
            continue
        # Only the first atom is reported: as long as it stays wrong, no later one can get a charge.
        atom = min(wrong)
        if valences[atom] - _CHARGEABLE.get(numbers[atom], valences[atom]) == 1:
            charges[atom] = 1
            if is_allowed(numbers[atom], 1, valences[atom]):
                wrong.discard(atom)
    return wrong


def _correct(numbers: list[int], charges: list[int], bonds: list[Bond], valences: list[int]) -> list[Bond]:
    """Lower bonds until every valence is allowed."""
    # A dictionary keeps the order of insertion, as RDKit's list of an atom's bonds does; a lowered bond goes
    # to its end.
    neighbours: list[dict[int, int]] = [{} for _ in numbers]
    for first, second, order in bonds:
        neighbours[first][second] = order
        neighbours[second][first] = order
    for atom, number in enumerate(numbers):
        while neighbours[atom] and not is_allowed(number, charges[atom], valences[atom]):
            other, order = max(neighbours[atom].items(), key=lambda item: item[1])
            for here, there in ((atom, other), (other, atom)):
                del neighbours[here][there]
                valences[here] -= 1
                if order > 1:
                    neighbours[here][there] = order - 1
    return [(i, j, order) for i, near in enumerate(neighbours) for j, order in near.items() if i > j]
