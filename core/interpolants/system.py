"""Systems whose components are stochastic interpolants.

    components = {"x": Component(Bridge(interpolant_named("linear")), Masked(), "velocity")}
    system = InterpolantSystem(components, Heads(velocity=network, denoiser=other), predicts=("velocity", "denoiser"))

Times are t = 1 - r, so the target lies at t = 0 as data do. As a system it predicts the velocity dx/dt = -b of its
ODE, and the score where that is known; a two-sided interpolant has no other prediction, and solvers that ask for one
are told so. `quantities` gives what the network was trained on. Source samples are given in the condition, or drawn
from the system's `Base`, in training as in sampling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scorefield.core.errors import InputError
from scorefield.core.interpolants.bases import Base, Moments
from scorefield.core.interpolants.ends import ends_steps, knows_ends
from scorefield.core.interpolants.gammas import Zero
from scorefield.core.interpolants.interpolant import QUANTITIES, Interpolant, Quantity, Term
from scorefield.core.names import unknown
from scorefield.core.noise import NoiseSource
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System, Values

__all__ = ["SOURCE", "Bridge", "Heads", "InterpolantSystem", "given_source"]

SOURCE = "source_"
"""Before a component's name: the key of its source samples in the condition."""


class Bridge(GaussianPath):
    """An interpolant in the place of a component's path; it has no alpha and sigma, and says so where asked.

    Args:
        interpolant: what carries the source to the target.
    """

    t_min = 0.0

    def __init__(self, interpolant: Interpolant) -> None:
        self.interpolant = interpolant

    def log_alpha(self, t: Tensor) -> Tensor:
        """There is none.

        Raises:
            InputError: always.
        """
        what = f"a component on the {type(self.interpolant).__name__} interpolant has no Gaussian path"
        raise InputError(what, mend="sample it with the solver transport; with a Gaussian source use gaussian_path()")

    def variance(self, t: Tensor) -> Tensor:
        """There is none, as `log_alpha` says."""
        return self.log_alpha(t)


class Heads(Network):
    """Joins networks that predict one quantity each.

    Args:
        networks: by quantity (`velocity=...`, `denoiser=...`); each returns one output a component.

    Attributes:
        calls: network calls of one evaluation.
    """

    def __init__(self, **networks: Network) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)
        self.calls = len(networks)

    def forward(self, state: State, t: Tensor) -> Values:
        """Outputs by `component.quantity`."""
        outputs = {quantity: network(state, t) for quantity, network in self.networks.items()}
        return {f"{name}.{quantity}": v for quantity, values in outputs.items() for name, v in values.items()}


