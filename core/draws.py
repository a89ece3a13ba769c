"""Random numbers of training: one stream a sample, so that they depend neither on padding nor on the processes.

Entry (i, j, ...) of sample b in request r is a hash of (seed, step, row of b in the global batch, r, i, j, ...), turned
into a normal number by Box and Muller's formula. Padding a batch further, or spreading it over processes as
`DistributedSampler` does (row k of process p is row k * processes + p of the whole), changes no number.
The hash is the finaliser of splitmix64 (Steele, Lea and Flood 2014), which is also counter-based.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.core.noise import stream_seed

__all__ = ["SampleStreams"]

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15
_FIRST = -4658895280553007687  # 0xBF58476D1CE4E5B9
_SECOND = -7723592293110705685  # 0x94D049BB133111EB
_AXIS_BITS = 20  # three axes of up to a million entries each


def _mix(value: Tensor) -> Tensor:
    """Bijective hash of int64 numbers, in place; right shifts are made logical by their masks."""
    value ^= (value >> 30) & ((1 << 34) - 1)
    value *= _FIRST
    value ^= (value >> 27) & ((1 << 37) - 1)
    value *= _SECOND
    value ^= (value >> 31) & ((1 << 33) - 1)
    return value


class SampleStreams:
    """A noise source with one stream a sample.

    Args:
        batch: samples in this process.
        keys: what the streams depend on (purpose, seed, step).
        rank: number of this process.
        processes: how many there are; each holds `batch` samples.
        device: where numbers are drawn; the CPU and a GPU agree to rounding.
    """

    def __init__(
        self,
        batch: int,
        *keys: int | str,
        rank: int = 0,
        processes: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.rows = torch.arange(batch, device=device) * processes + rank
        self.total = batch * processes
        self._shared = stream_seed("shared", *keys)
        self._keys = _mix((self.rows + 1) * _GOLDEN + stream_seed(*keys))
        self._requests = 0

    def _hash(self, shape: torch.Size) -> Tensor:
        """A hash of every entry, int64 `[B, ...]`."""
        self._requests += 1
        keys = _mix(self._keys + stream_seed("request", self._requests))
        code = torch.zeros((), dtype=torch.int64, device=keys.device)
        for size in shape[1:]:
            code = (code[..., None] << _AXIS_BITS) + torch.arange(1, size + 1, device=keys.device)
        return _mix(keys.reshape(-1, *[1] * (len(shape) - 1)) + _mix(code * _GOLDEN))

    def normal(self, like: Tensor) -> Tensor:
        """See `NoiseSource.normal`; `like` is `[B, ...]` with at most three further axes."""
        bits = self._hash(like.shape)
        low = (bits & 0xFFFFFFFF).to(torch.float32).add_(1).mul_(2.0**-32)
        high = ((bits >> 32) & 0xFFFFFFFF).to(torch.float32).mul_(2 * math.pi * 2.0**-32)
        normal = low.log_().mul_(-2).clamp_(min=0).sqrt_() * high.cos_()
        return normal.to(like)

    def keep(self, like: Tensor, share: float) -> Tensor:
        """Which entries to keep, each with probability `share` (to 2^-16): bool, shaped as `like` (see `normal`)."""
        quarter = -(-like.shape[-1] // 4)  # one hash decides on four neighbours
        parts = self._hash(torch.Size([*like.shape[:-1], quarter])).view(torch.int16)[..., : like.shape[-1]]
        return parts < min(round(share * 2**16), 2**16 - 1) - 2**15

    def uniform(self) -> Tensor:
        """One number in [0, 1) for each sample, float64 `[B]`."""
        return _unit(self._hash(self.rows.shape))

    def even(self) -> Tensor:
        """Numbers in [0, 1) that the whole batch spreads evenly under one common shift, float64 `[B]`."""
        shift = self.shared()
        return (shift + self.rows / self.total) % 1

    def shared(self) -> float:
        """A number in [0, 1) that is the same for all samples and processes."""
        self._requests += 1
        return stream_seed(self._shared, self._requests) / 2.0**63


def _unit(bits: Tensor) -> Tensor:
    return ((bits >> 11) & ((1 << 53) - 1)).double() * 2.0**-53
