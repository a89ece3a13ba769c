"""Whether states that a user hands to a model are laid out like those of its run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.spaces import DirectedAdjacency, SymmetricAdjacency
from scorefield.core.state import MASKS, State
from scorefield.core.system import System

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord
    from scorefield.core.domain import Domain

__all__ = ["check_layout"]


def check_layout(state: State, system: System, domain: Domain, record: ModelRecord) -> None:
    """Refuse what is not laid out like the run's own states.

    Raises:
        InputError: a component or mask of another shape; the message names it.
    """
    tables, sizes = record.tables, record.sizes
    own = domain.frame(domain.draw(1, tables, torch.Generator().manual_seed(0)), sizes, tables)
    wanted = {**own.components, **own.masks}
    for name, value in {**state.components, **state.masks}.items():
        if name in wanted and value.ndim != wanted[name].ndim:
            raise _misshapen(name, value, f"{wanted[name].ndim} axes are needed")
        if len(value) != len(state):
            raise _misshapen(name, value, f"the first component has {len(state)} rows")
    for name, value in state.components.items():
        adjacency = isinstance(system.components[name].space, SymmetricAdjacency | DirectedAdjacency)
        if adjacency and value.shape[-1] != value.shape[-2]:
            raise _misshapen(name, value, "it must be square")
        for axis, mask in zip((1, 2, 2), MASKS, strict=True):  # as the spaces apply them
            if mask in state.masks and axis < value.ndim and value.shape[axis] != state.masks[mask].shape[1]:
                raise _misshapen(name, value, f"{mask} has shape {tuple(state.masks[mask].shape)}")
    if "x" in state.components and state["x"].shape[-1] != own["x"].shape[-1]:
        raise _misshapen("x", state["x"], f"the run has {own['x'].shape[-1]} features, the last axis")


def _misshapen(name: str, value: Tensor, why: str) -> InputError:
    return InputError(f"{name} has shape {tuple(value.shape)}", mend=why)
