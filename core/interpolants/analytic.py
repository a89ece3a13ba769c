"""Interpolants between two Gaussians, whose velocity, score and denoiser are known in closed form.

With x_0 ~ N(m_0, C_0), x_1 ~ N(m_1, C_1), K = Cov(x_0, x_1) and z independent of both, x_r ~ N(m, C),

    m = A m_0 + B m_1        C = A^2 C_0 + B^2 C_1 + A B (K + K^T) + gamma^2
    E[x_0 | x] = m_0 + (A C_0 + B K) C^-1 (x - m)        E[z | x] = gamma C^-1 (x - m)
    E[x_1 | x] = m_1 + (A K^T + B C_1) C^-1 (x - m)      v = A' E[x_0 | x] + B' E[x_1 | x]

It is the way to test a sampler of interpolants, as `analytic` is for Gaussian paths.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.interpolants.interpolant import Coefficients, Interpolant, Quantity
from scorefield.core.interpolants.system import Bridge, InterpolantSystem
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network, Values

__all__ = ["GaussianBridge", "gaussian_bridge"]

Gaussian = tuple[Tensor, Tensor]
"""Mean `[D]` and covariance `[D, D]`."""


class GaussianBridge(Network):
    """The exact quantities of an interpolant between Gaussians, for one component x `[B, D]`, computed in float64.

    Args:
        interpolant: the interpolant; one-sided and mirror ones do not use the source.
        source: mean `[D]` and covariance `[D, D]` of x_0.
        target: those of x_1.
        cross: K = Cov(x_0, x_1), `[D, D]`; zero by default.
        predicts: what `forward` returns.

    Raises:
        InputError: shapes do not fit.
    """

    def __init__(
        self,
        interpolant: Interpolant,
        source: Gaussian,
        target: Gaussian,
        cross: Tensor | None = None,
        predicts: Sequence[Quantity] = ("velocity", "score"),
    ) -> None:
        super().__init__()
        self.interpolant, self.predicts = interpolant, tuple(predicts)
        size = len(source[0])
        means = [source[0], target[0]]
        covariances = [source[1], target[1], torch.zeros(size, size) if cross is None else cross]
        if any(m.shape != (size,) for m in means) or any(c.shape != (size, size) for c in covariances):
            raise InputError("means and covariances do not fit", mend="give means [D] and covariances [D, D]")
        self.means: Tensor
        self.covariances: Tensor
        self.register_buffer("means", torch.stack([m.double() for m in means]))
        self.register_buffer("covariances", torch.stack([c.double() for c in covariances]))

    def moments(self, r: Tensor) -> Gaussian:
        """Mean `[B, D]` and covariance `[B, D, D]` of x_r at times `[B]`."""
        return self._moments(self.interpolant.coefficients(r.double()))

    def _moments(self, at: Coefficients) -> Gaussian:
        """Mean and covariance of x_r."""
        a, b = at.source[:, None, None], at.target[:, None, None]
        first, last, cross = self.covariances
        begin, end = self.means[:, :, None]
        mean = at.point(begin, end, torch.zeros_like(begin)).T
        noise = at.gamma.square()[:, None, None] * torch.eye(len(first)).to(first)
        return mean, a**2 * first + b**2 * last + a * b * (cross + cross.T) + noise

    def forward(self, state: State, t: Tensor) -> Values:
        """See `Network.forward`; outputs by `component.quantity`."""
        x = state["x"]
        at = self.interpolant.coefficients((1 - t.double()).clamp(0, 1))
        mean, covariance = self._moments(at)
        first, last, cross = self.covariances
        solved = torch.linalg.solve(covariance, (x.double() - mean)[..., None])
        a, b = at.source[:, None, None], at.target[:, None, None]
        source = self.means[0] + ((a * first + b * cross) @ solved)[..., 0]
        target = self.means[1] + ((a * cross.T + b * last) @ solved)[..., 0]
        path_velocity = at.over(x.double()).path_slope(source, target)
        score = -solved[..., 0]
        values: dict[Quantity, Tensor] = {
            "velocity": path_velocity - at.product[:, None] * score,
            "path_velocity": path_velocity,
            "score": score,
            "denoiser": -at.gamma[:, None] * score,
            "source": source,
            "target": target,
        }
        return {f"x.{quantity}": values[quantity].to(x.dtype) for quantity in self.predicts}


def gaussian_bridge(
    interpolant: Interpolant,
    source: Gaussian,
    target: Gaussian,
    cross: Tensor | None = None,
    predicts: Sequence[Quantity] = ("velocity", "score"),
) -> InterpolantSystem:
    """A system with one component x `[B, D]` and the exact network; arguments as of `GaussianBridge`."""
    network = GaussianBridge(interpolant, source, target, cross, predicts)
    return InterpolantSystem({"x": Component(Bridge(interpolant), Masked(), "velocity")}, network, predicts)
