"""What a run was trained on, opened anew for a comparison."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule

from scorefield.core.checkpoints import instantiate
from scorefield.core.errors import InputError
from scorefield.core.runs import Run

__all__ = ["open_data"]

_INSTEAD = "give the test file in place of the run, and the training set with --train FILE"


def open_data(run: Run, objects: str) -> Any:
    """The data module of a run, set up, with `test_references()` and `train_references()`.

    Args:
        run: the run.
        objects: what the domain compares, for messages ("molecules").

    Raises:
        InputError: the run does not say which data it was trained on, or they are not there, not as they were, or hold
            nothing to compare with.
    """
    data = run.model.get("data")
    if not isinstance(data, dict) or "class_path" not in data:
        raise InputError("does not say which data it was trained on", file=run.model_file, mend=_INSTEAD)
    module: Any = instantiate({key: data[key] for key in ("class_path", "init_args") if key in data}, run.model_file)
    compared = all(hasattr(module, name) for name in ("test_references", "train_references"))
    if not (isinstance(module, LightningDataModule) and compared):
        what = f"{type(module).__name__} holds no {objects} to compare with"
        raise InputError(what, file=run.model_file, place="data", mend=_INSTEAD)
    try:
        module.setup("fit")
    except InputError as error:
        raise InputError(error.problem, file=run.model_file, place="data", mend=_INSTEAD) from error
    _check_unchanged(data.get("provenance"), module, run)
    return module


def _check_unchanged(stored: Any, module: Any, run: Run) -> None:
    """What the run says of its data must hold for what was opened; older runs say nothing of the rows."""
    for key in ("sha256", "test", "test_rows"):
        if isinstance(stored, dict) and key in stored and stored[key] != module.provenance.get(key):
            what = f"the data have changed since training ({key} was {stored[key]}, is {module.provenance.get(key)})"
            raise InputError(what, file=module.provenance.get("file", run.model_file), mend=_INSTEAD)
