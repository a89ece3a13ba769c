"""The state that a system generates: named tensors, their masks, and what is given.

Graphs carry components `x [B, N, F]` and `adj [B, N, N]` under the mask `mask [B, N]`; series `x [B, L, D]`;
trajectories `x [B, N, T, D]` under `mask [B, N]`, `frame_mask [B, T]` and, of those frames, `given_frames [B, T]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scorefield.core.errors import InputError

__all__ = ["MASKS", "ORIGIN", "State"]

MASKS = ("mask", "frame_mask", "given_frames")
"""The keys that a plain dictionary uses for masks."""

ORIGIN = "origin_"
"""Beginning of what a network sees in the condition of a component with an origin; its name follows."""


@dataclass(frozen=True)
class State:
    """A batch of samples.

    Attributes:
        components: what is generated, by name and in a fixed order; every tensor is `[B, ...]`.
        masks: which entries exist, by name (`mask`: nodes or steps, `frame_mask`: frames), and which frames are given
            and not generated (`given_frames`); boolean `[B, ...]`.
        condition: what is given and not generated; tensors are `[B, ...]`.
    """

    components: dict[str, Tensor]
    masks: dict[str, Tensor] = field(default_factory=dict)
    condition: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], components: Sequence[str]) -> State:
        """Sort a plain dictionary into components, masks and condition.

        Raises:
            InputError: a component is missing.
        """
        missing = [name for name in components if name not in values]
        if missing:
            raise InputError(f"the state lacks {', '.join(missing)}", mend=f"give {', '.join(components)}")
        masks = {name: values[name].bool() for name in MASKS if name in values}
        rest = {name: value for name, value in values.items() if name not in components and name not in masks}
        return cls({name: values[name] for name in components}, masks, rest)

    def as_dict(self) -> dict[str, Any]:
        """The plain dictionary of all three parts."""
        return {**self.components, **self.masks, **self.condition}

    def __getitem__(self, name: str) -> Tensor:
        return self.components[name]

    def __len__(self) -> int:
        return next(iter(self.components.values())).shape[0]

    @property
    def device(self) -> torch.device:
        """Where the components live."""
        return next(iter(self.components.values())).device

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the components."""
        return next(iter(self.components.values())).dtype

    def replace(self, components: Mapping[str, Tensor]) -> State:
        """The same masks and condition around other component values (those not named stay)."""
        return State({**self.components, **components}, self.masks, self.condition)

    def map(self, function: Callable[[Tensor], Tensor]) -> State:
        """Apply a function to every tensor of all three parts (values that are no tensors stay)."""

        def apply(values: Mapping[str, Any]) -> dict[str, Any]:
            return {k: function(v) if isinstance(v, Tensor) else v for k, v in values.items()}

        return State(apply(self.components), apply(self.masks), apply(self.condition))

    def rows(self, index: Tensor | slice) -> State:
        """The samples at `index`."""
        return self.map(lambda value: value[index])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> State:
        """Move everything to a device; cast floating-point tensors to `dtype`."""

        def move(value: Tensor) -> Tensor:
            return value.to(device=device, dtype=dtype if value.is_floating_point() else None)

        return self.map(move)
