"""The embedded molecules are what their script makes."""

from __future__ import annotations

from importlib.resources import as_file, files

import pytest
from rdkit import Chem

from scorefield.data.make_molecules_small import LARGEST, TARGET, enumerate_molecules, is_allowed, pick
from scorefield.domains.graphs.molecules import Molecules


@pytest.fixture(scope="module")
def embedded() -> list[str]:
    with as_file(files("scorefield.data").joinpath("molecules_small.smi.gz")) as path:
        assert path.stat().st_size < 100_000
        return [str(smiles) for smiles in Molecules.load(path).smiles]


def test_molecules_keep_the_rules(embedded: list[str]) -> None:
    assert len(embedded) == len(set(embedded)) == TARGET
    for smiles in embedded[::7]:
        mol = Chem.MolFromSmiles(smiles)
        assert mol.GetNumAtoms() <= LARGEST
        assert is_allowed(mol)
        assert Chem.MolToSmiles(mol) == smiles
        assert not any(atom.GetFormalCharge() or atom.GetNumRadicalElectrons() for atom in mol.GetAtoms())


def test_enumeration_makes_the_file(embedded: list[str]) -> None:
    made = [smiles for level in enumerate_molecules(4) for smiles in level]
    assert made == embedded[: len(made)]
    assert Chem.MolFromSmiles(embedded[len(made)]).GetNumAtoms() == 5


def test_choice_depends_on_each_molecule_alone() -> None:
    names = [f"m{number}" for number in range(50)]
    chosen = pick(names, 20)
    assert chosen == sorted(chosen)
    assert pick(names[::-1], 20) == chosen


@pytest.mark.parametrize("smiles", ["OO", "C=C=C", "C1=CC1", "FN", "C=CO", "OCO", "C#CF", "CC(F)=O", "C=N", "C1C2CC12"])
def test_rules_refuse(smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    assert not is_allowed(mol)


@pytest.mark.slow
def test_the_whole_file(embedded: list[str]) -> None:
    sizes = enumerate_molecules()
    small = [smiles for level in sizes[:-1] for smiles in level]
    assert embedded == small + pick(sizes[-1], TARGET - len(small))
