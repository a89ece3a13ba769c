"""DPM-Solver-v3: exponential multistep on f = (sigma eps - l x) / alpha, with coefficients for every entry.

With the model's statistics l, s, b along lambda = log_snr (see `statistics`), Delta the integrals from a step's
start lambda_0, and g = e^(-Delta S) f - int e^(-Delta S) b, so that g is as flat as the statistics can make it,

    x' = e^(-Delta L) [alpha'/alpha x - alpha' (D + sum_k E_k g^(k))]
    D = int e^(Delta L + Delta S) int e^(-Delta S) b,   E_k = int e^(Delta L + Delta S) (lambda - lambda_0)^k / k!

where derivatives g^(k) come from a polynomial through past values. l = 1, s = b = 0 is DPM-Solver++.

Source: Zheng et al. 2023 (arXiv 2310.13268).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from scorefield.core.denoiser import Denoiser
from scorefield.core.empirical.statistics import ComponentStatistics, EmpiricalModelStatistics
from scorefield.core.errors import InputError
from scorefield.core.grids import Grid
from scorefield.core.noise import NoiseSource
from scorefield.core.solvers.solver import Carry, Ends, LinearSolver, Plan, Solver
from scorefield.core.solvers.steps import Steps
from scorefield.core.solvers.table import Still
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["MEASURED", "DPMSolverV3"]

MEASURED = "measured"
"""Stands for statistics that are measured before the run."""

_CELLS = 4000  # of the integrals where there are no statistics, whose tables bring their own

Row = tuple[Tensor, list[Tensor], Tensor]
"""Of a step: factors of its start and of the newest f, and what is added."""


class DPMSolverV3(Solver):
    """DPM-Solver-v3.

    Args:
        steps: steps of the grid.
        statistics: the model's, or their file; None for l = 1, s = b = 0, which is DPM-Solver++; "measured" leaves them
            to `prepared`, without which such a solver does not run.
        order: values used by the predictor.
        corrector: re-do a step once its end has been evaluated, with as many values (`same`) or one more (`higher`);
            `none` does not.
        pseudo: take each derivative from the fewest values that give it, in place of all: steadier with very few steps.
        lower_final: lower the order towards the end.
        grid: the time grid.
        ends: as of `LinearSolver`.
    """

    stochastic = False

    def __init__(
        self,
        steps: int,
        statistics: EmpiricalModelStatistics | str | Path | None = MEASURED,
        order: int = 3,
        corrector: Literal["none", "same", "higher"] = "higher",
        pseudo: bool = False,
        lower_final: bool = True,
        grid: str | Grid = "logsnr",
        **ends: Unpack[Ends],
    ) -> None:
        if order < 1 or corrector not in ("none", "same", "higher"):
            raise InputError(f"order {order}, corrector {corrector!r}", mend="need order >= 1; none, same or higher")
        self._frame = LinearSolver(Still("noise", order), steps, grid, **ends)
        self.steps, self.order, self.corrector = steps, order, corrector
        self.pseudo, self.lower_final = pseudo, lower_final
        self.measures = statistics == MEASURED
        if isinstance(statistics, str | Path):
            statistics = EmpiricalModelStatistics.load(statistics) if not self.measures else None
        self.statistics = statistics

    def prepared(self, system: System, frame: State, noise: NoiseSource) -> DPMSolverV3:
        """The same solver with statistics of this model, measured on samples of its own (see `of_samples`)."""
        if not self.measures:
            return self
        made, ends = copy.copy(self), (self._frame.start, self._frame.end)
        made.statistics = EmpiricalModelStatistics.of_samples(system, frame, noise, *ends)
        made.measures = False
        return made

    def plan(self, system: System) -> V3Plan:
        """See `Solver.plan`.

        Raises:
            InputError: the statistics lack a component, or do not reach over the run; a path has no noise at its end.
        """
        frame = self._frame.plan(system)
        boundaries = torch.tensor([*frame.times[: self.steps], frame.ends[self.steps - 1]], dtype=torch.float64)
        tables = {}
        for name, component in system.components.items():
            s = Steps.of(component.path, boundaries, "noise")
            if s.sigma[-1] == 0:
                what = f"{type(component.path).__name__} has no noise at t = {boundaries[-1].item():g}"
                raise InputError(what, mend="end the run at a later time, such as end=0.001")
            tables[name] = _Table(s, self._statistics(name, s), self).rows()
        return V3Plan(frame, self.steps, tables, not self.measures)

    def _statistics(self, name: str, s: Steps) -> ComponentStatistics:
        if self.statistics is None:
            grid = np.linspace(s.log_snr[0], s.log_snr[-1], _CELLS + 1)
            return ComponentStatistics(grid, np.ones_like(grid), np.zeros_like(grid), np.zeros_like(grid))
        if name not in self.statistics.components:
            raise InputError(f"the statistics lack component {name!r}", mend="measure them on this model")
        known = self.statistics.components[name]
        low, high, slack = known.log_snr[0], known.log_snr[-1], 1e-6
        if not (low - slack <= s.log_snr[0] and s.log_snr[-1] <= high + slack):
            what = f"the statistics of {name} reach over log_snr {low:.3g} to {high:.3g}"
            raise InputError(what, mend=f"the run needs {s.log_snr[0]:.3g} to {s.log_snr[-1]:.3g}: measure them so far")
        return known


@dataclass(frozen=True)
class _Rows:
    """Of one component: what makes f from x and eps, and the moves of predictor and corrector at each evaluation."""

    values: list[tuple[Tensor, float]]
    predict: list[Row]
    correct: list[Row | None]

    def to(self, device: torch.device, dtype: torch.dtype) -> _Rows:
        def send(value: Tensor) -> Tensor:
            value = value.to(dtype)
            # From pinned memory, so that nothing waits for the device.
            return value.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else value.to(device)

        def move(row: Row) -> Row:
            return send(row[0]), [send(w) for w in row[1]], send(row[2])

        values = [(send(x), eps) for x, eps in self.values]
        return _Rows(values, [move(r) for r in self.predict], [r and move(r) for r in self.correct])


class _Table:
    """Integrals over one component's statistics, and what follows from them."""

    def __init__(self, s: Steps, statistics: ComponentStatistics, solver: DPMSolverV3) -> None:
        self.s, self.solver = s, solver
        lam = np.array(s.log_snr)
        inside = (statistics.log_snr > lam[0]) & (statistics.log_snr < lam[-1])
        self.lam = np.unique(np.concatenate([lam, statistics.log_snr[inside]]))
        self.place = np.searchsorted(self.lam, lam)
        self.tables = statistics.at(self.lam)
        self.big_l, self.big_s = (_integrals(v, self.lam) for v in (self.tables.l, self.tables.s))
        self.big_b = _integrals(np.exp(-self.big_s) * self.tables.b, self.lam)

    def rows(self) -> _Rows:
        values, predict, correct = [], [], []
        for i in range(len(self.s)):
            alpha, l_here = self.s.alpha[i], self.tables.l[self.place[i]]
            values.append((_tensor(-l_here / alpha), self.s.sigma[i] / alpha))
            predict.append(self._row(i, list(range(self._order(i)))))
            correct.append(self._corrected(i) if i > 0 and self.solver.corrector != "none" else None)
        return _Rows(values, predict, correct)

    def _order(self, i: int) -> int:
        return self.s.order(i, self.solver.order, self.solver.lower_final)

    def _corrected(self, i: int) -> Row:
        """The step before evaluation i anew; the newest f is the one at its end."""
        order = self._order(i - 1) - (self.solver.corrector == "same")
        if order == 0:
            start, weights, rest = self._row(i - 1, [0])
            return start, [torch.zeros_like(weights[0]), *weights], rest
        start, (oldest, newest, *others), rest = self._row(i - 1, [0, -1, *range(1, order)])
        return start, [newest, oldest, *others], rest

    def _row(self, i: int, back: list[int]) -> Row:
        """Over step i, from the f at evaluations i - k for k in `back`, which begins with 0."""
        p, q = self.place[i], self.place[i + 1]
        cells, alpha = slice(p, q + 1), self.s.alpha[i + 1]
        lam = (self.lam[cells] - self.lam[p]).reshape(-1, *[1] * (self.big_l.ndim - 1))
        kernel = np.exp(self.big_l[cells] - self.big_l[p] + self.big_s[cells] - self.big_s[p])
        powers = [_integrals(kernel * lam**k, self.lam[cells])[-1] for k in range(len(back))]
        nodes = [self.place[i - k] for k in back]
        weights = _taylor([self.lam[n] - self.lam[p] for n in nodes], self.solver.pseudo)
        decay = np.exp(self.big_l[p] - self.big_l[q])
        rest = _integrals(kernel * self._intercept(cells, p), self.lam[cells])[-1]
        factors = []
        for j, node in enumerate(nodes):
            factor = sum(power * weights[k, j] for k, power in enumerate(powers))
            rest = rest - factor * self._intercept(node, p)
            factors.append(_tensor(-alpha * decay * factor * np.exp(self.big_s[p] - self.big_s[node])))
        return _tensor(alpha / self.s.alpha[i] * decay), factors, _tensor(-alpha * decay * rest)

    def _intercept(self, where: slice | int, p: int) -> np.ndarray:
        """int e^(-Delta S) b from a step's start, at a point of the grid."""
        return np.asarray(np.exp(self.big_s[p]) * (self.big_b[where] - self.big_b[p]))


