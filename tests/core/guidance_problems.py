"""The one-dimensional problems on which guidance is measured, with their exact answers.

The prior is a mixture of two Gaussians, p = .4 N(-1.5, .25) + .6 N(1, .16), the second model of products and
classifier-free guidance q = .3 N(1.8, .2) + .7 N(-1, .3); the observation is y = .4 with standard deviation .5. The
specification states results without parameters; these reproduce every exact number it states, to its last digit
(those of two models are of the densities at t = 1e-3, where its runs end).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scorefield.core.analytic import mixture_system
from scorefield.core.paths import VP, GaussianPath
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, System

__all__ = ["EXACT", "OBSERVED", "OBSERVED_STD", "PRIOR", "SECOND", "Mixture", "Moments", "exact", "frame", "moments"]

OBSERVED, OBSERVED_STD = 0.4, 0.5


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians on the line."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    variances: tuple[float, ...]

    def density(self, x: np.ndarray, t: float = 0.0) -> np.ndarray:
        """p_t(x) along the VP path; the data's by default."""
        time = torch.tensor(t, dtype=torch.float64)
        alpha, noise = float(VP().alpha(time)), float(VP().variance(time))
        parts = [
            w * np.exp(-((x - alpha * m) ** 2) / (2 * (alpha**2 * v + noise))) / np.sqrt(alpha**2 * v + noise)
            for w, m, v in zip(self.weights, self.means, self.variances, strict=True)
        ]
        return np.sum(parts, 0) / np.sqrt(2 * np.pi)

    def system(self, path: GaussianPath | None = None) -> System:
        """Its exact denoiser: one component `x` `[B, 1]`, in noise prediction."""
        component = {"x": Component(VP() if path is None else path, Masked(), "noise")}
        means, variances = torch.tensor(self.means)[:, None].double(), torch.tensor(self.variances).double()
        return mixture_system(component, torch.tensor(self.weights), {"x": means}, {"x": variances})


PRIOR = Mixture((0.4, 0.6), (-1.5, 1.0), (0.25, 0.16))
SECOND = Mixture((0.3, 0.7), (1.8, -1.0), (0.2, 0.3))

Moments = tuple[float, float, float]
"""Mean, variance, mass above zero."""

EXACT: dict[str, Moments] = {
    "posterior": (0.7332, 0.1400, 0.9697),  # p(x) N(y; x, s^2)
    "guidance 2": (2.864, 1.211, 0.9300),  # q^2 / p at t = 1e-3
    "product": (-0.493, 1.533, 0.301),  # p q at t = 1e-3
    "power 0.5": (-0.195, 2.003, 0.513),  # p^b
    "power 2": (0.344, 1.301, 0.737),
    "power 3": (0.601, 0.896, 0.841),
}
"""As the specification states them."""


def exact(density: Callable[[np.ndarray], np.ndarray]) -> Moments:
    """Moments of an unnormalised density, by quadrature."""
    x = np.linspace(-14, 14, 28_001)
    p = density(x)
    p = p / p.sum()
    mean = float((p * x).sum())
    return mean, float((p * (x - mean) ** 2).sum()), float(p[x > 0].sum())


def moments(x: Tensor) -> Moments:
    """Moments of samples."""
    return float(x.mean()), float(x.var()), float((x > 0).double().mean())


def frame(num: int) -> State:
    """An empty batch, float64 `[num, 1]`."""
    return State({"x": torch.zeros(num, 1, dtype=torch.float64)})
