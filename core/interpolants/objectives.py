"""What networks of interpolants are trained on.

Each quantity is the conditional mean of a known target y: dI/dr + gamma' z for the velocity, dI/dr for the path
velocity, z for the denoiser, -z / gamma for the score, x_0 for the source, x_1 for the target. Its loss is
E[|f(x_r, r) - y|^2], or the bilinear form E[|f|^2 / 2 - y . f], which is half of that up to a constant and may be
negative.

With both signs of z for the same (x_0, x_1, r) (antithetic) the terms in gamma' and 1 / gamma, which are unbounded at
the ends, cancel in the gradient.

Where the target's mean is predicted there may be population terms as well, as in `core.objectives`.

Source: Albergo, Boffi and Vanden-Eijnden 2023 (arXiv 2303.08797), sections 2 and 6. Their published code
learns -E[z | x_r] as its denoiser; ours is +E[z | x_r].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.arguments import check_positive
from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.interpolants.couplings import Coupling, Independent
from scorefield.core.interpolants.gammas import Zero
from scorefield.core.interpolants.interpolant import Coefficients, Term
from scorefield.core.interpolants.preconditioning import unknown_share
from scorefield.core.interpolants.system import InterpolantSystem
from scorefield.core.names import unknown
from scorefield.core.objectives import Draws, Objective, named_terms, unit_times, weighted_sum
from scorefield.core.population import PopulationTerm
from scorefield.core.state import State
from scorefield.core.system import Component, System

__all__ = ["Form", "InterpolantMatching", "Spread", "Weighting"]

Form = Literal["mse", "bilinear"]
Spread = Literal["uniform", "even", "shared", "logit"]
Weighting = Literal["plain", "balanced"]


class InterpolantMatching(Objective):
    """Regression of all quantities that an `InterpolantSystem` predicts, at one common time a sample.

    Losses are means over the free entries of each component's space, named `component_quantity`.

    Args:
        coupling: joins source and target samples; by default they are independent: the batch's source samples,
            shuffled, or draws from the system's base.
        form: `mse`, or `bilinear` as published.
        antithetic: use z and -z: two network calls, half the variance or less.
        margin: times r lie in [margin, 1 - margin], or as far from 0 and 1 as two numbers say; by default 1e-5 where
            antithetic, else 1e-3.
        weights: weight of each loss in the total, 1 where not named.
        times: `uniform`; `even`: the same with the batch spread evenly; `shared`: one for the whole batch, equal in all
            processes; `logit`: uniform in log(r / (1 - r)), the log-ratio of the scales of a linear interpolant.
        weighting: `plain`, or `balanced`: squared errors of the target are divided by the share of its variance that
            its best linear prediction leaves unknown, 1 - B^2 / V with V = A^2 + B^2 + (gamma / s)^2, as where the ends
            are independent and have equal variance; and by the variance that the system's base tells, if it does.
        data_std: root mean square of the target samples, s of the weighting `balanced`, in units of the base's
            deviation where that is told.
        population: terms on features of the whole batch's targets and predictions of them, as those of
            `DenoisingScoreMatching`.
        population_of: the component that these terms look at; the first one by default.

    Raises:
        InputError: an argument cannot be.
    """

    def __init__(
        self,
        coupling: Coupling | None = None,
        form: Form = "mse",
        antithetic: bool = True,
        margin: float | tuple[float, float] | None = None,
        weights: dict[str, float] | None = None,
        times: Spread = "uniform",
        weighting: Weighting = "plain",
        data_std: float = 0.5,
        population: list[PopulationTerm] | None = None,
        population_of: str | None = None,
    ) -> None:
        for kind, name, known in (
            ("form", form, get_args(Form)),
            ("sampling of times", times, get_args(Spread)),
            ("weighting", weighting, get_args(Weighting)),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        if margin is None:
            margin = 1e-5 if antithetic else 1e-3
        self.margins = (margin, margin) if isinstance(margin, int | float) else (margin[0], margin[1])
        for number in self.margins:
            if not 0 <= number < 0.5 or (times == "logit" and not number):
                mend = "give at least 0 (more for logit times) and less than 0.5"
                raise InputError(f"margin {number:g}", mend=mend)
        check_positive("data_std", data_std)
        self.weighting, self.data_std = weighting, data_std
        self.coupling = Independent() if coupling is None else coupling
        self.form, self.antithetic, self.weights, self.times = form, antithetic, dict(weights or {}), times
        self.population, self.population_of = named_terms(population or []), population_of

    def draw(self, system: System, state: State, streams: SampleStreams) -> Draws:
        """See `Objective.draw`; source samples, then what the network draws, come last."""
        interpolants = _interpolants(system).interpolants
        t = self._times(unit_times(self.times, streams))
        if self.times == "shared":  # a network can tell from an expanded tensor that the time is one for all rows
            t = t.to(state.dtype).expand(len(state))
        noise = system.noise(state, streams)
        names = [name for name, interpolant in interpolants.items() if interpolant.begins == "given"]
        source = self.coupling.source(system, state, names, streams) if names else {}
        return Draws(t, noise, source, system.network.draws(state, streams))

    def _times(self, unit: Tensor) -> Tensor:
        """Times t = 1 - r, from numbers in [0, 1)."""
        first, last = self.margins[1], 1 - self.margins[0]
        if self.times != "logit":
            return first + unit * (last - first)
        ends = torch.tensor([first, last], dtype=unit.dtype, device=unit.device).logit()
        return torch.sigmoid(ends[0] + unit * (ends[1] - ends[0]))

    def losses(self, system: System, state: State, draws: Draws) -> dict[str, Tensor]:
        """See `Objective.losses`; population terms come after the quantities, by their names.

        Raises:
            InputError: the system's components are no interpolants, a weight names no loss, or population terms have
                no predictions to look at.
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
        moments = system.moments(ends) if self.weighting == "balanced" else {}
        predicted = system.quantities(ends.replace(points), draws.t.to(ends.dtype))
        losses = {}
        for name, outputs in predicted.items():
            for quantity, output in outputs.items():
                wanted = _wanted(quantity, at[name], source[name], ends[name], draws.noise[name])
                terms = (output - wanted).square() if self.form == "mse" else output * (0.5 * output - wanted)
                if quantity == "target" and self.weighting == "balanced":
                    terms = terms / unknown_share(at[name], self.data_std)
                    terms = terms / moments[name][1].square() if name in moments else terms
                losses[f"{name}_{quantity}"] = _free_mean(terms, system.components[name], ends).mean()
        name = self.population_of or next(iter(system.components))
        for key, term in self.population.items():
            if "target" not in predicted.get(name, {}):
                what = f"population terms look at predictions of the target, which {name} has none of"
                raise InputError(what, mend="let the system predict target, or leave the terms out")
            if term.weight:
                losses[key] = term(ends[name], predicted[name]["target"], ends.masks)
        return losses

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """See `Objective.total`."""
        return weighted_sum(losses, self.weights, self.population)


def _interpolants(system: System) -> InterpolantSystem:
    if not isinstance(system, InterpolantSystem):
        raise InputError("this objective trains interpolants", mend="use DenoisingScoreMatching for Gaussian paths")
    return system


def _wanted(quantity: Term, at: Coefficients, source: Tensor, target: Tensor, noise: Tensor) -> Tensor:
    """What the quantity is the conditional mean of."""
    if quantity in ("source", "target"):
        return source if quantity == "source" else target
    if quantity in ("score", "denoiser"):
        return noise if quantity == "denoiser" else -noise / at.gamma
    slope = at.path_slope(source, target)
    return slope + at.gamma_slope * noise if quantity == "velocity" else slope


def _free_mean(terms: Tensor, component: Component, state: State) -> Tensor:
    """Mean over the free entries of each sample, `[B]`; zero where there are none."""
    free = component.space.dimension(terms, state.masks).clamp(min=1)
    return terms.flatten(1).sum(1) / (component.space.copies * free)
