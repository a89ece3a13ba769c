"""Convolutions over a window in both directions.

With taps r [H, 2L - 1], r_k the weight of a shift by k - (L - 1) steps, y_i = sum_j r_{L-1+i-j} u_j. Where the taps do
not change, windows of some hundred steps are quickest as products with their Toeplitz matrices; else through Fourier
transforms of twice the window's length. Channels come first, `[H, B, L]`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["LONG", "both_directions", "convolve", "toeplitz"]

LONG = 640
"""Steps from which on Fourier transforms are quicker than products with matrices that are there already."""


def both_directions(kernels: Tensor, skip: Tensor) -> Tensor:
    """Taps `[H, 2L - 1]` of y_i = sum_{j<=i} K0_{i-j} u_j + sum_{j>i} K1_{j-i-1} u_j + D u_i.

    Args:
        kernels: K0 and K1, `[2, H, L]`.
        skip: D, `[H]`.
    """
    ahead, now, back = kernels[1, :, :-1].flip(-1), kernels[0, :, :1] + skip[:, None], kernels[0, :, 1:]
    return torch.cat([ahead, now, back], -1)


def convolve(u: Tensor, taps: Tensor) -> Tensor:
    """Convolve `u` `[H, B, L]` with `taps` `[H, 2L - 1]`; can be differentiated as often as wanted."""
    wide = torch.promote_types(u.dtype, torch.float32)  # there are no transforms in half precision
    result: Tensor = _Convolution.apply(u.to(wide), taps.to(wide))
    return result.to(u.dtype)


def toeplitz(taps: Tensor) -> Tensor:
    """The matrices `[H, L, L]` with which `u @ matrix` is the convolution."""
    return taps.unfold(-1, (taps.shape[-1] + 1) // 2, 1).flip(-2)


def _spectrum(taps: Tensor) -> Tensor:
    """Of the taps, wrapped around to 2L, `[H, 1, L + 1]`."""
    length = (taps.shape[-1] + 1) // 2
    wrapped = torch.cat([taps[:, length - 1 :], taps.new_zeros(len(taps), 1), taps[:, : length - 1]], -1)
    spectrum: Tensor = torch.fft.rfft(wrapped)
    return spectrum[:, None]


def _window(spectrum: Tensor, length: int) -> Tensor:
    whole: Tensor = torch.fft.irfft(spectrum, n=2 * length)
    return whole[..., :length]


def _plainly(u: Tensor, taps: Tensor) -> Tensor:
    length = u.shape[-1]
    return _window(torch.fft.rfft(u, n=2 * length) * _spectrum(taps), length)


class _Convolution(torch.autograd.Function):
    """Its gradients are a convolution with the taps reversed and a correlation; both share their transforms."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, taps: Tensor) -> Tensor:
        length = u.shape[-1]
        of_input, of_taps = torch.fft.rfft(u, n=2 * length), _spectrum(taps)
        ctx.save_for_backward(u, taps, of_input if ctx.needs_input_grad[1] else None, of_taps)
        return _window(of_input * of_taps, length)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        u, taps, of_input, of_taps = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again
            wanted = [v for v, needed in zip((u, taps), ctx.needs_input_grad, strict=True) if needed]
            found = iter(torch.autograd.grad(_plainly(u, taps), wanted, gradient, create_graph=True))
            by_input, by_taps = (next(found) if needed else None for needed in ctx.needs_input_grad)
            return by_input, by_taps
        length = u.shape[-1]
        spectrum, by_input, by_taps = torch.fft.rfft(gradient, n=2 * length), None, None
        if ctx.needs_input_grad[1]:
            shifts = torch.fft.irfft((of_input.conj() * spectrum).sum(1), n=2 * length)
            by_taps = torch.cat([shifts[:, length + 1 :], shifts[:, :length]], -1)
        if ctx.needs_input_grad[0]:
            by_input = _window(spectrum.mul_(of_taps.conj()), length)
        return by_input, by_taps
