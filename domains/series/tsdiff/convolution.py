"""Convolutions over a window in both directions.

With taps r [H, 2L - 1], r_k the weight of a shift by k - (L - 1) steps, y_i = sum_j r_{L-1+i-j} u_j. Windows of some
hundred steps are quickest as products with the Toeplitz matrices of the taps, built for a few channels at a time so
that they stay in the cache; long ones go through Fourier transforms. Channels come first, `[H, B, L]`.

The gradients are of the same kind: by u a convolution with the taps reversed, by the taps a correlation, so that the
operations below can be differentiated as often as wanted.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

__all__ = ["LONG", "both_directions", "convolve", "toeplitz"]

LONG = 640
"""Steps from which on Fourier transforms are quicker."""

_CACHE = 1 << 19  # numbers of the matrices that are worked on at a time on a CPU


def both_directions(kernels: Tensor, skip: Tensor) -> Tensor:
    """Taps `[H, 2L - 1]` of y_i = sum_{j<=i} K0_{i-j} u_j + sum_{j>i} K1_{j-i-1} u_j + D u_i.

    Args:
        kernels: K0 and K1, `[2, H, L]`.
        skip: D, `[H]`.
    """
    ahead, now, back = kernels[1, :, :-1].flip(-1), kernels[0, :, :1] + skip[:, None], kernels[0, :, 1:]
    return torch.cat([ahead, now, back], -1)


def convolve(u: Tensor, taps: Tensor) -> Tensor:
    """Convolve `u` `[H, B, L]` with `taps` `[H, 2L - 1]`."""
    if u.shape[-1] < LONG:
        return cast(Tensor, _Convolution.apply(u, taps))
    length = u.shape[-1]
    wrapped = torch.cat([taps[:, length - 1 :], taps.new_zeros(len(taps), 1), taps[:, : length - 1]], -1)
    spectrum = torch.fft.rfft(u, n=2 * length) * torch.fft.rfft(wrapped)[:, None]
    return cast(Tensor, torch.fft.irfft(spectrum, n=2 * length)[..., :length])


def toeplitz(taps: Tensor) -> Tensor:
    """The matrices `[H, L, L]` with which `u @ matrix` is the convolution."""
    return taps.unfold(-1, (taps.shape[-1] + 1) // 2, 1).flip(-2)


def _parts(channels: int, length: int, device: torch.device) -> list[slice]:
    """Channels to work on together."""
    number = max(1, _CACHE // length**2) if device.type == "cpu" else channels
    return [slice(first, first + number) for first in range(0, channels, number)]


class _Convolution(torch.autograd.Function):
    """y = u * taps by matrix products."""

    @staticmethod
    def forward(ctx: FunctionCtx, u: Tensor, taps: Tensor) -> Tensor:
        ctx.save_for_backward(u, taps)
        result = torch.empty_like(u)
        for part in _parts(len(u), u.shape[-1], u.device):
            torch.bmm(u[part], toeplitz(taps[part]), out=result[part])
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        u, taps = ctx.saved_tensors
        by_input = _Convolution.apply(gradient, taps.flip(-1)) if ctx.needs_input_grad[0] else None
        by_taps = _Correlation.apply(u, gradient) if ctx.needs_input_grad[1] else None
        return by_input, by_taps


class _Correlation(torch.autograd.Function):
    """r_k = sum over rows and i - j = k - (L - 1) of u_j y_i: the sums along the diagonals of u^T y."""

    @staticmethod
    def forward(ctx: FunctionCtx, u: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(u, y)
        channels, _, length = u.shape
        result = u.new_empty(channels, 2 * length - 1)
        for part in _parts(channels, length, u.device):
            products = torch.bmm(u[part].flip(-1).transpose(1, 2), y[part])
            # Rows of 2L numbers, read as rows of 2L - 1, are each shifted by one more.
            padded = torch.nn.functional.pad(products, (0, length)).flatten(1)[:, :-length]
            result[part] = padded.unflatten(1, (length, -1)).sum(1)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        u, y = ctx.saved_tensors
        by_input = _Convolution.apply(y, gradient.flip(-1)) if ctx.needs_input_grad[0] else None
        by_output = _Convolution.apply(u, gradient) if ctx.needs_input_grad[1] else None
        return by_input, by_output
