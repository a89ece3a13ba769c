"""Parameters of equal modules held as one tensor with a leading channel axis, under the modules' names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor, nn

__all__ = ["Stacked"]


class Stacked(nn.Module):
    """A module whose parameters (channels, ...) stand for those of `channels` equal modules.

    Published weights hold one module per channel: `attn.0.gnn_q.weight`, `attn.1.gnn_q.weight`, ... A module
    named `attn` reads and writes exactly these names, while optimisers, averages and devices see one tensor.
    Entries of the state dict are views of the stacked parameter, as a state dict's entries are elsewhere.

    Attributes:
        published: for each parameter, its name within the module of one channel.
    """

    published: ClassVar[dict[str, str]] = {}

    def _views(self, prefix: str, keep_vars: bool) -> Iterator[tuple[str, Tensor]]:
        for name, stacked in self._parameters.items():
            if stacked is not None:
                for channel, part in enumerate(stacked if keep_vars else stacked.detach()):
                    yield f"{prefix}{channel}.{self.published[name]}", part

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination.update(self._views(prefix, keep_vars))

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        views = dict(self._views(prefix, keep_vars=False))
        for key, part in views.items():
            if key not in state_dict:
                missing_keys.append(key)
            elif state_dict[key].shape != part.shape:
                given, wanted = tuple(state_dict[key].shape), tuple(part.shape)
                error_msgs.append(f"size mismatch for {key}: {given} given, {wanted} wanted.")
            else:
                part.copy_(state_dict[key])
        unexpected_keys += [key for key in state_dict if key.startswith(prefix) and key not in views]
