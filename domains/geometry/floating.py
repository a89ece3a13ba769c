"""Unconditional trajectories with a place in space: what completion needs, as nobody knows the mean of what is missing.

A run knows trajectories x - m 1 about their mean position m over all nodes and frames, and says nothing of m. Here m is
normal with standard deviation s about where the known positions are, independent of the rest, so that its part of each
prediction is known: with n entries,

    E[m_0 | m_t] = alpha s^2 / (alpha^2 s^2 + sigma^2 / n) m_t.

Positions can then be observed as they are, by any way of guidance.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from scorefield.core.draws import SampleStreams
from scorefield.core.predictions import convert
from scorefield.core.spaces import Masked, ZeroCentreOfMass
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System, Values

__all__ = ["floating"]

_X = "x"


class _Floating(Network):
    """A network of centred trajectories, and the mean's own prediction beside it."""

    def __init__(self, network: Network, component: Component, spread: float) -> None:
        super().__init__()
        self.network, self._component, self._spread = network, component, spread
        self.calls = int(getattr(network, "calls", 1))

    def draws(self, state: State, streams: SampleStreams) -> Values:
        """See `Network.draws`."""
        return self.network.draws(state, streams)

    def forward(self, state: State, t: Tensor) -> Values:
        """See `Network.forward`."""
        component, x = self._component, state[_X]
        centred = component.space.project(x, state.masks)
        found = self.network(state.replace({_X: centred}), t)
        mean = Masked().project(x, state.masks) - centred
        entries = Masked().dimension(x[..., :1], state.masks).clamp(min=1)
        path, time = component.path, t.double()
        signal = path.alpha(time) * self._spread**2
        share = signal / (path.alpha(time) * signal + path.variance(time) / entries)
        clean = mean * share.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
        moved = convert(path, t, mean, clean, "data", component.prediction)
        return {**found, _X: component.space.project(found[_X], state.masks) + moved}


def floating(system: System, spread: float) -> System:
    """A system of centred trajectories as one of trajectories in space; others stay.

    Args:
        system: its component `x` lives in the space of zero centre of mass.
        spread: standard deviation of the mean position.
    """
    component = system.components[_X]
    if not isinstance(component.space, ZeroCentreOfMass):
        return system
    free = system.around(_Floating(system.network, component, spread))
    free.components = {**system.components, _X: replace(component, space=Masked())}
    return free.train(system.training)
