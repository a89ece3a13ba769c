"""Sources of standard normal numbers, asked in a documented order.

Solvers ask once per component and move, components in the state's order, correctors before predictors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["NoiseSource", "Replayed", "Seeded", "stream_seed"]


def stream_seed(*keys: int | str) -> int:
    """A 63-bit seed that depends on every key, for streams that must not overlap."""
    digest = hashlib.blake2b("/".join(map(str, keys)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class NoiseSource(Protocol):
    """What gives solvers their randomness."""

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers of the shape, type and device of `like`."""
        ...


class Seeded:
    """The random stream of one chunk of samples.

    Args:
        seed: the user's seed.
        chunk: number of the chunk; each has its own stream.
        device: where numbers are drawn.
    """

    def __init__(self, seed: int, chunk: int = 0, device: torch.device | str = "cpu") -> None:
        self.generator = torch.Generator(device).manual_seed(stream_seed("sample", seed, chunk))

    def normal(self, like: Tensor) -> Tensor:
        """See `NoiseSource.normal`."""
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype, device=like.device)


class Replayed:
    """Stored draws, given back in order.

    Args:
        tensors: one tensor a request.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors = iter(tensors)

    def normal(self, like: Tensor) -> Tensor:
        """See `NoiseSource.normal`.

        Raises:
            ValueError: the next stored tensor has another shape, or none is left.
        """
        try:
            noise = next(self._tensors)
        except StopIteration:
            raise ValueError("no stored noise is left") from None
        if noise.shape != like.shape:
            raise ValueError(f"stored noise has shape {tuple(noise.shape)}, asked for {tuple(like.shape)}")
        return noise.to(like)
