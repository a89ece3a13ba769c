"""HiPPO-LegS as a diagonal matrix minus one of rank one.

The matrix A [N, N] with A_nk = -sqrt((2n + 1)(2k + 1)) below the diagonal, -(n + 1) on it and 0 above, and the input
vector B_n = sqrt(2n + 1), follow the Legendre coefficients of the past. With P_n = sqrt(n + 1/2) the sum A + P P^T is
-1/2 plus a skew-symmetric matrix, so that unitary V diagonalise it: A = V (diag(w) - P' P'^*) V^*, P' = V^* P,
B' = V^* B, all w with real part -1/2. They come in conjugate pairs, of which one half is enough for real kernels.

Source: Gu, Goel and Ré 2022 (arXiv 2111.00396, theorem 1 and appendix C.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core.errors import InputError

__all__ = ["DiagonalPlusLowRank", "hippo_legs", "legs_matrices"]


@dataclass(frozen=True)
class DiagonalPlusLowRank:
    """A = diag(w) - P P^* and B, one of each conjugate pair, complex128 `[N / 2]`."""

    w: Tensor
    P: Tensor
    B: Tensor


def legs_matrices(size: int) -> tuple[Tensor, Tensor]:
    """A `[N, N]` and B `[N]`, float64."""
    n = torch.arange(size, dtype=torch.float64)
    root = (2 * n + 1).sqrt()
    return -torch.outer(root, root).tril(-1) - torch.diag(n + 1), root


def hippo_legs(size: int) -> DiagonalPlusLowRank:
    """The half of HiPPO-LegS of `size` states whose frequencies are the lower ones of each pair, ascending.

    Raises:
        InputError: an odd or too small size.
    """
    if size < 2 or size % 2:
        raise InputError(f"{size} states", mend="give an even number, at least 2")
    A, B = legs_matrices(size)
    P = (torch.arange(size, dtype=torch.float64) + 0.5).sqrt()
    skew = A + torch.outer(P, P)
    frequencies, V = torch.linalg.eigh(-1j * (skew + 0.5 * torch.eye(size, dtype=torch.float64)))
    half = slice(0, size // 2)
    back = V[:, half].mH
    w = torch.complex(torch.full_like(frequencies[half], -0.5), frequencies[half])
    return DiagonalPlusLowRank(w, back @ P.to(back), back @ B.to(back))
