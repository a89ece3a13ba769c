"""Substructures of molecules as tokens: Bemis-Murcko scaffolds and BRICS fragments, and Morgan fingerprints.

Conventions of MOSES (Polykovskiy et al. 2020): a scaffold counts once per molecule and only with two rings or more;
a molecule that BRICS does not cut is its own single fragment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.BRICS import BreakBRICSBonds
from rdkit.Chem.Scaffolds import MurckoScaffold
from tqdm import tqdm

from scorefield.core.statistics.features import TokenCounts

__all__ = ["fragment_counts", "internal_similarity", "morgan_fingerprints", "scaffold_counts"]


def _scaffold(molecule: Chem.Mol) -> list[str]:
    scaffold = MurckoScaffold.GetScaffoldForMol(molecule)
    if rdMolDescriptors.CalcNumRings(scaffold) < 2:
        return []
    return [Chem.MolToSmiles(scaffold)]


def scaffold_counts(molecules: Sequence[Chem.Mol], *, progress: bool = False) -> TokenCounts:
    """The Bemis-Murcko scaffold of each molecule; rows of molecules with fewer than two rings are empty."""
    bar = tqdm(molecules, desc="scaffolds", unit="mol", disable=not progress)
    return TokenCounts.from_lists(_scaffold(molecule) for molecule in bar)


def _fragments(molecule: Chem.Mol) -> list[str]:
    pieces = Chem.GetMolFrags(BreakBRICSBonds(molecule), asMols=True, sanitizeFrags=False)
    return [Chem.MolToSmiles(piece) for piece in pieces]


def fragment_counts(molecules: Sequence[Chem.Mol], *, progress: bool = False) -> TokenCounts:
    """The BRICS fragments of each molecule."""
    bar = tqdm(molecules, desc="fragments", unit="mol", disable=not progress)
    return TokenCounts.from_lists(_fragments(molecule) for molecule in bar)


def morgan_fingerprints(molecules: Sequence[Chem.Mol], *, radius: int = 2, bits: int = 1024) -> npt.NDArray[np.float32]:
    """Morgan fingerprints (molecules, bits) of zeros and ones."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
    rows = [generator.GetFingerprintAsNumPy(molecule) for molecule in molecules]
    return np.array(rows, dtype=np.float32).reshape(-1, bits)


def internal_similarity(
    fingerprints: npt.NDArray[np.float32], *, block: int = 1000, progress: bool = False
) -> npt.NDArray[np.float64]:
    """Mean Tanimoto similarity of each molecule to all (itself included), (molecules,), block by block."""
    sizes = fingerprints.sum(axis=1)
    means = np.empty(len(fingerprints))
    starts = range(0, len(fingerprints), block)
    for start in tqdm(starts, desc="diversity", unit="block", disable=not progress or len(starts) < 5):
        rows = slice(start, start + block)
        shared = fingerprints[rows] @ fingerprints.T
        either = sizes[rows, None] + sizes[None, :] - shared
        means[rows] = np.where(either > 0, shared / np.maximum(either, 1.0), 1.0).mean(axis=1)
    return means
