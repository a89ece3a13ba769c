"""What runs a rule: the solver with its grid, corrector and final evaluation, and its plan for one system.

A solver holds settings only; a plan holds tables; what changes during a run is a carry. So one solver serves any
number of interleaved runs.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, TypedDict

import torch

from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.grids import Explicit, Grid, grid_named
from scorefield.core.langevin.corrector import Langevin
from scorefield.core.noise import NoiseSource
from scorefield.core.paths import GaussianPath
from scorefield.core.solvers.table import Move, Rule, Span, combine, denoising_move
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["Carry", "Ends", "Final", "LinearPlan", "LinearSolver", "Plan", "Solver", "reference_path"]

Final = Literal["none", "denoise"]


class Ends(TypedDict, total=False):
    """Where a run begins and ends: arguments that all solvers take as `LinearSolver` does."""

    end: float | None
    final: Final
    reference: str | None
    start: float | None


@dataclass(frozen=True)
class Carry:
    """What a run remembers: the state, and what multistep and multistage rules need of the past."""

    state: State
    anchor: Values | None = None
    history: tuple[Values, ...] = ()


class Plan(ABC):
    """A solver's tables for one system.

    Attributes:
        times: evaluation times, in order.
        ends: the time at which the state stands after each step (0 after a last denoising evaluation).
        length: number of calls of `step` in a run.
    """

    times: list[float]
    ends: list[float]
    length: int

    @abstractmethod
    def step(self, index: int, carry: Carry, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """Move on by one step; pure in everything but the denoiser's and the noise source's counters."""


class Solver(ABC):
    """Settings of a solver.

    Attributes:
        steps: steps of the time grid.
        stochastic: whether it draws noise after the prior.
        measures: whether it has to be `prepared` for a model first.
    """

    steps: int
    stochastic: bool
    measures: bool = False

    @abstractmethod
    def plan(self, system: System) -> Plan:
        """The tables for a system."""

    def prepared(self, system: System, frame: State, noise: NoiseSource) -> Solver:
        """This solver with what it has to measure of a model first, on samples shaped as `frame`."""
        return self


def reference_path(system: System, reference: str | None) -> GaussianPath:
    """The path on which the shared grid is laid: the named component's, or the first one's.

    Raises:
        InputError: there is no such component.
    """
    if reference is None:
        return next(iter(system.components.values())).path
    if reference not in system.components:
        raise InputError(f"no component {reference!r}", mend=f"there are {', '.join(system.components)}")
    return system.components[reference].path


class LinearSolver(Solver):
    """A rule on a grid, with an optional corrector before each step and an optional last denoising evaluation.

    Args:
        rule: the coefficients.
        steps: steps of the grid.
        grid: name of the grid, or a grid.
        end: time at which the run ends; by default the largest `t_min` of the paths.
        final: `denoise` returns the data prediction at the end (one more evaluation), `none` the last state (its
            noise left out).
        corrector: moves made at each time before the rule's first evaluation there.
        reference: component whose path spaces the grid.
        start: time at which the run begins; by default the smallest `t_max` of the paths.
    """

    def __init__(
        self,
        rule: Rule,
        steps: int,
        grid: str | Grid = "logsnr",
        end: float | None = None,
        final: Final = "none",
        corrector: Langevin | None = None,
        reference: str | None = None,
        start: float | None = None,
    ) -> None:
        if steps < 1:
            raise InputError(f"{steps} steps", mend="give at least 1")
        if steps < rule.least_steps:
            few = "1 step lowers" if steps == 1 else f"{steps} steps lower"
            warnings.warn(f"{few} the order of the solver from {rule.least_steps}", InputWarning, stacklevel=2)
        grid = grid_named(grid)
        if isinstance(grid, Explicit):  # times bring their ends along
            start = grid.times[0].item() if start is None else start
            end = grid.times[-1].item() if end is None else end
        if not 0 <= (end or 0) < (1 if start is None else start) <= 1:
            first = "" if start is None else f"start {start:g}, "
            raise InputError(f"{first}end {end or 0:g}", mend="need 0 <= end < start <= 1")
        if final not in ("none", "denoise"):
            raise InputError(f"final {final!r}", mend="give none or denoise")
        self.rule, self.steps, self.grid, self.end, self.final = rule, steps, grid, end, final
        self.corrector, self.reference, self.start = corrector, reference, start
        self.stochastic = rule.stochastic or corrector is not None

    def plan(self, system: System) -> LinearPlan:
        """See `Solver.plan`."""
        paths = [c.path for c in system.components.values()]
        start = min(p.t_max for p in paths) if self.start is None else self.start
        end = max(p.t_min for p in paths) if self.end is None else self.end
        layout = self.rule.layout(Span(self.grid, reference_path(system, self.reference), self.steps, start, end))
        moves = {n: self.rule.moves(c.path, layout) for n, c in system.components.items()}
        _check_finite(moves, type(self.rule).__name__)
        times, ends = layout.times, [*layout.times[1:], float(layout.boundaries[-1])]
        starts = [i == 0 for stage in layout.stages for i in range(len(stage))]
        if self.final == "denoise":
            times, ends, starts = [*times, end], [*ends, 0.0], [*starts, False]
            for name, component in system.components.items():
                moves[name].append(denoising_move(component.path, self.rule.kind, end))
        kappas = self.corrector.kappas(system, torch.tensor(times).double()) if self.corrector else None
        return LinearPlan(self.rule, times, ends, moves, starts, self.corrector, kappas)


class LinearPlan(Plan):
    """Tables of a `LinearSolver`; a call of `step` makes corrections, then an evaluation for the rule if it has any."""

    def __init__(
        self,
        rule: Rule,
        times: list[float],
        ends: list[float],
        moves: dict[str, list[Move]],
        starts: list[bool],
        corrector: Langevin | None,
        kappas: list[dict[str, float]] | None,
    ) -> None:
        self.times, self.ends, self.moves, self.length = times, ends, moves, len(times)
        self._kind, self._starts, self._corrector, self._kappas = rule.kind, starts, corrector, kappas
        read = [[m.values_read for m in row] for row in moves.values()]
        self._depth = max(max(row) for row in read)
        self._reads = [any(column) for column in zip(*read, strict=True)]

    def step(self, index: int, carry: Carry, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """See `Plan.step`."""
        state = carry.state
        if self._corrector is not None and self._kappas is not None and self._starts[index]:
            for _ in range(self._corrector.steps):
                state = denoise.before(state, index, noise)
                scores = denoise(state, index, "score")
                state = self._corrector.move(denoise.system, state, scores, self._kappas[index], noise)
        if not self._reads[index]:
            return Carry(state)
        state = denoise.before(state, index, noise)
        history = (denoise(state, index, self._kind), *carry.history)[: self._depth]
        return self._move(index, state, carry.anchor, history, denoise.system, noise)

    def _move(
        self,
        index: int,
        state: State,
        anchors: Values | None,
        history: tuple[Values, ...],
        system: System,
        noise: NoiseSource,
    ) -> Carry:
        points: Values = {}
        kept: Values = {} if anchors is None else dict(anchors)
        for name, moves in self.moves.items():
            move, x, values = moves[index], state.components[name], [past[name] for past in history]
            if move.anchor is not None:
                kept[name] = combine(move.anchor, x, kept.get(name), values)
            points[name] = combine(move.point, x, kept.get(name), values)
            if move.noise and index != self.length - 1:
                draw = system.components[name].space.noise(x, state.masks, noise)
                points[name] = torch.add(points[name], draw, alpha=move.noise)
        return Carry(state.replace(points), kept or None, history)


def _check_finite(moves: dict[str, list[Move]], name: str) -> None:
    for component, rows in moves.items():
        for i, move in enumerate(rows):
            parts = [part for part in (move.point, move.anchor) if part is not None]
            numbers = [move.noise, *(v for part in parts for v in (part.x, part.anchor, *part.values))]
            if not all(math.isfinite(v) for v in numbers):
                raise InputError(
                    f"{name} has no finite coefficients for {component} at evaluation {i + 1}",
                    mend="end the run at a later time, or use a solver in data prediction",
                )
