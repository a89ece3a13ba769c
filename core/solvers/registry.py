"""Solvers by the names that users type."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from scorefield.core.arguments import checked, described, parameters
from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.core.predictions import Kind
from scorefield.core.solvers.ancestral import Ancestral
from scorefield.core.solvers.exponential import DPMSolverMultistep, Exponential, UniPC
from scorefield.core.solvers.langevin import Langevin
from scorefield.core.solvers.onestep import EulerMaruyama, ReverseDiffusion
from scorefield.core.solvers.rungekutta import RungeKutta
from scorefield.core.solvers.solver import LinearSolver, Solver
from scorefield.core.solvers.splitting import SymmetricSplitting
from scorefield.core.solvers.stages import DPMSolverSinglestep
from scorefield.core.solvers.table import Rule

__all__ = ["SOLVERS", "SolverEntry", "describe_arguments", "make_solver"]

Final = Literal["none", "denoise"]


@dataclass(frozen=True)
class SolverEntry:
    """A solver's line in `list solvers`.

    Attributes:
        make: builds it from `steps` and its own arguments.
        kind: kind of prediction that its formula uses.
        order: global order on smooth problems (weak order where it is stochastic).
        evaluations: network evaluations per step.
        stochastic: whether it draws noise.
        source: where it was published.
    """

    make: Callable[..., Solver]
    kind: str
    order: str
    evaluations: str
    stochastic: bool
    source: str


def _linear(rule: type[Rule], **fixed: Any) -> Callable[..., Solver]:
    """A factory whose arguments are the rule's (less the fixed ones) and the linear solver's."""

    def make(
        steps: int,
        grid: str | None = None,
        end: float | None = None,
        final: Final = "none",
        reference: str | None = None,
        start: float | None = None,
        **arguments: Any,
    ) -> Solver:
        grid = _grid(grid, bool(arguments.get("published", False)))
        return LinearSolver(rule(**{**fixed, **arguments}), steps, grid, end, final, None, reference, start)

    own = [p for p in parameters(rule) if p.name not in fixed]
    common = [p for p in parameters(make) if p.kind is not inspect.Parameter.VAR_KEYWORD]
    make.__signature__ = inspect.Signature([*common, *own])  # type: ignore[attr-defined]
    return make


def _grid(name: str | None, published: bool) -> str:
    """The grid asked for; the published form of a solver has its own."""
    if published and name is not None:
        raise InputError(f"grid {name!r} with a published sampler", mend="it has its own grid: leave one of them out")
    return name or "logsnr"


def _pc(
    steps: int,
    predictor: Literal["sde", "reverse", "euler", "ancestral"] = "sde",
    snr: float = 0.16,
    scale: float = 1.0,
    corrector_steps: int = 1,
    norms: Literal["sample", "batch"] = "sample",
    num_scales: int | None = None,
    published: bool = False,
    grid: str | None = None,
    end: float | None = None,
    final: Final = "denoise",
    reference: str | None = None,
    start: float | None = None,
) -> Solver:
    rules: dict[str, Callable[[], Rule]] = {
        "sde": lambda: Exponential(order=1, eta=1.0),
        "reverse": lambda: ReverseDiffusion(published=published, num_scales=num_scales if published else None),
        "euler": lambda: EulerMaruyama(published=published),
        "ancestral": Ancestral,
    }
    if predictor not in rules:
        raise unknown("predictor", predictor, rules)
    if published and predictor not in ("reverse", "euler"):
        raise InputError(f"predictor {predictor!r} has no published grid", mend="leave published out")
    scales = num_scales or (steps if published else 1000)
    corrector = Langevin(snr, scale, corrector_steps, norms, max(scales, 1))
    return LinearSolver(rules[predictor](), steps, _grid(grid, published), end, final, corrector, reference, start)


def _s4(
    steps: int,
    snr: float = 0.16,
    scale: float = 1.0,
    norms: Literal["sample", "batch"] = "sample",
    num_scales: int | None = None,
    end: float = 1e-4,
) -> Solver:
    return SymmetricSplitting(steps, Langevin(snr, scale, 1, norms, max(num_scales or steps, 1)), end)


_DPM = "Lu et al. 2022, arXiv 2206.00927"
_DPMPP = "Lu et al. 2022, arXiv 2211.01095"
_SDE = "Song et al. 2021, arXiv 2011.13456"
_DATA: Kind = "data"

SOLVERS: dict[str, SolverEntry] = {
    "ddim": SolverEntry(
        _linear(DPMSolverMultistep, order=1, variant="midpoint"),
        "data",
        "1",
        "1",
        False,
        "Song et al. 2021, arXiv 2010.02502",
    ),
    "ddpm": SolverEntry(_linear(Ancestral), "data", "1", "1", True, "Ho et al. 2020, arXiv 2006.11239"),
    "dpmpp-2m": SolverEntry(_linear(DPMSolverMultistep, order=2, eta=0.0), "data", "2", "1", False, _DPMPP),
    "dpmpp-3m": SolverEntry(_linear(DPMSolverMultistep, order=3, eta=0.0), "data", "2-3", "1", False, _DPMPP),
    "dpmpp-2m-sde": SolverEntry(_linear(DPMSolverMultistep, order=2, eta=1.0), "data", "1", "1", True, _DPMPP),
    "dpm-2s": SolverEntry(_linear(DPMSolverSinglestep, order=2), "data", "2", "1 (packed)", False, _DPM),
    "dpm-3s": SolverEntry(_linear(DPMSolverSinglestep, order=3), "data", "3", "1 (packed)", False, _DPM),
    "unipc": SolverEntry(_linear(UniPC), "data", "2-4", "1", False, "Zhao et al. 2023, arXiv 2302.04867"),
    "exponential": SolverEntry(
        _linear(Exponential), "data", "1-4", "1", False, "this library; includes arXiv 2309.05019"
    ),
    "heun": SolverEntry(_linear(RungeKutta, order=2), "noise", "2", "2", False, "Karras et al. 2022, arXiv 2206.00364"),
    "euler-maruyama": SolverEntry(_linear(EulerMaruyama), "score", "1", "1", True, _SDE),
    "reverse-diffusion": SolverEntry(_linear(ReverseDiffusion), "score", "1", "1", True, _SDE),
    "pc": SolverEntry(_pc, "score", "1", "1 + corrector steps", True, _SDE),
    "s4": SolverEntry(_s4, "score", "2", "1", True, "Jo et al. 2022, arXiv 2202.02514"),
}


def make_solver(name: str, steps: int, **arguments: Any) -> Solver:
    """Build a solver from its name.

    Args:
        name: a key of `SOLVERS`.
        steps: steps of the time grid.
        arguments: the solver's own arguments; strings are read as the argument's type.

    Raises:
        InputError: unknown name, unknown argument, or a value that cannot be.
    """
    if name not in SOLVERS:
        raise unknown("solver", name, SOLVERS)
    make = SOLVERS[name].make
    own = [p for p in parameters(make) if p.name != "steps"]
    arguments = checked(f"solver {name}", own, arguments)
    return make(steps, **arguments)


def describe_arguments(name: str) -> str:
    """The arguments of a solver as a user would write them, each with its default, the other choices in brackets."""
    return ", ".join(described(p) for p in parameters(SOLVERS[name].make) if p.name != "steps")
