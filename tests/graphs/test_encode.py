"""Encoding of SMILES: counts of the published sets, single atoms, order, and every bad input."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from scorefield.core.errors import InputError
from scorefield.domains.graphs.chemistry import encode as encode_module
from scorefield.domains.graphs.chemistry.atoms import SYMBOLS, AtomTable
from scorefield.domains.graphs.chemistry.encode import encode, encode_numbers
from scorefield.domains.graphs.packed import NO_NODE, PackedGraphs

QM9 = AtomTable(("C", "N", "O", "F"))
SOME = ["CCO", "C", "c1ccccc1", "C#N", "O", "FC(F)F", "c1cc[nH]c1", "C1CC1C(=O)N", "[NH3+]CC([O-])=O", "CO.CC"]


def lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().split()


def test_symbols_are_rdkits() -> None:
    table = Chem.GetPeriodicTable()
    assert list(SYMBOLS) == [table.GetElementSymbol(number) for number in range(119)]


def test_encoding_by_hand() -> None:
    encoded = encode(["OC=C", "C", "N#C"], QM9)
    assert encoded.num_nodes.tolist() == [3, 1, 2]
    assert encoded.atoms.tolist() == [[0, 0, 2], [0, NO_NODE, NO_NODE], [0, 1, NO_NODE]]
    assert encoded.bonds[0].tolist() == [[0, 2, 0], [2, 0, 1], [0, 1, 0]]
    assert encoded.bonds[1].sum() == 0
    assert encoded.bonds[2, 0, 1] == encoded.bonds[2, 1, 0] == 3


def test_aromatic_rings_become_alternating_bonds() -> None:
    bonds = encode(["c1ccccc1"], QM9).bonds[0]
    assert sorted(bonds.sum(1).tolist()) == [3] * 6
    assert set(np.unique(bonds).tolist()) == {0, 1, 2}


def test_stereo_and_charges_are_left_out() -> None:
    encoded = encode(["N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O", "[NH3+]CC([O-])=O"], QM9)
    assert (encoded.atoms[0] == encoded.atoms[1]).all()
    assert (encoded.bonds[0] == encoded.bonds[1]).all()
    assert encoded.bonds[2].sum() == 2 * 5


def test_fragments_are_kept_unless_asked() -> None:
    assert encode(["CCO.Cl"], None).num_nodes.tolist() == [4]
    largest = encode(["Cl.CCO"], None, fragment="largest")
    assert (largest.num_nodes.tolist(), largest.table.symbols) == ([3], ("C", "O"))


def test_table_is_inferred_in_order_of_atomic_numbers() -> None:
    assert AtomTable.infer(["BrCCl", "S", "IP", "FC", "ON"]).symbols == ("C", "N", "O", "F", "P", "S", "Cl", "Br", "I")


def test_processes_change_nothing() -> None:
    smiles = SOME * 450
    one, two = (encode_numbers(smiles, workers=workers, progress=False) for workers in (1, 2))
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, two.arrays()[name])


def test_error_in_a_later_chunk_names_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_module, "CHUNK", 4)
    with pytest.raises(InputError, match=r"^f.smi: row 11: 'bad' is not a SMILES"):
        encode(["C"] * 10 + ["bad", "worse"], QM9, file="f.smi")


@pytest.mark.parametrize(
    ("smiles", "atoms", "max_nodes", "message"),
    [
        ("C1CC", QM9, None, "row 2: 'C1CC' is not a SMILES that RDKit can read"),
        ("C(C)(C)(C)(C)C", QM9, None, "row 2: .* is not a SMILES"),
        ("c1ccc1c", QM9, None, "row 2: .* is not a SMILES"),
        ("c1cccc1", QM9, None, "row 2: .* is not a SMILES"),
        ("", QM9, None, "row 2: a molecule without atoms"),
        ("CCS", QM9, None, r"row 2: atom S is not in the atom table \(C N O F\)"),
        ("CCCCC", QM9, 4, "row 2: 5 atoms, more than the maximum of 4"),
        ("[NH3]->[Fe]", None, None, "row 2: .* holds a bond of type dative"),
    ],
)
def test_bad_molecules(smiles: str, atoms: AtomTable | None, max_nodes: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        encode(["C", smiles, "CC"], atoms, max_nodes, file="f.smi")
    assert "\n" not in str(caught.value)


def test_rows_of_the_file_are_named() -> None:
    with pytest.raises(InputError, match=r"^f.csv: row 17: "):
        encode(["C", "no"], QM9, file="f.csv", rows=np.array([9, 17]))


@pytest.mark.parametrize("symbols", [("C", "Xx"), ("C", "C"), ()])
def test_bad_tables(symbols: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="the atom table"):
        AtomTable(symbols)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(SOME[:-2]), st.randoms(use_true_random=False))
def test_order_of_the_atoms_does_not_matter(smiles: str, random: object) -> None:
    mol = Chem.MolFromSmiles(smiles)
    order = list(range(mol.GetNumAtoms()))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)
    first, second = encode([smiles], QM9), encode([shuffled], QM9)
    np.testing.assert_array_equal(first.atoms, second.atoms)
    np.testing.assert_array_equal(first.bonds, second.bonds)


def test_packed_rows_are_the_rows_of_the_whole() -> None:
    packed = encode(SOME, None).packed
    rows = np.array([3, 0, 3, 9])
    types, orders, counts = packed.rows(rows).dense(size=12)
    expected = packed.dense(rows, size=12)
    for got, wanted in zip((types, orders, counts), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    both = PackedGraphs.concatenate([packed.rows(np.arange(4)), packed.rows(np.arange(4, 10))])
    np.testing.assert_array_equal(both.dense()[1], packed.dense()[1])
    assert len(PackedGraphs.concatenate([])) == 0


def test_first_qm9_molecules(shared_dir: Path) -> None:
    encoded = encode(lines(shared_dir / "data/graphs/qm9_smiles.txt.gz")[:3000], QM9, 9)
    assert Counter(encoded.num_nodes.tolist())[1] == 3


ZINC_COUNTS = (4_254_871, 705_203, 576_231, 102_879, 79_430, 42_872, 12_722, 888, 127)
COUNTS = {
    "qm9": (
        {"C": 846_556, "O": 187_997, "N": 139_764, "F": 3_314},
        {1: 3, 2: 5, 3: 9, 4: 31, 5: 130, 6: 618, 7: 3_197, 8: 18_298, 9: 111_594},
    ),
    "zinc250k": (
        dict(zip(("C", "N", "O", "S", "F", "Cl", "Br", "I", "P"), ZINC_COUNTS, strict=True)),
        {6: 3, 38: 2},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_the_published_sets(shared_dir: Path, name: str) -> None:
    elements, sizes = COUNTS[name]
    packed = encode_numbers(lines(shared_dir / f"data/graphs/{name}_smiles.txt.gz"))
    assert {SYMBOLS[k]: n for k, n in Counter(packed.nodes.tolist()).items()} == elements
    counts = Counter(packed.num_nodes.tolist())
    assert {size: counts[size] for size in sizes} == sizes
    assert (min(counts), max(counts)) == (min(sizes), max(sizes))
