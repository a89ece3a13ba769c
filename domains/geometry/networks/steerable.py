"""Layers with vectors and tensors beside scalars, on the conventions of e3nn: the second backbone.

Every node and frame has H scalars and channels of vectors and second-order tensors (`irreps`). Over space, with the
features f_j of the sender mixed within their kinds, d = x_j - x_i and spherical harmonics Y(d / |d|),

    m_i = sum_j w(|d|, e_ij, h_i, h_j) f_j x Y / sqrt(number of edges),    f_i' = f_i + gate(mix(m_i) + mix(f_i)),
    x_i' = x_i + mix(f_i')_1o,

where scalars pass a SiLU and other channels are multiplied by sigmoids of scalars. Over time, scalars and positions are
changed as in EGTN, and the other channels take the same attention. Scalars begin as embeddings, two vector channels as
velocities and as positions relative to their mean over frames.

With pseudo-scalars (0o, and 1e with which products make them) scalars also see these, so that mirror images are told
apart: what remains is equivariance under rotations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorefield.domains.geometry.networks.backbone import Backbone
from scorefield.domains.geometry.networks.columns import spread, totals, turned
from scorefield.domains.geometry.networks.elements import Frames
from scorefield.domains.geometry.networks.irreps import Coupling, Kind, Layout3D, Mixing, harmonics
from scorefield.domains.geometry.networks.layout import Layout
from scorefield.domains.geometry.networks.spatial import lengths
from scorefield.domains.geometry.networks.temporal import TemporalLayer

__all__ = ["SteerableBackbone", "SteerableSpatial", "SteerableTemporal"]

SCALAR, PSEUDO, VECTOR, AXIAL, TENSOR = Kind(0, 1), Kind(0, -1), Kind(1, -1), Kind(1, 1), Kind(2, 1)
_GAUSSIANS = 8
_FARTHEST = 3.0  # the last Gaussian stands at log(1 + |d|) = 3
_RADIAL = 64


class SteerableBackbone(Backbone):
    """The layers.

    Args:
        hidden: scalars, H.
        embedding: size of embedded times.
        vectors: channels of vectors.
        tensors: channels of tensors of second order.
        pseudo_scalars: channels of pseudo-scalars.
    """

    def __init__(
        self, hidden: int, embedding: int, vectors: int = 16, tensors: int = 8, pseudo_scalars: int = 0
    ) -> None:
        self.hidden, self.embedding, self.pseudo_scalars = hidden, embedding, pseudo_scalars
        axial = vectors if pseudo_scalars else 0
        numbers = {SCALAR: hidden, PSEUDO: pseudo_scalars, VECTOR: vectors, AXIAL: axial, TENSOR: tensors}
        self.irreps = Layout3D(list(numbers.items()))
        self.spaces = (3,) if pseudo_scalars else (2, 3)  # in a plane all pseudo-scalars are zero
        self._vectors, self._seeds = vectors, min(vectors, 2)

    def spatial(self, edge_features: int) -> SteerableSpatial:
        """See `Backbone.spatial`."""
        return SteerableSpatial(self.irreps, self.hidden, edge_features)

    def temporal(self) -> SteerableTemporal:
        """See `Backbone.temporal`."""
        return SteerableTemporal(self.irreps, self.hidden, self.embedding)

    def begun(self, scalars: Tensor, x: Tensor, frames: Frames) -> Tensor:
        """See `Backbone.begun`."""
        position = spatial_vectors(x)
        velocity = functional.pad(position.diff(dim=1), (0, 0, 1, 0)) / frames.steps
        there = None if frames.exist is None else frames.exist[..., None].to(x.dtype)
        count = x.shape[1] if there is None else there.sum(1, keepdim=True).clamp(min=1)
        mean = (position if there is None else position * there).sum(1, keepdim=True) / count
        seeds = functional.pad(
            torch.stack([velocity, position - mean][: self._seeds], -1), (0, self._vectors - self._seeds)
        )
        after = self.irreps.width - self.hidden - self.pseudo_scalars - 3 * self._vectors
        return torch.cat(
            [scalars, functional.pad(seeds.flatten(-2), (self.pseudo_scalars, after)).to(scalars.dtype)], -1
        )


class SteerableSpatial(nn.Module):
    """Messages along the edges of each frame.

    Args:
        irreps: the features.
        hidden: how many of them are scalars, H.
        edge_features: E.
    """

    def __init__(self, irreps: Layout3D, hidden: int, edge_features: int) -> None:
        super().__init__()
        self.irreps, self.hidden = irreps, hidden
        self.coupling = Coupling(irreps)
        self.gates = sum(number for kind, number in irreps.channels if kind != SCALAR)
        self.pseudo = sum(number for kind, number in irreps.channels if kind == PSEUDO)
        numbers = [(kind, n + self.gates * (kind == SCALAR)) for kind, n in irreps.channels]
        inner = Layout3D(numbers)
        self.before, self.own = Mixing(irreps, irreps), Mixing(irreps, inner)
        self.after, self.to_x = Mixing(self.coupling.outputs, inner), Mixing(irreps, Layout3D([(VECTOR, 1)]))
        self.bias = nn.Parameter(torch.zeros(hidden + self.gates))
        self.radial = nn.Linear(_GAUSSIANS + 1 + edge_features, _RADIAL)
        self.received, self.sent = nn.Linear(hidden, _RADIAL, bias=False), nn.Linear(hidden, _RADIAL, bias=False)
        self.weights = nn.Linear(_RADIAL, self.coupling.weights)
        self.handed = nn.Linear(self.pseudo, hidden, bias=False) if self.pseudo else None

    def forward(self, x: Tensor, features: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Positions `[n, T, D]` and features `[n, T, ...]` after the layer."""
        place = spatial_vectors(x)
        difference = layout.sent(place) - layout.received(place)
        distance = lengths(difference.square().sum(-1, keepdim=True))
        directions = difference / torch.where(distance > 0, distance, 1.0)
        scalars = features[..., : self.hidden]
        deep = self.radial(layout.seen(_radii(distance))) + layout.sent(self.sent(scalars))
        deep = turned(functional.silu(layout.plus_received(deep, self.received(scalars))).flatten(0, 1))
        with torch.autocast(x.device.type, enabled=False):  # products of small matrices that lose what bfloat16 rounds
            features = features.to(x.dtype)
            weights = torch.addmm(self.weights.bias[:, None], self.weights.weight, deep.to(x.dtype))
            sent = spread(turned(self.before(features).flatten(0, 1)), layout, layout.col, x.shape[1])
            around = harmonics(turned(directions.flatten(0, 1)))
            coupled = turned(
                self.coupling(sent, around, weights, lambda value: totals(value, layout, layout.row, x.shape[1]))
            )
            message = coupled.unflatten(0, x.shape[:2]) * layout.counts.rsqrt()
            features = features + self._gated(self.after(message) + self.own(features))
            return x + self.to_x(features)[..., : x.shape[-1]], features

    def _gated(self, values: Tensor) -> Tensor:
        scalars, rest = values[..., : self.hidden + self.gates] + self.bias, values[..., self.hidden + self.gates :]
        plain, gates = scalars.split([self.hidden, self.gates], -1)
        if self.handed is not None:
            plain = plain + self.handed(rest[..., : self.pseudo])
        others = Layout3D([(kind, number) for kind, number in self.irreps.channels if kind != SCALAR])
        shares, found = gates.sigmoid().split([number for _, number in others.channels], -1), [functional.silu(plain)]
        for (_, part), share in zip(others.split(rest), shares, strict=True):
            found.append((part * share[..., None, :]).flatten(-2))
        return torch.cat(found, -1)


