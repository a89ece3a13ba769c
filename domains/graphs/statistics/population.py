"""A population of molecules whose features are computed once, however many statistics ask for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
_MARKS = frozenset("@/\\[")  # stereo at atoms and bonds; isotopes stand in brackets


def _parsed(smiles: Iterable[str]) -> Iterator[Chem.Mol]:
    with rdBase.BlockLogs():
        for text in smiles:
            molecule = Chem.MolFromSmiles(str(text)) if text else None
            if molecule is not None and molecule.GetNumAtoms() > 0:
                yield molecule


def _flat(canonical: str) -> str:
    """The SMILES without stereo and isotopes; one with no mark of either is its own flat form."""
    if not _MARKS & set(canonical):
        return canonical
    return str(Chem.MolToSmiles(Chem.MolFromSmiles(canonical), isomericSmiles=False))


class MoleculePopulation:
    """Molecules and their features.

    Args:
        molecules: decoded molecules, SMILES, or a population (then its features are shared).
        activations: ChemNet activations known in this run, shared between populations.
        progress: show progress bars.
        stated: what the summary beside the file counts, where the file itself has no columns of validity.
    """

    def __init__(
        self,
        molecules: Molecules | Sequence[str] | MoleculePopulation,
        *,
        activations: ActivationCache | None = None,
        progress: bool = False,
        stated: Mapping[str, int] | None = None,
    ) -> None:
        self.source: Molecules
        self.stated: dict[str, int] = (
            molecules.stated if isinstance(molecules, MoleculePopulation) else dict(stated or {})
        )
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
        return list(_parsed(self.source.smiles))

    @cached_property
    def canonical(self) -> list[str]:
        """Canonical SMILES of `molecules`, which are not kept for this alone: a training set would fill the memory."""
        kept = self.__dict__.get("molecules")
        return [Chem.MolToSmiles(molecule) for molecule in (_parsed(self.source.smiles) if kept is None else kept)]

    @cached_property
    def without_stereo(self) -> list[str]:
        """Canonical SMILES of `molecules` without stereochemistry and isotopes."""
        return [_flat(text) for text in self.canonical]

    def validity(self, flag: str) -> tuple[int, int] | None:
        """How many were valid in a sense before correction, and of how many; None where that is not known."""
        column = getattr(self.source, flag)
        if column is not None:
            return int(column.sum()), len(column)
        return (self.stated[flag], self.stated["num"]) if flag in self.stated else None

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
