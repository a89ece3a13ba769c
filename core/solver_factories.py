"""How the solvers that users name are put together from their arguments.

A factory's parameters after `steps`, typed, are what `list solvers` shows and what `--solver-arg` takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from scorefield.core.arguments import parameters
from scorefield.core.errors import InputError
from scorefield.core.langevin.corrector import Langevin, Sizes
from scorefield.core.langevin.splitting import SymmetricSplitting
from scorefield.core.names import unknown
from scorefield.core.solvers.ancestral import Ancestral
from scorefield.core.solvers.exponential import Exponential
from scorefield.core.solvers.onestep import EulerMaruyama, PublishedAncestral, ReverseDiffusion
from scorefield.core.solvers.solver import Ends, LinearSolver, Solver
from scorefield.core.solvers.table import Rule, Still

__all__ = ["Parts", "corrected", "framed", "langevin", "linear", "pc", "s4"]

Norms = Literal["sample", "batch"]
Parts = tuple[Rule, Langevin | None]

_ENDS = [p for p in parameters(LinearSolver) if p.name in Ends.__annotations__]
_GRID = inspect.Parameter("grid", inspect.Parameter.KEYWORD_ONLY, annotation=str | None)


def linear(
    rule: Callable[..., Rule],
    grid: str = "logsnr",
    fixed: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Callable[..., Solver]:
    """A factory whose arguments are the linear solver's, then the rule's.

    Args:
        rule: what makes the rule.
        grid: the time grid, where the user names none.
        fixed: arguments of the rule that users don't choose.
        defaults: other defaults of its arguments than its own.
    """
    settings = {**(fixed or {}), **(defaults or {})}
    own = [p.replace(default=settings.get(p.name, p.default)) for p in parameters(rule) if p.name not in (fixed or {})]

    def parts(steps: int, **arguments: Any) -> Parts:
        return rule(**{**settings, **arguments}), None

    make, shared = _on_a_grid(parts, own, grid)
    return _taking(make, [*shared, *own])


def corrected(parts: Callable[..., Parts]) -> Callable[..., Solver]:
    """A factory whose arguments are those of `parts`, then the linear solver's; it ends in a denoising evaluation."""
    own = [p for p in parameters(parts) if p.name != "steps"]
    make, shared = _on_a_grid(parts, own, "logsnr", final="denoise")
    return _taking(make, [*own, *shared])


def framed(solver: Callable[..., Solver]) -> Callable[..., Solver]:
    """A factory whose arguments are a solver's own, then those of the linear solver's that it passes on."""
    own = [p for p in parameters(solver) if p.kind is not inspect.Parameter.VAR_KEYWORD and p.name != "steps"]

    def make(steps: int, **arguments: Any) -> Solver:
        return solver(steps, **arguments)

    return _taking(make, [*own, *_ENDS])


def _on_a_grid(
    parts: Callable[..., Parts], own: list[inspect.Parameter], grid: str, **defaults: Any
) -> tuple[Callable[..., Solver], list[inspect.Parameter]]:
    """What makes a linear solver of `parts`, and the arguments that it takes beside theirs."""
    published = any(p.name == "published" for p in own)
    defaults["grid"] = None if published else grid
    shared = [p.replace(default=defaults.get(p.name, p.default)) for p in (_GRID, *_ENDS)]

    def make(steps: int, **arguments: Any) -> Solver:
        frame = {p.name: arguments.pop(p.name, p.default) for p in shared}
        if arguments.get("published") and frame["grid"] is not None:
            what = f"grid {frame['grid']!r} with a published sampler"
            raise InputError(what, mend="it has its own grid: leave one of them out")
        frame["grid"] = frame["grid"] or grid
        rule, corrector = parts(steps, **arguments)
        return LinearSolver(rule, steps, corrector=corrector, **frame)

    return make, shared


def _taking(make: Callable[..., Solver], arguments: list[inspect.Parameter]) -> Callable[..., Solver]:
    make.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
    return make


def pc(
    steps: int,
    predictor: Literal["sde", "reverse", "euler", "ancestral"] = "sde",
    snr: float = 0.16,
    scale: float = 1.0,
    corrector_steps: int = 1,
    norms: Norms = "sample",
    sizes: Sizes = "adapted",
    num_scales: int | None = None,
    published: bool = False,
) -> Parts:
    """Predictor-corrector sampling; `published` as in the score-SDE code."""
    scales = num_scales or (steps if published else 1000)
    rules: dict[str, Callable[[], Rule]] = {
        "sde": lambda: Exponential(order=1, eta=1.0),
        "reverse": lambda: ReverseDiffusion(published=published, num_scales=num_scales if published else None),
        "euler": lambda: EulerMaruyama(published=published),
        "ancestral": lambda: PublishedAncestral(num_scales) if published else Ancestral(),
    }
    if predictor not in rules:
        raise unknown("predictor", predictor, rules)
    if published and predictor == "sde":
        raise InputError(f"predictor {predictor!r} has no published grid", mend="leave published out")
    return rules[predictor](), Langevin(snr, scale, corrector_steps, norms, max(scales, 1), sizes)


def langevin(
    steps: int,
    snr: float = 0.16,
    scale: float = 1.0,
    corrector_steps: int = 1,
    norms: Norms = "sample",
    sizes: Sizes = "annealed",
    num_scales: int = 1000,
) -> Parts:
    """Annealed Langevin dynamics (Song and Ermon 2019): nothing but corrector moves, at times that decrease."""
    return Still(), Langevin(snr, scale, corrector_steps, norms, num_scales, sizes)


def s4(
    steps: int,
    snr: float = 0.16,
    scale: float = 1.0,
    norms: Norms = "sample",
    num_scales: int | None = None,
    end: float = 1e-4,
    start: float = 1.0,
) -> Solver:
    """Symmetric splitting of GDSS."""
    return SymmetricSplitting(steps, Langevin(snr, scale, 1, norms, max(num_scales or steps, 1)), end, start)
