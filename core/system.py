"""Systems: components, each a path on a space, that share one network and one time grid."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.noise import NoiseSource
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import KINDS, Kind, convert
from scorefield.core.spaces import Space
from scorefield.core.state import ORIGIN, State

__all__ = ["Component", "Network", "Recipe", "System", "Values", "centred", "placed"]

Values = dict[str, Tensor]


def placed(values: Mapping[str, Tensor], origins: Mapping[str, Tensor]) -> Values:
    """Values of u = x - origin where they stand: x, by component; those without an origin stay."""
    return {n: v + origins[n] if n in origins else v for n, v in values.items()}


def centred(values: Mapping[str, Tensor], origins: Mapping[str, Tensor]) -> Values:
    """u = x - origin, by component; those without an origin stay."""
    return {n: v - origins[n] if n in origins else v for n, v in values.items()}


class Network(nn.Module, ABC):
    """A network of a system: one output per component, from the whole state."""

    @abstractmethod
    def forward(self, state: State, t: Tensor) -> Values:
        """Raw outputs at times `t` `[B]`, by component, shaped like the components."""

    def draws(self, state: State, streams: SampleStreams) -> Values:
        """What the network itself draws in a training step (dropout masks), by the key of the condition it looks at.

        Nothing by default. Layers that draw from the global random state would give other numbers with every number
        of processes and after every resumption.
        """
        return {}


@dataclass(frozen=True)
class Component:
    """One tensor of the state: how it is noised, where it lives, what the network says of it.

    Attributes:
        path: the Gaussian path.
        space: the linear subspace.
        prediction: what the network's output is.
        origin: a learned or fixed origin, from masks and condition; the path then acts on u = x - origin.
    """

    path: GaussianPath
    space: Space
    prediction: Kind
    origin: Callable[[State], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.prediction not in KINDS:
            raise InputError(f"unknown prediction {self.prediction!r}", mend=f"give one of {', '.join(KINDS)}")


class Recipe(Protocol):
    """What a config names: a system's hyper-parameters, without knowledge of the data.

    A recipe may have more: `sampling`, the default sampler of its runs; `tables(tables)`, what a run's `model.json`
    says in place of the data's tables, with which the domain draws and decodes.
    """

    def build(self, sizes: Mapping[str, int]) -> System:
        """The system for data of these sizes."""
        ...


class System(nn.Module):
    """Components and the network that predicts them together.

    Args:
        components: by name, in the state's order.
        network: called once per evaluation with the whole state.
    """

    def __init__(self, components: Mapping[str, Component], network: Network) -> None:
        super().__init__()
        self.components = dict(components)
        self.network = network
        origins = {n: c.origin for n, c in self.components.items() if isinstance(c.origin, nn.Module)}
        self.origin_networks = nn.ModuleDict(origins)

    def prepare(self, data: Any) -> None:
        """Take from the training data what this system keeps of them beside its weights: nothing, by default."""

    def around(self, network: Network) -> System:
        """This system with another network in the place of its own."""
        other = copy.copy(self)
        other._modules = {**self._modules, "network": network}
        return other

    def state(self, values: Mapping[str, Any] | State) -> State:
        """A state of this system from a plain dictionary (a state passes through)."""
        return values if isinstance(values, State) else State.from_dict(values, list(self.components))

    def origins(self, state: State) -> Values:
        """The origins of those components that have one, `[B, ...]`; they depend on masks and condition only."""
        return {n: c.origin(state) for n, c in self.components.items() if c.origin is not None}

    def forward(self, state: State, t: Tensor, origins: Values | None = None) -> Values:
        """The network's outputs, projected onto each component's space.

        The network sees components x = u + origin, and the origins as `origin_NAME` of the condition.

        Args:
            state: the solver's variable u, `[B, ...]` per component.
            t: times in [0, 1], `[B]`.
            origins: what `origins` returned, where it is already known.
        """
        origins = self.origins(state) if origins is None else origins
        seen = state
        if origins:
            told = {**state.condition, **{ORIGIN + name: origin for name, origin in origins.items()}}
            seen = State(placed(state.components, origins), state.masks, told)
        outputs: Values = self.network(seen, t)
        for name, component in self.components.items():
            value = outputs[name]
            if name in origins and component.prediction == "data":
                value = value - origins[name]
            outputs[name] = component.space.project(value, state.masks)
        return outputs

    def predict(self, state: State, t: Tensor, kind: Kind, origins: Values | None = None) -> Values:
        """Predictions of one kind for every component, `[B, ...]`; arguments as in `forward`."""
        outputs = self(state, t, origins)
        return {
            name: convert(component.path, t, state[name], outputs[name], component.prediction, kind)
            for name, component in self.components.items()
        }

    def score(self, values: Mapping[str, Any] | State, t: Tensor) -> Values:
        """The score of each component at the state x_t and times `t` `[B]` in [0, 1]."""
        state = self.state(values)
        origins = self.origins(state)
        return self.predict(state.replace(centred(state.components, origins)), t, "score", origins)

    def noise(self, state: State, source: NoiseSource) -> Values:
        """Standard normal noise in each component's space, drawn in the components' order."""
        return {n: c.space.noise(state[n], state.masks, source) for n, c in self.components.items()}

    def perturb(self, state: State, t: Tensor, noise: Values) -> State:
        """x_t = alpha(t) x_0 + sigma(t) eps for every component; `t` is `[B]`."""
        moved = {}
        for name, component in self.components.items():
            shape = [-1] + [1] * (state[name].ndim - 1)
            alpha, sigma = component.path.alpha(t).reshape(shape), component.path.sigma(t).reshape(shape)
            moved[name] = alpha * state[name] + sigma * noise[name]
        return state.replace(moved)

    def prior(self, state: State, source: NoiseSource) -> State:
        """Draw t = 1 under the masks and condition of `state` (its component values give shapes only)."""
        draws = self.noise(state, source)
        return state.replace({n: draws[n] * c.path.prior_std for n, c in self.components.items()})

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the first name under the network, where that is a component; the rest as `shared`."""
        groups: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            parts = name.split(".")
            owner = parts[1] if len(parts) > 1 and parts[0] == "network" and parts[1] in self.components else "shared"
            groups.setdefault(owner, []).append(parameter)
        return groups

    @property
    def device(self) -> torch.device:
        """Where the parameters live (CPU if there are none)."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))
