"""What a training run writes while it goes on: checkpoints, and a model that `sample` takes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from scorefield.core.checkpoints import ModelRecord, save_model
from scorefield.core.counting import CountingModule
from scorefield.core.domains import find_domains
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.experiment import Experiment
from scorefield.core.files import atomic
from scorefield.core.interpolants.system import Bridge
from scorefield.core.module import ScoreModule
from scorefield.core.paths import EDM, VE
from scorefield.core.system import System

__all__ = ["LAST", "AtomicCheckpoints", "ModelFiles", "PassCheckpoint", "checkpoint_callbacks", "domain_of"]

LAST = Path("checkpoints") / "last.ckpt"
_PAUSE = 20.0  # seconds between two exports of the model while training goes on


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all, and hold plain data only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """See Lightning's `CheckpointIO`."""
        with atomic(Path(path)) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """See Lightning's `CheckpointIO`.

        Raises:
            InputError: the file is missing or damaged.
        """
        try:
            loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise InputError("no such checkpoint", file=path) from None
        except Exception as error:  # whatever the reader stumbles over, the file is not a checkpoint of ours
            mend = "resume from a copy, or start again"
            raise InputError(f"damaged ({type(error).__name__})", file=path, mend=mend) from error
        return loaded


def checkpoint_callbacks(folder: Path) -> list[ModelCheckpoint]:
    """`checkpoints/last.ckpt` after every epoch, and `best.ckpt` of the lowest validation loss."""
    settings: dict[str, Any] = {"dirpath": folder / LAST.parent, "enable_version_counter": False}
    return [
        ModelCheckpoint(filename="best", monitor="val_loss", **settings),
        ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **settings),
    ]


class PassCheckpoint(Checkpoint):
    """`checkpoints/last.ckpt` after every pass of a module that counts.

    `ModelCheckpoint` would wait for an optimiser's step.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, after the module's own end of the pass."""
        trainer.save_checkpoint(self.folder / LAST, weights_only=False)


def domain_of(class_path: str) -> str:
    """The domain in whose package a recipe's class lies; its first folder below `domains` if none is installed."""
    for name, entry in find_domains().items():
        if class_path.startswith(f"{entry.point.module}."):
            return name
    parts = class_path.split(".")
    return parts[parts.index("domains") + 1] if "domains" in parts[:-1] else parts[0]


class ModelFiles(Callback):
    """Writes `model.safetensors` and `model.json`: at the first epoch's end, then every now and then, and at the end.

    So a run that was interrupted can be sampled from too.

    Args:
        folder: the run folder.
        experiment: what is trained.
    """

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.folder, self.experiment = folder, experiment
        self._written = -_PAUSE
        self._diverged = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what is trained, on what, and where it goes."""
        module = _fitted(pl_module)
        if isinstance(module, CountingModule):
            rank_zero_info(f"{module.headline()} into {self.folder}")
            return
        groups = module.model.parameter_groups()
        counts = ", ".join(f"{name} {sum(p.numel() for p in members):,}" for name, members in groups.items())
        data = trainer.datamodule  # type: ignore[attr-defined]
        facts = [f"{key} {value}" for key, value in data.sizes.items()]
        facts += data.facts() if hasattr(data, "facts") else []
        rows = data.provenance.get("train")
        name = data.provenance.get("name", type(data).__name__)
        what = f"training {type(module.recipe).__name__} (parameters: {counts}) on {name}"
        rank_zero_info(f"{what} ({rows} samples; {', '.join(facts)}) into {self.folder}")
        _warn_of_priors(module.model)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store the configuration in the checkpoint too."""
        checkpoint["config"] = self.experiment.to_yaml()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export, but not after every short epoch."""
        if time.monotonic() - self._written > _PAUSE:
            self.write(trainer, pl_module)
            self._written = time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export."""
        self.write(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Export what was learnt before the interruption."""
        if trainer.global_step > 0:
            self.write(trainer, pl_module)

    @rank_zero_only
    def write(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both files, unless the weights are not finite, or not yet all counted."""
        module = _fitted(pl_module)
        if isinstance(module, CountingModule) and not module.ready:
            return
        raw, ema = module.weights()
        if all(bool(torch.isfinite(value).all()) for value in raw.values()):
            save_model(self.folder, self.record(trainer, pl_module), raw, ema)

    def record(self, trainer: Trainer, pl_module: LightningModule) -> ModelRecord:
        """What `model.json` says of this run."""
        module, data = _fitted(pl_module), trainer.datamodule  # type: ignore[attr-defined]
        system = self.experiment.system
        arguments = {name: value for name, value in system["init_args"].items() if name != "sampling"}
        return ModelRecord(
            domain=domain_of(system["class_path"]),
            system={**system, "init_args": arguments},
            sizes=dict(data.sizes),
            tables=_tables(module.recipe, data.tables),
            sampling=_sampling(module),
            data=self._data(data),
        )

    def _data(self, data: Any) -> dict[str, Any]:
        """How to open the data again from any folder, and what they are."""
        spec = self.experiment.as_dict()["data"]
        files = data.local_files() if hasattr(data, "local_files") else {}
        return {**spec, "init_args": {**spec["init_args"], **files}, "provenance": dict(data.provenance)}


def _tables(recipe: Any, tables: Mapping[str, Any]) -> dict[str, Any]:
    """What sampling needs of the data, with what the recipe has to say."""
    return dict(recipe.tables(tables) if hasattr(recipe, "tables") else tables)


@rank_zero_only
def _warn_of_priors(system: System) -> None:
    """Sampling starts from N(0, 1), which a path that keeps part of the signal does not reach."""
    paths = {n: c.path for n, c in system.components.items() if not isinstance(c.path, VE | EDM | Bridge)}
    kept = {name: float(path.alpha(torch.ones(1, dtype=torch.float64))) for name, path in paths.items()}
    named = [f"{name} {alpha:.2f}" for name, alpha in kept.items() if alpha > 0.1]
    if named:
        what = f"paths end with a share of the signal ({', '.join(named)}) that the prior N(0, 1) lacks"
        warnings.warn(f"{what}; a larger beta_max brings them together", InputWarning, stacklevel=2)


def _sampling(module: ScoreModule | CountingModule) -> dict[str, Any]:
    """The recipe's default sampler, or none where it names none; the weights are those that exist."""
    settings = getattr(module.recipe, "sampling", None)
    values: Mapping[str, Any] = {"weights": "ema"} if settings is None else vars(settings)
    return {**values, "weights": values["weights"] if module.ema is not None else "raw"}


def _fitted(module: LightningModule) -> ScoreModule | CountingModule:
    if not isinstance(module, ScoreModule | CountingModule):
        raise TypeError(f"{type(module).__name__} is neither a ScoreModule nor a CountingModule")
    return module
