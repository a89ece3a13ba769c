"""S4 layers: a linear state space in both directions for each channel, a GELU, and a mixture of the channels.

y_i = sum_{j<=i} K0_{i-j} u_j + sum_{j>i} K1_{j-i-1} u_j + D u_i, with the kernels of `kernels`. Frozen layers keep what
depends on weights alone, until one of their parameters changes. Channels come first, `[H, B, L]`. Parameters have the
names of the published code.

Source: Gu, Goel and Ré 2022 (arXiv 2111.00396); Kollovieh et al. 2023 (arXiv 2307.11494) for the block.
"""

from __future__ import annotations

from typing import cast, get_args

import torch
from torch import Tensor, nn

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.domains.series.tsdiff.convolution import LONG, both_directions, convolve, toeplitz
from scorefield.domains.series.tsdiff.elementwise import channel_norm
from scorefield.domains.series.tsdiff.kernels import DiagonalKernel, DPLRKernel, Kernel

__all__ = ["S4", "S4Block", "mixed"]


def mixed(layer: nn.Conv1d | nn.Linear, x: Tensor, onto: Tensor | None = None) -> Tensor:
    """A linear layer over the channels of `x` `[H, B, L]`, added to `onto`."""
    flat, weight, bias = x.flatten(1), layer.weight.flatten(1), cast(Tensor, layer.bias)[:, None]
    result = torch.addmm(bias, weight, flat) if onto is None else torch.addmm(onto.flatten(1), weight, flat) + bias
    return cast(Tensor, result.unflatten(1, x.shape[1:]))


class _Holder(nn.Module):
    """A level of the published names."""

    def __init__(self, kernel: DPLRKernel | DiagonalKernel) -> None:
        super().__init__()
        self.kernel = kernel


class S4(nn.Module):
    """The layer without norm and residual.

    Args:
        channels: H.
        states: states of each system, N.
        length: steps of a window, L.
        kernel: `dplr`, as published, or `diag`, which is quicker to train.

    Raises:
        InputError: an unknown kernel, or a number of states that cannot be.
    """

    def __init__(self, channels: int, states: int, length: int, kernel: Kernel = "dplr") -> None:
        super().__init__()
        if kernel not in get_args(Kernel):
            raise unknown("kernel", kernel, get_args(Kernel))
        self.length = length
        self.D = nn.Parameter(torch.randn(1, channels))
        made = DPLRKernel if kernel == "dplr" else DiagonalKernel
        self.kernel = _Holder(made(channels, states, length))
        self.output_linear = nn.Conv1d(channels, channels, 1)
        self._kept: tuple[tuple[object, ...], Tensor] | None = None

    def forward(self, u: Tensor) -> Tensor:
        """The layer's output `[H, B, L]`.

        Raises:
            InputError: windows of another length.
        """
        if u.shape[-1] != self.length:
            raise InputError(f"windows of {u.shape[-1]} steps", mend=f"this model takes {self.length} steps")
        return mixed(self.output_linear, nn.functional.gelu(self.convolved(u)))

    def convolved(self, u: Tensor) -> Tensor:
        """The convolution and D u, `[H, B, L]`."""
        with torch.autocast(u.device.type, enabled=False):
            kept = self._frozen(u)
            if kept is None:
                return convolve(u, self.taps().to(u.dtype))
            return torch.bmm(u, kept) if self.length < LONG else convolve(u, kept)

    def taps(self) -> Tensor:
        """Weights of all shifts `[H, 2L - 1]`, in double precision."""
        kernels: Tensor = self.kernel.kernel()
        return both_directions(kernels, self.D[0].double())

    def _frozen(self, u: Tensor) -> Tensor | None:
        """What multiplies `u`, kept from the last call while the parameters are the same; None if they are trained."""
        parameters = [self.D, *self.kernel.parameters()]
        if any(p.requires_grad or p.is_inference() for p in parameters):
            self._kept = None
            return None
        key = (u.dtype, *((p.data_ptr(), p._version, p.dtype, p.device) for p in parameters))
        if self._kept is None or self._kept[0] != key:
            # Inference tensors could not be differentiated through later.
            with torch.inference_mode(False), torch.no_grad():
                taps = self.taps().to(u.dtype)
                self._kept = key, toeplitz(taps) if self.length < LONG else taps
        return self._kept[1]


class S4Block(nn.Module):
    """x + S4(norm(x)); arguments as of `S4`."""

    def __init__(self, channels: int, states: int, length: int, kernel: Kernel = "dplr") -> None:
        super().__init__()
        self.layer = S4(channels, states, length, kernel)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[H, B, L]` to `[H, B, L]`."""
        output: Tensor = self.layer(channel_norm(x, self.norm.weight, self.norm.bias, self.norm.eps))
        return x + output
