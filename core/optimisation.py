"""Optimisers with one parameter group a component, and the schedule of their learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import nn

from scorefield.core.errors import InputError
from scorefield.core.names import unknown

__all__ = ["Algorithm", "Schedule", "clip_groups", "make_optimiser", "rate_factor"]

Algorithm = Literal["adam", "adamw"]
Schedule = Literal["constant", "exponential", "cosine", "linear"]
_OPTIONS = ("lr", "weight_decay")


def make_optimiser(
    algorithm: Algorithm,
    groups: Mapping[str, list[nn.Parameter]],
    per_component: Mapping[str, Mapping[str, float]],
    **settings: Any,
) -> torch.optim.Optimizer:
    """An optimiser whose parameter groups carry the components' names.

    Args:
        algorithm: `adam` adds weight decay to the gradient (L2), `adamw` decays the weights themselves.
        groups: parameters by component.
        per_component: learning rate and weight decay of single components, `{"adj": {"lr": 1e-3}}`.
        settings: `lr`, `betas`, `weight_decay` of all others.

    Raises:
        InputError: an unknown algorithm, component or option.
    """
    if algorithm not in get_args(Algorithm):
        raise unknown("optimizer", algorithm, get_args(Algorithm))
    for name, options in per_component.items():
        if name not in groups:
            raise unknown("component", name, groups, place="per_component")
        for option in options:
            if option not in _OPTIONS:
                raise unknown("option", option, _OPTIONS, place=f"per_component.{name}")
    listed = [{"params": members, "name": name, **per_component.get(name, {})} for name, members in groups.items()]
    chosen = torch.optim.Adam if algorithm == "adam" else torch.optim.AdamW
    # On a CPU one pass over the parameters in place of ten; PyTorch chooses well by itself elsewhere.
    on_cpu = all(parameter.device.type == "cpu" for members in groups.values() for parameter in members)
    return chosen(listed, fused=True if on_cpu else None, **settings)


def rate_factor(
    schedule: Schedule, steps_per_epoch: float, total_steps: float, gamma: float, warmup_steps: int
) -> Callable[[int], float]:
    """The factor of the learning rate at each step.

    Args:
        schedule: `constant`; `exponential`: gamma^epoch; `cosine` or `linear`: from 1 to 0 over the whole
            training.
        steps_per_epoch: optimiser steps in an epoch.
        total_steps: optimiser steps of the whole training.
        gamma: factor an epoch of `exponential`.
        warmup_steps: steps over which the factor rises linearly from 0 at first.

    Raises:
        InputError: an unknown schedule, or one to zero without an end.
    """
    if schedule not in get_args(Schedule):
        raise unknown("schedule of the learning rate", schedule, get_args(Schedule))
    if schedule in ("cosine", "linear") and not math.isfinite(total_steps):
        raise InputError(f"a {schedule} schedule needs an end", mend="set trainer.max_epochs or trainer.max_steps")

    def factor(step: int) -> float:
        rise = min(1.0, (step + 1) / (warmup_steps + 1))
        if schedule == "exponential":
            return float(rise * gamma ** (step // max(1, steps_per_epoch)))
        done = min(1.0, max(0.0, (step - warmup_steps) / max(1.0, total_steps - warmup_steps)))
        if schedule == "cosine":
            return rise * 0.5 * (1 + math.cos(math.pi * done))
        return rise * (1 - done) if schedule == "linear" else rise

    return factor


def clip_groups(optimiser: torch.optim.Optimizer, limit: float | None) -> dict[str, torch.Tensor]:
    """Scale each parameter group's gradient to a norm of at most `limit` (None: leave it).

    Returns:
        The norm of each group before.
    """
    norms = {}
    for group in optimiser.param_groups:
        norms[group["name"]] = nn.utils.clip_grad_norm_(group["params"], math.inf if limit is None else limit)
    return norms
