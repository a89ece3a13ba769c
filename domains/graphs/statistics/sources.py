"""What `compare` takes in this domain: files of molecules, runs, decoded molecules, lists of SMILES."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scorefield.core.errors import InputError
from scorefield.core.runs import Run
from scorefield.domains.graphs.formats import SUFFIXES, suffix
from scorefield.domains.graphs.molecules import Molecules
from scorefield.domains.graphs.statistics.population import MoleculePopulation

__all__ = ["population", "read_population", "recognises", "reference"]


def recognises(path: Path) -> bool:
    """Whether a file with this name holds molecules."""
    return suffix(path) in SUFFIXES


def read_population(path: Path, *, progress: bool = False) -> MoleculePopulation:
    """The molecules of a file.

    Raises:
        InputError: the file is missing, empty, of an unknown format, or without a molecule RDKit can read.
    """
    found = MoleculePopulation(Molecules.load(path), progress=progress)
    if not found.molecules:
        raise InputError("holds no molecule that RDKit can read", file=path)
    return found


def population(
    molecules: Molecules | Sequence[str] | MoleculePopulation, *, progress: bool = False
) -> MoleculePopulation:
    """A population that keeps its features."""
    if isinstance(molecules, MoleculePopulation):
        molecules.progress = progress
        return molecules
    return MoleculePopulation(molecules, progress=progress)


def reference(run: Run) -> tuple[MoleculePopulation, MoleculePopulation]:
    """The test split and the training set of a run.

    Raises:
        InputError: the run does not say which data it was trained on, or they are not there.
    """
    from scorefield.core.experiment import build

    data = run.model.get("data")
    if not isinstance(data, dict) or "class_path" not in data:
        mend = "give the test set as a file, and the training set with --train"
        raise InputError("does not say which data it was trained on", file=run.model_file, mend=mend)
    spec = {key: data[key] for key in ("class_path", "init_args") if key in data}
    module = build(spec, run.model_file, "data")
    module.setup("fit")
    return MoleculePopulation(module.test_references()), MoleculePopulation(module.train_references())
