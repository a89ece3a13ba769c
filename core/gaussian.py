"""Gaussians of low rank and isotropic tail, and where the probability-flow ODE takes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

__all__ = ["FIELDS", "Gaussian"]

FIELDS = ("mean", "basis", "variances", "tail")
_MOST_ENTRIES = 4096  # of a covariance matrix that is formed whole


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian of low rank and isotropic tail, in float64.

    Attributes:
        mean: m, `[D]`.
        basis: U, `[D, r]`, orthonormal columns.
        variances: c, `[r]`.
        tail: variance in all other directions, a scalar.
    """

    mean: Tensor
    basis: Tensor
    variances: Tensor
    tail: Tensor

    @classmethod
    def of_moments(cls, mean: Tensor, covariance: Tensor) -> Self:
        """From a mean `[D]` and a full covariance `[D, D]`."""
        variances, basis = torch.linalg.eigh(covariance.double())
        return cls(mean.double(), basis, variances.clamp(min=0), torch.zeros((), dtype=torch.float64))

    @classmethod
    def of_vectors(cls, vectors: Tensor, dimension: float, rank: int) -> Self:
        """From vectors `[n, D]` that span at most `dimension` directions; the `rank` largest are kept."""
        vectors = vectors.double()
        mean = vectors.mean(0)
        centred = (vectors - mean) / math.sqrt(len(vectors))
        rank = min(rank, int(dimension), len(vectors), vectors.shape[1])
        variances, basis = _principal(centred, rank)
        rest = (centred.square().sum() - variances.sum()).clamp(min=0)
        return cls(mean, basis, variances, rest / max(dimension - rank, 1))

    def carried(self, x: Tensor, first: tuple[float, float], second: tuple[float, float]) -> Tensor:
        """Vectors `[n, D]` taken from one (alpha, sigma) to another."""
        offset = x.double() - first[0] * self.mean
        inner = offset @ self.basis
        tail = _ratio(self.tail, first, second)
        moved = offset * tail + (inner * (_ratio(self.variances, first, second) - tail)) @ self.basis.T
        return second[0] * self.mean + moved

    def to(self, device: torch.device) -> Gaussian:
        """The same on a device."""
        return Gaussian(*(getattr(self, name).to(device) for name in FIELDS))


def _principal(centred: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Largest eigenvalues and eigenvectors of centred' centred."""
    if centred.shape[1] <= _MOST_ENTRIES:
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        first = len(values) - rank
        return values[first:].clamp(min=0), vectors[:, first:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, values, vectors = torch.svd_lowrank(centred, q=rank, niter=4)
    return values.square(), vectors


def _ratio(variance: Tensor, first: tuple[float, float], second: tuple[float, float]) -> Tensor:
    start = first[0] ** 2 * variance + first[1] ** 2
    return ((second[0] ** 2 * variance + second[1] ** 2) / start).sqrt()
