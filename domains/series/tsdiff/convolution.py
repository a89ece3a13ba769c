"""Convolutions over a window in both directions.

With taps r [H, 2L - 1], r_k the weight of a shift by k - (L - 1) steps, y_i = sum_j r_{L-1+i-j} u_j. Where the taps do
not change, windows of some hundred steps are quickest as products with their Toeplitz matrices; else through Fourier
transforms of twice the window's length. Channels come first, `[H, B, L]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["LONG", "both_directions", "convolve", "toeplitz"]

LONG = 640
"""Steps from which on Fourier transforms are quicker than products with matrices that are there already."""
_CACHE = 1 << 17  # numbers of the input that are worked on at a time on a CPU


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
    """Its gradients are a convolution with the taps reversed and a correlation; both share a transform.

    Transforms of the input are made anew for them rather than kept: while a few channels stay in a processor's cache,
    that costs less than memory does.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, taps: Tensor) -> Tensor:
        length, result, spectrum = u.shape[-1], torch.empty_like(u), _spectrum(taps)
        for part in _parts(u):
            result[part] = _window(torch.fft.rfft(u[part], n=2 * length).mul_(spectrum[part]), length)
        ctx.save_for_backward(u, taps, spectrum)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        u, taps, spectrum = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again
            wanted = [v for v, needed in zip((u, taps), ctx.needs_input_grad, strict=True) if needed]
            found = iter(torch.autograd.grad(_plainly(u, taps), wanted, gradient, create_graph=True))
            by_input, by_taps = (next(found) if needed else None for needed in ctx.needs_input_grad)
            return by_input, by_taps
        length, reversed_taps = u.shape[-1], spectrum.conj_physical()
        by_input = torch.empty_like(u) if ctx.needs_input_grad[0] else None
        products = torch.empty_like(spectrum[:, 0]) if ctx.needs_input_grad[1] else None
        for part in _parts(u):
            of_gradient = torch.fft.rfft(gradient[part], n=2 * length)
            if products is not None:
                of_input = torch.fft.rfft(u[part], n=2 * length)
                products[part] = of_input.conj_physical_().mul_(of_gradient).sum(1)
            if by_input is not None:
                by_input[part] = _window(of_gradient.mul_(reversed_taps[part]), length)
        if products is None:
            return by_input, None
        shifts = torch.fft.irfft(products, n=2 * length)
        return by_input, torch.cat([shifts[:, length + 1 :], shifts[:, :length]], -1)


def _parts(u: Tensor) -> Iterator[slice]:
    """Channels that are worked on at a time: some on a CPU, all elsewhere."""
    number = max(1, _CACHE // u[0].numel()) if u.device.type == "cpu" else len(u)
    return (slice(first, first + number) for first in range(0, len(u), number))
