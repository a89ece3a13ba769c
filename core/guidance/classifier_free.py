"""Classifier-free guidance: the network's answer, moved on along its difference to the unconditional answer.

    output = unconditional + w (conditional - unconditional)

w = 1 is the conditional model, w = 0 the unconditional one (diffusers' `guidance_scale` is w, Ho and Salimans' weight
is w - 1). The rule is affine, so it is the same for every kind of prediction. It does not draw from p(x) p(y | x)^w;
particles correct that.

Sources: Ho and Salimans 2022 (arXiv 2207.12598); Kynkaanniemi et al. 2024 (arXiv 2404.07724) for the interval; Lin et
al. 2024 (arXiv 2305.08891, section 3.4) for the rescaling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.guide import Guide, Run
from scorefield.core.spaces import Space
from scorefield.core.state import State
from scorefield.core.system import Network, System, Values

__all__ = ["ClassifierFree", "GuidedNetwork", "Null", "null_tokens"]

_SLACK = 1e-6  # for times in float32

Null = Mapping[str, Tensor | float | int]


def null_tokens(system: System, null: Null | None) -> Null:
    """What stands for no condition: `null`, else the network's attribute `null_condition`.

    Raises:
        InputError: there is neither.
    """
    tokens: Null | None = getattr(system.network, "null_condition", None) if null is None else null
    if not tokens:
        mend = "train the network with its condition left out at times, and name the null tokens"
        raise InputError("classifier-free guidance needs a null condition", mend=mend)
    return tokens


class ClassifierFree(Guide):
    """Strengthens a condition. `wrap` makes the system to sample; a run of another one is refused.

    Args:
        weight: w.
        null: what takes the place of each condition in the unconditional answer, the token that the network was
            trained with: a number, or a tensor like one sample's condition. By default the network's own attribute
            `null_condition`, such a mapping.
        interval: times at which w holds; it is 1 at others.
        rescale: share phi of the output that is scaled back to the conditional output's standard deviation.

    Raises:
        InputError: a number that cannot be.
    """

    def __init__(
        self,
        weight: float,
        null: Null | None = None,
        interval: tuple[float, float] = (0.0, 1.0),
        rescale: float = 0.0,
    ) -> None:
        if not math.isfinite(weight):
            raise InputError(f"guidance weight {weight:g}", mend="give a finite number; 1 is the conditional model")
        if not 0 <= interval[0] < interval[1] <= 1:
            raise InputError(f"guidance from {interval[0]:g} to {interval[1]:g}", mend="need 0 <= first < last <= 1")
        if not 0 <= rescale <= 1:
            raise InputError(f"rescale {rescale:g}", mend="give 0 to 1")
        self.weight, self.null, self.interval, self.rescale = weight, null, interval, rescale

    def wrap(self, system: System) -> System:
        """The guided system: the same components, a network of two answers in one call.

        Raises:
            InputError: there is no null condition.
        """
        null = null_tokens(system, self.null)
        network = GuidedNetwork(system, null, self.weight, self.interval, self.rescale)
        return system.around(network)

    def begin(self, run: Run) -> Guide:
        """See `Guide.begin`."""
        if not any(isinstance(module, GuidedNetwork) for module in run.system.network.modules()):
            raise InputError("classifier-free guidance acts on the network", mend="sample guide.wrap(system)")
        return self


class GuidedNetwork(Network):
    """A network with classifier-free guidance.

    Args:
        system: the system whose network is guided.
        null: see `ClassifierFree`.
        weight: see there.
        interval: see there.
        rescale: see there.

    Attributes:
        calls: network calls that a forward pass stands for.
        bounds: the network's own `bounds`, lowest and highest output, which guided ones keep too; None for none.
    """

    def __init__(
        self, system: System, null: Null, weight: float, interval: tuple[float, float], rescale: float
    ) -> None:
        super().__init__()
        self.network, self.names = system.network, tuple(null)
        for name, token in null.items():
            self.register_buffer(f"null_{name}", torch.as_tensor(token), persistent=False)
        self.spaces: dict[str, Space] = {n: c.space for n, c in system.components.items()}
        self.weight, self.interval, self.rescale = weight, interval, rescale
        self.calls = 2 * int(getattr(system.network, "calls", 1))
        self.bounds: tuple[float, float] | None = getattr(system.network, "bounds", None)

    def forward(self, state: State, t: Tensor) -> Values:
        """Both answers from one call with twice the rows.

        Raises:
            InputError: the state lacks a condition, or a null token does not fit it.
        """
        outputs: Values = self.network(self._doubled(state), torch.cat([t, t]))
        low, high = self.interval
        weight = torch.where((t > low - _SLACK) & (t < high + _SLACK), self.weight, 1.0)
        guided = {}
        for name, output in outputs.items():
            conditional, unconditional = output.chunk(2)
            extra = (weight - 1).to(output.dtype).reshape(-1, *[1] * (output.ndim - 1))
            value = conditional + extra * (conditional - unconditional)
            value = self._rescaled(name, value, conditional, state) if self.rescale else value
            guided[name] = value if self.bounds is None or self.training else value.clamp(*self.bounds)
        return guided

    def _doubled(self, state: State) -> State:
        both = state.map(lambda value: torch.cat([value, value]))
        for name in self.names:
            if name not in state.condition:
                raise InputError(f"the state lacks the condition {name!r}", mend="give it, or sample without guidance")
            given, token = state.condition[name], self.get_buffer(f"null_{name}")
            try:
                null = token.to(given).expand_as(given)
            except RuntimeError:
                what = f"the null token of {name} has shape {tuple(token.shape)}"
                raise InputError(what, mend=f"one sample's condition has {tuple(given.shape[1:])}") from None
            both.condition[name] = torch.cat([given, null])
        return both

    def _rescaled(self, name: str, value: Tensor, conditional: Tensor, state: State) -> Tensor:
        """phi of the value at the conditional output's standard deviation, the rest as it is."""
        wide, wanted = (self._std(name, v, state) for v in (value, conditional))
        factor = torch.where(wide > 0, wanted / wide.clamp(min=1e-12), 1.0)
        return value * (1 + self.rescale * (factor - 1)).reshape(-1, *[1] * (value.ndim - 1))

    def _std(self, name: str, value: Tensor, state: State) -> Tensor:
        """Standard deviation over the free entries of each sample, `[B]`."""
        space = self.spaces[name]
        free = space.project(value, state.masks).flatten(1)
        count = (space.dimension(value, state.masks) * space.copies).clamp(min=1)
        mean = free.sum(1) / count
        return (free.square().sum(1) / count - mean.square()).clamp(min=0).sqrt()
