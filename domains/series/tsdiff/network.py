"""The network of TSDiff: gated residual blocks of S4 layers over a window of one series and its lags.

For a window x [B, L, C] at chain index i (a whole number 0, ..., T - 1, never rescaled)

    h_0 = relu(W x),    e = silu(W silu(W sinusoids(i))),    u_k = S4Block_k(h_{k-1} + W_k e) + F_k features,
    g_k = tanh(u_k) sigmoid(u_k),    h_k = h_{k-1} + R_k g_k,    output = W relu(W sum_k S_k g_k) + x,

the same u_k in both factors of the gate, and the last x where `skip` asks for it. Parameters have the names of the
published code; those that it never uses (the last R_k, the feature encoders of a network without features) are left
out.

Source: Kollovieh et al. 2023 (arXiv 2307.11494, section 3.1 and appendix B).
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from scorefield.core.errors import InputError
from scorefield.core.state import State
from scorefield.core.system import Network
from scorefield.domains.series.pad_ts.network import single
from scorefield.domains.series.tsdiff.elementwise import gated
from scorefield.domains.series.tsdiff.kernels import Kernel
from scorefield.domains.series.tsdiff.s4 import S4Block, mixed

__all__ = ["GIVEN", "ResidualBlock", "TSDiffNetwork", "sinusoids"]

GIVEN = "given"
"""Entry of a state's condition that networks with given features look at, `[B, L, F]`."""


def sinusoids(index: Tensor, size: int) -> Tensor:
    """sin(i f_k), then cos(i f_k), with f_k = 10000^(-k / (size / 2 - 1)): `[B, size]` from indices `[B]`."""
    half = size // 2
    steps = torch.arange(half, device=index.device, dtype=index.dtype)
    angles = index[:, None] * torch.exp(steps * (-math.log(10000) / (half - 1)))
    return torch.cat([angles.sin(), angles.cos()], 1)


class ResidualBlock(nn.Module):
    """One gated block.

    Args:
        width: channels, H.
        states: states of each S4 system.
        length: steps of a window, L.
        features: given features, F; 0 for none.
        last: whether no block follows, so that there is no residual output.
        kernel: see `S4`.
    """

    def __init__(
        self, width: int, states: int, length: int, features: int = 0, last: bool = False, kernel: Kernel = "dplr"
    ) -> None:
        super().__init__()
        self.s4block = S4Block(width, states, length, kernel)
        self.time_linear = nn.Linear(width, width)
        self.out_linear1 = None if last else nn.Conv1d(width, width, 1)
        self.out_linear2 = nn.Conv1d(width, width, 1)
        self.feature_encoder = nn.Conv1d(features, width, 1) if features else None

    def forward(
        self, x: Tensor, time: Tensor, features: Tensor | None = None, skips: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The residual output, and the skip outputs so far.

        Args:
            x: `[H, B, L]`.
            time: embedded times `[B, H]`, or `[1, H]` for all rows.
            features: `[F, B, L]`.
            skips: what earlier blocks gave, `[H, B, L]`.
        """
        output = self.s4block(x + self.time_linear(time).T[..., None])
        if self.feature_encoder is not None and features is not None:
            output = mixed(self.feature_encoder, features, output)
        output = gated(output)
        rest = x if self.out_linear1 is None else mixed(self.out_linear1, output, x)
        return rest, mixed(self.out_linear2, output, skips)


class TSDiffNetwork(Network):
    """The noise prediction of component `x`, or, inside of `Preconditioned`, its raw output.

    Args:
        length: steps of a window, L.
        channels: the series and its lags, C.
        num_steps: steps of the diffusion chain, T.
        width: hidden width, H.
        blocks: residual blocks.
        embedding: size of the index's sinusoids, even and at least 4.
        states: states of each S4 system, N.
        given: features that are given at each step, F, in the entry `given` `[B, L, F]` of the state's condition;
            0 for none.
        skip: whether the input is added to the output.
        kernel: see `S4`.
        outputs: channels of the output, by default as many as come in.
    """

    def __init__(
        self,
        length: int,
        channels: int,
        num_steps: int,
        width: int = 64,
        blocks: int = 3,
        embedding: int = 128,
        states: int = 128,
        given: int = 0,
        skip: bool = True,
        kernel: Kernel = "dplr",
        outputs: int | None = None,
    ) -> None:
        super().__init__()
        self.length, self.channels, self.num_steps = length, channels, num_steps
        self.embedding, self.given, self.skip = embedding, given, skip
        self.input_init = nn.Sequential(nn.Linear(channels, width), nn.ReLU())
        self.time_init = nn.Sequential(nn.Linear(embedding, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.out_linear = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs or channels))
        self.residual_blocks = nn.ModuleList(
            ResidualBlock(width, states, length, given, number == blocks - 1, kernel) for number in range(blocks)
        )

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        """See `Network.forward`; `t` expanded from one time costs less than as many different ones.

        Raises:
            InputError: windows of another length or number of channels, or features that are missing or do not fit.
        """
        x = state["x"]
        if x.shape[1:] != (self.length, self.channels):
            what = f"windows of {x.shape[1]} steps and {x.shape[2]} channels"
            raise InputError(what, mend=f"this network takes {self.length} steps and {self.channels} channels")
        return {"x": self.estimate(x, single(t) * self.num_steps - 1, self._given(state))}

    def _given(self, state: State) -> Tensor | None:
        if not self.given:
            return None
        given, wanted = state.condition.get(GIVEN), (len(state), self.length, self.given)
        if not isinstance(given, Tensor) or given.shape != wanted:
            found = f"features of shape {tuple(given.shape)}" if isinstance(given, Tensor) else "no features"
            raise InputError(f"{found} are {GIVEN}", mend=f"this network takes {wanted}")
        return given

    def estimate(self, x: Tensor, index: Tensor, given: Tensor | None = None) -> Tensor:
        """The output `[B, L, C]` for `x` at chain indices `[B]`, or `[1]` for all, with features `[B, L, F]`."""
        time = self.time_init(sinusoids(index.to(x.dtype), self.embedding))
        hidden = mixed(self._linear(self.input_init, 0), x.permute(2, 0, 1)).relu()
        features, skips = None if given is None else given.permute(2, 0, 1), torch.zeros_like(hidden)
        for block in self.residual_blocks:
            hidden, skips = block(hidden, time, features, skips)
        deep = mixed(self._linear(self.out_linear, 0), skips).relu()
        output = mixed(self._linear(self.out_linear, 2), deep).permute(1, 2, 0)
        return output + x if self.skip else output

    @staticmethod
    def _linear(layers: nn.Sequential, number: int) -> nn.Linear:
        return cast(nn.Linear, layers[number])
