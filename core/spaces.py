"""Spaces: the linear subspace in which a component lives.

A space projects onto itself, draws standard normal noise on its free entries, and tells its dimension. Priors,
injected noise and network outputs pass through it, so masks, symmetry and translation invariance hold everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scorefield.core.noise import NoiseSource

__all__ = ["DirectedAdjacency", "Masked", "Space", "SymmetricAdjacency", "ZeroCentreOfMass"]

Masks = Mapping[str, Tensor]


class Space(ABC):
    """A linear subspace of `[B, ...]` tensors, sample by sample.

    Attributes:
        copies: how often each free entry stands in the tensor.
    """

    copies: ClassVar[int] = 1

    @abstractmethod
    def project(self, value: Tensor, masks: Masks) -> Tensor:
        """The orthogonal projection of `value`."""

    @abstractmethod
    def noise(self, like: Tensor, masks: Masks, source: NoiseSource) -> Tensor:
        """Noise whose free entries are independent standard normal numbers."""

    @abstractmethod
    def dimension(self, like: Tensor, masks: Masks) -> Tensor:
        """Free entries of each sample, `[B]`."""


def _entries(like: Tensor, masks: Masks) -> Tensor | None:
    """Mask of free `[B, N, ...]` or `[B, N, T, ...]` entries that broadcasts over the rest; None where all are free."""
    found: Tensor | None = None
    for axis, name in ((1, "mask"), (2, "frame_mask"), (2, "given_frames")):
        if name in masks:
            shape = [like.shape[0]] + [1] * (like.ndim - 1)
            shape[axis] = like.shape[axis]
            part = masks[name].reshape(shape)
            part = ~part if name == "given_frames" else part
            found = part if found is None else found & part
    return found


@dataclass(frozen=True)
class Masked(Space):
    """Entries of nodes (or steps, axis 1, `mask`) and frames (axis 2, `frame_mask`) that exist and are not given."""

    def project(self, value: Tensor, masks: Masks) -> Tensor:
        """Zero what does not exist or is given."""
        entries = _entries(value, masks)
        return value if entries is None else value * entries.to(value.dtype)

    def noise(self, like: Tensor, masks: Masks, source: NoiseSource) -> Tensor:
        """Independent normal numbers on the free entries."""
        return self.project(source.normal(like), masks)

    def dimension(self, like: Tensor, masks: Masks) -> Tensor:
        """Number of free entries."""
        entries = _entries(like, masks)
        whole = torch.ones_like(like[:1], dtype=torch.bool).expand(like.shape)
        return (whole if entries is None else whole & entries).flatten(1).sum(1)


def _pairs(like: Tensor, masks: Masks) -> Tensor:
    """Ordered pairs of different nodes that exist, `[B, N, N]` (or `[1, N, N]` without a mask)."""
    nodes = like.shape[-1]
    different = ~torch.eye(nodes, dtype=torch.bool, device=like.device)
    if "mask" not in masks:
        return different[None]
    mask = masks["mask"].bool()
    return mask[:, :, None] & mask[:, None, :] & different


@dataclass(frozen=True)
class SymmetricAdjacency(Space):
    """Symmetric `[B, N, N]` matrices without diagonal; the free entries are the pairs i < j."""

    copies: ClassVar[int] = 2

    def project(self, value: Tensor, masks: Masks) -> Tensor:
        """Average the two triangles, zero the diagonal and what does not exist."""
        return (value + value.transpose(-1, -2)) * _pairs(value, masks).to(value.dtype).mul(0.5)

    def noise(self, like: Tensor, masks: Masks, source: NoiseSource) -> Tensor:
        """Draw the upper triangle and mirror it: averaging two triangles would halve the variance."""
        upper = source.normal(like).triu(1)
        return (upper + upper.transpose(-1, -2)) * _pairs(like, masks).to(like.dtype)

    def dimension(self, like: Tensor, masks: Masks) -> Tensor:
        """Number of pairs i < j."""
        return (_pairs(like, masks).flatten(1).sum(1) // 2).expand(like.shape[0])


@dataclass(frozen=True)
class DirectedAdjacency(Space):
    """`[B, N, N]` matrices without diagonal; the free entries are the ordered pairs i != j."""

    def project(self, value: Tensor, masks: Masks) -> Tensor:
        """Zero the diagonal and what does not exist."""
        return value * _pairs(value, masks).to(value.dtype)

    def noise(self, like: Tensor, masks: Masks, source: NoiseSource) -> Tensor:
        """Independent normal numbers on the ordered pairs."""
        return self.project(source.normal(like), masks)

    def dimension(self, like: Tensor, masks: Masks) -> Tensor:
        """Number of ordered pairs."""
        return _pairs(like, masks).flatten(1).sum(1).expand(like.shape[0])


@dataclass(frozen=True)
class ZeroCentreOfMass(Space):
    """Coordinates `[B, N, ..., D]` whose mean over all existing nodes and frames is zero."""

    def project(self, value: Tensor, masks: Masks) -> Tensor:
        """Zero what does not exist, then subtract the mean of each sample and coordinate."""
        entries = _entries(value, masks)
        present = torch.ones_like(value) if entries is None else entries.to(value.dtype).expand(value.shape)
        axes = tuple(range(1, value.ndim - 1))
        count = present.sum(axes, keepdim=True).clamp(min=1)
        value = value * present
        return (value - value.sum(axes, keepdim=True) / count) * present

    def noise(self, like: Tensor, masks: Masks, source: NoiseSource) -> Tensor:
        """The projection of independent normal numbers."""
        return self.project(source.normal(like), masks)

    def dimension(self, like: Tensor, masks: Masks) -> Tensor:
        """Entries that exist, less one for each coordinate (none where nothing exists)."""
        return (Masked().dimension(like, masks) - like.shape[-1]).clamp(min=0)
