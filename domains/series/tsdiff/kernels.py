"""Convolution kernels of S4: K_l = C Abar^l Bbar of a linear state space, one for each channel and direction.

Diagonal plus low rank. With A = diag(w) - P P^* (states in conjugate pairs, of which one each is stored), step dt and
the bilinear rule, Abar = (1 - dt/2 A)^-1 (1 + dt/2 A) and Bbar = (1 - dt/2 A)^-1 dt B. The parameter is not C but
C~ = C (1 - Abar^L), of which the kernel of L steps is the inverse Fourier transform of a rational function: at
omega = e^(-i theta), theta = 2 pi m / L, with s = sin(theta / 2) and c = cos(theta / 2),

    k(omega) = e^(i theta / 2) (R(B C~) - c R(B P^*) R(P C~) / (1 + c R(P P^*))),
    R(v) = dt sum_n (4i s Re v_n - 2c Re(v_n conj a_n)) / (|a_n|^2 c^2 - 4 s^2 - 4i s c Re a_n),    a = dt w,

the sum over both of each pair. This form stays finite at omega = -1. A model of C~ knows windows of L steps only.

Diagonal. P = 0, B = 1, and the zero-order hold: K_l = 2 Re sum_n C_n (e^(a_n) - 1) / w_n e^(a_n l).

Everything is computed in double precision: in single precision the transform alone costs errors of 1e-4.

Sources: Gu, Goel and Ré 2022 (arXiv 2111.00396, theorem 3 and appendix C); Gu et al. 2022 (S4D, arXiv 2206.11893).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from scorefield.core.errors import InputError
from scorefield.domains.series.tsdiff.cauchy import cauchy_sums
from scorefield.domains.series.tsdiff.hippo import hippo_legs

__all__ = ["DPLRKernel", "DiagonalKernel", "Kernel", "truncated"]

Kernel = Literal["dplr", "diag"]

_STEPS = (1e-3, 1e-1)  # range of dt


class DPLRKernel(nn.Module):
    """Kernels `[2, H, L]` of the diagonal-plus-low-rank form.

    A state dictionary whose `L` is 0 holds C itself; it is turned into C~ as it is loaded.

    Args:
        channels: H.
        states: states of each system, N; half as many are stored.
        length: L.
    """

    L: Tensor

    def __init__(self, channels: int, states: int, length: int) -> None:
        super().__init__()
        self.length = length
        start = hippo_legs(states)
        self.C = nn.Parameter(_real(_complex_normal(2, channels, states // 2)))
        self.log_dt = nn.Parameter(_log_steps(channels))
        self.B, self.P = (nn.Parameter(_real(v.expand(1, channels, -1))) for v in (start.B, start.P))
        self.inv_w_real = nn.Parameter((-start.w.real).log().float().repeat(channels, 1))
        self.w_imag = nn.Parameter(start.w.imag.float().repeat(channels, 1))
        self.register_buffer("L", torch.tensor(length))
        with torch.no_grad():
            self.C.copy_(torch.view_as_real(truncated(*self._systems(), length)))

    def _systems(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """C, P, w, dt: complex128, `[2, H, n]`, `[H, n]`, `[H, n]` and float64 `[H]`."""
        w = torch.complex(-self.inv_w_real.double().exp(), self.w_imag.double())
        return _complex(self.C), _complex(self.P)[0], w, self.log_dt.double().exp()

    def forward(self) -> Tensor:
        """Both kernels, in double precision."""
        C, P, w, dt = self._systems()
        B, a = _complex(self.B)[0], dt[:, None] * w
        theta = torch.arange(self.length // 2 + 1, dtype=torch.float64, device=dt.device) * (math.pi / self.length)
        s, c = theta.sin(), theta.cos()
        numerators = torch.stack([B * C[0], B * C[1], B * P.conj(), P * C[0], P * C[1], P * P.conj()], 1)
        R = cauchy_sums(numerators * dt[:, None, None], a, s, c).unbind(1)
        shared = c * R[2] / (1 + c * R[5])
        spectrum = torch.stack([R[0] - shared * R[3], R[1] - shared * R[4]]) * torch.complex(c, s)
        return cast(Tensor, torch.fft.irfft(spectrum, n=self.length))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any) -> None:
        """See `nn.Module`.

        Raises:
            InputError: weights of windows of another length.
        """
        stored = state_dict.get(f"{prefix}L")
        found = self.length if stored is None else int(stored)
        if found not in (0, self.length):
            what = f"weights trained on windows of {found} steps, where the model has {self.length}"
            raise InputError(what, mend="build the model for the length it was trained on")
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        if found == 0:
            with torch.no_grad():
                self.C.copy_(torch.view_as_real(truncated(*self._systems(), self.length)))
                self.L.fill_(self.length)


class DiagonalKernel(nn.Module):
    """Kernels `[2, H, L]` of the diagonal form; arguments as of `DPLRKernel`, and any length will do."""

    def __init__(self, channels: int, states: int, length: int) -> None:
        super().__init__()
        self.length = length
        w = hippo_legs(states).w
        self.C = nn.Parameter(_real(_complex_normal(2, channels, states // 2)))
        self.log_dt = nn.Parameter(_log_steps(channels))
        self.inv_w_real = nn.Parameter((-w.real).log().float().repeat(channels, 1))
        self.w_imag = nn.Parameter(w.imag.float().repeat(channels, 1))

    def forward(self) -> Tensor:
        """Both kernels, in double precision."""
        w = torch.complex(-self.inv_w_real.double().exp(), self.w_imag.double())
        a = self.log_dt.double().exp()[:, None] * w
        weights = 2 * _complex(self.C) * torch.expm1(a) / w
        # e^(a l) with l = width i + j as a product takes sqrt(L) exponentials of each state in place of L.
        width = math.isqrt(self.length - 1) + 1
        steps = torch.arange(width, dtype=torch.float64, device=a.device)
        coarse, fine = (a[..., None] * steps * width).exp(), (a[..., None] * steps).exp()
        grid = (weights[..., None] * coarse).transpose(-1, -2) @ fine
        return grid.real.flatten(-2)[..., : self.length]


def truncated(C: Tensor, P: Tensor, w: Tensor, dt: Tensor, length: int) -> Tensor:
    """C~ = C (1 - Abar^L).

    Abar = 2 (1 - dt/2 A)^-1 - 1, with the inverse of Sherman and Morrison; applied L times to the rows of C.

    Args:
        C: `[..., H, n]`, one of each conjugate pair.
        P: `[H, n]`.
        w: `[H, n]`.
        dt: `[H]`.
        length: L.
    """
    half = 0.5 * dt[:, None]
    inverse = 1 / (1 - half * w)
    share = half / (1 + half * 2 * (P * P.conj() * inverse).real.sum(-1, keepdim=True))
    right, left = P * inverse, -2 * share * P.conj() * inverse
    kept, row = 2 * inverse - 1, C
    for _ in range(length):
        row = row * kept + 2 * (row * right).real.sum(-1, keepdim=True) * left
    return C - row


def _complex(pairs: Tensor) -> Tensor:
    return torch.view_as_complex(pairs.double())


def _real(values: Tensor) -> Tensor:
    return torch.view_as_real(values.resolve_conj()).float().clone()


def _complex_normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64)


def _log_steps(channels: int) -> Tensor:
    low, high = (math.log(step) for step in _STEPS)
    return low + (high - low) * torch.rand(channels)