class InterpolantSystem(System):
    """Interpolated components and the network that predicts their conditional means.

    Args:
        components: by name, in the state's order; each path is a `Bridge`, each prediction `velocity`.
        network: called with t = 1 - r. It returns `component.quantity` for each of `predicts`, or plain `component`
            where that is one.
        predicts: what it returns; the velocity must follow. The SDE also needs the score, directly or by `denoiser`.
        margin: at ends where a quantity has an infinite weight, it is evaluated this far inside.
        base: draws source samples where the condition gives none.

    Raises:
        InputError: a component is no interpolant, or the quantities do not fit together.
    """

    def __init__(
        self,
        components: Mapping[str, Component],
        network: Network,
        predicts: Sequence[Quantity] = ("velocity",),
        margin: float = 1e-3,
        base: Base | None = None,
    ) -> None:
        super().__init__(components, network)
        self.base = base
        for quantity in predicts:
            if quantity not in QUANTITIES:
                raise unknown("quantity", quantity, QUANTITIES, place="predicts")
        if not 0 < margin < 0.5:
            raise InputError(f"margin {margin:g}", mend="give a number between 0 and 0.5")
        self.predicts, self.margin = tuple(predicts), margin
        self.interpolants = {name: _interpolant(name, component) for name, component in components.items()}
        for interpolant in self.interpolants.values():
            if isinstance(interpolant.gamma, Zero) and {"score", "denoiser"} & set(predicts):
                interpolant.score_weights(predicts, torch.zeros(()))
        self._margins: dict[bool, float] = {}
        self.ends = knows_ends(self.predicts)
        self._check_between()

    def _check_between(self) -> None:
        """Refuse quantities that do not tell the velocity at every time between the ends."""
        r = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
        for name, (velocity,) in self.weights(r).items():
            for weight in velocity.values():
                lost = r[~weight.isfinite()].tolist()
                if lost:
                    what = (
                        f"the velocity of {name} does not follow from {' and '.join(self.predicts)} at r = {lost[0]:g}"
                    )
                    raise InputError(what, mend="predict velocity, or source and target")

    def prepare(self, data: Any) -> None:
        """See `System.prepare`: the base takes its material."""
        if self.base is not None:
            self.base.prepare(data)

    def weights(self, r: Tensor, scores: bool = False) -> dict[str, list[dict[Term, Tensor]]]:
        """Weights of the predicted quantities in the velocity b and, with `scores`, in the score, by component.

        Raises:
            InputError: one of them does not follow from what is predicted.
        """
        found = {}
        for name, interpolant in self.interpolants.items():
            found[name] = [interpolant.velocity_weights(self.predicts, r)]
            if scores:
                found[name].append(interpolant.score_weights(self.predicts, r))
        return found

    def steps(self, r: Tensor, s: Tensor) -> dict[str, dict[Term, Tensor]]:
        """What components gain from times `r` to `s`, by the means of the ends; see `ends_steps`."""
        return {name: ends_steps(interpolant, self.predicts, r, s) for name, interpolant in self.interpolants.items()}

    def inside(self, r: Tensor, scores: bool = False) -> Tensor:
        """Times r, those within the margin of an end moved to it where weights are infinite at the ends."""
        if scores not in self._margins:
            ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
            weights = [w for rows in self.weights(ends, scores).values() for row in rows for w in row.values()]
            self._margins[scores] = 0.0 if all(bool(w.isfinite().all()) for w in weights) else self.margin
        margin = self._margins[scores]
        return r.clamp(margin, 1 - margin)

    def quantities(self, state: State, t: Tensor) -> dict[str, dict[Term, Tensor]]:
        """What the network predicts at times t = 1 - r `[B]`, in each component's space, by component and quantity."""
        outputs: Values = self.network(state, t)
        single = len(self.predicts) == 1
        found: dict[str, dict[Term, Tensor]] = {}
        for name, component in self.components.items():
            keys = {q: name if single and name in outputs else f"{name}.{q}" for q in self.predicts}
            found[name] = {q: component.space.project(outputs[key], state.masks) for q, key in keys.items()}
        return found

    def forward(self, state: State, t: Tensor, origins: Values | None = None) -> Values:
        """The velocity dx/dt = -b of each component at times t = 1 - r, `[B]`."""
        return {name: -value for name, value in self._weighed(state, t, scores=False).items()}

    def predict(self, state: State, t: Tensor, kind: Kind, origins: Values | None = None) -> Values:
        """The velocity dx/dt or the score of each component at times t = 1 - r, `[B]`.

        Raises:
            InputError: another kind is asked for, or the score where it is not known.
        """
        if kind == "velocity":
            return self.forward(state, t)
        if kind == "score":
            return self._weighed(state, t, scores=True)
        raise InputError(f"an interpolant has no {kind} prediction", mend="ask for velocity or score")

    def _weighed(self, state: State, t: Tensor, scores: bool) -> Values:
        r = self.inside((1 - t.double()).clamp(0, 1), scores)
        weights = self.weights(r, scores)
        outputs = self.quantities(state, (1 - r).to(t.dtype))
        total = {}
        for name, row in weights.items():
            shape = [-1] + [1] * (state[name].ndim - 1)
            values = {**outputs[name], "state": state[name]}
            parts = [w.to(state.dtype).reshape(shape) * values[q] for q, w in row[-1].items()]
            total[name] = sum(parts[1:], parts[0])
        return total

    def source(self, state: State, names: Sequence[str], noise: NoiseSource) -> Values:
        """Samples x_0 of components: those in the condition (`source_x` for a component `x`), else the base's.

        Raises:
            InputError: there are none, or they are shaped unlike the component.
        """
        given = [name for name in names if self.base is None or SOURCE + name in state.condition]
        found = given_source(self, state, given)
        if self.base is not None and len(given) < len(names):
            drawn = self.base.draw(state, noise)
            rest = {name: drawn[name] for name in names if name not in found}
            found |= {n: self.components[n].space.project(value, state.masks) for n, value in rest.items()}
        return found

    def moments(self, state: State) -> Moments:
        """Mean and deviation of source samples by component, where the base tells them."""
        return {} if self.base is None else self.base.moments(state)

    def prior(self, state: State, source: NoiseSource) -> State:
        """The state at r = 0: noise, or what `source` gives.

        Raises:
            InputError: source samples are missing.
        """
        given = self.source(state, [n for n, i in self.interpolants.items() if i.begins != "noise"], source)
        drawn = {
            name: component.space.noise(state[name], state.masks, source)
            for name, component in self.components.items()
            if name not in given
        }
        return state.replace({**given, **drawn})


def given_source(system: System, state: State, names: Sequence[str]) -> Values:
    """Source samples of components from the condition, in their spaces.

    Raises:
        InputError: samples are missing, or shaped unlike the component.
    """
    found = {}
    for name in names:
        value = state.condition.get(SOURCE + name)
        if not isinstance(value, Tensor):
            what = f"the source samples of {name} are missing"
            raise InputError(what, mend=f"give {SOURCE}{name} beside {name}, or draw the source as noise")
        if value.shape != state[name].shape:
            what = f"{SOURCE}{name} has shape {tuple(value.shape)}, {name} has {tuple(state[name].shape)}"
            raise InputError(what, mend="give one source sample for each target sample")
        found[name] = system.components[name].space.project(value.to(state[name]), state.masks)
    return found


def _interpolant(name: str, component: Component) -> Interpolant:
    if not isinstance(component.path, Bridge):
        raise InputError(f"{name} is on a {type(component.path).__name__} path", mend="give it a Bridge")
    if component.origin is not None or component.prediction != "velocity":
        raise InputError(f"{name} has an origin or predicts no velocity", mend="leave the origin out, name velocity")
    return component.path.interpolant
