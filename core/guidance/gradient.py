"""Gradient guidance: the score of every evaluation minus the gradient of an energy.

With E(x_t, x0_hat(x_t), t) the guided score is s - grad E, the gradient with respect to x_t; in data prediction that is
x0_hat - (sigma^2 / alpha) grad E. Where E looks at x0_hat, the gradient goes through the network. For
E = -w log p(y | x_t) this is classifier guidance; an energy of x0_hat stands for -log E[exp(-E(x_0)) | x_t] and is
biased, since x0_hat counts as certain.

Sources: Dhariwal and Nichol 2021 (arXiv 2105.05233); Kollovieh et al. 2023 (arXiv 2307.11494); Chung et al. 2023
(arXiv 2209.14687) for DPS; He et al. 2024 (arXiv 2311.16424) for the way around the network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.guidance.observations import Observation
from scorefield.core.guidance.potentials import Potential, Sum, Weighted, energies, parts, together
from scorefield.core.guide import Guide, Run
from scorefield.core.solvers.solver import Plan
from scorefield.core.state import State
from scorefield.core.system import Component, System, Values, placed

__all__ = ["DPS", "Gradient", "gradients_of"]


class Gradient(Guide):
    """Guide by the gradient of energies.

    Args:
        potential: what to guide by; several add up.
        weight: factor on all of it.
        through_network: whether gradients go through the network, which costs a backward pass an evaluation. If not,
            x0_hat is moved as if the data were independent; energies of x_t alone are the same either way.
        data_std: standard deviation of the data, for `through_network` and `limit`.
        limit: largest push of x0_hat, as a multiple of the standard deviation that independent data would have given
            x_t; in root mean square of each sample and component. It keeps large weights from throwing a run out of
            the data's range in one step; `none` leaves the push as published.

    Raises:
        InputError: a potential has no gradient, or a number that cannot be.
    """

    def __init__(
        self,
        potential: Potential | Sequence[Potential],
        weight: float = 1.0,
        through_network: bool = True,
        data_std: float = 1.0,
        limit: float | None = 3.0,
    ) -> None:
        from scorefield.core.guidance.registry import suit

        whole = together(potential)
        suit("gradient", whole)
        for name, value in (("data_std", data_std), ("limit", limit)):
            if value is not None and not value > 0:
                raise InputError(f"{name} {value:g} of gradient guidance", mend="give more than 0")
        self.potential = whole if weight == 1 else Weighted(whole, weight)
        self.gradient, self.calls = through_network, whole.calls
        self._variance, self.limit = data_std**2, limit
        self._system: System
        self._origins: Values
        self._steps: dict[str, list[tuple[float, float, float]]]
        self._sizes: dict[str, Tensor]

    def begin(self, run: Run) -> Guide:
        """See `Guide.begin`."""
        mine = copy.copy(self)
        mine.potential = self.potential.begin(run)
        mine._system, mine._origins = run.system, run.system.origins(run.state)
        times = torch.tensor(self._scales_at(run.plan), dtype=torch.float64)
        mine._steps = {n: self._lengths(n, component, times) for n, component in run.system.components.items()}
        mine._sizes = {
            n: c.space.dimension(run.state[n], run.state.masks).clamp(min=1) * c.space.copies
            for n, c in run.system.components.items()
        }
        return mine

    def _scales_at(self, plan: Plan) -> list[float]:
        """At each evaluation the time whose noise the push is in proportion to: its own."""
        return plan.times

    def _lengths(self, name: str, component: Component, times: Tensor) -> list[tuple[float, float, float]]:
        """At each time: steps along minus the gradients by x_t and by x0_hat, and the largest push."""
        alpha, variance = component.path.alpha(times), component.path.variance(times)
        blind = times[alpha <= 0]
        if len(blind):
            what = f"gradient guidance needs a signal, {name} has none at t = {float(blind[0]):g}"
            raise InputError(what, mend="start the run later, as with the solver's argument start=0.999")
        uncertain = self._variance * variance / (alpha**2 * self._variance + variance)
        lengths = torch.stack([variance / alpha, uncertain]) * component.space.copies
        largest = (self.limit or math.inf) * uncertain.sqrt()
        return list(zip(*lengths.tolist(), largest.tolist(), strict=True))

    def predict(self, state: State, data: Values, index: int, t: Tensor) -> Values:
        """See `Guide.predict`."""
        with torch.enable_grad():
            x = {n: state[n] if self.gradient else state[n].detach().requires_grad_() for n in self._steps}
            seen = data if self.gradient else {n: v.detach().requires_grad_() for n, v in data.items()}
            point = state.replace(placed({**state.components, **x}, self._origins))
            energy = energies(self.potential, point, placed(seen, self._origins), t)
            by_state = gradients_of(self.potential, energy, x)
            by_data = {} if self.gradient else gradients_of(self.potential, energy, seen)
        if not by_state and not by_data:
            raise InputError(f"{self.potential.name} depends neither on the state nor on the data prediction")
        guided = dict(data)
        for name, steps in self._steps.items():
            along, around, largest = steps[index]
            pushes = [g[name] * length for g, length in ((by_state, along), (by_data, around)) if name in g]
            if pushes:
                guided[name] = data[name] - self._held(name, sum(pushes[1:], pushes[0]), largest, state)
        return guided

    def _held(self, name: str, push: Tensor, largest: float, state: State) -> Tensor:
        """The push in the component's space, no longer than `largest` in root mean square of each sample."""
        push = self._system.components[name].space.project(push, state.masks)
        if self.limit is None:
            return push
        size = (push.square().flatten(1).sum(1) / self._sizes[name]).sqrt()
        return push * (largest / size.clamp(min=largest or 1.0)).reshape(-1, *[1] * (push.ndim - 1))

    def select(self, ancestors: Tensor) -> None:
        """See `Guide.select`."""
        self._origins = {n: o[ancestors] for n, o in self._origins.items()}
        self._sizes = {n: size[ancestors] for n, size in self._sizes.items()}


