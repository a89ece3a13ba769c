"""Forecasts as a two-sided interpolant: from the seasonal naive forecast to the truth, by the network of TSDiff.

x_r = A(r) x_0 + B(r) x_1 over the steps of the forecast, x_1 the truth and x_0 the base's forecast of the same context
(`SeasonalBase`). The context is a condition; the state is zero there, and the loss counts the forecast alone. The
network tells by how many seasonal errors the truth differs from the naive forecast (`EndsNetwork`).

Source: Albergo, Boffi and Vanden-Eijnden 2023 (arXiv 2303.08797), and Albergo et al. 2023 (arXiv 2310.03725) for ends
that share a condition; the network is that of Kollovieh et al. 2023 (arXiv 2307.11494).
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
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System
from scorefield.domains.series.tsdiff.kernels import Kernel
from scorefield.domains.series.tsdiff.network import GIVEN, TSDiffNetwork
from scorefield.domains.series.tsdiff.recipe import TSDiff
from scorefield.domains.series.tsdiff.seasonal import ForecastSteps, SeasonalBase

__all__ = ["DEFAULT_TRANSPORT", "ForecastTrunk", "InterpolantTSDiff"]

DEFAULT_TRANSPORT = SamplerSettings("transport", 10, "ema", {"method": "heun", "grid": "cosine"})
"""20 evaluations; as many steps of Euler's give narrower intervals."""

Path = Literal["linear", "trigonometric"]


class ForecastTrunk(Network):
    """TSDiff's network on x in units of the base's deviation, with the base's features as further channels.

    Args:
        network: with 1 + F channels, one output, and F given features.
        base: makes the features.
    """

    def __init__(self, network: TSDiffNetwork, base: SeasonalBase) -> None:
        super().__init__()
        self.network, self._features = network, base.features

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        """See `Network.forward`."""
        features = self._features(state)
        seen = State({"x": torch.cat([state["x"], features], -1)}, {}, {GIVEN: features})
        return self.network(seen, t)  # type: ignore[no-any-return]


class InterpolantTSDiff:
    """Hyper-parameters of an interpolant of forecasts; it needs data with `conditional: true`.

    Args:
        interpolant: `linear` or `trigonometric`.
        jitter: see `SeasonalBase`; the root mean square of the truth around the naive forecast, in the same units.
        floor: see `SeasonalBase`.
        season: steps of a season; by default that of the data's frequency.
        width: hidden width.
        blocks: residual blocks.
        embedding: size of the sinusoids of the time.
        states: states of each S4 system.
        kernel: `dplr`, or `diag` (S4D), which trains quicker.
        sampling: default sampler of the run.

    Raises:
        InputError: a size or a name that cannot be.
    """

    def __init__(
        self,
        interpolant: Path = "linear",
        jitter: float = 1.25,
        floor: float = 0.01,
        season: int | None = None,
        width: int = 64,
        blocks: int = 3,
        embedding: int = 128,
        states: int = 128,
        kernel: Kernel = "dplr",
        sampling: SamplerSettings = DEFAULT_TRANSPORT,
    ) -> None:
        TSDiff(width, blocks, embedding, states, kernel)  # refuses what cannot be
        if interpolant not in get_args(Path):
            raise unknown("interpolant of forecasts", interpolant, get_args(Path))
        SeasonalBase(1, 1 if season is None else season, jitter, floor)
        self.interpolant, self.season = interpolant_named(interpolant, "zero"), season
        self.jitter, self.floor = jitter, floor
        self.width, self.blocks, self.embedding, self.states, self.kernel = width, blocks, embedding, states, kernel
        self.sampling = sampling

    def build(self, sizes: Mapping[str, int]) -> System:
        """The system for windows of `length` steps, `context` of them given with `given` features.

        Raises:
            InputError: the data give no context.
        """
        if "given" not in sizes or "context" not in sizes:
            raise InputError("an interpolant of forecasts starts from a context", mend="give data.conditional=true")
        base = SeasonalBase(sizes["context"], self.season or sizes["season"], self.jitter, self.floor)
        features = base.width(sizes["given"])
        network = TSDiffNetwork(
            sizes["length"], 1 + features, 100, self.width, self.blocks, self.embedding, self.states, features,
            skip=False, kernel=self.kernel, outputs=1,
        )  # fmt: skip
        ends = EndsNetwork(ForecastTrunk(network, base), self.interpolant, moments=base.moments)
        component = Component(Bridge(self.interpolant), ForecastSteps(sizes["context"]), "velocity")
        return InterpolantSystem({"x": component}, ends, ("target",), base=base)
