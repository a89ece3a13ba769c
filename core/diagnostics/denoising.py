"""How far data predictions miss, and so whether a network predicts what it is said to.

The root mean square of x0_hat(x_t) - x_0 in units of the data's own spread is at most 1 for an exact denoiser at every
time, since already their mean has that error. A velocity taken for noise, or noise for data, misses by 1 / alpha and
more where there is little signal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from scorefield.core.calculus import inner
from scorefield.core.diagnostics.points import Points

__all__ = ["SUSPICIOUS", "Denoising", "denoising_errors"]

SUSPICIOUS = 3.0
"""Above it a prediction is probably of another kind than the component says."""


@dataclass(frozen=True)
class Denoising:
    """Errors of data predictions in units of the data's spread.

    Attributes:
        times: where they were measured.
        errors: of each component.
    """

    times: list[float]
    errors: dict[str, list[float]]

    def suspicious(self) -> list[str]:
        """Components whose error is too large for their prediction to be what it is said to be."""
        return [name for name, errors in self.errors.items() if max(errors) > SUSPICIOUS]


@torch.no_grad()
def denoising_errors(points: Points, times: list[float]) -> Denoising:
    """Errors of the data predictions at noised samples.

    Args:
        points: clean samples.
        times: where to look.
    """
    clean, origins = points.centred(), points.origins()
    spreads = {name: _norm(points, name, clean[name] - clean[name].mean(0)) for name in points.system.components}
    errors: dict[str, list[float]] = {name: [] for name in spreads}
    for t in times:
        found = points.system.predict(points.noised(t), points.times(t), "data", origins)
        for name, spread in spreads.items():
            missed = _norm(points, name, found[name] - clean[name])
            errors[name].append(missed / spread if spread else float(missed > 0))
    return Denoising(list(times), errors)


def _norm(points: Points, name: str, value: torch.Tensor) -> float:
    value = points.system.components[name].space.project(value, points.data.masks)
    return math.sqrt(float(inner(points.system, {name: value}, {name: value}).sum()))
