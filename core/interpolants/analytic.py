"""Interpolants between two Gaussians, whose velocity, score and denoiser are known in closed form.

With x_0 ~ N(m_0, C_0), x_1 ~ N(m_1, C_1), K = Cov(x_0, x_1) and z independent of both, x_r ~ N(m, C),

    m = A m_0 + B m_1        C = A^2 C_0 + B^2 C_1 + A B (K + K^T) + gamma^2
    v = m' + Cov(I', x_r) C^-1 (x - m)        E[z | x] = gamma C^-1 (x - m)
    Cov(I', x_r) = A A' C_0 + B B' C_1 + A' B K + A B' K^T

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
        mean, covariance, _ = self._moments(self.interpolant.coefficients(r.double()))
        return mean, covariance

    def _moments(self, at: Coefficients) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, covariance, and Cov(I', x_r)."""
        a, b, a_slope, b_slope = (v[:, None, None] for v in (at.source, at.target, at.source_slope, at.target_slope))
        first, last, cross = self.covariances
        begin, end = self.means[:, :, None]
        mean = at.point(begin, end, torch.zeros_like(begin)).T
        noise = at.gamma.square()[:, None, None] * torch.eye(len(first)).to(first)
        covariance = a**2 * first + b**2 * last + a * b * (cross + cross.T) + noise
        slope = a * a_slope * first + b * b_slope * last + a_slope * b * cross + a * b_slope * cross.T
        return mean, covariance, slope

    def forward(self, state: State, t: Tensor) -> Values:
        """See `Network.forward`; outputs by `component.quantity`."""
        x = state["x"]
        at = self.interpolant.coefficients((1 - t.double()).clamp(0, 1))
        mean, covariance, slope = self._moments(at)
        mean_slope = at.path_slope(*self.means[:, :, None]).T
        solved = torch.linalg.solve(covariance, (x.double() - mean)[..., None])[..., 0]
        path_velocity = mean_slope + (slope @ solved[..., None])[..., 0]
        values: dict[Quantity, Tensor] = {
            "velocity": path_velocity + at.product[:, None] * solved,
            "path_velocity": path_velocity,
            "score": -solved,
            "denoiser": at.gamma[:, None] * solved,
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
