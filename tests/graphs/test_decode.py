"""Decoding: the published procedure step by step, the stored molecules, and the round trip of QM9."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem, rdBase

from scorefield.domains.graphs.chemistry.atoms import AtomTable
from scorefield.domains.graphs.chemistry.decode import decode_molecule, decode_molecules, decode_tensors
from scorefield.domains.graphs.chemistry.encode import encode
from scorefield.domains.graphs.chemistry.valence import assemble
from scorefield.domains.graphs.quantise import quantise

QM9 = AtomTable(("C", "N", "O", "F"))
ZINC = AtomTable(("C", "N", "O", "F", "P", "S", "Cl", "Br", "I"))


def canonical(smiles: str | None) -> str | None:
    """Canonical SMILES without sanitisation, so that any version of RDKit may be compared."""
    if smiles is None:
        return None
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    mol.UpdatePropertyCache(strict=False)
    return str(Chem.MolToSmiles(mol))


def matrices(symbols: str, *bonds: tuple[int, int, int], table: AtomTable = QM9) -> tuple[np.ndarray, np.ndarray]:
    words = symbols.split()
    orders = np.zeros((len(words), len(words)), dtype=np.uint8)
    for i, j, order in bonds:
        orders[i, j] = orders[j, i] = order
    return np.array([table.symbols.index(word) if word != "-" else -1 for word in words]), orders


def test_stored_molecules(shared_dir: Path) -> None:
    folder = shared_dir / "fixtures/graphs_gdss"
    expected = json.loads((folder / "molecules_qm9.json").read_text())
    with np.load(folder / "molecules_qm9.npz") as arrays:
        x, adj, orders = (torch.from_numpy(arrays[name]) for name in ("x", "adj", "adj_int"))
    atoms, bonds = quantise(x, adj)
    there = atoms >= 0
    pairs = there[:, :, None] & there[:, None, :] & ~torch.eye(9, dtype=torch.bool)
    assert torch.equal(bonds, (orders * pairs).to(torch.uint8))
    for row, wanted in enumerate(expected):
        got = decode_molecule(atoms[row].numpy(), bonds[row].numpy(), QM9)
        assert got.valid_ref == wanted["valid_without_correction"]
        assert got.charge == wanted["total_charge"]
        assert canonical(got.constructed) == canonical(wanted["constructed"])
        assert canonical(got.corrected) == canonical(wanted["corrected"])
        assert canonical(got.smiles) == canonical(wanted["final"])


def test_validities_of_the_stored_molecules(shared_dir: Path) -> None:
    with np.load(shared_dir / "fixtures/graphs_gdss/molecules_qm9.npz") as arrays:
        molecules = decode_tensors(torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["adj"]), None, QM9)
    assert molecules.counts() == {
        "molecules": 150, "parsed": 150, "empty": 0, "valid_ref": 94, "valid_strict": 90, "valid_connected": 80
    }  # fmt: skip


def reported(mol: Chem.Mol) -> int | None:
    """The atom that property sanitisation stops at."""
    problems = Chem.DetectChemistryProblems(mol, int(Chem.SanitizeFlags.SANITIZE_PROPERTIES))
    return problems[0].GetAtomIdx() if problems else None


def stepwise(numbers: list[int], bonds: list[tuple[int, int, int]]) -> tuple[str, str, bool, int]:
    """The published procedure with RDKit asked after every bond: constructed, corrected, valid, charge."""
    types = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
    usual = {7: 3, 8: 2, 16: 2}
    mol = Chem.RWMol()
    for number in numbers:
        mol.AddAtom(Chem.Atom(number))
    for i, j, order in bonds:
        mol.AddBond(i, j, types[order])
        atom = reported(mol)
        if atom is not None:
            valence = sum(int(bond.GetBondTypeAsDouble()) for bond in mol.GetAtomWithIdx(atom).GetBonds())
            if valence - usual.get(numbers[atom], valence) == 1:
                mol.GetAtomWithIdx(atom).SetFormalCharge(1)
    mol.UpdatePropertyCache(strict=False)
    constructed, valid = Chem.MolToSmiles(mol), reported(mol) is None
    while (atom := reported(mol)) is not None:
        near = sorted(mol.GetAtomWithIdx(atom).GetBonds(), key=lambda bond: int(bond.GetBondType()), reverse=True)
        begin, end, order = near[0].GetBeginAtomIdx(), near[0].GetEndAtomIdx(), int(near[0].GetBondType())
        mol.RemoveBond(begin, end)
        if order > 1:
            mol.AddBond(begin, end, types[order - 1])
    mol.UpdatePropertyCache(strict=False)
    return constructed, Chem.MolToSmiles(mol), valid, sum(atom.GetFormalCharge() for atom in mol.GetAtoms())


@pytest.mark.parametrize("density", [0.15, 0.3])
def test_integers_follow_rdkit(density: float) -> None:
    generator = np.random.default_rng(5)
    for _ in range(150):
        size = int(generator.integers(2, 13))
        atoms = generator.integers(0, len(ZINC), size)
        orders = np.tril(generator.choice([1, 2, 3], (size, size)) * (generator.random((size, size)) < density), -1)
        got = decode_molecule(atoms, orders + orders.T, ZINC)
        bonds = [(int(i), int(j), int(orders[i, j])) for i, j in np.argwhere(orders)]
        with rdBase.BlockLogs():
            wanted = stepwise([ZINC.numbers[index] for index in atoms], bonds)
        assert (got.constructed, got.corrected, got.valid_ref, got.charge) == wanted


def test_charge_rule_waits_for_the_first_atom() -> None:
    # The oxygen 1 exceeds its valence by one, but carbon 0 is reported before it and is never charged.
    atoms, bonds = matrices("C O C C", (1, 0, 2), (2, 0, 3), (3, 1, 1))
    got = decode_molecule(atoms, bonds, QM9)
    assert (got.charge, got.valid_ref) == (0, False)


def test_charges_of_nitrogen_and_oxygen() -> None:
    ammonium = decode_molecule(*matrices("N C C C C", *((k, 0, 1) for k in range(1, 5))), QM9)
    assert (ammonium.smiles, ammonium.charge) == ("C[N+](C)(C)C", 1)
    assert (ammonium.valid_ref, ammonium.valid_strict, ammonium.valid_connected) == (True, False, False)
    oxonium = decode_molecule(*matrices("C C O C", (2, 0, 1), (2, 1, 1), (3, 2, 1)), QM9)
    assert oxonium.smiles == "C[O+](C)C"


def test_correction_lowers_the_highest_bond() -> None:
    got = decode_molecule(*matrices("F C", (1, 0, 3)), QM9)
    assert (got.smiles, got.valid_ref, got.constructed, got.corrected) == ("CF", False, "C#F", "CF")


def test_longest_smiles_is_kept_not_the_most_atoms() -> None:
    # `CCCCC` has more atoms, `O=CC=O` more letters.
    bonds = ((1, 0, 1), (2, 1, 1), (3, 2, 1), (4, 3, 1), (6, 5, 2), (7, 6, 1), (8, 7, 2))
    got = decode_molecule(*matrices("C C C C C O C C O", *bonds), QM9)
    assert got.smiles == "O=CC=O"
    assert (got.valid_ref, got.valid_strict, got.valid_connected) == (True, True, False)


def test_single_atoms_survive_and_empty_ones_are_counted() -> None:
    atoms = np.array([[0, -1], [-1, -1], [-1, 2]])
    molecules = decode_molecules(atoms, np.zeros((3, 2, 2), np.uint8), QM9)
    assert molecules.smiles.tolist() == ["C", "", "O"]
    assert molecules.counts() == {
        "molecules": 3, "parsed": 2, "empty": 1, "valid_ref": 3, "valid_strict": 2, "valid_connected": 2
    }  # fmt: skip


def test_bonds_of_missing_atoms_are_ignored() -> None:
    atoms, bonds = matrices("C - O", (1, 0, 3), (2, 1, 3), (2, 0, 1))
    assert decode_molecule(atoms, bonds, QM9).smiles == "CO"


def test_nothing_wrong_changes_nothing() -> None:
    bonds = [(1, 0, 2), (2, 1, 1)]
    assembly = assemble([6, 6, 8], bonds)
    assert assembly.corrected is bonds
    assert assembly.valid
    assert assembly.uncharged_valid


def round_trip(smiles: list[str]) -> list[str | None]:
    encoded = encode(smiles, QM9, 9)
    atoms = np.where(encoded.atoms == 255, -1, encoded.atoms.astype(np.int64))
    return [decode_molecule(*pair, QM9).smiles for pair in zip(atoms, encoded.bonds, strict=True)]


def skeleton(smiles: str) -> str:
    """The heavy atoms and who is joined to whom."""
    mol = Chem.RWMol(Chem.MolFromSmiles(smiles))
    Chem.Kekulize(mol, clearAromaticFlags=True)
    for bond in mol.GetBonds():
        bond.SetBondType(Chem.BondType.SINGLE)
    for atom in mol.GetAtoms():
        atom.SetFormalCharge(0)
        atom.SetNumExplicitHs(0)
        atom.SetNoImplicit(False)
    return Chem.MolToSmiles(Chem.MolFromSmiles(Chem.MolToSmiles(mol, isomericSmiles=False), sanitize=False))


def check_round_trip(smiles: list[str]) -> int:
    """Uncharged molecules come back; the number of charged ones, whose difference must be that of their
    charge."""
    charged = 0
    for text, back in zip(smiles, round_trip(smiles), strict=True):
        mol = Chem.MolFromSmiles(text)
        wanted = Chem.MolToSmiles(mol, isomericSmiles=False)
        if not any(atom.GetFormalCharge() for atom in mol.GetAtoms()):
            assert back == wanted
            continue
        charged += 1
        # What is lost is the charge, and with it hydrogens and bond orders: atoms and their neighbours are
        # the same.
        assert back is not None
        assert skeleton(back) == skeleton(text)
    return charged


def qm9_test(shared_dir: Path) -> list[str]:
    rows = gzip.decompress((shared_dir / "data/graphs/qm9_smiles.txt.gz").read_bytes()).decode().split()
    return [rows[index] for index in json.loads((shared_dir / "data/graphs/qm9_test_idx.json").read_text())]


def test_round_trip_of_some_qm9_molecules(shared_dir: Path) -> None:
    check_round_trip(qm9_test(shared_dir)[::20])


@pytest.mark.slow
def test_round_trip_of_all_qm9_test_molecules(shared_dir: Path) -> None:
    molecules = qm9_test(shared_dir)
    assert len(molecules) == 13_082
    assert 0 < check_round_trip(molecules) < 300
