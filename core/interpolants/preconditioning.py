"""Networks of interpolants preconditioned for the target: what they learn has unit variance at every time.

With ends that vary independently by the same s around a mean m, V = A^2 + B^2 + (gamma / s)^2, u = x_r - (A + B) m, and
F what the network says,

    target = m + B / V u + s sqrt(1 - B^2 / V) F:

the best linear prediction and a correction as large as what is unknown. Close to the target a network that predicts it
itself would have to copy its input. Where a base tells its mean and deviation from the condition (`Base.moments`), m
and s are those, different for every sample: the network then learns by how many deviations the truth differs from what
one expects, and F = 0 leaves the samples of the base where they are.

Source: Karras et al. 2022 (arXiv 2206.00364), section 5, here between two ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scorefield.core.arguments import check_positive
from scorefield.core.draws import SampleStreams
from scorefield.core.interpolants.bases import Moments
from scorefield.core.interpolants.interpolant import Coefficients, Interpolant, Quantity
from scorefield.core.state import State
from scorefield.core.system import Network

__all__ = ["EndsNetwork", "unknown_share"]


def unknown_share(at: Coefficients, data_std: float) -> Tensor:
    """What the best linear prediction leaves unknown of the target, as a share of its variance: 1 - B^2 / V."""
    others = at.source.square() + (at.gamma / data_std).square()
    return others / (others + at.target.square())


class EndsNetwork(Network):
    """Predictions of the target and of the noise of component `x`.

    Args:
        trunk: the network; its output `x` holds one part for each of `predicts`, side by side on the last axis. With
            `moments` it sees x of unit variance around 0, else x as it is.
        interpolant: whose A, B and gamma are meant.
        predicts: `target`, or `target` and `denoiser`.
        data_std: root mean square of both ends, s; with `moments` in units of their deviation.
        bounds: lowest and highest target in evaluation mode.
        moments: mean and deviation of the ends by component, from masks and condition.

    Attributes:
        null_condition: as of the trunk, for classifier-free guidance.
        bounds: as given where the target is the only output, else none.

    Raises:
        InputError: `data_std` is not positive.
    """

    def __init__(
        self,
        trunk: Network,
        interpolant: Interpolant,
        predicts: Sequence[Quantity] = ("target",),
        data_std: float = 1.0,
        bounds: tuple[float, float] | None = None,
        moments: Callable[[State], Moments] | None = None,
    ) -> None:
        super().__init__()
        check_positive("data_std", data_std)
        self.trunk, self.interpolant, self.predicts, self.data_std = trunk, interpolant, tuple(predicts), data_std
        self.range, self.bounds, self.moments = bounds, bounds if len(self.predicts) == 1 else None, moments
        self.null_condition = getattr(trunk, "null_condition", {})

    def draws(self, state: State, streams: SampleStreams) -> dict[str, Tensor]:
        """See `Network.draws`."""
        return self.trunk.draws(state, streams)

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        """See `Network.forward`; outputs by `x.quantity`, or as `x` where the target is the only one."""
        alone = t[:1] if len(t) == 1 or t.stride(0) == 0 else t
        at = self.interpolant.coefficients((1 - alone.double()).clamp(0, 1)).over(state["x"])
        unknown = unknown_share(at, self.data_std)
        # V without a division by A^2 + (gamma / s)^2, which is zero at the target.
        variance = at.source.square() + (at.gamma / self.data_std).square() + at.target.square()
        if self.moments is None:
            u, seen = state["x"], state
        else:
            mean, size = self.moments(state)["x"]
            u = (state["x"] - (at.source + at.target) * mean) / size
            seen = state.replace({"x": u * variance.rsqrt() / self.data_std})
        parts = self.trunk(seen, t)["x"].chunk(len(self.predicts), -1)
        target = torch.addcmul(at.target / variance * u, unknown.sqrt() * self.data_std, parts[0])
        if self.moments is not None:
            target = torch.addcmul(mean, size, target)
        target = target if self.training or self.range is None else target.clamp(*self.range)
        return {"x": target} if len(parts) == 1 else {"x.target": target, "x.denoiser": parts[1]}