class SteerableTemporal(nn.Module):
    """Attention of each node over its frames.

    Args:
        irreps: the features.
        hidden: how many of them are scalars, H.
        embedding: size of embedded times.
    """

    def __init__(self, irreps: Layout3D, hidden: int, embedding: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.scalars = TemporalLayer(hidden, embedding)
        others = Layout3D([(kind, number) for kind, number in irreps.channels if kind != SCALAR])
        self.others = Mixing(others, others)

    def forward(self, x: Tensor, features: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
        """Positions `[n, T, D]` and features `[n, T, ...]` after the layer."""
        scalars, others = features[..., : self.hidden], features[..., self.hidden :]
        moved, changed, attention = self.scalars.with_attention(x, scalars, frames)
        with torch.autocast(x.device.type, enabled=False):
            mixed = self.others(torch.bmm(attention.to(others.dtype), others))
        return moved, torch.cat([changed.to(others.dtype), others + mixed], -1)


def spatial_vectors(x: Tensor) -> Tensor:
    """Positions in three dimensions, those of a plane with a zero."""
    return functional.pad(x, (0, 3 - x.shape[-1]))


def _radii(distance: Tensor) -> Tensor:
    """What networks see of distances `[..., 1]`: Gaussians of log(1 + |d|), and itself; `[..., 9]`."""
    size = distance.log1p()
    centres = torch.linspace(0, _FARTHEST, _GAUSSIANS, dtype=size.dtype, device=size.device)
    width = _FARTHEST / (_GAUSSIANS - 1)
    return torch.cat([torch.exp(-0.5 * ((size - centres) / width).square()), size], -1)
