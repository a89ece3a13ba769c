"""Observation self-guidance: each step of the chain is followed by a push of the size of the step's own noise.

With the energy E(x, t) of what is observed and the posterior variance v of the step from t to t',

    x_t' = step(x_t) - v grad E(., t),

taken at the state after the step, with the time before it (`stepped`: published code, and one more network call a
step), or at x_t, where the step evaluates the network anyway (`current`: the published formula). At x_t a step of DDPM
adds the same as one whose data prediction is lowered by sigma'^2 / alpha' grad E, in which form any solver can use it;
guidance of the score itself (`Gradient`) has sigma^2 / alpha there, and is stronger by about the step's width.

Source: Kollovieh et al. 2023 (arXiv 2307.11494, section 3.2 and algorithm 1).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Literal

import torch

from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError
from scorefield.core.guidance.gradient import Gradient, gradients_of
from scorefield.core.guidance.potentials import Potential, Weighted, energies, together
from scorefield.core.guide import Guide, Run
from scorefield.core.noise import NoiseSource
from scorefield.core.predictions import conversion
from scorefield.core.solvers.ancestral import Ancestral
from scorefield.core.solvers.solver import Carry, LinearSolver, Plan
from scorefield.core.solvers.steps import Steps
from scorefield.core.state import State
from scorefield.core.system import System, Values, placed

__all__ = ["Current", "Point", "Stepped", "self_guidance"]

Point = Literal["stepped", "current"]


def self_guidance(
    potential: Potential | Sequence[Potential],
    weight: float = 1.0,
    point: Point = "stepped",
    limit: float | None = None,
) -> Guide:
    """Guide by observation self-guidance.

    Args:
        potential: what to guide by; several add up.
        weight: factor on all of it.
        point: where the gradient is taken.
        limit: largest push, for `current` only; see `Gradient`.

    Raises:
        InputError: a potential has no gradient, or an argument that cannot be.
    """
    if point == "current":
        return Current(potential, weight, limit=limit)
    if point != "stepped":
        raise InputError(f"guidance at the point {point!r}", mend="give stepped or current")
    if limit is not None:
        raise InputError("stepped guidance knows no limit", mend="give point=current with it")
    return Stepped(potential, weight)


class Current(Gradient):
    """The push of each step at the state from which it sets out; arguments as of `Gradient`."""

    def _scales_at(self, plan: Plan) -> list[float]:
        if len(plan.ends) != len(plan.times):
            what = "self-guidance needs a solver that says where each step ends"
            raise InputError(what, mend="take ddpm, ddim or unipc, or the way gradient")
        return plan.ends


class Stepped(Guide):
    """The push of each step at the state to which it leads, for ancestral sampling.

    Args:
        potential: what to guide by; several add up.
        weight: factor on all of it.

    Raises:
        InputError: a potential has no gradient.
    """

    def __init__(self, potential: Potential | Sequence[Potential], weight: float = 1.0) -> None:
        from scorefield.core.guidance.registry import suit

        whole = together(potential)
        suit("self", whole)
        self.potential = whole if weight == 1 else Weighted(whole, weight)
        self._steps: list[dict[str, tuple[float, float, float]]]

    def begin(self, run: Run) -> Guide:
        """See `Guide.begin`."""
        rule = run.solver.rule if isinstance(run.solver, LinearSolver) else None
        if not isinstance(rule, Ancestral) or rule.eta != 1 or run.solver.corrector is not None:  # type: ignore[attr-defined]
            what = "self-guidance at the point stepped, its default, needs ancestral sampling"
            mend = "take --solver ddpm, or --way-arg point=current with any solver of fixed steps"
            raise InputError(what, mend=mend)
        mine = copy.copy(self)
        mine.potential = self.potential.begin(run)
        mine._steps = [self._step(run.system, t, end) for t, end in zip(run.plan.times, run.plan.ends, strict=True)]
        return mine

    @staticmethod
    def _step(system: System, t: float, end: float) -> dict[str, tuple[float, float, float]]:
        """By component: the posterior variance, and what makes data of the state and the network's output."""
        times, found = torch.tensor([t, end], dtype=torch.float64), {}
        for name, component in system.components.items():
            steps = Steps.of(component.path, times)
            variance = -(steps.sigma[1] ** 2) * math.expm1(-2 * steps.width(0)) if steps.sigma[1] else 0.0
            a, b = conversion(component.path, times[:1], component.prediction, "data")
            found[name] = variance * component.space.copies, float(a), float(b)
        return found

    def after(self, carry: Carry, index: int, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """See `Guide.after`."""
        steps = self._steps[index]
        if not any(variance for variance, _, _ in steps.values()):
            return carry
        with torch.enable_grad():
            x = {n: carry.state[n].detach().requires_grad_() for n in steps}
            state = carry.state.replace(x)
            energy = self._energy(state, index, denoise)
            found = gradients_of(self.potential, energy, x)
        moved = {}
        for name, gradient in found.items():
            push = denoise.system.components[name].space.project(gradient, state.masks)
            moved[name] = torch.add(carry.state[name], push, alpha=-steps[name][0])
        return Carry(carry.state.replace(moved))

    def _energy(self, state: State, index: int, denoise: Denoiser) -> torch.Tensor:
        outputs = denoise.system.forward(state, denoise.time(index), denoise.origins)
        denoise.watch(outputs, index)
        data: Values = {n: a * state[n] + b * outputs[n] for n, (_, a, b) in self._steps[index].items()}
        point = state.replace(placed(state.components, denoise.origins))
        return energies(self.potential, point, placed(data, denoise.origins), denoise.time(index))
