"""Sampling along stochastic interpolants: from the source to the target and back, by the ODE or the SDE.

With b the velocity, s the score and a diffusion eps(r) >= 0 of the user's choice,

    dx = (b + eps s) dr + sqrt(2 eps) dW      towards the target
    dx = (b - eps s) dr + sqrt(2 eps) dW      towards the source (dr < 0)

have the interpolant's laws for every eps; eps = 0 is the ODE. A step of length |h| is a table of coefficients on what
the network predicts: h times the velocity's weights plus eps |h| times the score's, and sqrt(2 eps |h|) on noise.
Heun's method averages the coefficients of both ends with the same noise, which for noise that does not depend on x has
weak order 2; Euler-Maruyama has weak order 1.

Source: Albergo, Boffi and Vanden-Eijnden 2023 (arXiv 2303.08797), section 2; Kloeden and Platen 1992, chapter 15.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.interpolant_system import InterpolantSystem
from scorefield.core.interpolants import Quantity
from scorefield.core.names import unknown
from scorefield.core.noise import NoiseSource
from scorefield.core.state import State
from scorefield.core.system import Values

__all__ = ["Diffusion", "Method", "Transported", "transport"]

Method = Literal["euler", "heun", "dopri5"]
Diffusion = float | Callable[[float], float]
"""eps, or eps(r)."""

Quantities = dict[str, dict[Quantity, Tensor]]
Rows = dict[str, list[tuple[Quantity, float]]]


@dataclass(frozen=True)
class Transported:
    """A finished run: the state at its end, and the number of whole-state network calls."""

    state: State
    evaluations: int


@torch.no_grad()
def transport(
    system: InterpolantSystem,
    state: State,
    steps: int = 100,
    *,
    method: Method = "heun",
    diffusion: Diffusion = 0.0,
    noise: NoiseSource | None = None,
    start: float = 0.0,
    end: float = 1.0,
    tolerance: float = 1e-5,
) -> Transported:
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
        tolerance: relative and absolute tolerance of `dopri5`, on the free entries of the whole batch.

    Raises:
        InputError: an argument cannot be, or the system knows no score for eps > 0.
        FloatingPointError: the network returned something not finite.
    """
    if method not in get_args(Method):
        raise unknown("method", method, get_args(Method))
    if not (0 <= start <= 1 and 0 <= end <= 1 and start != end):
        raise InputError(f"r from {start:g} to {end:g}", mend="give two different numbers in [0, 1]")
    if steps < 1:
        raise InputError(f"{steps} steps", mend="give at least 1")
    r = torch.linspace(start, end, steps + 1, dtype=torch.float64)
    amounts = _amounts(diffusion, r)
    if any(amounts) and noise is None:
        raise InputError("a diffusion without a source of noise", mend="give noise, such as Seeded(0)")
    projected = {n: c.space.project(state[n], state.masks) for n, c in system.components.items()}
    state = state.replace(projected)
    if method == "dopri5":
        if any(amounts):
            raise InputError("dopri5 has no noise", mend="give diffusion 0, or method euler or heun")
        return _adaptive(system, state, start, end, tolerance)
    return _FixedGrid(system, r, amounts, state).run(state, method == "heun", noise)


def _amounts(diffusion: Diffusion, r: Tensor) -> list[float]:
    """eps at every time."""
    amounts = [float(diffusion(time)) if callable(diffusion) else float(diffusion) for time in r.tolist()]
    for time, amount in zip(r.tolist(), amounts, strict=True):
        if not 0 <= amount < math.inf:
            raise InputError(f"diffusion {amount:g} at r = {time:g}", mend="give finite numbers that are not negative")
    return amounts


