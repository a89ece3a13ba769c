"""The probability-flow ODE by the Runge-Kutta and Adams methods of torchdiffeq.

Sources: Song et al. 2021 (arXiv 2011.13456, section 4.3); Dormand and Prince 1980 (doi 10.1016/0771-050X(80)90013-3).
"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor

from scorefield.core.adaptive.solver import MOST_STEPS, AdaptiveSolver, predict_at
from scorefield.core.calculus import inner, total_dimension
from scorefield.core.denoiser import Denoiser
from scorefield.core.extras import optional
from scorefield.core.grids import Grid
from scorefield.core.names import unknown
from scorefield.core.solvers.solver import Ends, LinearSolver
from scorefield.core.solvers.table import Still
from scorefield.core.state import State

__all__ = ["TorchDiffEq"]

_ADAPTIVE = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")


class TorchDiffEq(AdaptiveSolver):
    """The probability-flow ODE by a method of torchdiffeq; the whole batch shares its steps.

    Args:
        steps: steps of methods that do not adapt (`rk4`, `midpoint`, ...); the others have no use for it.
        method: `dopri5`, `dopri8`, `bosh3`, ..., as torchdiffeq names them.
        rtol: relative tolerance; the root mean square over the free entries of every sample stays below it.
        atol: absolute tolerance.
        grid: of those methods' times.
        ends: as of `LinearSolver`.
    """

    def __init__(
        self,
        steps: int,
        method: str = "dopri5",
        rtol: float = 1e-5,
        atol: float = 1e-5,
        grid: str | Grid = "uniform",
        **ends: Unpack[Ends],
    ) -> None:
        super().__init__(LinearSolver(Still(), steps, grid, **ends), rtol, atol)
        library = optional("torchdiffeq._impl.odeint", "this solver needs torchdiffeq", "ode")
        methods = [name for name in library.SOLVERS if name != "scipy_solver"]  # that one leaves the device
        if method not in methods:
            raise unknown("method", method, methods)
        self.method, self._odeint = method, library.odeint

    def run(self, state: State, grid: Tensor, denoise: Denoiser) -> State:
        """See `AdaptiveSolver.run`."""
        names, system = list(state.components), denoise.system
        free = total_dimension(system, state).clamp(min=1)
        adapts = self.method in _ADAPTIVE
        times = (grid[[0, -1]] if adapts else grid).to(state.device)
        # Between a first trial step and the ends all times are the path's own.
        low, high = sorted((float(grid[0]), float(grid[-1])))

        def velocity(t: Tensor, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            at = state.replace(dict(zip(names, values, strict=True)))
            found = predict_at(denoise, at, t.clamp(low, high).expand(len(state)), "velocity", denoise.origins)
            return tuple(found[n] for n in names)

        def norm(values: tuple[Tensor, ...]) -> Tensor:
            parts = dict(zip(names, values, strict=True))
            return (inner(system, parts, parts) / free).sqrt().max()

        options = {"norm": norm, "step_t": times[-1:], "max_num_steps": MOST_STEPS} if adapts else {}
        start = tuple(state.components.values())
        tolerances = {"rtol": self.rtol, "atol": self.atol}
        try:
            path = self._odeint(velocity, start, times, method=self.method, options=options, **tolerances)
        except AssertionError as error:  # how torchdiffeq says that its steps are too small or too many
            raise self.failure(str(error)) from error
        return state.replace({n: values[-1] for n, values in zip(names, path, strict=True)})
