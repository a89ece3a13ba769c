"""Forecasts as a two-sided interpolant: from constant velocity to the truth, by the network of GeoTDM.

x_r = A(r) x_0 + B(r) x_1 over the generated frames, x_1 the truth and x_0 constant velocity from the same given frames,
with noise (`VelocityBase`). Given frames are a condition: the state is zero there, the network sees them clean, all at
their places in time, and the loss counts generated frames alone. The network tells by how many deviations of the base
the truth differs from constant velocity (`EndsNetwork`); what it does turns, mirrors and moves with the given frames.

Source: Albergo, Boffi and Vanden-Eijnden 2023 (arXiv 2303.08797), and Albergo et al. 2023 (arXiv 2310.03725) for ends
that share a condition; the network is that of Han et al. 2024 (arXiv 2410.13027).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.interpolants.interpolant import interpolant_named
from scorefield.core.interpolants.preconditioning import EndsNetwork
from scorefield.core.interpolants.system import Bridge, InterpolantSystem
from scorefield.core.names import unknown
from scorefield.core.settings import SamplerSettings
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System
from scorefield.domains.geometry.geotdm import BackboneName, GeoTDM
from scorefield.domains.geometry.networks.network import TrajectoryNetwork
from scorefield.domains.geometry.velocity_base import VelocityBase

__all__ = ["DEFAULT_TRANSPORT", "InterpolantGeoTDM", "TrajectoryTrunk"]

DEFAULT_TRANSPORT = SamplerSettings("transport", 10, "ema", {"method": "heun", "grid": "cosine"})
"""20 evaluations."""

Path = Literal["linear", "trigonometric"]
_EXTRA = 2  # features that the base adds: the logarithm of the deviation, and whether a frame is given
_STEPS = 100  # the network's times lie between 0 and about this


class TrajectoryTrunk(Network):
    """GeoTDM's network on positions around the base's mean, from x in units of the base's deviation.

    Args:
        network: with two features of nodes more than the data have.
        base: makes mean, deviation and features.
    """

    def __init__(self, network: TrajectoryNetwork, base: VelocityBase) -> None:
        super().__init__()
        self.network, self._given, self._moments = network, base.given, base.moments

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        """See `Network.forward`."""
        mean, size = self._moments(state)["x"]
        given, y = self._given(state)
        known = given[:, None, :, None]
        x = torch.where(known, y, torch.addcmul(mean, size, state["x"]))
        told = torch.cat([size.log(), known.to(size).expand_as(size)], -1)
        features = state.condition.get("features")
        if features is not None:
            whole = features if features.ndim == 4 else features[:, :, None].expand(-1, -1, x.shape[2], -1)
            told = torch.cat([whole.to(told), told], -1)
        seen = State({"x": x}, state.masks, {**state.condition, "features": told})
        return self.network(seen, t)  # type: ignore[no-any-return]


class InterpolantGeoTDM:
    """Hyper-parameters of an interpolant of trajectories; it needs data with given frames.

    Args:
        interpolant: `linear` or `trigonometric`.
        jitter: see `VelocityBase`; so are the next two.
        growth: see there.
        floor: see there.
        backbone: see `GeoTDM`; so are all the following.
        hidden: see there.
        embedding: see there.
        layers: see there.
        pre_norm: see there.
        vectors: see there.
        tensors: see there.
        pseudo_scalars: see there.
        scale: see there.
        sampling: default sampler of the run.

    Raises:
        InputError: a size or a choice that cannot be.
    """

    def __init__(
        self,
        interpolant: Path = "linear",
        jitter: float = 1.0,
        growth: float = 1.5,
        floor: float = 0.001,
        backbone: BackboneName = "egtn",
        hidden: int = 128,
        embedding: int = 32,
        layers: int = 6,
        pre_norm: bool = False,
        vectors: int = 16,
        tensors: int = 8,
        pseudo_scalars: int = 0,
        scale: float = 1.0,
        sampling: SamplerSettings = DEFAULT_TRANSPORT,
    ) -> None:
        if interpolant not in get_args(Path):
            raise unknown("interpolant of trajectories", interpolant, get_args(Path))
        self.interpolant = interpolant_named(interpolant, "zero")
        self.base = VelocityBase(jitter, growth, floor)
        self.recipe = GeoTDM(
            backbone, hidden, embedding, layers, pre_norm=pre_norm, vectors=vectors, tensors=tensors,
            pseudo_scalars=pseudo_scalars, num_steps=_STEPS, scale=scale,
        )  # fmt: skip
        self.sampling = sampling

    def build(self, sizes: Mapping[str, int]) -> System:
        """The system for `frames` frames of which `given` are given; other sizes as in `GeoTDM.build`.

        Raises:
            InputError: no frames are given, or all.
        """
        given = sizes.get("given", 0)
        if not given:
            raise InputError("an interpolant of trajectories starts from given frames", mend="give data.given=0:10")
        if not given < sizes["frames"]:
            raise InputError(f"{given} of {sizes['frames']} frames are given", mend="leave some to generate")
        backbone = self.recipe.backbone()
        backbone.check(sizes["space"])
        network = self.recipe.network({**sizes, "features": sizes.get("features", 0) + _EXTRA})
        ends = EndsNetwork(TrajectoryTrunk(network, self.base), self.interpolant, moments=self.base.moments)
        component = Component(Bridge(self.interpolant), Masked(), "velocity")
        return InterpolantSystem({"x": component}, ends, ("target",), base=self.base)
