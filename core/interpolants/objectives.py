"""What networks of interpolants are trained on.

Each quantity is the conditional mean of a known target y: dI/dr + gamma' z for the velocity, dI/dr for the path
velocity, z for the denoiser, -z / gamma for the score. Its loss is E[|f(x_r, r) - y|^2], or the bilinear form
E[|f|^2 / 2 - y . f], which is half of that up to a constant and may be negative.

With both signs of z for the same (x_0, x_1, r) (antithetic) the terms in gamma' and 1 / gamma, which are unbounded at
the ends, cancel in the gradient.

Source: Albergo, Boffi and Vanden-Eijnden 2023 (arXiv 2303.08797), sections 2 and 6. Their published code
learns -E[z | x_r] as its denoiser; ours is +E[z | x_r].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.interpolants.couplings import Coupling, Independent
from scorefield.core.interpolants.gammas import Zero
from scorefield.core.interpolants.interpolant import Coefficients, Quantity
from scorefield.core.interpolants.system import InterpolantSystem
from scorefield.core.names import unknown
from scorefield.core.objectives import Draws, Objective
from scorefield.core.state import State
from scorefield.core.system import Component, System

__all__ = ["Form", "InterpolantMatching"]

Form = Literal["mse", "bilinear"]


class InterpolantMatching(Objective):
    """Regression of all quantities that an `InterpolantSystem` predicts, at one common time a sample.

    Losses are means over the free entries of each component's space, named `component_quantity`.

    Args:
        coupling: joins source and target samples; by default the batch's source samples, shuffled.
        form: `mse`, or `bilinear` as published.
        antithetic: use z and -z: two network calls, half the variance or less.
        margin: times are uniform on [margin, 1 - margin]; by default 1e-5 where antithetic, else 1e-3.
        weights: weight of each loss in the total, 1 where not named.

    Raises:
        InputError: an argument cannot be.
    """

    def __init__(
        self,
        coupling: Coupling | None = None,
        form: Form = "mse",
        antithetic: bool = True,
        margin: float | None = None,
        weights: dict[str, float] | None = None,
    ) -> None:
        if form not in get_args(Form):
            raise unknown("form", form, get_args(Form))
        self.margin = (1e-5 if antithetic else 1e-3) if margin is None else margin
        if not 0 <= self.margin < 0.5:
            raise InputError(f"margin {self.margin:g}", mend="give at least 0 and less than 0.5")
        self.coupling = Independent() if coupling is None else coupling
        self.form, self.antithetic, self.weights = form, antithetic, dict(weights or {})

    def draw(self, system: System, state: State, streams: SampleStreams) -> Draws:
        """See `Objective.draw`; source samples, then what the network draws, come last."""
        interpolants = _interpolants(system).interpolants
        t = self.margin + streams.uniform() * (1 - 2 * self.margin)
        noise = system.noise(state, streams)
        names = [name for name, interpolant in interpolants.items() if interpolant.begins == "given"]
        source = self.coupling.source(system, state, names, streams) if names else {}
        return Draws(t, noise, source, system.network.draws(state, streams))

    def losses(self, system: System, state: State, draws: Draws) -> dict[str, Tensor]:
        """See `Objective.losses`.

        Raises:
            InputError: the system's components are no interpolants, or a weight names no loss.
        """
        interpolants = _interpolants(system).interpolants
        state = State(state.components, state.masks, {**state.condition, **draws.condition})
        target = {n: c.space.project(state[n], state.masks) for n, c in system.components.items()}
        ends = state.replace(target)
        at = {n: i.coefficients(1 - draws.t.double()).over(state[n]) for n, i in interpolants.items()}
        losses = self._one_sign(_interpolants(system), ends, draws, at)
        if self.antithetic and not all(isinstance(i.gamma, Zero) for i in interpolants.values()):
            opposite = replace(draws, noise={name: -value for name, value in draws.noise.items()})
            other = self._one_sign(_interpolants(system), ends, opposite, at)
            losses = {name: 0.5 * (loss + other[name]) for name, loss in losses.items()}
        for name in self.weights:
            if name not in losses:
                raise unknown("loss", name, losses, place="weights")
        return losses

    def _one_sign(
        self, system: InterpolantSystem, ends: State, draws: Draws, at: Mapping[str, Coefficients]
    ) -> dict[str, Tensor]:
        source = {name: draws.source.get(name, torch.zeros_like(value)) for name, value in ends.components.items()}
        points = {n: c.point(source[n], ends[n], draws.noise[n]) for n, c in at.items()}
        predicted = system.quantities(ends.replace(points), draws.t.to(ends.dtype))
        losses = {}
        for name, outputs in predicted.items():
            slope = at[name].path_slope(source[name], ends[name])
            for quantity, output in outputs.items():
                wanted = _target(quantity, at[name], slope, draws.noise[name])
                terms = (output - wanted).square() if self.form == "mse" else output * (0.5 * output - wanted)
                losses[f"{name}_{quantity}"] = _free_mean(terms, system.components[name], ends).mean()
        return losses

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """See `Objective.total`."""
        return torch.stack([self.weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()


def _interpolants(system: System) -> InterpolantSystem:
    if not isinstance(system, InterpolantSystem):
        raise InputError("this objective trains interpolants", mend="use DenoisingScoreMatching for Gaussian paths")
    return system


def _target(quantity: Quantity, at: Coefficients, slope: Tensor, noise: Tensor) -> Tensor:
    if quantity == "velocity":
        return slope + at.gamma_slope * noise
    if quantity == "path_velocity":
        return slope
    return noise if quantity == "denoiser" else -noise / at.gamma


def _free_mean(terms: Tensor, component: Component, state: State) -> Tensor:
    """Mean over the free entries of each sample, `[B]`; zero where there are none."""
    free = component.space.dimension(terms, state.masks).clamp(min=1)
    return terms.flatten(1).sum(1) / (component.space.copies * free)
