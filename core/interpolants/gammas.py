"""The scale gamma(r) of a stochastic interpolant's noise: zero at the target, and at the source unless that is noise.

Source: Albergo, Boffi and Vanden-Eijnden 2023 (arXiv 2303.08797).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.names import unknown

__all__ = [
    "GAMMAS", "Brownian", "Fading", "FadingCosine", "Gamma", "Quadratic", "Sigmoid", "SineSquared", "Zero",
    "gamma_named",
]  # fmt: skip


class Gamma(ABC):
    """The scale of an interpolant's noise; functions of r in [0, 1], any shape."""

    @abstractmethod
    def value(self, r: Tensor) -> Tensor:
        """gamma."""

    @abstractmethod
    def slope(self, r: Tensor) -> Tensor:
        """gamma', which may be infinite at the ends."""

    def square(self, r: Tensor) -> Tensor:
        """gamma^2."""
        return self.value(r) ** 2

    def product(self, r: Tensor) -> Tensor:
        """gamma gamma', finite at the ends too."""
        return self.value(r) * self.slope(r)


@dataclass(frozen=True)
class Brownian(Gamma):
    """sqrt(a r (1 - r)): the noise of a Brownian bridge.

    Args:
        scale: a, the variance of the Brownian motion at unit time.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_positive("scale", self.scale)

    def value(self, r: Tensor) -> Tensor:
        """See `Gamma.value`."""
        return self.square(r).sqrt()

    def slope(self, r: Tensor) -> Tensor:
        """See `Gamma.slope`; infinite at both ends."""
        return self.product(r) / self.value(r)

    def square(self, r: Tensor) -> Tensor:
        """See `Gamma.square`."""
        return self.scale * r * (1 - r)

    def product(self, r: Tensor) -> Tensor:
        """See `Gamma.product`."""
        return self.scale * (0.5 - r)


@dataclass(frozen=True)
class Quadratic(Gamma):
    """r (1 - r)."""

    def value(self, r: Tensor) -> Tensor:
        """See `Gamma.value`."""
        return r * (1 - r)

    def slope(self, r: Tensor) -> Tensor:
        """See `Gamma.slope`."""
        return 1 - 2 * r


@dataclass(frozen=True)
class SineSquared(Gamma):
    """sin^2(pi r)."""

    def value(self, r: Tensor) -> Tensor:
        """See `Gamma.value`."""
        return (math.pi * r).sin() ** 2

    def slope(self, r: Tensor) -> Tensor:
        """See `Gamma.slope`."""
        return math.pi * (2 * math.pi * r).sin()


@dataclass(frozen=True)
class Sigmoid(Gamma):
    """A bump of two logistic steps, S(f (r - 1/2) + 1) - S(f (r - 1/2) - 1), lowered to zero at the ends.

    Args:
        steepness: f.
    """

    steepness: float = 10.0

    def __post_init__(self) -> None:
        _check_positive("steepness", self.steepness)

    def value(self, r: Tensor) -> Tensor:
        """See `Gamma.value`."""
        u, end = self.steepness * (r - 0.5), torch.full_like(r, self.steepness / 2)
        return _rise(u) - _rise(end)

    def slope(self, r: Tensor) -> Tensor:
        """See `Gamma.slope`."""
        high, low = (torch.sigmoid(self.steepness * (r - 0.5) + shift) for shift in (1.0, -1.0))
        return self.steepness * (high * (1 - high) - low * (1 - low))


def _rise(u: Tensor) -> Tensor:
    return torch.sigmoid(u + 1) - torch.sigmoid(u - 1)


@dataclass(frozen=True)
class Zero(Gamma):
    """No noise: then there is an ODE, but no score and no SDE."""

    def value(self, r: Tensor) -> Tensor:
        """See `Gamma.value`."""
        return torch.zeros_like(r)

    def slope(self, r: Tensor) -> Tensor:
        """See `Gamma.slope`."""
        return torch.zeros_like(r)


@dataclass(frozen=True)
class Fading(Gamma):
    """1 - r: the noise of the one-sided linear interpolant."""

    def value(self, r: Tensor) -> Tensor:
        """See `Gamma.value`."""
        return 1 - r

    def slope(self, r: Tensor) -> Tensor:
        """See `Gamma.slope`."""
        return -torch.ones_like(r)


@dataclass(frozen=True)
class FadingCosine(Gamma):
    """cos(pi r / 2): the noise of the one-sided trigonometric interpolant."""

    def value(self, r: Tensor) -> Tensor:
        """See `Gamma.value`."""
        return (0.5 * math.pi * r).cos()

    def slope(self, r: Tensor) -> Tensor:
        """See `Gamma.slope`."""
        return -0.5 * math.pi * (0.5 * math.pi * r).sin()


GAMMAS: dict[str, Callable[[], Gamma]] = {
    "brownian": Brownian,
    "quadratic": Quadratic,
    "sine-squared": SineSquared,
    "sigmoid": Sigmoid,
    "zero": Zero,
}
_WITH_NUMBER: dict[str, Callable[[float], Gamma]] = {"brownian": Brownian, "sigmoid": Sigmoid}


def gamma_named(name: str) -> Gamma:
    """A gamma from its name; `brownian:A` and `sigmoid:F` carry a number.

    Raises:
        InputError: the name is unknown, or its number cannot be.
    """
    kind, _, number = name.partition(":")
    if number and kind in _WITH_NUMBER:
        try:
            return _WITH_NUMBER[kind](float(number))
        except ValueError:
            raise InputError(f"gamma {name!r}", mend=f"give a positive number, as in {kind}:2") from None
    if name not in GAMMAS:
        raise unknown("gamma", name, [*GAMMAS, *(f"{kind}:NUMBER" for kind in _WITH_NUMBER)])
    return GAMMAS[name]()


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise InputError(f"{name} = {value:g} of a gamma", mend="give a positive number")
