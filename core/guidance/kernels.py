"""A run's steps as transition kernels: what particles need to know of a solver.

A one-step stochastic solver moves each component by x' ~ N(a x + b x0_hat, c^2). Weights of particles rest on these
kernels and on two integrals over each step along the path dx = f x dt + g dW: -int f = log alpha(t') - log alpha(t),
and int g^2. A step with the score's coefficient l = b sigma^2 / alpha and noise c stands for the reverse SDE with noise
sqrt(z) g, so that l = (1 + z) / 2 int g^2 and c^2 = z int g^2: hence int g^2 = 2 l - c^2, whatever z.

For Gaussians all of this is closed, and shows how solvers differ: of the variance of products and powers, runs of 250
steps miss about 1 % with `euler-maruyama` and with `ddpm` of `variance=upper`, 4 % with `ddpm` and `exponential`, whose
noise is the least that a step may have; four times fewer with 1,000 steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scorefield.core.errors import InputError
from scorefield.core.guide import Run
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import conversion
from scorefield.core.solvers.solver import LinearPlan, LinearSolver
from scorefield.core.solvers.table import Combination

__all__ = ["Kernel", "kernels"]

ABLE = "euler-maruyama, reverse-diffusion, ddpm, or exponential with order=1 eta=1"
"""Solvers of the registry that move by such kernels."""


@dataclass(frozen=True)
class Kernel:
    """One step of one component, from time t to t'.

    Attributes:
        move: the solver's own coefficients, of x and of the prediction that it works with.
        state: factor a of x.
        data: factor b of the data prediction.
        noise: standard deviation c; 0 at the last step of a run.
        growth: minus the integral of f.
        gain: the integral of g^2; not finite where there is no signal at t.
        alpha: scale of the signal at t.
        sigma: scale of the noise at t.
    """

    move: Combination
    state: float
    data: float
    noise: float
    growth: float
    gain: float
    alpha: float
    sigma: float


def kernels(run: Run) -> dict[str, list[Kernel]]:
    """The kernels of every step, by component.

    Raises:
        InputError: the solver does not move by such kernels; the message names those that do.
    """
    plan, solver = run.plan, run.solver
    if not isinstance(plan, LinearPlan) or not isinstance(solver, LinearSolver) or not solver.rule.stochastic:
        raise InputError("particles need a solver that draws noise at every step", mend=f"take {ABLE}")
    if solver.corrector is not None:
        raise InputError("particles cannot weigh the moves of a corrector", mend=f"take {ABLE}")
    found = {n: _of_component(run, solver, plan, n, c.path) for n, c in run.system.components.items()}
    if any(kernel.noise <= 0 for row in found.values() for kernel in row[: solver.steps - 1]):
        raise InputError("particles need a solver that draws noise at every step", mend=f"take {ABLE}")
    return found


def _of_component(run: Run, solver: LinearSolver, plan: LinearPlan, name: str, path: GaussianPath) -> list[Kernel]:
    moves = plan.moves[name]
    if any(m.anchor is not None or m.point.anchor or len(m.point.values) > 1 for m in moves):
        raise InputError("particles need a solver that remembers nothing of earlier steps", mend=f"take {ABLE}")
    t, ends = (torch.tensor(times, dtype=torch.float64) for times in (plan.times, plan.ends))
    to_x, to_data = (c.tolist() for c in conversion(path, t, "data", solver.rule.kind))
    alpha, sigma = path.alpha(t), path.sigma(t)
    growth = (path.log_alpha(ends) - path.log_alpha(t)).tolist()
    per_score = (sigma**2 / alpha).tolist()
    found = []
    for i, move in enumerate(moves):
        last, value = i == len(moves) - 1, move.point.values[0] if move.point.values else 0.0
        still = i >= solver.steps  # a final denoising evaluation passes no time that weights count
        found.append(
            Kernel(
                move=move.point,
                state=move.point.x + value * to_x[i],
                data=value * to_data[i],
                noise=0.0 if last else move.noise,
                growth=0.0 if still else growth[i],
                gain=0.0 if still else 2 * value * to_data[i] * per_score[i] - move.noise**2,
                alpha=float(alpha[i]),
                sigma=float(sigma[i]),
            )
        )
    return found
