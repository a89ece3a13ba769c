"""The multilayer perceptrons of GDSS, on rows (nodes) and on columns (packed pairs)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorefield.domains.graphs.networks.autograd import apply

__all__ = ["Perceptron", "elu_", "map_columns"]


class Perceptron(nn.Module):
    """`depth` linear maps with ELU between them and nothing after the last.

    The parameters are named `linears.0` ... as published, or `linear` when there is one map only.

    Args:
        depth: number of linear maps, at least 1.
        width_in: width of the input.
        width_hidden: width between the maps.
        width_out: width of the output.
    """

    def __init__(self, depth: int, width_in: int, width_hidden: int, width_out: int) -> None:
        super().__init__()
        widths = [width_in, *[width_hidden] * (depth - 1), width_out]
        linears = [nn.Linear(m, n) for m, n in pairwise(widths)]
        if depth == 1:
            self.linear = linears[0]
        else:
            self.linears = nn.ModuleList(linears)
        self.keep: Tensor
        self.register_buffer("keep", functional.pad(torch.ones(1, 1), (max(widths), 0)), persistent=False)

    @property
    def maps(self) -> Sequence[nn.Linear]:
        """The linear maps in order."""
        if hasattr(self, "linear"):
            return [self.linear]
        return [m for m in self.linears if isinstance(m, nn.Linear)]

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows, (..., width_in) -> (..., width_out)."""
        first, *others = self.maps
        flat: Tensor = first(rows.reshape(-1, rows.shape[-1]))
        for linear in others:
            flat = linear(elu_(flat))
        return flat.view(*rows.shape[:-1], flat.shape[-1])

    def fold(self, first_scale: Tensor | None = None, last_scale: float = 1.0) -> list[Tensor]:
        """The maps as matrices for columns that end in a row of ones, biases as last columns.

        All but the last matrix end in a row that keeps the ones, which ELU leaves as they are: so there is neither a
        bias to add nor a sum over all columns in the derivative.

        Args:
            first_scale: (width_in,) factor of each input row, taken into the first matrix.
            last_scale: factor of the output, taken into the last matrix.
        """
        *hidden, last = self.maps
        scales: list[Tensor | float] = [1.0 if first_scale is None else first_scale, *[1.0] * len(hidden)]
        matrices = []
        for linear, scale in zip(hidden, scales, strict=False):
            affine = torch.cat([linear.weight * scale, linear.bias[:, None]], 1)
            matrices.append(torch.cat([affine, self.keep[:, -affine.shape[1] :]]))
        weight = last.weight * (scales[len(hidden)] * last_scale)
        return [*matrices, torch.cat([weight, last.bias[:, None] * last_scale], 1)]


def map_columns(columns: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Apply a folded perceptron, (width_in + 1, n) with a last row of ones -> (width_out, n)."""
    for matrix in matrices[:-1]:
        columns = elu_(torch.mm(matrix, columns))
    return torch.mm(matrices[-1], columns)


def elu_(x: Tensor) -> Tensor:
    """ELU in place, max(x, exp(min(x, 0)) - 1); `x` must not be needed by the operation that made it.

    On CPU the library's kernel spends its time in expm1, whose relative accuracy near zero is lost anyway in
    the sum that follows.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return functional.elu(x, inplace=True)
    return apply(_ELU, x)


class _ELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        torch.maximum(x, x.clamp(max=0).exp_().sub_(1), out=x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        slope: Tensor = torch.ops.aten.elu_backward(grads[0], 1.0, 1.0, 1.0, True, y)
        return slope
