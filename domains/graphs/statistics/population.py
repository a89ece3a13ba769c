"""A population of molecules whose features are computed once, however many statistics ask for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase

from scorefield.core.statistics.features import TokenCounts
from scorefield.domains.graphs.molecules import Molecules
from scorefield.domains.graphs.statistics.chemnet import ActivationCache
from scorefield.domains.graphs.statistics.nspdk import nspdk_features
from scorefield.domains.graphs.statistics.properties import property_values
from scorefield.domains.graphs.statistics.substructures import (
    fragment_counts,
    internal_similarity,
    morgan_fingerprints,
    scaffold_counts,
)

__all__ = ["MoleculePopulation"]

T = TypeVar("T")
_MARKS = frozenset("@/\\[")


class MoleculePopulation:
    """Molecules and their features.

    Args:
        molecules: decoded molecules, SMILES, or a population (then its features are shared).
        activations: ChemNet activations known in this run, shared between populations.
        progress: show progress bars.
    """

    def __init__(
        self,
        molecules: Molecules | Sequence[str] | MoleculePopulation,
        *,
        activations: ActivationCache | None = None,
        progress: bool = False,
    ) -> None:
        self.source: Molecules
        if isinstance(molecules, MoleculePopulation):
            self.source = molecules.source
        elif isinstance(molecules, Molecules):
            self.source = molecules
        else:
            self.source = Molecules(np.array(list(molecules), dtype=np.str_))
        self.activations = ActivationCache() if activations is None else activations
        self.progress = progress
        self._kept: dict[str, Any] = {}

    def __len__(self) -> int:
        """How many molecules there are, those that RDKit cannot read included."""
        return len(self.source)

    @cached_property
    def molecules(self) -> list[Chem.Mol]:
        """The molecules that RDKit can read, sanitised and with at least one atom."""
        with rdBase.BlockLogs():
            parsed = [Chem.MolFromSmiles(str(text)) for text in self.source.smiles if text]
        return [molecule for molecule in parsed if molecule is not None and molecule.GetNumAtoms() > 0]

    @cached_property
    def canonical(self) -> list[str]:
        """Canonical SMILES of `molecules`."""
        return [Chem.MolToSmiles(molecule) for molecule in self.molecules]

    @cached_property
    def without_stereo(self) -> list[str]:
        """Canonical SMILES of `molecules` without stereochemistry and isotopes."""
        pairs = zip(self.canonical, self.molecules, strict=True)
        # Stereo stands in "@/\", isotopes in brackets: a text with neither is its own flat form.
        return [
            Chem.MolToSmiles(molecule, isomericSmiles=False) if _MARKS & set(text) else text for text, molecule in pairs
        ]

    def subsample(self, size: int, generator: np.random.Generator) -> MoleculePopulation:
        """Some of the readable molecules, drawn without replacement."""
        rows = generator.permutation(len(self.molecules))[:size]
        chosen = MoleculePopulation([], activations=self.activations)
        chosen.source = Molecules(np.array([self.canonical[row] for row in rows], dtype=np.str_))
        chosen.__dict__["molecules"] = [self.molecules[row] for row in rows]
        chosen.__dict__["canonical"] = [self.canonical[row] for row in rows]
        return chosen

    def _once(self, name: str, compute: Callable[[], T]) -> T:
        if name not in self._kept:
            self._kept[name] = compute()
        kept: T = self._kept[name]
        return kept

    def values(self, name: str) -> npt.NDArray[np.float64]:
        """A property of each molecule, (molecules,)."""
        return self._once(name, lambda: property_values(self.molecules, name, progress=self.progress))

    def nspdk(self) -> TokenCounts:
        """NSPDK features."""
        return self._once("nspdk", lambda: nspdk_features(self.molecules, progress=self.progress))

    def scaffolds(self) -> TokenCounts:
        """Bemis-Murcko scaffolds."""
        return self._once("scaffolds", lambda: scaffold_counts(self.molecules, progress=self.progress))

    def fragments(self) -> TokenCounts:
        """BRICS fragments."""
        return self._once("fragments", lambda: fragment_counts(self.molecules, progress=self.progress))

    def chemnet(self) -> npt.NDArray[np.float32]:
        """ChemNet activations (molecules, 512)."""
        return self._once("chemnet", lambda: self.activations(self.canonical, progress=self.progress))

    def similarity(self) -> npt.NDArray[np.float64]:
        """Mean Tanimoto similarity of each molecule to all of its population, (molecules,)."""

        def compute() -> npt.NDArray[np.float64]:
            return internal_similarity(morgan_fingerprints(self.molecules), progress=self.progress)

        return self._once("similarity", compute)
