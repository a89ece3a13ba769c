"""Parts of derivatives that are written out: linear layers, SiLUs, and what is to be differentiated once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["LayerGradients", "again", "product", "silu", "silu_below"]

silu = torch.ops.aten.silu


def silu_below(above: Tensor, z: Tensor) -> Tensor:
    """The gradient at z from that at silu(z), which it takes the place of."""
    below: Tensor = torch.ops.aten.silu_backward.grad_input(above, z, grad_input=above)
    return below


def product(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """values weight^T + bias, of two axes."""
    result = values @ weight.T
    return result if bias is None else result.add_(bias)


class LayerGradients:
    """Gradients of a layer's weights on the way down.

    Args:
        weights: by name; the bias of `NAME` is `NAME_bias`.
        learning: whether their gradients are wanted.

    Attributes:
        found: gradients so far, by name.
    """

    def __init__(self, weights: NamedTuple, learning: bool) -> None:
        self.weights, self.learning = weights, learning
        self.found: dict[str, Tensor] = {}

    def through(self, name: str, above: Tensor, value: Tensor, z: Tensor | None = None) -> Tensor:
        """The gradient below the linear layer of `value` `[rows, ...]`, or, where `value` is silu(z), that at z."""
        weight: Tensor = getattr(self.weights, name)
        if self.learning:
            self.found[name], self.found[f"{name}_bias"] = above.T @ value, above.sum(0)
        below = above @ weight
        return below if z is None else silu_below(below, z)

    def all(self) -> list[Tensor | None]:
        """Those of all weights in their order."""
        return [self.found.get(name) for name in self.weights._fields]


def again(
    plain: Callable[..., tuple[Tensor, Tensor]],
    inputs: Sequence[Tensor],
    above: tuple[Tensor, Tensor],
    needed: Sequence[bool],
) -> list[Any]:
    """Gradients that can be differentiated, of `plain(*inputs)`; None where not needed."""
    wanted = [value for value, wants in zip(inputs, needed, strict=True) if wants]
    found = iter(torch.autograd.grad(plain(*inputs), wanted, above, create_graph=True))
    return [next(found) if wants else None for wants in needed]
