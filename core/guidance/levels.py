"""Levels of the quantiles that the paths of one forecast are guided to.

Path i = 0, ..., S - 1 of an item has the level (i + 1) / (S + 1), so that together they stand for the distribution.
Paths in that order are near to comonotone: quantiles of one step are good, statistics along a path (sums, maxima) are
not. Levels in random order, or drawn independently, give that order no meaning, but do not undo it: each path keeps
one level for all steps.

Source: Kollovieh et al. 2023 (arXiv 2307.11494, section 3.2).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.names import unknown

__all__ = ["LEVEL", "Levels", "quantile_levels"]

LEVEL = "level"
"""Entry of a state's condition that holds them."""

Levels = Literal["ordered", "shuffled", "random"]


def quantile_levels(
    items: int, paths: int, order: Levels = "ordered", generator: torch.Generator | None = None
) -> Tensor:
    """Levels `[items * paths]` of paths that stand item by item, float64.

    Args:
        items: how many.
        paths: of each.
        order: `ordered` as published, `shuffled` for each item, or `random`: uniform, and independent.
        generator: for the last two.

    Raises:
        InputError: an unknown order, no path, or no generator where there is something to draw.
    """
    if order not in get_args(Levels):
        raise unknown("order of quantile levels", order, get_args(Levels))
    if paths < 1 or items < 0:
        raise InputError(f"{paths} paths of {items} items", mend="give at least 1 path")
    if order != "ordered" and generator is None:
        raise InputError(f"{order} quantile levels need a generator")
    if order == "random":
        drawn = torch.rand(items * paths, dtype=torch.float64, generator=generator)
        return drawn.clamp(min=torch.finfo(torch.float32).eps, max=1 - torch.finfo(torch.float32).eps)
    levels = torch.arange(1, paths + 1, dtype=torch.float64) / (paths + 1)
    if order == "ordered":
        return levels.repeat(items)
    return torch.stack([levels[torch.randperm(paths, generator=generator)] for _ in range(items)]).flatten()
