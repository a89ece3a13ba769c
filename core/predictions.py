"""What a network predicts, and the conversions between the four kinds.

Given (x_t, t), these are equivalent: the noise eps, the data x_0 = (x - sigma eps) / alpha, the score -eps / sigma,
and the velocity of the probability-flow ODE, alpha' x_0 + sigma' eps. Every conversion is linear in x and the value.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath

__all__ = ["KINDS", "Kind", "conversion", "convert"]

Kind = Literal["noise", "data", "score", "velocity"]
KINDS: tuple[str, ...] = get_args(Kind)
_SLACK = 1e-9  # of the range of times, for rounding


def _mixture(path: GaussianPath, t: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
    """The prediction as p x_0 + q eps: (p, q)."""
    zero, one = torch.zeros_like(t), torch.ones_like(t)
    if kind == "data":
        return one, zero
    if kind == "noise":
        return zero, one
    if kind == "score":
        return zero, -1 / path.sigma(t)
    return path.alpha_derivative(t), path.sigma_derivative(t)


def conversion(path: GaussianPath, t: Tensor, source: Kind, target: Kind) -> tuple[Tensor, Tensor]:
    """Coefficients that turn one kind into another: target = a x_t + b source.

    Args:
        path: the component's path.
        t: times in [0, 1], any shape; the coefficients have its shape and type.
        source: what is given.
        target: what is wanted.

    Raises:
        InputError: a time outside [0, 1], or one at which the target does not exist (as the score at sigma = 0).
    """
    outside = ~((t >= -_SLACK) & (t <= 1 + _SLACK))
    if bool(outside.any()):
        raise InputError(f"t = {float(t[outside].flatten()[0]):g} lies outside [0, 1]")
    if source == target:
        return torch.zeros_like(t), torch.ones_like(t)
    (p, q), (to_p, to_q) = _mixture(path, t, source), _mixture(path, t, target)
    alpha, sigma = path.alpha(t), path.sigma(t)
    determinant = alpha * q - sigma * p  # Cramer's rule for target = a (alpha, sigma) + b (p, q)
    a, b = (to_p * q - to_q * p) / determinant, (alpha * to_q - sigma * to_p) / determinant
    if not (bool(torch.isfinite(a).all()) and bool(torch.isfinite(b).all())):
        times = t[~(torch.isfinite(a) & torch.isfinite(b))]
        raise InputError(
            f"{type(path).__name__} has no {target} from {source} at t = {float(times.flatten()[0]):g}",
            mend="keep times inside the path's range",
        )
    return a, b


def convert(path: GaussianPath, t: Tensor, x: Tensor, value: Tensor, source: Kind, target: Kind) -> Tensor:
    """Turn a prediction into another kind.

    Args:
        path: the component's path.
        t: times, `[B]`; coefficients are computed in float64.
        x: the state, `[B, ...]`.
        value: the prediction of kind `source`, like `x`.
        source: what is given.
        target: what is wanted.
    """
    if source == target:
        return value
    a, b = (c.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1)) for c in conversion(path, t.double(), source, target))
    return a * x + b * value
