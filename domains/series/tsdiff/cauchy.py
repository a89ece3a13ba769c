"""Cauchy sums over conjugate pairs at points of the unit circle: the costly part of S4's kernels.

A pair of poles a, conj(a) with numerators v, conj(v) makes

    (4i s Re v - 2c Re(v conj a)) / (p - iq),    p = |a|^2 c^2 - 4 s^2,    q = 4 s c Re a,

at the half angle with sine s and cosine c. So all sums over poles are products of real coefficients with the two real
matrices U + iV = 1 / (p - iq), which all numerators share; they are worked on for a few channels at a time, and made
anew for the gradient rather than kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

__all__ = ["cauchy_sums"]

_CACHE = 1 << 15  # numbers of a matrix that is worked on at a time on a CPU


def cauchy_sums(v: Tensor, a: Tensor, s: Tensor, c: Tensor) -> Tensor:
    """The sums over poles, complex `[H, K, M]`; differentiable once.

    Args:
        v: numerators, complex `[H, K, n]`.
        a: poles, complex `[H, n]`.
        s: sines of the half angles, `[M]`.
        c: their cosines, `[M]`.
    """
    count = v.shape[1]
    coefficients = torch.cat([v.real, v.real * a.real[:, None] + v.imag * a.imag[:, None]], 1)
    U, V = _Sums.apply(coefficients, a.real.square() + a.imag.square(), a.real, s, c)
    real = -4 * s * V[:, :count] - 2 * c * U[:, count:]
    imaginary = 4 * s * U[:, :count] - 2 * c * V[:, count:]
    return torch.complex(real, imaginary)


class _Sums(torch.autograd.Function):
    """Coefficients `[H, K, n]` times U and V of the poles' squares and real parts `[H, n]`: two `[H, K, M]`."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, coefficients: Tensor, squares: Tensor, reals: Tensor, s: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(coefficients, squares, reals, s, c)
        sums = [coefficients.new_empty(*coefficients.shape[:2], len(s)) for _ in range(2)]
        for part, matrices in _matrices(squares, reals, s, c):
            for result, matrix in zip(sums, matrices, strict=True):
                torch.bmm(coefficients[part], matrix, out=result[part])
        return sums[0], sums[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_U: Tensor, by_V: Tensor) -> tuple[Tensor | None, ...]:
        coefficients, squares, reals, s, c = ctx.saved_tensors
        gradients = torch.empty_like(coefficients), torch.empty_like(squares), torch.empty_like(reals)
        for part, (U, V) in _matrices(squares, reals, s, c):
            gradients[0][part] = by_U[part] @ U.mT + by_V[part] @ V.mT
            back = coefficients[part].mT
            G, H = back @ by_U[part], back @ by_V[part]
            even, odd = (U - V) * (U + V), 2 * U * V  # the square of U + iV
            gradients[1][part] = -(G * even + H * odd) @ c.square()
            gradients[2][part] = (H * even - G * odd) @ (4 * s * c)
        return *gradients, None, None


def _matrices(squares: Tensor, reals: Tensor, s: Tensor, c: Tensor) -> Iterator[tuple[slice, tuple[Tensor, Tensor]]]:
    """U and V `[h, n, M]` of some channels after the other."""
    channels, poles = squares.shape
    number = max(1, _CACHE // (poles * len(s))) if squares.device.type == "cpu" else channels
    shift, width = 4 * s.square(), 4 * s * c
    for first in range(0, channels, number):
        part = slice(first, first + number)
        p = squares[part, :, None] * c.square() - shift
        q = reals[part, :, None] * width
        scale = (p * p).addcmul_(q, q).reciprocal_()
        yield part, (p.mul_(scale), q.mul_(scale))
