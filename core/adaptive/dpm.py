"""DPM-Solver with an embedded lower order, whose difference chooses the steps.

Errors are measured on the free entries of each sample's spaces.

Source: Lu et al. 2022 (arXiv 2206.00927, appendix C).
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from scorefield.core.adaptive.solver import MOST_STEPS, AdaptiveSolver, predict_at
from scorefield.core.calculus import inner, total_dimension
from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError
from scorefield.core.solvers.solver import Ends, LinearSolver, reference_path
from scorefield.core.solvers.stages import Stage, Variant, check_variant, stages_of
from scorefield.core.solvers.steps import Form
from scorefield.core.solvers.table import Still
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["DPMSolverAdaptive"]

_NEAR = 1e-5  # of the end, in time: there a run is over, as published


class DPMSolverAdaptive(AdaptiveSolver):
    """DPM-Solver-12 and -23: a singlestep solver, and one of lower order from the same evaluations to judge its error.

    Args:
        steps: of no use here.
        order: of the step that is taken, 2 or 3; also the evaluations of each trial.
        kind: `data` or `noise` prediction.
        variant: `midpoint` or `taylor`.
        rtol: relative tolerance.
        atol: absolute tolerance.
        width: first step, in log_snr of the reference.
        per_sample: every sample chooses its own steps; False takes those of the worst one for all, as published.
        ends: as of `LinearSolver`; steps are measured in the reference's log_snr.
    """

    def __init__(
        self,
        steps: int,
        order: int = 3,
        kind: Form = "data",
        variant: Variant = "midpoint",
        rtol: float = 0.05,
        atol: float = 0.0078,
        width: float = 0.05,
        per_sample: bool = True,
        **ends: Unpack[Ends],
    ) -> None:
        super().__init__(LinearSolver(Still(), steps, **ends), rtol, atol)
        if order not in (2, 3) or kind not in ("data", "noise") or not width > 0:
            what = f"order {order}, {kind} prediction, width {width:g}"
            raise InputError(what, mend="need order 2 or 3, data or noise, a positive width")
        check_variant(variant)
        self.order, self.kind, self.variant, self.width, self.per_sample = order, kind, variant, width, per_sample

    def run(self, state: State, grid: Tensor, denoise: Denoiser) -> State:
        """See `AdaptiveSolver.run`."""
        path = reference_path(denoise.system, self.frame.reference)
        first, last = path.log_snr(grid[[0, -1]]).tolist()
        log_snr, end = torch.full((len(state),), first, dtype=torch.float64), float(grid[-1])
        time, before = torch.full_like(log_snr, float(grid[0])), state
        width = torch.full_like(log_snr, min(self.width, last - first))
        for _ in range(MOST_STEPS):
            rows = torch.nonzero(time - end > _NEAR).flatten()
            if not len(rows):
                return state
            part = state.rows(rows.to(state.device))
            inner_shares = torch.tensor([[k / self.order] for k in range(self.order + 1)], dtype=torch.float64)
            times = path.time_of(log_snr[rows] + inner_shares * width[rows]).clamp(min=end)
            times[0] = time[rows]
            low, high = self._trial(part, times, denoise, {n: o[rows] for n, o in denoise.origins.items()})
            error = self._error(denoise.system, part, before.rows(rows.to(state.device)), low, high)
            good = error <= 1
            state, before = _put(state, high, rows[good], good), _put(before, low, rows[good], good)
            time[rows[good]], log_snr[rows[good]] = times[-1, good], path.log_snr(times[-1, good])
            grown = 0.9 * width[rows] * error ** (-1 / self.order)
            width[rows] = torch.minimum(grown, last - log_snr[rows])
        raise self.failure(f"more than {MOST_STEPS} steps")

    def _trial(self, state: State, times: Tensor, denoise: Denoiser, origins: Values) -> tuple[Values, Values]:
        """A step of the lower and one of the higher order over `times`, `[order + 1, B]`."""
        paths = {n: c.path for n, c in denoise.system.components.items()}
        lower = {
            n: stages_of(self.kind, self.variant, p, times[[*range(self.order - 1), -1]]) for n, p in paths.items()
        }
        higher = {n: stages_of(self.kind, self.variant, p, times) for n, p in paths.items()}
        point, past = state, list[Values]()
        for j in range(self.order):
            past.insert(0, predict_at(denoise, point, times[j], self.kind, origins))
            point = state.replace({n: _at(stages[j], state[n], n, past) for n, stages in higher.items()})
        low = {n: _at(stages[-1], state[n], n, past[1:]) for n, stages in lower.items()}
        return low, point.components

    def _error(self, system: System, state: State, before: State, low: Values, high: Values) -> Tensor:
        """Error of each sample in units of the tolerance, on the CPU, `[B]`."""
        scaled = {}
        for name, value in low.items():
            scale = self.rtol * torch.maximum(value.abs(), before[name].abs())
            scaled[name] = (high[name] - value) / scale.clamp(min=self.atol)
        error = (inner(system, scaled, scaled) / total_dimension(system, state).clamp(min=1)).sqrt().double().cpu()
        return error if self.per_sample else error.max().expand(len(state)).clone()


def _at(stage: Stage, start: Tensor, name: str, past: list[Values]) -> Tensor:
    """A stage with coefficients `[B]`, from a step's start and the step's predictions, newest first."""
    shape = [-1] + [1] * (start.ndim - 1)
    factor, weights = stage
    total = start * factor.to(start).reshape(shape)
    for weight, values in zip(weights, past, strict=True):
        total = total + values[name] * weight.to(start).reshape(shape)
    return total


def _put(state: State, values: Values, rows: Tensor, chosen: Tensor) -> State:
    """The state with some of `values` in its `rows`."""
    moved = {}
    for name, value in values.items():
        moved[name] = state[name].clone()
        moved[name][rows.to(value.device)] = value[chosen.to(value.device)]
    return state.replace(moved)
