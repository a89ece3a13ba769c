"""Exponential moving average of weights.

The shadow starts at the initial weights. Update n = 1, 2, ... uses d = min(decay, (1 + n) / (10 + n)):
shadow <- shadow - (1 - d) (shadow - weight).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from scorefield.core.errors import InputError

__all__ = ["EMA"]


class EMA:
    """Shadows of a module's trainable parameters.

    Args:
        module: whose parameters are followed.
        decay: largest decay, in [0, 1).

    Raises:
        InputError: the decay is outside [0, 1).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"ema_decay = {decay}", mend="give a number in [0, 1), or null for none")
        self.decay = decay
        self.updates = 0
        self._names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
        self._module = module
        self._shadows = [weight.detach().clone() for weight in self._weights()]
        self._applied = False

    def _weights(self) -> list[Tensor]:
        parameters = dict(self._module.named_parameters())
        return [parameters[name].data for name in self._names]

    @torch.no_grad()
    def update(self) -> None:
        """Move the shadows towards the present weights; call after each optimiser step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._shadows, self._weights(), 1 - decay)

    def shadows(self) -> dict[str, Tensor]:
        """The shadows by parameter name."""
        return dict(zip(self._names, self._shadows, strict=True))

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange shadows and weights; a second call undoes it."""
        for shadow, weight in zip(self._shadows, self._weights(), strict=True):
            kept = weight.clone()
            weight.copy_(shadow)
            shadow.copy_(kept)
        self._applied = not self._applied

    @contextmanager
    def using(self, averaged: bool) -> Iterator[None]:
        """Have the shadows (or else the raw weights) in the module inside the block, whatever it holds now."""
        if self._applied == averaged:
            yield
            return
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state_dict(self) -> dict[str, Any]:
        """Decay, number of updates and shadows by parameter name."""
        return {"decay": self.decay, "updates": self.updates, "shadows": self.shadows()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave; the decay stays the one of this object.

        Raises:
            InputError: it belongs to another network.
        """
        stored = state["shadows"]
        if set(stored) != set(self._names):
            raise InputError("the averaged weights belong to another network")
        for name, shadow in zip(self._names, self._shadows, strict=True):
            shadow.copy_(stored[name])
        self.updates = int(state["updates"])
