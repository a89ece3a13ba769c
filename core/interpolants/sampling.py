"""Samples carried along stochastic interpolants, from the source to the target and back, by the ODE or the SDE.

With b the velocity, s the score and a diffusion eps(r) >= 0 of the user's choice (r = 1 - t),

    dx = (b + eps s) dr + sqrt(2 eps) dW      towards the target
    dx = (b - eps s) dr + sqrt(2 eps) dW      towards the source (dr < 0)

have the interpolant's laws for every eps; eps = 0 is the ODE. A step of length |h| is a table of coefficients on what
the network predicts: h times the velocity's weights plus eps |h| times the score's, and sqrt(2 eps |h|) on noise.
Heun's method averages the coefficients of both ends with the same noise, which for noise that does not depend on x has
weak order 2; Euler-Maruyama has weak order 1. Where the network predicts means of the ends, a step of the ODE is
exact for means that stay as they are (as DDIM's is for Gaussian paths), and no coefficient is infinite at the target.

Source: Albergo, Boffi and Vanden-Eijnden 2023 (arXiv 2303.08797), section 2; Kloeden and Platen 1992, chapter 15.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.adaptive import TorchDiffEq
from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError
from scorefield.core.interpolants.interpolant import Term
from scorefield.core.interpolants.system import InterpolantSystem
from scorefield.core.names import unknown
from scorefield.core.noise import NoiseSource, Replayed
from scorefield.core.sampling import Sampled, sample
from scorefield.core.solvers.solver import Carry, Plan, Solver
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["Diffusion", "Method", "Spacing", "Transport", "transport"]

Method = Literal["euler", "heun"]
_METHODS = (*get_args(Method), "dopri5")
Diffusion = float | Callable[[float], float]
"""eps, or eps(r)."""

Spacing = Literal["uniform", "cosine"]

Quantities = dict[str, dict[Term, Tensor]]
Rows = dict[str, list[tuple[Term, float]]]
Columns = dict[str, dict[Term, Tensor]]


class Transport(Solver):
    """The ODE or SDE of an `InterpolantSystem`.

    Args:
        steps: their number.
        method: `euler` (Euler-Maruyama), or `heun` (two evaluations a step).
        diffusion: eps, a number or a function of r = 1 - t.
        start: t of the given samples; 1 is the source.
        end: t to arrive at; larger than `start` to go backwards.
        grid: `uniform` steps in r, or `cosine`: shorter ones towards both ends.
    """

    def __init__(
        self,
        steps: int,
        method: Method = "heun",
        diffusion: Diffusion = 0.0,
        start: float = 1.0,
        end: float = 0.0,
        grid: Spacing = "uniform",
    ) -> None:
        if steps < 1:
            raise InputError(f"{steps} steps", mend="give at least 1")
        for kind, name, known in (("method", method, get_args(Method)), ("grid", grid, get_args(Spacing))):
            if name not in known:
                raise unknown(kind, name, known)
        if not (0 <= start <= 1 and 0 <= end <= 1 and start != end):
            raise InputError(f"t from {start:g} to {end:g}", mend="give two different numbers in [0, 1]")
        self.steps, self.method = steps, method
        share = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        if grid == "cosine":
            share = 0.5 * (1 - (math.pi * share).cos())
        self.r = ((1 - share) * (1 - start) + share * (1 - end)).clamp(0, 1)
        self.amounts = _amounts(diffusion, self.r)
        self.stochastic = any(self.amounts)

    def plan(self, system: System) -> TransportPlan:
        """See `Solver.plan`.

        Raises:
            InputError: the system is none of interpolants, or knows no score for eps > 0.
        """
        if not isinstance(system, InterpolantSystem):
            raise InputError("transport needs a model of interpolants", mend="use another solver, such as dpmpp-2m")
        return TransportPlan(system, self.r, self.amounts, self.method == "heun")


def _amounts(diffusion: Diffusion, r: Tensor) -> list[float]:
    """eps at every time."""
    amounts = [float(diffusion(time)) if callable(diffusion) else float(diffusion) for time in r.tolist()]
    for time, amount in zip(r.tolist(), amounts, strict=True):
        if not 0 <= amount < math.inf:
            raise InputError(f"diffusion {amount:g} at r = {time:g}", mend="give finite numbers that are not negative")
    return amounts


class TransportPlan(Plan):
    """Tables of a run between times `r`, with diffusion `amounts` there."""

    def __init__(self, system: InterpolantSystem, r: Tensor, amounts: list[float], heun: bool) -> None:
        self._system, self._heun, self.length = system, heun, len(r) - 1
        self._exact = system.ends and not any(amounts)
        inside, widths, eps = system.inside(r, any(amounts)), r.diff(), torch.tensor(amounts, dtype=r.dtype)
        if self._exact:
            columns = system.steps(r[:-1], r[1:])
            if not all(bool(c[0].isfinite()) for column in columns.values() for c in column.values()):
                r = torch.cat([inside[:1], r[1:]])
                columns = system.steps(r[:-1], r[1:])
            inside = r
            self._begin = self._end = _rows(columns, self.length)
        else:
            weights = system.weights(inside, any(amounts))
            self._begin = _table(weights, slice(None, -1), widths, eps)
            self._end = _table(weights, slice(1, None), widths, eps)
        # The velocity made of the target's mean is as stiff as 1 / (1 - r): where it is, Heun's last step is Euler's.
        self._averaged = self.length - int(system.ends and bool(inside[-1] != r[-1]))
        self.times, self.ends = (1 - inside).tolist(), (1 - r[1:]).tolist()
        spread = eps[:-1] + eps[1:] if heun else 2 * eps[:-1]
        self._noise: list[float] = (spread * widths.abs()).sqrt().tolist()

    def step(self, index: int, carry: Carry, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """See `Plan.step`.

        Raises:
            InputError: a guide acts on data predictions, which an interpolant does not have.
        """
        if denoise.guides.predicting:
            raise InputError(f"{type(denoise.guides.predicting[0]).__name__} cannot guide interpolants")
        state = denoise.before(carry.state, index, noise)
        first = self._predicted(state, index, denoise)
        values = _moved(state.components, first, self._begin[index])
        if self._noise[index]:
            draws = self._system.noise(state, noise)
            values = {n: torch.add(v, draws[n], alpha=self._noise[index]) for n, v in values.items()}
        if self._heun and index < self._averaged:
            second = self._predicted(state.replace(values), index + 1, denoise)
            if self._exact:  # only the means are averaged
                second = {n: {**outputs, "state": state[n]} for n, outputs in second.items()}
            values = _moved(values, second, self._end[index], 0.5)
            values = _moved(values, first, self._begin[index], -0.5)
        return Carry(state.replace(values))

    def _predicted(self, state: State, point: int, denoise: Denoiser) -> Quantities:
        found = self._system.quantities(state, denoise.time(point))
        denoise.watch({f"{n}.{q}": value for n, outputs in found.items() for q, value in outputs.items()}, point)
        return {name: {**outputs, "state": state[name]} for name, outputs in found.items()}


def _table(weights: Mapping[str, list[dict[Term, Tensor]]], points: slice, widths: Tensor, eps: Tensor) -> list[Rows]:
    """What each step adds of the quantities predicted at its end of `points`, by component."""
    columns: Columns = {}
    for name, (velocity, *score) in weights.items():
        total = {quantity: widths * weight[points] for quantity, weight in velocity.items()}
        for quantity, weight in score[0].items() if score else ():
            langevin = eps[points] * widths.abs() * weight[points]
            total[quantity] = total[quantity] + langevin if quantity in total else langevin
        columns[name] = total
    return _rows(columns, len(widths))


def _rows(columns: Columns, steps: int) -> list[Rows]:
    """The coefficients of each step, as numbers."""
    lists = {n: {quantity: value.tolist() for quantity, value in column.items()} for n, column in columns.items()}
    return [{n: [(q, c[i]) for q, c in column.items()] for n, column in lists.items()} for i in range(steps)]


def _moved(values: Values, predicted: Quantities, rows: Rows, share: float = 1.0) -> Values:
    """The values with a share of a step's rows added."""
    moved = {}
    for name, row in rows.items():
        total = values[name]
        for quantity, weight in row:
            total = torch.add(total, predicted[name][quantity], alpha=share * weight)
        moved[name] = total
    return moved


