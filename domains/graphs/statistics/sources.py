"""What `compare` takes in this domain: files of molecules, runs, decoded molecules, lists of SMILES."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule

from scorefield.core.checkpoints import instantiate
from scorefield.core.errors import InputError
from scorefield.core.runs import Run
from scorefield.domains.graphs.formats import SUFFIXES, suffix
from scorefield.domains.graphs.molecules import FLAGS, Molecules
from scorefield.domains.graphs.statistics.population import MoleculePopulation

__all__ = ["population", "read_population", "recognises", "reference"]

_INSTEAD = "give the test file in place of the run, and the training set with --train FILE"


def recognises(path: Path) -> bool:
    """Whether a file with this name holds molecules."""
    return suffix(path) in SUFFIXES


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
    data = run.model.get("data")
    if not isinstance(data, dict) or "class_path" not in data:
        raise InputError("does not say which data it was trained on", file=run.model_file, mend=_INSTEAD)
    module: Any = instantiate({key: data[key] for key in ("class_path", "init_args") if key in data}, run.model_file)
    compared = all(hasattr(module, name) for name in ("test_references", "train_references"))
    if not (isinstance(module, LightningDataModule) and compared):
        what = f"{type(module).__name__} holds no molecules to compare with"
        raise InputError(what, file=run.model_file, place="data", mend=_INSTEAD)
    try:
        module.setup("fit")
    except InputError as error:
        raise InputError(error.problem, file=run.model_file, place="data", mend=_INSTEAD) from error
    _check_unchanged(data.get("provenance"), module, run)
    test, train = (getattr(module, name) for name in ("test_references", "train_references"))
    return MoleculePopulation(test()), MoleculePopulation(train())


def _check_unchanged(stored: Any, module: Any, run: Run) -> None:
    """What the run says of its data must hold for what was opened; older runs say nothing of the rows."""
    for key in ("sha256", "test", "test_rows"):
        if isinstance(stored, dict) and key in stored and stored[key] != module.provenance.get(key):
            what = f"the data have changed since training ({key} was {stored[key]}, is {module.provenance.get(key)})"
            raise InputError(what, file=module.provenance.get("file", run.model_file), mend=_INSTEAD)
