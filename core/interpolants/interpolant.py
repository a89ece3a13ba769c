"""Stochastic interpolants: x_r = A(r) x_0 + B(r) x_1 + gamma(r) z between two sets of samples, z ~ N(0, I).

Here r = 0 is the source and r = 1 the target, gamma(0) = gamma(1) = 0; solvers and networks see t = 1 - r. With
I = A x_0 + B x_1, four conditional means describe how the laws of x_r move, each a regression on known targets:

    velocity b = E[dI/dr + gamma' z | x_r]       path_velocity v = E[dI/dr | x_r]
    denoiser eta = E[z | x_r]                    score s = -eta / gamma,   b = v - gamma' gamma s

The means of the ends, source E[x_0 | x_r] and target E[x_1 | x_r], are two more (`ends`).

The ODE x' = b carries the source to the target, and so does the SDE with drift b + eps s and noise sqrt(2 eps) for
every eps(r) >= 0. Where x_0 is Gaussian noise itself it plays the part of z: one-sided interpolants have A = 0 and
gamma(0) = 1. A mirror interpolant, x_1 + gamma z, carries the data to themselves.

Source: Albergo, Boffi and Vanden-Eijnden 2023 (arXiv 2303.08797), sections 2 to 4.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.interpolants.ends import ends_score, ends_velocity, knows_ends
from scorefield.core.interpolants.gammas import Fading, FadingCosine, Gamma, Zero, gamma_named
from scorefield.core.names import unknown
from scorefield.core.paths import Cosine, GaussianPath, Linear

__all__ = [
    "INTERPOLANTS", "QUANTITIES", "Coefficients", "EncoderDecoder", "Interpolant", "LinearInterpolant", "Mirror",
    "OneSidedLinear", "OneSidedTrigonometric", "Quantity", "Term", "Trigonometric", "interpolant_named",
]  # fmt: skip

Quantity = Literal["velocity", "path_velocity", "score", "denoiser", "source", "target"]
QUANTITIES: tuple[str, ...] = get_args(Quantity)
Term = Quantity | Literal["state"]
"""What weights are of: predicted quantities, and x_r itself."""


@dataclass(frozen=True)
class Coefficients:
    """An interpolant at times r; every tensor has the shape of r, or broadcasts over states (`over`)."""

    source: Tensor
    target: Tensor
    gamma: Tensor
    source_slope: Tensor
    target_slope: Tensor
    gamma_slope: Tensor
    product: Tensor

    def over(self, like: Tensor) -> Coefficients:
        """From `[B]` to `[B, 1, ...]`, in the type of states `like` `[B, ...]`."""
        shape = [-1] + [1] * (like.ndim - 1)
        return Coefficients(*(value.to(like.dtype).reshape(shape) for value in vars(self).values()))

    def point(self, source: Tensor, target: Tensor, noise: Tensor) -> Tensor:
        """x_r."""
        return self.source * source + self.target * target + self.gamma * noise

    def path_slope(self, source: Tensor, target: Tensor) -> Tensor:
        """dI/dr."""
        return self.source_slope * source + self.target_slope * target


class Interpolant(ABC):
    """A family of interpolants with a gamma of its own.

    Args:
        gamma: scale of the noise.

    Attributes:
        begins: where x_0 comes from: samples that are `given`, `noise` N(0, I), or the `target`'s own law.
        still: whether I does not move, so that v = 0.
    """

    begins: ClassVar[Literal["given", "noise", "target"]] = "given"
    still: ClassVar[bool] = False

    def __init__(self, gamma: Gamma) -> None:
        self.gamma = gamma

    @abstractmethod
    def scales(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """A and B at times `r`, any shape."""

    @abstractmethod
    def slopes(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """A' and B'."""

    def coefficients(self, r: Tensor) -> Coefficients:
        """All scales and slopes at times `r`, any shape.

        Raises:
            InputError: a time lies outside [0, 1].
        """
        outside = ~((r >= 0) & (r <= 1))
        if bool(outside.any()):
            raise InputError(f"r = {float(r[outside].flatten()[0]):g} lies outside [0, 1]")
        gamma = self.gamma
        return Coefficients(*self.scales(r), gamma.value(r), *self.slopes(r), gamma.slope(r), gamma.product(r))

    def point(self, source: Tensor, target: Tensor, noise: Tensor, r: Tensor) -> Tensor:
        """x_r for states `[B, ...]` and times `[B]`."""
        return self.coefficients(r).over(target).point(source, target, noise)

    def path_slope(self, source: Tensor, target: Tensor, r: Tensor) -> Tensor:
        """dI/dr for states `[B, ...]` and times `[B]`."""
        return self.coefficients(r).over(target).path_slope(source, target)

    def velocity_weights(self, known: Collection[Quantity], r: Tensor) -> dict[Term, Tensor]:
        """The velocity b as a weighted sum of known quantities (and of x_r, `state`), at times `r`.

        Raises:
            InputError: b does not follow from them.
        """
        if "velocity" in known:
            return {"velocity": torch.ones_like(r)}
        if knows_ends(known):
            return ends_velocity(self, known, r)
        if not self.still and "path_velocity" not in known:
            what = f"the velocity does not follow from {' and '.join(known) or 'nothing'}"
            raise InputError(what, mend="predict velocity, or path_velocity with score or denoiser")
        weights: dict[Term, Tensor] = {} if self.still else {"path_velocity": torch.ones_like(r)}
        if isinstance(self.gamma, Zero):
            return weights
        if "score" in known:
            return {**weights, "score": -self.gamma.product(r)}
        if "denoiser" in known:
            return {**weights, "denoiser": self.gamma.slope(r)}
        raise InputError("path_velocity lacks the noise's part of the velocity", mend="predict score or denoiser too")

    def score_weights(self, known: Collection[Quantity], r: Tensor) -> dict[Term, Tensor]:
        """The score as a weighted sum of known quantities (and of x_r, `state`), at times `r`.

        Raises:
            InputError: there is no score, or it does not follow from them.
        """
        if isinstance(self.gamma, Zero):
            raise InputError(
                "an interpolant with gamma = 0 has no score", mend="choose another gamma, such as brownian"
            )
        if "score" in known:
            return {"score": torch.ones_like(r)}
        if "denoiser" in known:
            return {"denoiser": -1 / self.gamma.value(r)}
        if knows_ends(known):
            return ends_score(self, known, r)
        mend = "predict score or denoiser too; where the source is Gaussian, train on gaussian_path()"
        raise InputError(f"the score does not follow from {' and '.join(known)}", mend=mend)

    def gaussian_path(self) -> GaussianPath:
        """The Gaussian path (t = 1 - r) with the same laws, where x_0 is N(0, I) and independent of x_1.

        Raises:
            InputError: its signal-to-noise ratio does not rise from 0 at the source to infinity at the target.
        """
        return _MarginalPath(self)


class LinearInterpolant(Interpolant):
    """A = 1 - r, B = r."""

    def scales(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.scales`."""
        return 1 - r, r

    def slopes(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.slopes`."""
        return -torch.ones_like(r), torch.ones_like(r)


class Trigonometric(Interpolant):
    """A = sqrt(1 - gamma^2) cos(pi r / 2), B = sqrt(1 - gamma^2) sin(pi r / 2): A^2 + B^2 + gamma^2 = 1.

    Raises:
        InputError: gamma exceeds 1.
    """

    def __init__(self, gamma: Gamma) -> None:
        super().__init__(gamma)
        if float(gamma.value(torch.linspace(0, 1, 101, dtype=torch.float64)).max()) > 1:
            raise InputError("a trigonometric interpolant needs gamma <= 1", mend="lower the gamma's scale")

    def scales(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.scales`."""
        size, angle = (1 - self.gamma.square(r)).clamp(min=0).sqrt(), 0.5 * math.pi * r
        return size * angle.cos(), size * angle.sin()

    def slopes(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.slopes`; at a kink (where gamma = 1) the mean of both sides."""
        size, angle = (1 - self.gamma.square(r)).clamp(min=0).sqrt(), 0.5 * math.pi * r
        change = torch.where(size > 0, -self.gamma.product(r) / size, 0.0)
        turn = 0.5 * math.pi * size
        return change * angle.cos() - turn * angle.sin(), change * angle.sin() + turn * angle.cos()


class EncoderDecoder(Interpolant):
    """A = cos^2(pi r) up to r = 1/2, B = cos^2(pi r) from there: at r = 1/2 there is noise alone.

    Raises:
        InputError: gamma is zero: nothing would be left at r = 1/2.
    """

    def __init__(self, gamma: Gamma) -> None:
        super().__init__(gamma)
        _check_noisy(gamma, "encoder-decoder")

    def scales(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.scales`."""
        return _halves((math.pi * r).cos() ** 2, r)

    def slopes(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.slopes`."""
        return _halves(-math.pi * (2 * math.pi * r).sin(), r)


def _check_noisy(gamma: Gamma, name: str) -> None:
    if isinstance(gamma, Zero):
        raise InputError(f"the {name} interpolant needs noise", mend="choose another gamma, such as sine-squared")


def _halves(value: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    early = r <= 0.5
    return torch.where(early, value, 0.0), torch.where(early, 0.0, value)


class OneSidedLinear(Interpolant):
    """(1 - r) z + r x_1: the linear Gaussian path."""

    begins = "noise"

    def __init__(self) -> None:
        super().__init__(Fading())

    def scales(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.scales`."""
        return torch.zeros_like(r), r

    def slopes(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.slopes`."""
        return torch.zeros_like(r), torch.ones_like(r)

    def gaussian_path(self) -> GaussianPath:
        """See `Interpolant.gaussian_path`."""
        return Linear()


class OneSidedTrigonometric(Interpolant):
    """cos(pi r / 2) z + sin(pi r / 2) x_1: the cosine Gaussian path."""

    begins = "noise"

    def __init__(self) -> None:
        super().__init__(FadingCosine())

    def scales(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.scales`."""
        return torch.zeros_like(r), (0.5 * math.pi * r).sin()

    def slopes(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.slopes`."""
        return torch.zeros_like(r), 0.5 * math.pi * (0.5 * math.pi * r).cos()

    def gaussian_path(self) -> GaussianPath:
        """See `Interpolant.gaussian_path`."""
        return Cosine()


class Mirror(Interpolant):
    """x_1 + gamma z: from the data to themselves.

    Raises:
        InputError: gamma is zero: nothing would move.
    """

    begins = "target"
    still = True

    def __init__(self, gamma: Gamma) -> None:
        super().__init__(gamma)
        _check_noisy(gamma, "mirror")

    def scales(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.scales`."""
        return torch.zeros_like(r), torch.ones_like(r)

    def slopes(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """See `Interpolant.slopes`."""
        return torch.zeros_like(r), torch.zeros_like(r)


class _MarginalPath(GaussianPath):
    """alpha = B, sigma^2 = A^2 + gamma^2 at r = 1 - t."""

    t_max = 1 - 1e-3

    def __init__(self, interpolant: Interpolant) -> None:
        self._interpolant = interpolant
        inner = torch.linspace(1e-3, 1 - 1e-3, 999, dtype=torch.float64)
        falling = bool((self.log_snr(inner).diff() < 0).all())
        if not falling or interpolant.begins == "target":
            what = f"the {type(interpolant).__name__} interpolant is no Gaussian path, also for a Gaussian source"
            raise InputError(what, mend="its signal-to-noise ratio would have to rise from the source to the target")

    def log_alpha(self, t: Tensor) -> Tensor:
        return self.alpha(t).log()

    def alpha(self, t: Tensor) -> Tensor:
        return self._interpolant.scales(1 - t)[1]

    def variance(self, t: Tensor) -> Tensor:
        return self._interpolant.scales(1 - t)[0] ** 2 + self._interpolant.gamma.square(1 - t)


INTERPOLANTS: dict[str, Callable[..., Interpolant]] = {
    "linear": LinearInterpolant,
    "trigonometric": Trigonometric,
    "encoder-decoder": EncoderDecoder,
    "one-sided-linear": OneSidedLinear,
    "one-sided-trigonometric": OneSidedTrigonometric,
    "mirror": Mirror,
}


def interpolant_named(name: str, gamma: str | Gamma | None = None) -> Interpolant:
    """An interpolant from the names that users type.

    Args:
        name: one of `INTERPOLANTS`.
        gamma: name of the gamma, or a gamma; by default `sine-squared` for `encoder-decoder`, else `brownian`.
            One-sided interpolants take none: their noise is the source.

    Raises:
        InputError: a name is unknown, or a gamma is given where none is taken.
    """
    if name not in INTERPOLANTS:
        raise unknown("interpolant", name, INTERPOLANTS)
    if name.startswith("one-sided"):
        if gamma is not None:
            raise InputError(f"{name} takes no gamma", mend="leave it out: the source is the noise")
        return INTERPOLANTS[name]()
    if gamma is None:
        gamma = "sine-squared" if name == "encoder-decoder" else "brownian"
    return INTERPOLANTS[name](gamma_named(gamma) if isinstance(gamma, str) else gamma)
