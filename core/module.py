"""The one Lightning module: trains the system of a recipe on an objective.

Every random number of a step comes from (seed, epoch, batch, row), so a run resumed at an epoch's end, or spread over
processes, continues with the same numbers. Validation draws depend on (seed, batch, row) only: its losses are
comparable between epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from scorefield.core.draws import SampleStreams
from scorefield.core.ema import EMA
from scorefield.core.errors import InputError
from scorefield.core.objectives import DenoisingScoreMatching, Draws, Objective
from scorefield.core.optimisation import Algorithm, Schedule, clip_groups, make_optimiser, rate_factor
from scorefield.core.state import State
from scorefield.core.system import Recipe, System

__all__ = ["ScoreModule"]

Weights = dict[str, Tensor]


class ScoreModule(LightningModule):
    """Trains a system; the data module tells the sizes.

    Args:
        system: recipe of the system.
        objective: what to minimise; by default denoising score matching, averaged over free entries.
        optimizer: `adam` (weight decay added to the gradient) or `adamw`.
        lr: learning rate.
        betas: decay rates of the optimiser's two moments.
        weight_decay: weight decay.
        per_component: other values of `lr` and `weight_decay` for single components, `{adj: {lr: 0.001}}`.
        lr_schedule: `constant`, `exponential` (lr_gamma once an epoch), `cosine` or `linear` (to zero at the end).
        lr_gamma: factor of the exponential schedule.
        warmup_steps: steps of linear warm-up.
        clip: largest gradient norm of each component's parameters; null for none.
        ema_decay: decay of the averaged weights; null for none.
        seed: seed of initial weights and of all draws.

    Raises:
        InputError: a number that cannot be.
    """

    def __init__(
        self,
        system: Recipe,
        objective: Objective | None = None,
        optimizer: Algorithm = "adamw",
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        per_component: dict[str, dict[str, float]] | None = None,
        lr_schedule: Schedule = "constant",
        lr_gamma: float = 0.999,
        warmup_steps: int = 0,
        clip: float | None = 1.0,
        ema_decay: float | None = 0.999,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check_rates(lr, weight_decay, clip, ema_decay)
        self.recipe = system
        self.objective = objective if objective is not None else DenoisingScoreMatching()
        self.optimizer, self.per_component = optimizer, dict(per_component or {})
        self.adam = {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay}
        self.lr_schedule, self.lr_gamma, self.warmup_steps = lr_schedule, lr_gamma, warmup_steps
        self.clip, self.ema_decay, self.seed = clip, ema_decay, seed
        self.model: System
        self.ema: EMA | None = None
        self.draw: Callable[[System, State, SampleStreams], Draws] = self.objective.draw
        self._stored_average: dict[str, Any] | None = None
        self._idle: list[Tensor] | None = None
        self._loss_sum: Tensor | float = 0.0

    def setup(self, stage: str | None = None) -> None:
        """Build the system for the data's sizes; the global random state is left as it was."""
        if hasattr(self, "model"):
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.model = self.recipe.build(self.trainer.datamodule.sizes)  # type: ignore[attr-defined]
        self.model.prepare(self.trainer.datamodule)  # type: ignore[attr-defined]

    def configure_optimizers(self) -> Any:
        """One optimiser with a parameter group a component, and its schedule by steps."""
        groups = self.model.parameter_groups()
        optimiser = make_optimiser(self.optimizer, groups, self.per_component, **self.adam)
        total = float(self.trainer.estimated_stepping_batches)
        accumulated = self.trainer.accumulate_grad_batches
        per_epoch = -(-self.trainer.num_training_batches // accumulated)
        factor = rate_factor(self.lr_schedule, per_epoch, total, self.lr_gamma, self.warmup_steps)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_fit_start(self) -> None:
        """Start the average from the initial weights, or from where a resumed run left it."""
        if self.ema_decay is None:
            return
        self.ema = EMA(self.model, self.ema_decay)
        if self._stored_average is not None:
            self.ema.load_state_dict(self._stored_average)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """The objective's total at this step's draws."""
        losses, size = self._losses(batch, "train", self.seed, self.current_epoch, batch_idx)
        total = self.objective.total(losses)
        self._log_losses("train", losses, total, size)
        self.log("loss", total.detach(), prog_bar=True, logger=False)
        self._loss_sum = self._loss_sum + total.detach()
        return total if self.trainer.world_size == 1 else self._touch_idle(total)

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """Log the losses at draws that are the same in every epoch."""
        losses, size = self._losses(batch, "validate", self.seed, batch_idx)
        self._log_losses("val", losses, self.objective.total(losses), size)

    def _losses(self, batch: Mapping[str, Any], *keys: int | str) -> tuple[dict[str, Tensor], int]:
        state = self.model.state(batch)
        streams = SampleStreams(
            len(state), *keys, rank=self.global_rank, processes=self.trainer.world_size, device=state.device
        )
        return self.objective.losses(self.model, state, self.draw(self.model, state, streams)), len(state)

    def _log_losses(self, phase: str, losses: Mapping[str, Tensor], total: Tensor, size: int) -> None:
        values = {f"{phase}_loss_{name}": loss.detach() for name, loss in losses.items()}
        values[f"{phase}_loss"] = total.detach()
        show = phase == "val"
        self.log_dict(values, on_step=False, on_epoch=True, sync_dist=True, batch_size=size, prog_bar=show)

    def _touch_idle(self, total: Tensor) -> Tensor:
        """Let every parameter take part in the loss, as gradient averaging over processes demands.

        Some networks end in layers of which one output is not used; their weights get no gradient.
        """
        if self._idle is None:
            parameters = [p for p in self.model.parameters() if p.requires_grad]
            gradients = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
            self._idle = [p for p, g in zip(parameters, gradients, strict=True) if g is None]
        return total + sum(p.sum() * 0 for p in self._idle)

    def on_after_backward(self) -> None:
        """Take the zero gradients of idle parameters away: weight decay must not move them."""
        for parameter in self._idle or []:
            parameter.grad = None

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each component's gradient by itself, and log its norm before."""
        norms = clip_groups(optimizer, self.clip)
        self.log_dict(
            {f"norm_{name}": norm for name, norm in norms.items()}, on_step=False, on_epoch=True, sync_dist=True
        )

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then move the average."""
        super().optimizer_step(*args, **kwargs)
        if self.ema is not None:
            self.ema.update()

    def on_train_epoch_end(self) -> None:
        """Stop a run that diverged before its checkpoint is overwritten.

        Raises:
            InputError: a loss was not finite, in this process or another.
        """
        finite = bool(torch.isfinite(torch.as_tensor(self._loss_sum)))
        # All processes stop together: one that raised alone would leave the others waiting for it.
        if not self.trainer.strategy.reduce_boolean_decision(finite, all=True):
            what = f"the loss is no longer finite in epoch {self.current_epoch}"
            raise InputError(what, mend="lower model.lr or model.clip")
        self._loss_sum = 0.0

    def on_validation_epoch_start(self) -> None:
        """Validate the averaged weights."""
        if self.ema is not None:
            self.ema.swap()

    def on_validation_epoch_end(self) -> None:
        """Put the raw weights back, before any checkpoint is written."""
        if self.ema is not None:
            self.ema.swap()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the average."""
        if self.ema is not None:
            checkpoint["ema"] = self.ema.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the stored average until the fit starts."""
        self._stored_average = checkpoint.get("ema")

    def weights(self) -> tuple[Weights, Weights | None]:
        """Raw and averaged state dictionaries of the system, as copies."""
        if self.ema is None:
            return self._copied(), None
        with self.ema.using(averaged=False):
            raw = self._copied()
        with self.ema.using(averaged=True):
            return raw, self._copied()

    def _copied(self) -> Weights:
        return {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}


def _check_rates(lr: float, weight_decay: float, clip: float | None, ema_decay: float | None) -> None:
    """Refuse numbers with which nothing can be learnt; comparisons are such that NaN fails them."""
    if not lr > 0:
        raise InputError(f"lr is {lr:g}", mend="give more than 0")
    if not weight_decay >= 0:
        raise InputError(f"weight_decay is {weight_decay:g}", mend="give 0 or more")
    if clip is not None and not clip > 0:
        raise InputError(f"clip is {clip:g}", mend="give more than 0, or null for no clipping")
    if ema_decay is not None and not 0 <= ema_decay < 1:
        raise InputError(f"ema_decay is {ema_decay:g}", mend="give at least 0 and less than 1, or null for no average")
