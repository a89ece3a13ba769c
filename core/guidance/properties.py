"""Potentials of properties: classifiers, regressors, functions of finished samples, rewards, a second model.

A property is pulled towards a number (energy (f - target)^2 / 2, so that weight w stands for a standard deviation of
1 / sqrt(w)), up (`max`: -f) or down (`min`: f).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from scorefield.core.errors import InputError
from scorefield.core.guidance.potentials import Potential
from scorefield.core.guide import Run
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["Aim", "Classifier", "Expert", "Property", "Regressor", "Reward", "aimed", "check_alike", "read_aim"]

Aim = float | Literal["max", "min"]


def aimed(value: Tensor, aim: Aim) -> Tensor:
    """The energy of a property's values: `max`, `min`, or the number that they should have."""
    if isinstance(aim, str):
        return -value if aim == "max" else value
    return 0.5 * (value - aim) ** 2


def read_aim(text: str | float, name: str) -> Aim:
    """What a user typed as an aim.

    Raises:
        InputError: neither a finite number nor `max` nor `min`.
    """
    if text == "max" or text == "min":
        return "max" if text == "max" else "min"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name}={text}", mend="give a number, max or min")
    return number


class Classifier(Potential):
    """-log p(y | x_t, t) of a classifier trained on noised samples.

    Args:
        module: called with the state x_t and times `[B]`, returns logits `[B, classes]`.
        label: the class, or the name of an entry of the state's condition with one for each sample, int `[B]`.
    """

    needs_state = True

    def __init__(self, module: Callable[[State, Tensor], Tensor], label: int | str) -> None:
        self.module, self.label = _evaluating(module), label

    def begin(self, run: Run) -> Potential:
        """See `Potential.begin`."""
        if isinstance(self.label, str) and self.label not in run.state.condition:
            raise InputError(f"the condition has no {self.label!r} to take classes from")
        _move(self.module, run.state)
        return self

    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """See `Potential.energy`."""
        logits = self.module(state, t)
        if isinstance(self.label, str):
            label = state.condition[self.label].long()
        elif 0 <= self.label < logits.shape[-1]:
            label = torch.full(t.shape, self.label, device=t.device)
        else:
            raise InputError(f"class {self.label} of {logits.shape[-1]}", mend="classes count from 0")
        return nn.functional.cross_entropy(logits, label, reduction="none")


class Regressor(Potential):
    """A trained regressor of a property.

    Args:
        module: called with a state and times `[B]`, returns the property, `[B]`; with the data prediction and t = 0, or
            with x_t and its times.
        aim: the value wanted, `max` or `min`.
        on: `data`, or `state` for a regressor that was trained on noised samples.
    """

    def __init__(
        self, module: Callable[[State, Tensor], Tensor], aim: Aim = "max", on: Literal["data", "state"] = "data"
    ) -> None:
        if on not in ("data", "state"):
            raise InputError(f"a regressor on {on!r}", mend="give data or state")
        self.module, self.aim, self.needs_state = _evaluating(module), read_aim(aim, "aim"), on == "state"

    def begin(self, run: Run) -> Potential:
        """See `Potential.begin`."""
        _move(self.module, run.state)
        return self

    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """See `Potential.energy`."""
        if self.needs_state:
            return aimed(self.module(state, t), self.aim)
        return aimed(self.module(state.replace(data), torch.zeros_like(t)), self.aim)


class Property(Potential):
    """Any function of the data prediction, without a gradient.

    Args:
        function: gives the property of each sample, `[B]`: a tensor, an array or a list.
        aim: the value wanted, `max` or `min`.
        decode: makes domain objects of a state on the CPU; `function` is then called with these in place of the state.
        name: what messages call it.
    """

    differentiable = False

    def __init__(
        self,
        function: Callable[[Any], Any],
        aim: Aim = "max",
        decode: Callable[[State], Any] | None = None,
        name: str = "Property",
    ) -> None:
        self.function, self.aim, self.decode, self._name = function, read_aim(aim, name), decode, name

    @property
    def name(self) -> str:
        """See `Potential`."""
        return self._name

    @torch.no_grad()
    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """See `Potential.energy`."""
        clean = state.replace(data).map(Tensor.detach)
        value = self.function(clean if self.decode is None else self.decode(clean.to("cpu")))
        return aimed(torch.as_tensor(value, device=state.device).to(state.dtype), self.aim)


class Reward(Potential):
    """-r(x_0_hat) for a differentiable reward r.

    Args:
        function: the reward of each sample of a state, `[B]`; gradients flow through it.
    """

    def __init__(self, function: Callable[[State], Tensor]) -> None:
        self.function = function

    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """See `Potential.energy`."""
        return -self.function(state.replace(data))


class Expert(Potential):
    """A second model on the same components and paths: with weight 1 its score is added, a product of experts.

    Only the gradient of this energy means something, since a network gives no density; particles weigh a product of
    two models without it.

    Args:
        system: the second model.
    """

    needs_state = True
    valued = False
    calls = 1

    def __init__(self, system: System) -> None:
        self.system = system
        self.calls = int(getattr(system.network, "calls", 1))

    def begin(self, run: Run) -> Potential:
        """See `Potential.begin`."""
        check_alike(run, self.system)
        self.system.to(run.state.device)
        return self

    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """-<x_t, s(x_t)> with s held fixed: its gradient is minus the expert's score."""
        with torch.no_grad():
            scores = self.system.score(state.map(Tensor.detach), t)
        spaces = {n: c.space for n, c in self.system.components.items()}
        terms = [(state[n] * s).flatten(1).sum(1) / spaces[n].copies for n, s in scores.items()]
        return -torch.stack(terms).sum(0)


def check_alike(run: Run, other: System) -> None:
    """Check that a second model is one of the same noised components.

    Raises:
        InputError: it has other components, spaces or paths.
    """
    times = torch.tensor(run.plan.times, dtype=torch.float64)
    mine = run.system.components
    if mine.keys() != other.components.keys():
        what = f"an expert on {', '.join(other.components) or 'nothing'}"
        raise InputError(what, mend=f"give a model on {', '.join(mine)}")
    for name, component in mine.items():
        path, second = component.path, other.components[name].path
        if component.space != other.components[name].space:
            raise InputError(f"the expert's {name} lives in another space")
        same = all(torch.allclose(getattr(path, v)(times), getattr(second, v)(times)) for v in ("alpha", "sigma"))
        if not same or path.prior_std != second.prior_std:
            mend = "convert it by scorefield.core.reparametrise first"
            raise InputError(f"the expert's {name} is noised along another path", mend=mend)


def _evaluating(module: Callable[[State, Tensor], Tensor]) -> Callable[[State, Tensor], Tensor]:
    return module.eval() if isinstance(module, nn.Module) else module


def _move(module: Callable[[State, Tensor], Tensor], state: State) -> None:
    if isinstance(module, nn.Module):
        module.to(state.device, state.dtype)
