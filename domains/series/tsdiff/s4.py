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
from scorefield.domains.series.tsdiff.elementwise import standardised
from scorefield.domains.series.tsdiff.kernels import DiagonalKernel, DPLRKernel, Kernel

__all__ = ["S4", "S4Block", "mixed"]


def mixed(layer: nn.Conv1d | nn.Linear, x: Tensor, onto: Tensor | None = None) -> Tensor:
    """A linear layer over the channels of `x` `[H, B, L]`, added to `onto`."""
    flat, weight, bias = x.flatten(1), layer.weight.flatten(1), cast(Tensor, layer.bias)[:, None]
    result = torch.addmm(bias if onto is None else onto.flatten(1), weight, flat)
    result = result if onto is None else result.add_(bias)
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
        self._kept: tuple[tuple[object, ...], tuple[Tensor, Tensor | None]] | None = None

    def forward(self, u: Tensor, affine: tuple[Tensor, Tensor] | None = None, onto: Tensor | None = None) -> Tensor:
        """The layer's output `[H, B, L]`.

        Args:
            u: `[H, B, L]`.
            affine: weights and biases `[H]` of a norm that `u` has yet to be multiplied by and moved by.
            onto: what the output is added to.

        Raises:
            InputError: windows of another length.
        """
        if u.shape[-1] != self.length:
            raise InputError(f"windows of {u.shape[-1]} steps", mend=f"this model takes {self.length} steps")
        return mixed(self.output_linear, nn.functional.gelu(self.convolved(u, affine)), onto)

    def convolved(self, u: Tensor, affine: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """The convolution and D u, `[H, B, L]`; arguments as of `forward`."""
        with torch.autocast(u.device.type, enabled=False):
            frozen = self._frozen(u.dtype, affine)
            weights, shift = self._weights(u.dtype, affine) if frozen is None else frozen
            if frozen is None or self.length >= LONG:
                result = convolve(u, weights)
                return result if shift is None else result + shift
            return torch.bmm(u, weights) if shift is None else torch.baddbmm(shift, u, weights)

    def taps(self) -> Tensor:
        """Weights of all shifts `[H, 2L - 1]`, in double precision."""
        kernels: Tensor = self.kernel.kernel()
        return both_directions(kernels, self.D[0].double())

    def _weights(self, dtype: torch.dtype, affine: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor | None]:
        """Taps with the norm's weights in them, and what its biases become, `[H, 1, L]`."""
        taps = self.taps()
        if affine is None:
            return taps.to(dtype), None
        weight, bias = (v.double()[:, None] for v in affine)
        # The convolution of a constant: sums of the taps that reach into the window.
        sums = nn.functional.pad(taps.cumsum(-1), (1, 0))
        reach = sums[:, self.length :] - sums[:, : self.length]
        return (taps * weight).to(dtype), (bias * reach).to(dtype)[:, None]

    def _frozen(self, dtype: torch.dtype, affine: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor | None] | None:
        """What multiplies inputs, kept while the parameters are the same; None if they are trained."""
        parameters = [self.D, *self.kernel.parameters(), *(affine or ())]
        if any(p.requires_grad or p.is_inference() for p in parameters):
            self._kept = None
            return None
        key = (dtype, *((p.data_ptr(), p._version, p.dtype, p.device) for p in parameters))
        if self._kept is None or self._kept[0] != key:
            # Inference tensors could not be differentiated through later.
            with torch.inference_mode(False), torch.no_grad():
                taps, shift = self._weights(dtype, affine)
                self._kept = key, (toeplitz(taps) if self.length < LONG else taps, shift)
        return self._kept[1]


class S4Block(nn.Module):
    """x + S4(norm(x)); arguments as of `S4`."""

    def __init__(self, channels: int, states: int, length: int, kernel: Kernel = "dplr") -> None:
        super().__init__()
        self.layer = S4(channels, states, length, kernel)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[H, B, L]` to `[H, B, L]`."""
        affine = self.norm.weight, self.norm.bias
        return cast(Tensor, self.layer(standardised(x, self.norm.eps), affine, x))