def gradients_of(potential: Potential, energy: Tensor, leaves: Values) -> Values:
    """Gradients of an energy `[B]`, by component, of those that it depends on.

    Raises:
        InputError: it has none.
    """
    if not energy.requires_grad:
        what = f"{potential.name} gave an energy without a gradient"
        raise InputError(what, mend="mark it as not differentiable, and use another way")
    # Other guides may go through the same network call again.
    found = torch.autograd.grad(energy.sum(), list(leaves.values()), retain_graph=True, allow_unused=True)
    return {n: g for n, g in zip(leaves, found, strict=True) if g is not None}


class DPS(Gradient):
    """Diffusion posterior sampling: score - zeta' grad |y - A x0_hat|^2 / |y - A x0_hat|, for each observation.

    Steps do not grow with the residual as those of the likelihood do, which keeps runs stable. Published code adds the
    same term once a step to x, so that its zeta' depends on the number of steps; here it belongs to the score.

    Args:
        potential: an observation, or several; a weight multiplies its zeta'.
        scale: zeta'; by default sqrt(n) / (2 std) for n observed entries, with which the term equals the gradient of
            the likelihood where the residual is as large as the error.

    Raises:
        InputError: a potential is no observation, or has no standard deviation to take the scale from.
    """

    def __init__(self, potential: Potential | Sequence[Potential], scale: float | None = None) -> None:
        from scorefield.core.guidance.registry import suit

        whole = together(potential)
        suit("dps", whole)
        if scale is not None and not scale > 0:
            raise InputError(f"scale {scale:g} of DPS", mend="give more than 0")
        observed = [(weight, part) for weight, part in parts(whole) if isinstance(part, Observation)]
        super().__init__(Sum([Weighted(_Residual(part, scale), weight) for weight, part in observed]), limit=None)


class _Residual(Potential):
    """2 zeta' |y - A x0_hat|: its gradient is zeta' / |r| times that of |r|^2."""

    def __init__(self, observation: Observation, scale: float | None) -> None:
        if scale is None and not isinstance(observation.std, float | int):
            raise InputError(f"{observation.name} has no single standard deviation", mend="give DPS a scale")
        self.observation, self.scale = observation, scale
        self._std = observation.std if isinstance(observation.std, float | int) else math.nan

    @property
    def name(self) -> str:
        """The observation's."""
        return self.observation.name

    def begin(self, run: Run) -> Potential:
        """See `Potential.begin`."""
        return _Residual(self.observation.begin(run), self.scale)

    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """See `Potential.energy`."""
        residual = self.observation.residual(state, data).flatten(1)
        # A space's copies of an entry stand in the vector more than once.
        norm: Tensor = torch.linalg.vector_norm(residual, dim=1) / math.sqrt(self.observation.copies)
        if self.scale is not None:
            return 2 * self.scale * norm
        return self.observation.count(state).sqrt() * norm / self._std
