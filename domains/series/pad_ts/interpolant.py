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

from scorefield.core.arguments import check_positive
from scorefield.core.interpolants.bases import Base
from scorefield.core.interpolants.gammas import Zero
from scorefield.core.interpolants.interpolant import Quantity, interpolant_named
from scorefield.core.interpolants.preconditioning import EndsNetwork
from scorefield.core.interpolants.system import Bridge, InterpolantSystem
from scorefield.core.names import unknown
from scorefield.core.settings import SamplerSettings
from scorefield.core.spaces import Masked
from scorefield.core.system import Component, System
from scorefield.domains.series.bases import BlockBootstrap
from scorefield.domains.series.pad_ts.network import Gelu
from scorefield.domains.series.pad_ts.recipe import PaDTS

__all__ = ["DEFAULT_TRANSPORT", "InterpolantPaDTS"]

DEFAULT_TRANSPORT = SamplerSettings("transport", 20, "ema", {"method": "euler", "grid": "cosine"})
"""20 evaluations; the last step ends at a prediction of the target, inside the range of the data."""

_INTERPOLANTS = ("linear", "trigonometric")


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
        check_positive("data_std", data_std)
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
        trunk = self.network.network(sizes, outputs=len(predicts), discrete=False, bounds=None)
        network = EndsNetwork(trunk, self.interpolant, predicts, self.data_std, bounds=(-1.0, 1.0))
        components = {"x": Component(Bridge(self.interpolant), Masked(), "velocity")}
        return InterpolantSystem(components, network, predicts, base=copy.deepcopy(self.base))

    def tables(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """See `Recipe`."""
        return self.network.tables(tables)
