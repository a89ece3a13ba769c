"""A Gaussian-mixture system with its exact score, for testing solvers."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.core.paths import GaussianPath
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System


class MixtureNetwork(Network):
    """Exact noise prediction of a mixture of Gaussians: weights [K], means [K, D], covariances [K, D, D]."""

    def __init__(self, path: GaussianPath, weights: Tensor, means: Tensor, covs: Tensor) -> None:
        super().__init__()
        self.path, self.weights, self.means, self.covs = path, weights, means, covs

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        x, t = state["x"], t.double()
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        eye = torch.eye(x.shape[-1], dtype=torch.float64)
        cov = alpha[:, None, None, None] ** 2 * self.covs + (sigma**2)[:, None, None, None] * eye
        offset = x[:, None] - alpha[:, None, None] * self.means
        solved = torch.linalg.solve(cov, offset[..., None])[..., 0]
        log_density = self.weights.log() - 0.5 * (offset * solved).sum(-1) - 0.5 * torch.logdet(cov)
        score = -(log_density.softmax(1)[..., None] * solved).sum(1)
        return {"x": -score * sigma[:, None]}


def mixture_system(path: GaussianPath, weights: Tensor, means: Tensor, covs: Tensor) -> System:
    """The mixture as a system with one component x [B, D]."""
    network = MixtureNetwork(path, weights, means, covs)
    return System({"x": Component(path, Masked(), "noise")}, network)
