"""Training a run: what `scorefield fit` and `scorefield.fit` share.

A run folder gets `config.yaml`, `checkpoints/{last,best}.ckpt`, `metrics.csv`, TensorBoard events, and the model that
`sample` takes, `model.safetensors` and `model.json`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from scorefield.core.configs import resolve_config
from scorefield.core.counting import CountingModule, counting_strategy
from scorefield.core.errors import InputError
from scorefield.core.experiment import Experiment, build, find_class, read_experiment
from scorefield.core.files import atomic
from scorefield.core.metrics import EpochLines, Events, MetricsFile
from scorefield.core.module import ScoreModule
from scorefield.core.quiet import quiet_training
from scorefield.core.runs import allocate, check_claim, claim
from scorefield.core.solver_registry import make_solver
from scorefield.core.states_data import StatesData
from scorefield.core.training_files import (
    LAST,
    AtomicCheckpoints,
    ModelFiles,
    PassCheckpoint,
    checkpoint_callbacks,
)

__all__ = ["CONFIG", "checked_resume", "fit", "make_trainer", "train"]

CONFIG = "config.yaml"
_FOLDER = "SCOREFIELD_RUN_FOLDER"  # tells the processes that a trainer launches where the first one writes
_STATES = "scorefield.core.states_data.StatesData"


def fit(
    config: str | Path | Mapping[str, Any],
    states: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    **overrides: Any,
) -> Path:
    """Train a configuration on encoded states; needs neither chemistry nor a command line.

    Args:
        config: name of a packaged configuration, a YAML file, or its tree of `model`, `data` and `trainer`.
        states: an `.npz` that `fit --export-states` wrote, or a dictionary of such arrays: `x`, `adj`, `mask`, ...
        out: run folder; by default the next free `runs/NAME/NNN`.
        overrides: other values of single keys, by the key or its last part where that is clear
            (`max_epochs=10`, `batch_size=64`, `**{"model.seed": 1}`).

    Returns:
        The run folder.

    Raises:
        InputError: the configuration or the states are wrong, or the folder is taken.
    """
    if isinstance(config, Mapping):
        tree, file, name = dict(config), None, "run"
    else:
        file = resolve_config(config)
        tree, name = read_experiment(file), file.stem
    in_memory = isinstance(states, Mapping)
    tree["data"] = _states_part(tree.get("data"), None if in_memory else str(states))
    experiment = Experiment.from_dict(tree, file).overridden(overrides)
    data: StatesData = build(experiment.data, file, "data")
    if isinstance(states, Mapping):
        data.values = states
    return train(experiment, name=name, out=out, data=data)


def _states_part(data: Any, path: str | None) -> dict[str, Any]:
    """The configuration's data part with its class replaced; arguments that both classes take are kept."""
    kept = ("batch_size", "validation_fraction", "num_workers", "seed")
    given = (data or {}).get("init_args") or {} if isinstance(data, dict) else {}
    return {"class_path": _STATES, "init_args": {"path": path, **{k: given[k] for k in kept if k in given}}}


def train(
    experiment: Experiment,
    *,
    name: str,
    out: str | Path | None = None,
    resume: Path | None = None,
    data: LightningDataModule | None = None,
) -> Path:
    """Train an experiment into a run folder.

    Args:
        experiment: what to train.
        name: names the default folder `runs/NAME/NNN`.
        out: another folder, which must be empty or new.
        resume: continue the run in this folder instead.
        data: the data module, where it is built already.

    Returns:
        The run folder.

    Raises:
        InputError: bad input.

    A folder made for a run that fails before its first epoch's end is removed again.
    """
    _check_length(experiment)
    if not resume and _is_first():
        check_claim(Path("runs") / name / "new" if out is None else out)
    data = data if data is not None else build(experiment.data, experiment.file, "data")
    module = _built(experiment)
    _check_sampler(module, experiment.file)
    if not resume and _is_first():
        data.prepare_data()
        data.setup("fit")  # bad data is found before there is a folder
    folder = resume or _new_folder(name, out)
    try:
        trainer = make_trainer(experiment, folder)
        if resume:
            _check_unfinished(trainer, folder, isinstance(module, CountingModule))
        if trainer.is_global_zero:
            _write_config(experiment, folder)
        with quiet_training():
            trainer.fit(module, datamodule=data, ckpt_path=folder / LAST if resume else None)
    except Exception:
        if not resume and _is_first():
            _remove_without_result(folder, () if out is not None else (folder.parent, folder.parent.parent))
        raise
    finally:
        os.environ.pop(_FOLDER, None)
    return folder


def _built(experiment: Experiment) -> ScoreModule | CountingModule:
    module = build(experiment.module, experiment.file, "model")
    if not isinstance(module, ScoreModule | CountingModule):
        raise InputError(f"{type(module).__name__} is no module that fit knows", file=experiment.file, place="model")
    return module


def _write_config(experiment: Experiment, folder: Path) -> None:
    with atomic(folder / CONFIG) as temporary:
        temporary.write_text(experiment.to_yaml(), encoding="utf-8")


