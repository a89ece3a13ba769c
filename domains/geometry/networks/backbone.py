"""What a network of trajectories is made of: layers over space and layers over time, in turn.

Both act on positions `[n, T, D]` and on features of each node and frame, whose first H columns are scalars; a backbone
says which layers these are. Networks and priors are built from a backbone and know no more of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn

from scorefield.core.errors import InputError
from scorefield.domains.geometry.networks.elements import Frames
from scorefield.domains.geometry.networks.layout import Layout
from scorefield.domains.geometry.networks.spatial import SpatialLayer
from scorefield.domains.geometry.networks.temporal import TemporalLayer

__all__ = ["Backbone", "EGTNBackbone", "through"]


class Backbone(ABC):
    """A kind of layers.

    Attributes:
        hidden: scalars of each node and frame, H.
        embedding: size of embedded times.
        spaces: dimensions of space that the layers can have.
    """

    hidden: int
    embedding: int
    spaces: tuple[int, ...] = (2, 3)

    @abstractmethod
    def spatial(self, edge_features: int) -> nn.Module:
        """A layer over the edges of each frame: `(x, h, layout) -> (x, h)`."""

    @abstractmethod
    def temporal(self) -> nn.Module:
        """A layer over the frames of each node: `(x, h, frames) -> (x, h)`."""

    def begun(self, scalars: Tensor, x: Tensor, frames: Frames) -> Tensor:
        """The features of the first layer from scalars `[n, T, H]` and positions."""
        return scalars

    def check(self, space: int) -> None:
        """Refuse a number of dimensions that the layers cannot have.

        Raises:
            InputError: it is such a number.
        """
        if space not in self.spaces:
            mend = f"this backbone knows {' and '.join(map(str, self.spaces))}"
            raise InputError(f"{space} dimensions of space", mend=mend)


class EGTNBackbone(Backbone):
    """The layers of EGTN: scalars only.

    Args:
        hidden: width, H.
        embedding: size of embedded times.
        pre_norm: see `SpatialLayer`.
    """

    def __init__(self, hidden: int, embedding: int, pre_norm: bool = False) -> None:
        self.hidden, self.embedding, self.pre_norm = hidden, embedding, pre_norm

    def spatial(self, edge_features: int) -> SpatialLayer:
        """See `Backbone.spatial`."""
        return SpatialLayer(self.hidden, edge_features, self.pre_norm)

    def temporal(self) -> TemporalLayer:
        """See `Backbone.temporal`."""
        return TemporalLayer(self.hidden, self.embedding)


def through(
    layers: Iterable[tuple[nn.Module, nn.Module]], x: Tensor, h: Tensor, layout: Layout, frames: Frames
) -> tuple[Tensor, Tensor]:
    """Positions and features after pairs of a layer over space and one over time."""
    for spatial, temporal in layers:
        x, h = spatial(x, h, layout)
        x, h = temporal(x, h, frames)
    return x, h
