"""A small two-sided interpolant that learns to carry points on a line to other points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from scorefield.core.interpolants.interpolant import Quantity, interpolant_named
from scorefield.core.interpolants.system import Bridge, Heads, InterpolantSystem
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network


class PointNetwork(Network):
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        layers = [nn.Linear(features + 1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, features))

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        x = state["x"]
        time = t.reshape(-1, *[1] * (x.ndim - 1)).expand(*x.shape[:-1], 1)
        return {"x": self.layers(torch.cat([x, time], -1))}


class Points:
    """Recipe of points `x [B, N, F]` on an interpolant.

    Args:
        interpolant: its name.
        gamma: name of its gamma.
        predicts: quantities, each by a network of its own.
        width: hidden features.
    """

    def __init__(
        self,
        interpolant: str = "linear",
        gamma: str | None = "brownian",
        predicts: Sequence[Quantity] = ("velocity", "denoiser"),
        width: int = 48,
    ) -> None:
        self.interpolant, self.predicts, self.width = interpolant_named(interpolant, gamma), tuple(predicts), width

    def build(self, sizes: Mapping[str, int]) -> InterpolantSystem:
        heads = Heads(**{quantity: PointNetwork(sizes["features"], self.width) for quantity in self.predicts})
        components = {"x": Component(Bridge(self.interpolant), Masked(), "velocity")}
        return InterpolantSystem(components, heads, self.predicts)
