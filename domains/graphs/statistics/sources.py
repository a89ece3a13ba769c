"""What `compare` takes in this domain: files of molecules, runs, decoded molecules, lists of SMILES."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from scorefield.core.columns import column_names
from scorefield.core.errors import InputError
from scorefield.core.references import open_data
from scorefield.core.runs import Run
from scorefield.domains.graphs.formats import SUFFIXES, suffix
from scorefield.domains.graphs.molecules import FLAGS, Molecules
from scorefield.domains.graphs.statistics.population import MoleculePopulation

__all__ = ["population", "read_population", "recognises", "reference"]


def recognises(path: Path) -> bool:
    """Whether a file with this name holds molecules; tables have a column of that name."""
    names = column_names(path)
    return suffix(path) in SUFFIXES and (names is None or "smiles" in map(str.lower, names))


def read_population(path: Path, *, progress: bool = False) -> MoleculePopulation:
    """The molecules of a file.

    Raises:
        InputError: the file is missing, empty, of an unknown format, or without a molecule RDKit can read.
    """
    molecules = Molecules.load(path)
    found = MoleculePopulation(molecules, progress=progress, stated=_stated(path, molecules))
    if not found.canonical:
        raise InputError("holds no molecule that RDKit can read", file=path)
    return found


def _stated(path: Path, molecules: Molecules) -> dict[str, int]:
    """The counts in the summary that `sample` wrote beside the file, if it is about these molecules."""
    try:
        summary = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
        counts = {key: int(summary[key]) for key in ("num", "parsed", *FLAGS)}
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    num, parsed = counts.pop("num"), counts.pop("parsed")
    fits = parsed == len(molecules.parsed) <= len(molecules) <= num
    return {"num": num, **counts} if fits and all(0 <= count <= num for count in counts.values()) else {}


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
        InputError: the run is one of other graphs than molecules, does not say which data it was trained on, or they
            are not there, not as they were, or hold no molecules.
    """
    tables = run.model["tables"]
    if isinstance(tables, dict) and tables.get("kind", "molecules") != "molecules":
        raise InputError("a run of generic graphs: compare knows molecules only in this version", file=run.folder)
    module = open_data(run, "molecules")
    return MoleculePopulation(module.test_references()), MoleculePopulation(module.train_references())