def _integrals(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Trapezoids from the first point to each."""
    steps = np.diff(at).reshape(-1, *[1] * (values.ndim - 1))
    return np.concatenate([np.zeros_like(values[:1]), np.cumsum(0.5 * (values[1:] + values[:-1]) * steps, 0)])


def _taylor(at: list[float], pseudo: bool) -> np.ndarray:
    """Weights of values at these places in the Taylor coefficients at the first, place 0; `[coefficient, value]`."""
    if not pseudo:
        return np.asarray(np.linalg.inv(np.vander(np.array(at), increasing=True)))
    differences = np.eye(len(at))
    rows = [differences[0]]
    for k in range(1, len(at)):
        widths = np.array([at[j + k] - at[j] for j in range(len(at) - k)])
        differences = np.diff(differences, axis=0) / widths[:, None]
        rows.append(differences[0])
    return np.stack(rows)


def _tensor(value: np.ndarray | float) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


class V3Plan(Plan):
    """Tables of a `DPMSolverV3`; the anchor holds the corrected state, the history f."""

    def __init__(self, frame: Plan, steps: int, tables: dict[str, _Rows], measured: bool) -> None:
        self.times, self.ends, self.length = frame.times, frame.ends, frame.length
        self._frame, self._steps, self._tables, self._measured = frame, steps, tables, measured
        self._moved: dict[tuple[torch.device, torch.dtype], dict[str, _Rows]] = {}
        self._depth = max(len(r[1]) for t in tables.values() for r in (*t.predict, *t.correct) if r is not None)

    def step(self, index: int, carry: Carry, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """See `Plan.step`.

        Raises:
            InputError: the solver has no statistics, or those of another model.
        """
        if not self._measured:
            what = "dpm-v3 has no statistics of this model"
            raise InputError(what, mend="give statistics=FILE (see EmpiricalModelStatistics), or statistics=none")
        if index == self._steps:
            return self._frame.step(index, carry, denoise, noise)
        state = denoise.before(carry.state, index, noise)
        rows, eps = self._rows(state), denoise(state, index, "noise")
        newest: Values = {}
        for name, table in rows.items():
            x_factor, factor = table.values[index]
            newest[name] = torch.add(state[name] * x_factor, eps[name], alpha=factor)
        history = (newest, *carry.history)[: self._depth]
        anchor, points = dict(state.components), dict(state.components)
        for name, table in rows.items():
            past, space = [f[name] for f in history], denoise.system.components[name].space
            correct = table.correct[index]
            if correct is not None and carry.anchor is not None:
                anchor[name] = space.project(_applied(correct, carry.anchor[name], past), state.masks)
            points[name] = space.project(_applied(table.predict[index], anchor[name], past), state.masks)
        return Carry(state.replace(points), anchor, history)

    def _rows(self, state: State) -> dict[str, _Rows]:
        """The tables in the state's number type, on its device."""
        key = state.device, state.dtype
        if key not in self._moved:
            for name, table in self._tables.items():
                own, entries = table.predict[0][0].shape, state[name].shape[1:]
                if own != entries[len(entries) - len(own) :]:
                    what = f"statistics of shape {tuple(own)} for {name} of shape {tuple(entries)}"
                    raise InputError(what, mend="measure them on this model")
            self._moved[key] = {n: t.to(*key) for n, t in self._tables.items()}
        return self._moved[key]


def _applied(row: Row, start: Tensor, values: list[Tensor]) -> Tensor:
    factor, weights, rest = row
    total = start * factor + rest
    for weight, value in zip(weights, values, strict=False):
        total = total + weight * value
    return total
