"""Solvers by the names that users type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scorefield.core.adaptive import DPMSolverAdaptive, TorchDiffEq
from scorefield.core.arguments import checked, described, parameters
from scorefield.core.empirical import DPMSolverV3
from scorefield.core.interpolants.sampling import Transport
from scorefield.core.names import unknown
from scorefield.core.predictions import Kind
from scorefield.core.solver_factories import corrected, framed, langevin, linear, pc, s4
from scorefield.core.solvers.adams import DEIS, HeavyBall
from scorefield.core.solvers.ancestral import Ancestral, AncestralSinglestep
from scorefield.core.solvers.exponential import DPMSolverMultistep, Exponential, UniPC
from scorefield.core.solvers.onestep import EulerMaruyama, ReverseDiffusion
from scorefield.core.solvers.rungekutta import RungeKutta
from scorefield.core.solvers.solver import Solver
from scorefield.core.solvers.stages import DPMSolverSinglestep
from scorefield.core.solvers.table import Rule

__all__ = ["INTERPOLANT_SOLVERS", "SOLVERS", "SolverEntry", "describe_arguments", "make_solver"]


@dataclass(frozen=True)
class SolverEntry:
    """A solver's line in `list solvers`.

    Attributes:
        make: builds it from `steps` and its own arguments.
        kind: kind of prediction that its formula uses.
        order: observed with the default arguments: of the error at the end, or, where the solver is stochastic, of the
            variance there.
        evaluations: network evaluations per step.
        stochastic: whether it draws noise.
        source: where it was published.
    """

    make: Callable[..., Solver]
    kind: Kind
    order: str
    evaluations: str
    stochastic: bool
    source: str


_ALBERGO = "Albergo et al. 2023, arXiv 2303.08797"
_CROWSON = "k-diffusion, Crowson 2022"
_DEIS = "Zhang and Chen 2023, arXiv 2204.13902"
_DPM = "Lu et al. 2022, arXiv 2206.00927"
_DPMPP = "Lu et al. 2022, arXiv 2211.01095"
_LANGEVIN = "Song and Ermon 2019, arXiv 1907.05600"
_SDE = "Song et al. 2021, arXiv 2011.13456"
_V3 = "Zheng et al. 2023, arXiv 2310.13268"

_NO_CHURN = {"s_churn": 0.0, "s_tmin": 0.0, "s_tmax": None, "s_noise": 1.0}
_ODE = {"eta": 0.0}
_IPNDM = {"order": 4, "beta": 1.0, "averaged": "predictions"}


def _rule(
    rule: Callable[..., Rule],
    order: str,
    source: str,
    fixed: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    grid: str = "logsnr",
    evaluations: str = "1",
) -> SolverEntry:
    """The entry of a rule on a grid; other arguments as of `linear`."""
    made = rule(**{**(fixed or {}), **(defaults or {})})
    return SolverEntry(linear(rule, grid, fixed, defaults), made.kind, order, evaluations, made.stochastic, source)


SOLVERS: dict[str, SolverEntry] = {
    "ddim": _rule(Ancestral, "1", "Song et al. 2021, arXiv 2010.02502", {"variance": "posterior"}, _ODE),
    "ddpm": _rule(Ancestral, "1", "Ho et al. 2020, arXiv 2006.11239"),
    "dpmpp-2m": _rule(DPMSolverMultistep, "2", _DPMPP, {"order": 2, **_ODE}),
    "dpmpp-3m": _rule(DPMSolverMultistep, "2-3", _DPMPP, {"order": 3, **_ODE}),
    "dpmpp-2m-sde": _rule(DPMSolverMultistep, "2", _DPMPP, {"order": 2, "warm_start": False}, {"eta": 1.0}),
    "dpmpp-3m-sde": _rule(
        DPMSolverMultistep, "2", _CROWSON, {"order": 3, "warm_start": False}, {"eta": 1.0, "variant": "taylor"}
    ),
    "dpmpp-sde": _rule(AncestralSinglestep, "1", _CROWSON, {"kind": "data", "inner": True}, evaluations="2"),
    "dpmpp-2s-ancestral": _rule(AncestralSinglestep, "2", _CROWSON, {"kind": "data", "inner": False}, evaluations="2"),
    "dpm-2-ancestral": _rule(AncestralSinglestep, "2", _CROWSON, {"kind": "noise", "inner": False}, evaluations="2"),
    "dpm-2s": _rule(DPMSolverSinglestep, "2", _DPM, {"order": 2}, evaluations="1 (packed)"),
    "dpm-3s": _rule(DPMSolverSinglestep, "2-3", _DPM, {"order": 3}, evaluations="1 (packed)"),
    "dpm-adaptive": SolverEntry(framed(DPMSolverAdaptive), "data", "2-3", "adaptive", False, _DPM),
    "dpm-v3": SolverEntry(framed(DPMSolverV3), "noise", "3-4", "1 (and 95 before)", False, _V3),
    "unipc": _rule(UniPC, "3-4", "Zhao et al. 2023, arXiv 2302.04867"),
    "exponential": _rule(Exponential, "2", "this library; includes arXiv 2309.05019"),
    "deis": _rule(DEIS, "3-4", _DEIS, grid="quadratic"),
    "deis-rk": _rule(RungeKutta, "3", _DEIS, _NO_CHURN, {"order": 3}, "quadratic", "3 (the order)"),
    "ipndm": _rule(HeavyBall, "1-2", "Liu et al. 2022, arXiv 2202.09778", _IPNDM, grid="uniform"),
    "ghvb": _rule(HeavyBall, "1-2", "Wizadwongsa et al. 2023, arXiv 2307.11118", grid="uniform"),
    "heun": _rule(RungeKutta, "2", "Karras et al. 2022, arXiv 2206.00364", {"order": 2}, evaluations="2"),
    "rk45": SolverEntry(framed(TorchDiffEq), "velocity", "5", "adaptive", False, _SDE),
    "euler-maruyama": _rule(EulerMaruyama, "1", _SDE),
    "reverse-diffusion": _rule(ReverseDiffusion, "1", _SDE),
    "pc": SolverEntry(corrected(pc), "score", "1", "1 + corrector steps", True, _SDE),
    "langevin": SolverEntry(corrected(langevin), "score", "-", "corrector steps", True, _LANGEVIN),
    "s4": SolverEntry(s4, "score", "1", "1", True, "Jo et al. 2022, arXiv 2202.02514"),
}

INTERPOLANT_SOLVERS: dict[str, SolverEntry] = {
    "transport": SolverEntry(Transport, "velocity", "2", "2", False, _ALBERGO),
}
"""Solvers of runs whose components are interpolants; `SOLVERS` need Gaussian paths."""

_ALL = {**SOLVERS, **INTERPOLANT_SOLVERS}


def make_solver(name: str, steps: int, **arguments: Any) -> Solver:
    """Build a solver from its name.

    Args:
        name: a key of `SOLVERS` or `INTERPOLANT_SOLVERS`.
        steps: steps of the time grid.
        arguments: the solver's own arguments; strings are read as the argument's type.

    Raises:
        InputError: unknown name, unknown argument, or a value that cannot be.
    """
    if name not in _ALL:
        raise unknown("solver", name, _ALL)
    make = _ALL[name].make
    own = [p for p in parameters(make) if p.name != "steps"]
    arguments = checked(f"solver {name}", own, arguments)
    return make(steps, **arguments)


def describe_arguments(name: str) -> str:
    """The arguments of a solver as a user would write them, each with its default, the other choices in brackets."""
    return ", ".join(described(p) for p in parameters(_ALL[name].make) if p.name != "steps")
