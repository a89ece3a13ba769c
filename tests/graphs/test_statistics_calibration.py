"""Calibration on QM9's test split: uniform p-values, intervals that cover, corruptions that are seen.

Features are computed once; every split takes rows of them. A split is a random "generated" sample of n molecules and
a disjoint "real" sample of m; corruptions act on a fifth of the generated sample.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Callable

import numpy as np
import pytest
from rdkit import Chem, rdBase
from scipy import stats

from scorefield.core.statistics.features import TokenCounts
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.graphs.statistics import DISTANCES, MoleculePopulation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]  # a quarter of an hour together, on one quiet core

SPLITS = 200
SHARE = 0.2
DRAWS = Resampling(permutations=49, bootstrap=50, floors=0)  # tells enough, 200 times over
BY_NAME = {entry.name: entry for entry in DISTANCES}
NAMES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name == "fcd" and not importlib.util.find_spec("fcd_torch"), reason="fcd_torch is not installed"
        ),
    )
    for name in BY_NAME
]
SWAPS = {6: (7, 8), 7: (8, 6), 8: (7, 6), 9: (8, 7)}


def swapped(molecule: Chem.Mol, generator: np.random.Generator) -> Chem.Mol:
    """The molecule with the element of one random atom changed, as far as valence allows."""
    base = Chem.RWMol(molecule)
    Chem.Kekulize(base, clearAromaticFlags=True)
    for place in generator.permutation(base.GetNumAtoms()):
        if base.GetAtomWithIdx(int(place)).GetFormalCharge():
            continue
        for element in SWAPS[base.GetAtomWithIdx(int(place)).GetAtomicNum()]:
            tried = Chem.RWMol(base)
            atom = tried.GetAtomWithIdx(int(place))
            atom.SetAtomicNum(element)
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
            found = Chem.MolFromSmiles(Chem.MolToSmiles(tried))
            if found is not None:
                return found
    return molecule


class Pool:
    """The real molecules, and below them the same with a heteroatom swapped."""

    def __init__(self, smiles: list[str]) -> None:
        generator = np.random.default_rng(1)
        self.real = MoleculePopulation(smiles)
        with rdBase.BlockLogs():
            changed = [Chem.MolToSmiles(swapped(molecule, generator)) for molecule in self.real.molecules]
        self.changed = MoleculePopulation(changed, activations=self.real.activations)
        self.size = len(smiles)
        self.rings = self.real.values("rings")
        self.atoms = np.array([molecule.GetNumAtoms() for molecule in self.real.molecules])
        self.kept: dict[str, object] = {}

    def features(self, name: str):
        if name not in self.kept:
            real, changed = BY_NAME[name].feature(self.real), BY_NAME[name].feature(self.changed)
            tokens = isinstance(real, TokenCounts)
            self.kept[name] = (
                TokenCounts.concatenate([real, changed]).matrix() if tokens else np.concatenate([real, changed])
            )
        return self.kept[name]

    def candidates(self, corruption: str, rest: np.ndarray) -> np.ndarray:
        if corruption == "acyclic":
            return rest[self.rings[rest] == 0]
        if corruption == "small":
            return rest[self.atoms[rest] <= 8]
        return np.flatnonzero(self.rings >= 2)[:25]  # collapse, in every split to the same


@pytest.fixture(scope="module")
def qm9(shared_dir) -> Pool:
    lines = gzip.decompress((shared_dir / "data/graphs/qm9_smiles.txt.gz").read_bytes()).decode().split()
    rows = json.loads((shared_dir / "data/graphs/qm9_test_idx.json").read_text())
    return Pool([lines[int(row)] for row in rows])


def measured(
    pool: Pool,
    name: str,
    n: int,
    m: int,
    splits: int,
    settings: Resampling,
    corrupt: Callable[[np.random.Generator, np.ndarray, np.ndarray], None] | None = None,
):
    features, generator = pool.features(name), np.random.default_rng(11)
    rows = []
    for split in range(splits):
        order = generator.permutation(pool.size)
        generated, real, rest = order[:n].copy(), order[n : n + m], order[n + m :]
        if corrupt is not None:
            corrupt(generator, generated, rest)
        rows.append(BY_NAME[name].row_of_features(features[real], features[generated], settings, split))
    mean = np.mean([row.value for row in rows])
    covered = float(np.mean([row.low <= mean <= row.high for row in rows]))
    return np.array([row.p_value for row in rows]), covered


@pytest.mark.parametrize("name", NAMES)
def test_real_against_real(qm9, name):
    n, m = (300, 700) if name == "fcd" else (500, 1500)
    p_values, covered = measured(qm9, name, n, m, SPLITS, DRAWS.at_most(39 if name == "fcd" else 49))
    print(f"{name}: KS {stats.kstest(p_values, 'uniform').pvalue:.3f}, coverage {covered:.3f}")
    # p lies on multiples of 1/50 (fcd: 1/40), which moves the KS distance by .025 at most; the critical one is .115.
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert covered >= 0.91


CASES = [
    ("nspdk", "swap", 3000, 8000, 20),
    ("fcd", "swap", 3000, 6000, 20),
    ("w1_logp", "swap", 3000, 8000, 50),
    ("w1_qed", "acyclic", 2000, 5000, 50),
    ("w1_sa", "acyclic", 1000, 3000, 50),
    ("w1_rings", "acyclic", 1000, 3000, 50),
    ("fragment", "acyclic", 2000, 5000, 50),
    ("scaffold", "collapse", 1000, 3000, 50),
    ("w1_weight", "small", 1000, 3000, 50),
]


@pytest.mark.parametrize(("name", "corruption", "n", "m", "splits"), CASES)
def test_a_fifth_corrupted(qm9, name, corruption, n, m, splits):
    """The corruption is seen, and the intervals cover far from equality too (a looser bound: fewer splits).

    swap: one heteroatom changed; acyclic, small: replaced by molecules without rings, of at most 8 atoms;
    collapse: replaced by copies of 25 molecules.
    """
    if name == "fcd":
        pytest.importorskip("fcd_torch")

    def corrupt(generator, generated, rest):
        hit = generator.random(n) < SHARE
        if corruption == "swap":
            generated[hit] += qm9.size
        else:
            generated[hit] = generator.choice(qm9.candidates(corruption, rest), hit.sum())

    p_values, covered = measured(qm9, name, n, m, splits, DRAWS.at_most(39 if name == "fcd" else 49), corrupt)
    print(f"{name}, {corruption}: power {np.mean(p_values <= 0.05):.3f}, coverage {covered:.3f}")
    assert np.mean(p_values <= 0.05) >= 0.9
    assert covered >= 0.8
