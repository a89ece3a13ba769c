"""Runge-Kutta methods on y = x / alpha against rho = sigma / alpha, whose slope dy / drho is the noise prediction.

Order 2 is Heun's method of EDM, with its churn: before a step, noise is added and the step begins where that belongs,
at rho-hat = (1 + gamma) rho (but never beyond the run's start). All orders together are rhoRK of DEIS.

Sources: Karras et al. 2022 (arXiv 2206.00364, algorithm 2); Zhang and Chen 2023 (DEIS, arXiv 2204.13902).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.solvers.steps import Steps
from scorefield.core.solvers.table import KEEP, Combination, Layout, Move, Rule, Span

__all__ = ["RungeKutta"]

# Of each order: where its evaluations stand in a step, the weights of earlier slopes in each later one, and at its end.
_TABLEAUX: dict[int, tuple[list[float], list[list[float]], list[float]]] = {
    1: ([0], [], [1]),
    2: ([0, 1], [[1]], [1 / 2, 1 / 2]),
    3: ([0, 1 / 2, 1], [[1 / 2], [-1, 2]], [1 / 6, 2 / 3, 1 / 6]),
    4: ([0, 1 / 2, 1 / 2, 1], [[1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
}


@dataclass(frozen=True)
class _Staged(Layout):
    """Inner times stand where rho of this path divides the step."""

    reference: GaussianPath


class RungeKutta(Rule):
    """Euler, Heun, Kutta and classical Runge-Kutta; a step into sigma = 0 is one of Euler.

    Args:
        order: 1 to 4; also the evaluations of a step.
        s_churn: 0 is the ODE; gamma is s_churn / steps, at most sqrt(2) - 1.
        s_tmin: least sigma / alpha (of the component that spaces the grid) at which noise is added.
        s_tmax: largest one.
        s_noise: factor on the noise.
    """

    kind: Kind = "noise"

    def __init__(
        self,
        order: int = 2,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float | None = None,
        s_noise: float = 1.0,
    ) -> None:
        if order not in _TABLEAUX:
            raise InputError(f"no Runge-Kutta method of order {order}", mend="give 1 to 4")
        if not (s_churn >= 0 and s_noise >= 0):
            raise InputError(f"s_churn {s_churn:g}, s_noise {s_noise:g}", mend="give numbers from 0")
        if s_tmax is not None and s_tmax < s_tmin:
            raise InputError(
                f"s_tmin {s_tmin:g} exceeds s_tmax {s_tmax:g}", mend="leave one of them out, or exchange them"
            )
        self.order, self.churn, self.noise = order, s_churn, s_noise
        self.least, self.most = s_tmin, math.inf if s_tmax is None else s_tmax
        self.stochastic = s_churn > 0

    def layout(self, span: Span) -> Layout:
        """Each step's evaluations, from its churned start."""
        boundaries = span.boundaries()
        ratios = (-span.path.log_snr(boundaries)).exp()
        churned = (ratios[:-1] >= self.least) & (ratios[:-1] <= self.most)
        gamma = min(self.churn / span.steps, math.sqrt(2) - 1) * churned.double()
        starts = ((1 + gamma) * ratios[:-1]).clamp(max=ratios[0].item())
        nodes = torch.tensor(_TABLEAUX[self.order][0], dtype=torch.float64)
        times = span.path.time_of(-(starts[:, None] + nodes * (ratios[1:] - starts)[:, None]).log())
        times[:, 0] = torch.where(starts > ratios[:-1], times[:, 0], boundaries[:-1])
        times[:, nodes == 1] = boundaries[1:, None]
        stages = [tuple(row) for row in times.tolist()]
        if ratios[-1] == 0:
            stages[-1] = stages[-1][:1]
        return _Staged(boundaries, tuple(stages), span.path)

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`."""
        starts = [stage[0] for stage in layout.stages]
        moves: list[Move] = []
        for i, stage in enumerate(layout.stages):
            times = torch.tensor([*stage, float(layout.boundaries[i + 1]), *starts[i + 1 : i + 2]], dtype=torch.float64)
            moves += self._step(Steps.of(path, times, "noise"), self._slopes(path, layout, times[: len(stage)]))
        return moves

    def _slopes(self, path: GaussianPath, layout: Layout, times: Tensor) -> np.ndarray:
        """drho / drho* at a step's evaluations, rho* the reference's; at the ends of a step rho itself serves."""
        if len(times) <= 2 or not isinstance(layout, _Staged) or path is layout.reference:
            return np.ones(len(times))
        own, reference = (p.diffusion(times) ** 2 / p.alpha(times) / p.sigma(times) for p in (path, layout.reference))
        return np.asarray(own / reference)

    def _step(self, s: Steps, slopes: np.ndarray) -> list[Move]:
        """Moves of a step with these evaluations; `s` continues with its end and, if any, the next step's start."""
        size = len(slopes)
        _, rows, ends = _TABLEAUX[size]
        total = s.ratio(size) - s.ratio(0)
        # What the weights sum up to is the step's own width of rho (they do so but for a term of the method's order).
        scale = total / np.dot(ends, slopes)
        moves = []
        for j, row in enumerate([*rows, ends]):
            last = j == size - 1
            alpha = s.alpha[-1 if last else j + 1]
            values = alpha * scale * np.array(row) * slopes[: j + 1]
            point = Combination(anchor=alpha / s.alpha[0], values=tuple(values[::-1].tolist()))
            growth = s.ratio(-1) ** 2 - s.ratio(size) ** 2
            noise = self.noise * alpha * math.sqrt(max(growth, 0.0)) if last and self.churn else 0.0
            moves.append(Move(point, KEEP if j == 0 else None, noise))
        return moves
