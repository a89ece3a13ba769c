"""Windows as a two-sided interpolant: from a base of resampled training windows to the data, by the network of PaD-TS.

x_r = A(r) x_0 + B(r) x_1 + gamma(r) z with x_0 from the base. The network predicts the target E[x_1 | x_r], which lies
in the range of the data, and, where there is noise, its mean E[z | x_r]; what is left of x_r is the source's part. So
what is learnt at every r is what a diffusion in data prediction learns, and the population terms apply as they are.

Source: Albergo, Boffi and Vanden-Eijnden 2023 (arXiv 2303.08797); the network is that of Li et al. 2025 (arXiv
2501.00910).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.interpolants.bases import Base
from scorefield.core.interpolants.gammas import Zero
from scorefield.core.interpolants.interpolant import Interpolant, Quantity, interpolant_named
from scorefield.core.interpolants.system import Bridge, InterpolantSystem
from scorefield.core.names import unknown
from scorefield.core.settings import SamplerSettings
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System
from scorefield.domains.series.bases import BlockBootstrap
from scorefield.domains.series.pad_ts.network import Gelu, PaDTSNetwork, single
from scorefield.domains.series.pad_ts.recipe import PaDTS

__all__ = ["DEFAULT_TRANSPORT", "EndsNetwork", "InterpolantPaDTS"]

DEFAULT_TRANSPORT = SamplerSettings("transport", 20, "ema", {"method": "euler", "grid": "cosine"})
"""20 evaluations; the last step ends at a prediction of the target, inside the range of the data."""

_INTERPOLANTS = ("linear", "trigonometric")
_SCALE = 250  # of times in the network's sinusoids: as fine as the published chain


class EndsNetwork(Network):
    """Predictions of the target, clamped to the data's range in evaluation mode, and of the noise.

    With ends of equal variance s^2, V = A^2 + B^2 + (gamma / s)^2, and F what the trunk says,

        target = B / V x_r + s sqrt(1 - B^2 / V) F:

    the best linear prediction and a correction as large as what is unknown (Karras et al. 2022, arXiv 2206.00364).
    Close to the target a network that predicts it itself would have to copy its input.

    Args:
        trunk: the network, with an output for each of `predicts`.
        interpolant: whose A, B and gamma are meant.
        predicts: `target`, or `target` and `denoiser`.
        data_std: root mean square of the windows, s.

    Attributes:
        null_condition: as of the trunk, for classifier-free guidance.
        bounds: lowest and highest output in evaluation mode, where the target is the only one.
    """

    def __init__(
        self, trunk: PaDTSNetwork, interpolant: Interpolant, predicts: tuple[Quantity, ...], data_std: float
    ) -> None:
        super().__init__()
        self.trunk, self.interpolant, self.predicts, self.data_std = trunk, interpolant, predicts, data_std
        self.null_condition = trunk.null_condition
        self.bounds = (-1.0, 1.0) if len(predicts) == 1 else None

    def draws(self, state: State, streams: SampleStreams) -> dict[str, Tensor]:
        """See `Network.draws`."""
        return self.trunk.draws(state, streams)

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        """See `Network.forward`; outputs by `x.quantity`, or as `x` where the target is the only one."""
        x, t = state["x"], single(t)
        parts = self.trunk.predictions(state, t * _SCALE).chunk(len(self.predicts), -1)
        at = self.interpolant.coefficients((1 - t.double()).clamp(0, 1)).over(x)
        others = at.source.square() + (at.gamma / self.data_std).square()
        variance = others + at.target.square()
        share = (others / variance).sqrt() * self.data_std
        target = torch.addcmul(at.target / variance * x, share, parts[0])
        target = target if self.training else target.clamp(-1, 1)
        return {"x": target} if len(parts) == 1 else {"x.target": target, "x.denoiser": parts[1]}


class InterpolantPaDTS:
    """Hyper-parameters of an interpolant of windows.

    Args:
        base: where it starts; blocks of training windows by default.
        interpolant: `linear` or `trigonometric`: of others the means of target and noise do not tell the velocity.
        gamma: scale of the noise between the ends: `zero` for none, `brownian`, `quadratic`, `sine-squared` or
            `sigmoid`; with noise there is also an SDE (`--solver-arg diffusion=`).
        width: hidden width of the network.
        heads: attention heads; they must divide the width.
        encoder_layers: blocks of each encoder.
        decoder_layers: blocks of each decoder.
        mlp_ratio: hidden width of the encoders' perceptrons over the width; the decoders' is 4.
        dropout: share of the embedded inputs that training leaves out.
        gelu: form of the activation, `exact` or `tanh`.
        conditional: see `PaDTS`.
        label_dropout: see `PaDTS`.
        data_std: root mean square of the scaled windows.
        sampling: default sampler of the run.

    Raises:
        InputError: a size or a name that cannot be.
    """

    def __init__(
        self,
        base: Base | None = None,
        interpolant: str = "linear",
        gamma: str = "zero",
        width: int = 128,
        heads: int = 4,
        encoder_layers: int = 1,
        decoder_layers: int = 3,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        gelu: Gelu = "exact",
        conditional: bool = True,
        label_dropout: float = 0.1,
        data_std: float = 0.5,
        sampling: SamplerSettings = DEFAULT_TRANSPORT,
    ) -> None:
        self.network = PaDTS(
            width, heads, encoder_layers, decoder_layers, mlp_ratio, dropout, gelu,
            conditional=conditional, label_dropout=label_dropout,
        )  # fmt: skip
        if not 0 < data_std < float("inf"):
            raise InputError(f"data_std is {data_std:g}", mend="give a positive number")
        self.data_std = data_std
        if interpolant not in _INTERPOLANTS:
            raise unknown("interpolant of series", interpolant, _INTERPOLANTS)
        self.interpolant = interpolant_named(interpolant, gamma)
        self.base = BlockBootstrap() if base is None else base
        self.sampling = sampling

    def build(self, sizes: Mapping[str, int]) -> System:
        """The system for windows of `length` steps and `features` features, perhaps of `classes` classes."""
        noisy = not isinstance(self.interpolant.gamma, Zero)
        predicts: tuple[Quantity, ...] = ("target", "denoiser") if noisy else ("target",)
        trunk = self.network.network(sizes, outputs=len(predicts))
        network = EndsNetwork(trunk, self.interpolant, predicts, self.data_std)
        components = {"x": Component(Bridge(self.interpolant), Masked(), "velocity")}
        return InterpolantSystem(components, network, predicts, base=copy.deepcopy(self.base))

    def tables(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """See `Recipe`."""
        return self.network.tables(tables)