def _remove_without_result(folder: Path, above: Sequence[Path]) -> None:
    """Remove a run folder that holds neither a checkpoint nor a model, and then empty folders above it."""
    if not any((folder / kept).exists() for kept in (LAST, "model.json")):
        shutil.rmtree(folder, ignore_errors=True)
        _remove_empty(*above)


def _check_length(experiment: Experiment) -> None:
    """Refuse a training of no steps: it would leave a run without a model."""
    for name in ("max_epochs", "max_steps", "limit_train_batches"):
        if experiment.trainer.get(name) == 0:
            what, place = "0 leaves nothing to train", f"trainer.{name}"
            raise InputError(what, file=experiment.file, place=place, mend="give at least 1")


def _check_sampler(module: ScoreModule | CountingModule, file: Path | None) -> None:
    """Find a wrong default sampler before the training, not at the first sample after it."""
    settings = getattr(module.recipe, "sampling", None)
    if settings is None:
        return
    try:
        make_solver(settings.solver, settings.steps, **settings.arguments)
    except InputError as error:
        raise InputError(str(error), file=file, place="model.system.sampling") from None


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()


def checked_resume(run: str | Path) -> Path:
    """The folder of a run that can be continued.

    Raises:
        InputError: it is none, or has no checkpoint yet.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise InputError("no such run folder", file=folder, mend="`scorefield list runs` shows what there is")
    if not (folder / CONFIG).is_file():
        raise InputError(f"no {CONFIG}: not a run that was trained here", file=folder)
    if not (folder / LAST).is_file():
        raise InputError(f"no {LAST}: the run ended before its first epoch did", file=folder, mend="start it again")
    return folder


def _check_unfinished(trainer: Trainer, folder: Path, counts: bool) -> None:
    stored = AtomicCheckpoints().load_checkpoint(folder / LAST)
    done, wanted = int(stored["epoch"]) + 1, trainer.max_epochs
    if wanted is not None and 0 <= wanted <= done:
        mend = "all is counted: sample it" if counts else "to go on, raise --trainer.max_epochs"
        raise InputError(f"the run has finished its {done} epochs", file=folder, mend=mend)


def make_trainer(experiment: Experiment, folder: Path) -> Trainer:
    """Lightning's trainer with the run folder's loggers, checkpoints and exports.

    Raises:
        InputError: an argument of the trainer is wrong or belongs elsewhere.
    """
    arguments: dict[str, Any] = build(dict(experiment.trainer), experiment.file, "trainer")
    if arguments.get("gradient_clip_val") is not None:
        raise InputError(
            "gradients are clipped by component", file=experiment.file, place="trainer.gradient_clip_val",
            mend="set model.clip",
        )  # fmt: skip
    given = {name: _as_list(arguments.get(name)) for name in ("callbacks", "plugins")}
    counts = issubclass(find_class(experiment.module["class_path"], experiment.file, "model"), CountingModule)
    saving = [PassCheckpoint(folder)] if counts else checkpoint_callbacks(folder)
    arguments["callbacks"] = [*given["callbacks"], ModelFiles(folder, experiment), *saving]
    if counts:
        arguments["strategy"] = counting_strategy(arguments)
    arguments["plugins"] = [*given["plugins"], AtomicCheckpoints()]
    if arguments.get("enable_progress_bar") is None and not sys.stderr.isatty():
        arguments["enable_progress_bar"] = False
        arguments["callbacks"][:0] = [] if counts else [EpochLines()]
    if arguments.get("logger") in (None, True):
        arguments["logger"] = _loggers(folder)
    defaults = {"log_every_n_steps": 1, "enable_model_summary": False, "num_sanity_val_steps": 0}
    arguments |= {key: value for key, value in defaults.items() if arguments.get(key) is None}
    arguments["default_root_dir"] = arguments.get("default_root_dir") or folder
    try:
        with quiet_training():
            return Trainer(**arguments)
    except InputError:
        raise
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        raise InputError(str(error).partition("\n")[0], file=experiment.file, place="trainer") from error


def _loggers(folder: Path) -> list[Any]:
    loggers: list[Any] = [MetricsFile(folder / "metrics.csv")]
    if importlib.util.find_spec("tensorboard"):
        loggers.append(Events(folder))
    return loggers


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _is_first() -> bool:
    """Whether this is the first process of the training, before there is a trainer to ask."""
    later_node = any(os.environ.get(name, "0") not in ("", "0") for name in ("NODE_RANK", "GROUP_RANK"))
    return (getattr(rank_zero_only, "rank", None) or 0) == 0 and not later_node


def _new_folder(name: str, out: str | Path | None) -> Path:
    """Make the run folder in the first process; the others are told, or write nothing."""
    if _is_first():
        folder = claim(out) if out is not None else allocate(name)
        os.environ[_FOLDER] = str(folder)
        return folder
    return Path(os.environ.get(_FOLDER) or out or Path("runs") / name)
