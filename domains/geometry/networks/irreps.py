"""Features that turn with rotations: channels of scalars, vectors and tensors, in the bases of e3nn.

A kind is an irreducible representation of O(3): a degree l and a parity, which says whether the mirror image x -> -x
changes the sign (0e scalars, 0o pseudo-scalars, 1o vectors, 1e axial vectors, 2e tensors). Channels of all kinds stand
in one axis, kind after kind, `[2 l + 1, channels]` each. Channels of one kind may be mixed linearly; channels of two
kinds are coupled to a third by Wigner's 3j symbols.

Source: Geiger and Smidt 2022 (arXiv 2207.09453, e3nn).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Coupling", "Kind", "Layout3D", "Mixing", "harmonics", "library"]


def library() -> Any:
    """The module `e3nn.o3`, whose import warns of what PyTorch deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*")
        from e3nn import o3
    return o3


@dataclass(frozen=True)
class Kind:
    """An irreducible representation.

    Attributes:
        degree: l.
        parity: 1 for even, -1 for odd.
    """

    degree: int
    parity: int

    @property
    def width(self) -> int:
        """2 l + 1."""
        return 2 * self.degree + 1

    def __str__(self) -> str:
        return f"{self.degree}{'e' if self.parity == 1 else 'o'}"


class Layout3D:
    """Where channels of which kind stand.

    Args:
        channels: kinds and their numbers of channels; none of 0.
    """

    def __init__(self, channels: Sequence[tuple[Kind, int]]) -> None:
        self.channels = [(kind, number) for kind, number in channels if number]
        self.width = sum(kind.width * number for kind, number in self.channels)

    def __str__(self) -> str:
        return "+".join(f"{number}x{kind}" for kind, number in self.channels)

    def __contains__(self, kind: Kind) -> bool:
        return any(own == kind for own, _ in self.channels)

    def split(self, features: Tensor) -> Iterator[tuple[Kind, Tensor]]:
        """Every kind and its `[..., 2 l + 1, channels]` of features `[..., width]`."""
        parts = features.split([kind.width * number for kind, number in self.channels], -1)
        for (kind, number), part in zip(self.channels, parts, strict=True):
            yield kind, part.unflatten(-1, (kind.width, number))


class Mixing(nn.Module):
    """Linear maps of the channels of each kind that both sides have.

    Args:
        inputs: what comes in.
        outputs: what goes out; kinds that do not come in are zero.
    """

    def __init__(self, inputs: Layout3D, outputs: Layout3D) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        incoming = {str(kind): number for kind, number in inputs.channels}
        shapes = {str(k): (incoming[str(k)], number) for k, number in outputs.channels if str(k) in incoming}
        self.weights = nn.ParameterDict({k: nn.Parameter(torch.randn(s) / math.sqrt(s[0])) for k, s in shapes.items()})

    def forward(self, features: Tensor) -> Tensor:
        """`[..., outputs]` from `[..., inputs]`."""
        parts = {str(kind): part for kind, part in self.inputs.split(features)}
        mixed = []
        for kind, number in self.outputs.channels:
            if str(kind) in self.weights:
                mixed.append((parts[str(kind)] @ self.weights[str(kind)]).flatten(-2))
            else:
                mixed.append(features.new_zeros(*features.shape[:-1], number * kind.width))
        return torch.cat(mixed, -1)


class Coupling:
    """Depth-wise products of features with spherical harmonics of degrees 0 to 2.

    Channel u of every kind meets every degree, and each product that has a kind of the features gives one channel,
    times a weight of its own.

    Args:
        features: what is coupled.
    """

    def __init__(self, features: Layout3D) -> None:
        self.features = features
        self.paths = [(kind, number, list(self._paths(kind))) for kind, number in features.channels]
        self.weights = sum(number * len(paths) for _, number, paths in self.paths)
        outputs: dict[Kind, int] = {}
        for _, number, paths in self.paths:
            for _, kind in paths:
                outputs[kind] = outputs.get(kind, 0) + number
        self.outputs = Layout3D(sorted(outputs.items(), key=lambda item: (item[0].degree, -item[0].parity)))
        symbols = library().wigner_3j
        self._symbols = {
            (kind, degree, out): symbols(kind.degree, degree, out.degree, dtype=torch.float64) * math.sqrt(out.width)
            for kind, _, paths in self.paths
            for degree, out in paths
        }

    def _paths(self, kind: Kind) -> Iterator[tuple[int, Kind]]:
        for degree in range(3):
            for result in range(abs(kind.degree - degree), min(kind.degree + degree, 2) + 1):
                out = Kind(result, kind.parity * (-1) ** degree)
                if out in self.features:
                    yield degree, out

    def __call__(
        self, features: Tensor, around: Tensor, weights: Tensor, reduced: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Products `[outputs, ...]` of features with harmonics.

        What is coupled comes last, so that products of small matrices are products of long rows.

        Args:
            features: `[width, e]`.
            around: harmonics `[9, e]`.
            weights: of each product of a channel, `[weights, e]`.
            reduced: what is made of products `[2 l + 1, channels, e]` before they are put together.
        """
        found: dict[Kind, list[Tensor]] = {kind: [] for kind, _ in self.outputs.channels}
        degrees = around.split([1, 3, 5])
        parts = features.split([kind.width * number for kind, number, _ in self.paths])
        shares = weights.split([number * len(paths) for _, number, paths in self.paths])
        for (kind, number, paths), part, share in zip(self.paths, parts, shares, strict=True):
            values = part.unflatten(0, (kind.width, number))
            for (degree, out), factor in zip(paths, share.split(number), strict=True):
                maps = self._map(kind, degree, out, degrees[degree])
                found[out].append(reduced(_contracted(maps, values * factor)))
        return torch.cat([torch.cat(values, 1).flatten(0, 1) for values in found.values()])

    def _map(self, kind: Kind, degree: int, out: Kind, around: Tensor) -> Tensor:
        """`[2 l + 1, 2 l_out + 1, e]` of harmonics `[2 degree + 1, e]`."""
        symbol = self._symbols[kind, degree, out].to(around)
        maps: Tensor = symbol.transpose(1, 2).flatten(0, 1) @ around
        return maps.view(kind.width, out.width, -1)


def _contracted(maps: Tensor, values: Tensor) -> Tensor:
    """Sums over a of maps `[a, k, e]` times values `[a, u, e]`: `[k, u, e]`."""
    total = maps[0][:, None] * values[0]
    for number in range(1, len(maps)):
        total = torch.addcmul(total, maps[number][:, None], values[number])
    return total


def harmonics(directions: Tensor) -> Tensor:
    """Spherical harmonics of degrees 0, 1 and 2 of unit vectors `[3, e]`, `[9, e]`; zero above 0 for zero vectors.

    Each has as its mean square over the sphere the number of its components.
    """
    x, y, z = directions.split(1)
    root = math.sqrt(3)
    second = (
        root * x * z,
        root * x * y,
        y.square() - 0.5 * (x.square() + z.square()),
        root * y * z,
        0.5 * root * (z.square() - x.square()),
    )
    five = math.sqrt(5)
    return torch.cat([torch.ones_like(x), root * directions, *(five * part for part in second)])
