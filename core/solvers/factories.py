"""How the solvers that users name are put together from their arguments.

A factory's parameters after `steps`, typed, are what `list solvers` shows and what `--solver-arg` takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from scorefield.core.adaptive.dpm import DPMSolverAdaptive, Final
from scorefield.core.adaptive.ode import TorchDiffEq
from scorefield.core.arguments import parameters
from scorefield.core.empirical.v3 import DPMSolverV3
from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.core.solvers.adams import DEIS, HeavyBall
from scorefield.core.solvers.ancestral import Ancestral, AncestralSinglestep, PublishedAncestral
from scorefield.core.solvers.annealed import AnnealedLangevin
from scorefield.core.solvers.exponential import DPMSolverMultistep, Exponential, UniPC
from scorefield.core.solvers.langevin import Langevin, Sizes
from scorefield.core.solvers.onestep import EulerMaruyama, ReverseDiffusion
from scorefield.core.solvers.rungekutta import RungeKutta
from scorefield.core.solvers.solver import LinearSolver, Solver
from scorefield.core.solvers.splitting import SymmetricSplitting
from scorefield.core.solvers.stages import DPMSolverSinglestep
from scorefield.core.solvers.table import Rule
from scorefield.core.solvers.warmstart import WarmStart

Norms = Literal["sample", "batch"]


def linear(
    rule: Callable[..., Rule], default_grid: str = "logsnr", defaults: Mapping[str, Any] | None = None, **fixed: Any
) -> Callable[..., Solver]:
    """A factory whose arguments are the rule's and the linear solver's.

    Args:
        rule: what makes the rule.
        default_grid: the time grid, where the user names none.
        defaults: other defaults of the rule's arguments than its own.
        fixed: arguments of the rule that users don't choose.
    """
    own = {p.name: p for p in parameters(rule) if p.name not in fixed}
    defaults = defaults or {}

    def make(
        steps: int,
        grid: str | None = None,
        end: float | None = None,
        final: Final = "none",
        reference: str | None = None,
        start: float | None = None,
        **arguments: Any,
    ) -> Solver:
        grid = _grid(grid, bool(arguments.get("published", False)), default_grid)
        made = rule(**{**fixed, **defaults, **arguments})
        return LinearSolver(made, steps, grid, end, final, None, reference, start)

    shown = [p.replace(default=defaults.get(p.name, p.default)) for p in own.values()]
    common = [p for p in parameters(make) if p.kind is not inspect.Parameter.VAR_KEYWORD]
    if "published" not in own:
        common = [p.replace(default=default_grid) if p.name == "grid" else p for p in common]
    make.__signature__ = inspect.Signature([*common, *shown])  # type: ignore[attr-defined]
    return make


def _grid(name: str | None, published: bool, default: str = "logsnr") -> str:
    """The grid asked for; the published form of a solver has its own."""
    if published and name is not None:
        raise InputError(f"grid {name!r} with a published sampler", mend="it has its own grid: leave one of them out")
    return name or default


def warm(rule: type[DPMSolverMultistep] | type[Exponential]) -> Callable[..., Rule]:
    """The rule with one more argument: whether its first steps are of full order."""

    def make(warm_start: bool = False, **arguments: Any) -> Rule:
        made = rule(**arguments)
        return WarmStart(made) if warm_start else made

    extra = [p for p in parameters(make) if p.kind is not inspect.Parameter.VAR_KEYWORD]
    make.__signature__ = inspect.Signature([*parameters(rule), *extra])  # type: ignore[attr-defined]
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
    grid: str | None = None,
    end: float | None = None,
    final: Final = "denoise",
    reference: str | None = None,
    start: float | None = None,
) -> Solver:
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
    corrector = Langevin(snr, scale, corrector_steps, norms, max(scales, 1), sizes)
    return LinearSolver(rules[predictor](), steps, _grid(grid, published), end, final, corrector, reference, start)


def langevin(
    steps: int,
    snr: float = 0.16,
    scale: float = 1.0,
    corrector_steps: int = 1,
    norms: Norms = "sample",
    sizes: Sizes = "annealed",
    num_scales: int = 1000,
    grid: str = "logsnr",
    end: float | None = None,
    final: Final = "denoise",
    reference: str | None = None,
    start: float | None = None,
) -> Solver:
    """Annealed Langevin dynamics."""
    corrector = Langevin(snr, scale, corrector_steps, norms, num_scales, sizes)
    return AnnealedLangevin(steps, corrector, grid, end, final, reference, start)


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


_multistep, _exponential = warm(DPMSolverMultistep), warm(Exponential)
_no_churn: dict[str, Any] = {"s_churn": 0.0, "s_tmin": 0.0, "s_tmax": None, "s_noise": 1.0}

ddim = linear(Ancestral, defaults={"eta": 0.0}, variance="posterior")
ddpm = linear(Ancestral)
deis = linear(DEIS, "quadratic")
deis_rk = linear(RungeKutta, "quadratic", {"order": 3}, **_no_churn)
dpm_2_ancestral = linear(AncestralSinglestep, kind="noise", inner=False)
dpm_2s = linear(DPMSolverSinglestep, order=2)
dpm_3s = linear(DPMSolverSinglestep, order=3)
dpm_adaptive = DPMSolverAdaptive
dpm_v3 = DPMSolverV3
dpmpp_2m = linear(_multistep, order=2, eta=0.0)
dpmpp_2m_sde = linear(DPMSolverMultistep, defaults={"eta": 1.0}, order=2)
dpmpp_2s_ancestral = linear(AncestralSinglestep, kind="data", inner=False)
dpmpp_3m = linear(_multistep, order=3, eta=0.0)
dpmpp_3m_sde = linear(DPMSolverMultistep, defaults={"eta": 1.0, "variant": "taylor"}, order=3)
dpmpp_sde = linear(AncestralSinglestep, kind="data", inner=True)
euler_maruyama = linear(EulerMaruyama)
exponential = linear(_exponential)
ghvb = linear(HeavyBall, "uniform")
heun = linear(RungeKutta, order=2)
ipndm = linear(HeavyBall, "uniform", order=4, beta=1.0, averaged="predictions")
reverse_diffusion = linear(ReverseDiffusion)
unipc = linear(UniPC)
rk45 = TorchDiffEq