@torch.no_grad()
def transport(
    system: InterpolantSystem,
    state: State,
    steps: int = 100,
    *,
    method: Method | Literal["dopri5"] = "heun",
    diffusion: Diffusion = 0.0,
    noise: NoiseSource | None = None,
    start: float = 0.0,
    end: float = 1.0,
    tolerance: float = 1e-5,
) -> Sampled:
    """Carry samples along an interpolant.

    Args:
        system: the interpolants and their network.
        state: the samples at r = `start`, with their masks and condition.
        steps: equal steps in r; not used by `dopri5`.
        method: `euler` (Euler-Maruyama), `heun` (two evaluations a step), or `dopri5` (adaptive, ODE only).
        diffusion: eps, a number or a function of r.
        noise: asked once per component and step with eps > 0.
        start: r of the given samples, 0 the source and 1 the target.
        end: r to arrive at; smaller than `start` to go backwards.
        tolerance: relative and absolute tolerance of `dopri5`, on the free entries of every sample.

    Raises:
        InputError: an argument cannot be, or the system knows no score for eps > 0.
        FloatingPointError: the network returned something not finite.
    """
    if method not in _METHODS:
        raise unknown("method", method, _METHODS)
    if not tolerance > 0:
        raise InputError(f"tolerance {tolerance:g}", mend="give a positive number")
    solver = Transport(steps, "heun" if method == "dopri5" else method, diffusion, 1 - start, 1 - end)
    if solver.stochastic and noise is None:
        raise InputError("a diffusion without a source of noise", mend="give noise, such as Seeded(0)")
    begin = state.replace({n: c.space.project(state[n], state.masks) for n, c in system.components.items()})
    if method != "dopri5":
        return sample(system, begin, solver, Replayed([]) if noise is None else noise, start=begin)
    if solver.stochastic:
        raise InputError("dopri5 has no noise", mend="give diffusion 0, or method euler or heun")
    denoise = Denoiser(system, begin, [])
    times = torch.tensor([1 - start, 1 - end], dtype=torch.float64)
    moved = TorchDiffEq(1, rtol=tolerance, atol=tolerance).run(begin, times, denoise)
    return Sampled(moved, denoise.evaluations)
