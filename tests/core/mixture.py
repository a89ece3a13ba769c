"""The mixture of the stored tensors: one flat component, full covariances."""

from __future__ import annotations

from torch import Tensor

from scorefield.core import analytic
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.spaces import Masked
from scorefield.core.system import Component, System


def mixture_system(
    path: GaussianPath, weights: Tensor, means: Tensor, covs: Tensor, prediction: Kind = "noise"
) -> System:
    """weights [K], means [K, D], covariances [K, D, D] as a system with one component x [B, D]."""
    return analytic.mixture_system({"x": Component(path, Masked(), prediction)}, weights, {"x": means}, {"x": covs})