class _FixedGrid:
    """Tables of one run, as numbers, and the loop over them."""

    def __init__(self, system: InterpolantSystem, r: Tensor, amounts: list[float], state: State) -> None:
        self.system, self.amounts = system, amounts
        inside, widths, eps = system.inside(r, any(amounts)), r.diff(), torch.tensor(amounts, dtype=r.dtype)
        weights = system.weights(inside, any(amounts))
        self._begin = _table(weights, slice(None, -1), widths, eps)
        self._end = _table(weights, slice(1, None), widths, eps)
        self._widths: list[float] = widths.abs().tolist()
        times = (1 - inside).to(state.device, torch.float64 if state.dtype == torch.float64 else torch.float32)
        self._times = [t.expand(len(state)) for t in times.unbind()]
        self._inside = inside.tolist()
        self._sums: list[tuple[int, list[Tensor]]] = []

    def run(self, state: State, heun: bool, noise: NoiseSource | None) -> Transported:
        for i, width in enumerate(self._widths):
            first = self._predicted(state, i)
            values = _moved(state.components, first, self._begin[i])
            spread = self.amounts[i] + self.amounts[i + 1] if heun else 2 * self.amounts[i]
            if spread > 0 and noise is not None:
                scale = math.sqrt(spread * width)
                draws = self.system.noise(state, noise)
                values = {n: torch.add(v, draws[n], alpha=scale) for n, v in values.items()}
            state = state.replace(values)
            if heun:
                values = _moved(values, self._predicted(state, i + 1), self._end[i], 0.5)
                state = state.replace(_moved(values, first, self._begin[i], -0.5))
        self._check()
        return Transported(state, len(self._sums) * getattr(self.system.network, "calls", 1))

    def _predicted(self, state: State, point: int) -> Quantities:
        found = self.system.quantities(state, self._times[point])
        self._sums.append((point, [value.sum() for outputs in found.values() for value in outputs.values()]))
        return found

    def _check(self) -> None:
        sums = torch.stack([value for _, values in self._sums for value in values])
        bad = torch.nonzero(~torch.isfinite(sums.reshape(len(self._sums), -1)).all(1))
        if len(bad):
            first = int(bad[0])
            time = self._inside[self._sums[first][0]]
            raise FloatingPointError(f"the network returned NaN or infinity at evaluation {first + 1}, r = {time:g}")


def _table(
    weights: Mapping[str, list[dict[Quantity, Tensor]]], points: slice, widths: Tensor, eps: Tensor
) -> list[Rows]:
    """What each step adds of the quantities predicted at its end of `points`, by component."""
    columns: dict[str, dict[Quantity, list[float]]] = {}
    for name, (velocity, *score) in weights.items():
        total = {quantity: widths * weight[points] for quantity, weight in velocity.items()}
        for quantity, weight in score[0].items() if score else ():
            langevin = eps[points] * widths.abs() * weight[points]
            total[quantity] = total[quantity] + langevin if quantity in total else langevin
        columns[name] = {quantity: value.tolist() for quantity, value in total.items()}
    return [{n: [(q, c[i]) for q, c in column.items()] for n, column in columns.items()} for i in range(len(widths))]


def _moved(values: Values, predicted: Quantities, rows: Rows, share: float = 1.0) -> Values:
    """The values with a share of a step's rows added."""
    moved = {}
    for name, row in rows.items():
        total = values[name]
        for quantity, weight in row:
            total = torch.add(total, predicted[name][quantity], alpha=share * weight)
        moved[name] = total
    return moved


def _adaptive(system: InterpolantSystem, state: State, start: float, end: float, tolerance: float) -> Transported:
    """The ODE by Dormand and Prince's method; every component is part of one flat state."""
    odeint = _odeint()
    names, calls = list(system.components), [0]

    def flow(t: Tensor, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        calls[0] += 1
        velocities = system(state.replace(dict(zip(names, values, strict=True))), t.to(state.dtype).expand(len(state)))
        return tuple(velocities[name] for name in names)

    free = sum(c.space.copies * c.space.dimension(state[n], state.masks).sum() for n, c in system.components.items())

    def norm(values: tuple[Tensor, ...]) -> Tensor:
        return (sum(value.square().sum() for value in values) / max(int(free), 1)) ** 0.5

    times = torch.tensor([1 - start, 1 - end], dtype=torch.float64, device=state.device)
    begin = tuple(state[name] for name in names)
    try:
        ends = odeint(flow, begin, times, rtol=tolerance, atol=tolerance, method="dopri5", options={"norm": norm})
    except AssertionError as error:  # how torchdiffeq reports steps that vanish
        raise FloatingPointError(f"the ODE could not be solved ({error})") from error
    result = state.replace({name: value[-1] for name, value in zip(names, ends, strict=True)})
    return Transported(result, calls[0] * getattr(system.network, "calls", 1))


def _odeint() -> Callable[..., Any]:
    try:
        from torchdiffeq import odeint
    except ImportError:
        raise InputError("dopri5 needs torchdiffeq", mend='pip install "scorefield[ode]", or use method heun') from None
    result: Callable[..., Any] = odeint
    return result
