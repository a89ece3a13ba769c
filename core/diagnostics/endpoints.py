"""How far solvers end from a fine reference, all from the same noise: discretisation error against evaluations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scorefield.core.calculus import inner, total_dimension
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.names import unknown
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import SOLVERS, describe_arguments, make_solver
from scorefield.core.state import State
from scorefield.core.system import System

__all__ = ["Endpoint", "Endpoints", "endpoint_errors"]

REFERENCE, ORDER = "unipc", 3
_TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class Endpoint:
    """One run of one solver.

    Attributes:
        solver: its name.
        setting: what was asked of it, as `20 steps` or `rtol 0.001`.
        evaluations: whole-state network calls.
        error: distance from the reference, root mean square over all free entries.
        median: the same over the entries of a sample, in the middle of all samples: a few samples that end elsewhere
            altogether do not move it.
    """

    solver: str
    setting: str
    evaluations: int
    error: float
    median: float


@dataclass(frozen=True)
class Endpoints:
    """Runs of all deterministic solvers.

    Attributes:
        rows: one for each run.
        skipped: why solvers are left out, by name.
        reference: the reference's solver and steps.
        reference_error: distance between the reference and one of half its steps: errors below are not resolved.
        reference_median: likewise, of the sample in the middle.
        scale: root mean square of the reference's own free entries.
    """

    rows: list[Endpoint]
    skipped: dict[str, str]
    reference: str
    reference_error: float
    reference_median: float
    scale: float


def endpoint_errors(
    system: System,
    frame: State,
    steps: Sequence[int] = (5, 10, 20, 50),
    solvers: Sequence[str] | None = None,
    seed: int = 0,
    reference_steps: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Endpoints:
    """Run every deterministic solver with every number of steps.

    Args:
        system: the model.
        frame: masks, condition, shapes and number type of the samples.
        steps: numbers of steps; solvers that choose their steps are run at four tolerances instead.
        solvers: names in the registry; all by default.
        seed: fixes the noise.
        reference_steps: steps of the reference; by default four times the most steps, at least 200.

    Raises:
        InputError: a solver is unknown, or the reference cannot be had.
    """
    runs, left_out = _runs(list(SOLVERS if solvers is None else solvers), steps)
    fine = reference_steps or max(4 * max(steps), 200)
    start = system.prior(frame, Seeded(seed, device=frame.device))
    done, total = 1.5 * fine, 1.5 * fine + sum(run.cost for run in runs)
    reference, half = (_end(system, start, _Run(REFERENCE, "", n, {"order": ORDER}))[0] for n in (fine, fine // 2))
    rows = []
    for run in runs:
        if progress is not None:
            progress(done / total)
        done += run.cost
        try:
            end, calls = _end(system, start, run)
        except (InputError, FloatingPointError) as error:
            left_out.setdefault(run.solver, f"{run.setting}: {error}")
        else:
            rows.append(Endpoint(run.solver, run.setting, calls, *_distance(system, end, reference)))
    return Endpoints(
        rows,
        left_out,
        f"{REFERENCE} of order {ORDER}, {fine} steps",
        *_distance(system, half, reference),
        _distance(system, reference, reference.map(lambda value: value * 0))[0],
    )


@dataclass(frozen=True)
class _Run:
    """What to run: `steps` (which a solver that chooses its own ignores) and further arguments."""

    solver: str
    setting: str
    steps: int
    arguments: dict[str, Any]

    @property
    def cost(self) -> int:
        """A guess of its evaluations, for the progress."""
        return self.steps


def _runs(names: list[str], steps: Sequence[int]) -> tuple[list[_Run], dict[str, str]]:
    """The runs of the deterministic solvers, and why the others are left out."""
    runs, left_out = [], {}
    for name in names:
        if name not in SOLVERS:
            raise unknown("solver", name, SOLVERS)
        if SOLVERS[name].stochastic:
            left_out[name] = "stochastic"
        elif _takes(name, "rtol"):
            runs += [_Run(name, f"rtol {x:g}", max(steps), {"rtol": x, "atol": x}) for x in _TOLERANCES]
        else:
            runs += [_Run(name, f"{n} steps", n, {}) for n in steps]
    return runs, left_out


def _takes(solver: str, argument: str) -> bool:
    return any(word.startswith(f"{argument}=") for word in describe_arguments(solver).split(", "))


def _end(system: System, start: State, run: _Run) -> tuple[State, int]:
    """Where a run ends, and its evaluations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # few steps lower orders, which is what is being looked at
        solver = make_solver(run.solver, run.steps, **run.arguments)
    done = sample(system, start, solver, Replayed([]), start=start)
    return done.state, done.evaluations


def _distance(system: System, a: State, b: State) -> tuple[float, float]:
    """Root mean square over all samples' free entries, and over those of the sample in the middle."""
    difference = {n: a[n] - b[n] for n in system.components}
    squared = inner(system, difference, difference) / total_dimension(system, a).clamp(min=1)
    return float(squared.mean().sqrt()), float(squared.median().sqrt())
