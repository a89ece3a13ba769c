"""What follows from the means of an interpolant's ends, source E[x_0 | x_r] and target E[x_1 | x_r].

Since x_r = A x_0 + B x_1 + gamma z, the means of x_0, x_1 and z given x_r make up x_r in the same way, and all but one
of those that take part (no x_0 where A = 0, no z where gamma = 0) tell the last one. With k those that are known, c_k
their scales, and c the scale of the one that is not,

    b = c' / c x + sum_k (c_k' - c' c_k / c) k
    x_s = c(s) / c(r) x_r + sum_k (c_k(s) - c(s) c_k(r) / c(r)) k      while the known means stay as they are.

The latter is what DDIM does on Gaussian paths.

Source: Albergo, Boffi and Vanden-Eijnden 2023 (arXiv 2303.08797), section 2; Song et al. 2021 (arXiv 2010.02502).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.interpolants.gammas import Zero

if TYPE_CHECKING:
    from scorefield.core.interpolants.interpolant import Coefficients, Interpolant, Quantity, Term

__all__ = ["ends_score", "ends_steps", "ends_velocity", "knows_ends"]


def knows_ends(known: Collection[Quantity]) -> bool:
    """Whether the velocity is to be made of the means of the ends."""
    return not {"velocity", "path_velocity"} & set(known) and bool({"source", "target"} & set(known))


def ends_velocity(interpolant: Interpolant, known: Collection[Quantity], r: Tensor) -> dict[Term, Tensor]:
    """Weights of the known means and of x_r (`state`) in the velocity at times `r`.

    Raises:
        InputError: they are not enough.
    """
    lost, parts = _missing(interpolant, known), _parts(interpolant, interpolant.coefficients(r))
    if lost is None:
        return {name: slope for name, (_, slope) in parts.items()}
    scale, slope = parts.pop(lost)
    rate = slope / scale
    return {"state": rate, **{name: own - rate * value for name, (value, own) in parts.items()}}


def ends_score(interpolant: Interpolant, known: Collection[Quantity], r: Tensor) -> dict[Term, Tensor]:
    """Weights of the known means and of x_r in the score at times `r`, where the denoiser is the one not known.

    Raises:
        InputError: they are not enough.
    """
    _missing(interpolant, known)
    parts, square = _parts(interpolant, interpolant.coefficients(r)), interpolant.gamma.square(r)
    return {"state": -1 / square, **{name: parts[name][0] / square for name in parts if name != "denoiser"}}


def ends_steps(interpolant: Interpolant, known: Collection[Quantity], r: Tensor, s: Tensor) -> dict[Term, Tensor]:
    """What x gains from times `r` to `s` along the ODE, as weights of the known means and of x_r.

    Raises:
        InputError: they are not enough.
    """
    lost = _missing(interpolant, known)
    early, late = (_parts(interpolant, interpolant.coefficients(times)) for times in (r, s))
    if lost is None:
        return {name: late[name][0] - early[name][0] for name in early}
    ratio = late[lost][0] / early[lost][0]
    kept = {name: late[name][0] - ratio * early[name][0] for name in early if name != lost}
    return {"state": ratio - 1, **kept}


def _parts(interpolant: Interpolant, at: Coefficients) -> dict[Term, tuple[Tensor, Tensor]]:
    """Scales and slopes of the means that x_r is made of."""
    parts: dict[Term, tuple[Tensor, Tensor]] = {"target": (at.target, at.target_slope)}
    if interpolant.begins == "given":
        parts["source"] = at.source, at.source_slope
    if not isinstance(interpolant.gamma, Zero):
        parts["denoiser"] = at.gamma, at.gamma_slope
    return parts


def _missing(interpolant: Interpolant, known: Collection[Quantity]) -> Term | None:
    """The one of the means that x_r is made of which is not known."""
    lost = [name for name in _parts(interpolant, interpolant.coefficients(torch.zeros(()))) if name not in known]
    if len(lost) > 1:
        what = f"the velocity does not follow from {' and '.join(known)}"
        raise InputError(what, mend=f"predict {' or '.join(lost)} too")
    return lost[0] if lost else None
