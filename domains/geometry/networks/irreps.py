"""Features that turn with rotations: channels of scalars, vectors and tensors, as e3nn lays them out.

A kind is an irreducible representation of O(3): a degree l and a parity, which says whether the mirror image x -> -x
changes the sign (0e scalars, 0o pseudo-scalars, 1o vectors, 1e axial vectors, 2e tensors). Channels of all kinds stand
in one axis, kind after kind, `[channels, 2 l + 1]` each. Channels of one kind may be mixed linearly; channels of two
kinds are coupled to a third by Wigner's 3j symbols.

Source: Geiger and Smidt 2022 (arXiv 2207.09453, e3nn).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
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
        """Every kind and its `[..., channels, 2 l + 1]` of features `[..., width]`."""
        parts = features.split([kind.width * number for kind, number in self.channels], -1)
        for (kind, number), part in zip(self.channels, parts, strict=True):
            yield kind, part.unflatten(-1, (number, kind.width))


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
                value = parts[str(kind)].transpose(-1, -2) @ self.weights[str(kind)]
                mixed.append(value.transpose(-1, -2).flatten(-2))
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

    def __call__(self, features: Tensor, around: Tensor, weights: Tensor) -> Tensor:
        """Products `[..., outputs]` of features `[..., width]` with harmonics `[..., 9]`, times `[..., weights]`."""
        found: dict[Kind, list[Tensor]] = {kind: [] for kind, _ in self.outputs.channels}
        degrees = around.split([1, 3, 5], -1)
        shares = weights.split([number * len(paths) for _, number, paths in self.paths], -1)
        for (kind, part), (_, number, paths), share in zip(
            self.features.split(features), self.paths, shares, strict=True
        ):
            maps = [self._map(kind, degree, out, degrees[degree]) for degree, out in paths]
            coupled = part @ torch.cat(maps, -1)
            factors = share.unflatten(-1, (number, len(paths))).unbind(-1)
            for (_, out), value, factor in zip(
                paths, coupled.split([out.width for _, out in paths], -1), factors, strict=True
            ):
                found[out].append(value * factor[..., None])
        return torch.cat([torch.cat(values, -2).flatten(-2) for values in found.values()], -1)

    def _map(self, kind: Kind, degree: int, out: Kind, around: Tensor) -> Tensor:
        """`[..., 2 l + 1, 2 l_out + 1]`."""
        symbol = self._symbols[kind, degree, out].to(around)
        return (around @ symbol.transpose(0, 1).flatten(1)).unflatten(-1, (kind.width, out.width))


def harmonics(directions: Tensor) -> Tensor:
    """Spherical harmonics of degrees 0, 1 and 2 of unit vectors `[..., 3]`, `[..., 9]`; zero above 0 for a zero vector.

    Each has as its mean square over the sphere the number of its components.
    """
    x, y, z = directions.unbind(-1)
    root = math.sqrt(3)
    second = [
        root * x * z,
        root * x * y,
        y.square() - 0.5 * (x.square() + z.square()),
        root * y * z,
        0.5 * root * (z.square() - x.square()),
    ]
    first = root * directions
    return torch.cat([torch.ones_like(directions[..., :1]), first, math.sqrt(5) * torch.stack(second, -1)], -1)
