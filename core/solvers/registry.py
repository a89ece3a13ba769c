"""Solvers by the names that users type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scorefield.core.arguments import checked, described, parameters
from scorefield.core.names import unknown
from scorefield.core.predictions import Kind
from scorefield.core.solvers import factories
from scorefield.core.solvers.solver import Solver

__all__ = ["SOLVERS", "SolverEntry", "describe_arguments", "make_solver"]


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


_CROWSON = "k-diffusion, Crowson 2022"
_DEIS = "Zhang and Chen 2023, arXiv 2204.13902"
_DPM = "Lu et al. 2022, arXiv 2206.00927"
_DPMPP = "Lu et al. 2022, arXiv 2211.01095"
_LANGEVIN = "Song and Ermon 2019, arXiv 1907.05600"
_OWN = "this library; includes arXiv 2309.05019"
_SDE = "Song et al. 2021, arXiv 2011.13456"
_V3 = "Zheng et al. 2023, arXiv 2310.13268"

SOLVERS: dict[str, SolverEntry] = {
    "ddim": SolverEntry(factories.ddim, "data", "1", "1", False, "Song et al. 2021, arXiv 2010.02502"),
    "ddpm": SolverEntry(factories.ddpm, "data", "1", "1", True, "Ho et al. 2020, arXiv 2006.11239"),
    "dpmpp-2m": SolverEntry(factories.dpmpp_2m, "data", "2", "1", False, _DPMPP),
    "dpmpp-3m": SolverEntry(factories.dpmpp_3m, "data", "2-3", "1", False, _DPMPP),
    "dpmpp-2m-sde": SolverEntry(factories.dpmpp_2m_sde, "data", "2", "1", True, _DPMPP),
    "dpmpp-3m-sde": SolverEntry(factories.dpmpp_3m_sde, "data", "2", "1", True, _CROWSON),
    "dpmpp-sde": SolverEntry(factories.dpmpp_sde, "data", "1", "2", True, _CROWSON),
    "dpmpp-2s-ancestral": SolverEntry(factories.dpmpp_2s_ancestral, "data", "2", "2", True, _CROWSON),
    "dpm-2-ancestral": SolverEntry(factories.dpm_2_ancestral, "noise", "2", "2", True, _CROWSON),
    "dpm-2s": SolverEntry(factories.dpm_2s, "data", "2", "1 (packed)", False, _DPM),
    "dpm-3s": SolverEntry(factories.dpm_3s, "data", "2-3", "1 (packed)", False, _DPM),
    "dpm-adaptive": SolverEntry(factories.dpm_adaptive, "data", "2-3", "adaptive", False, _DPM),
    "dpm-v3": SolverEntry(factories.dpm_v3, "noise", "3-4", "1 (and 95 before)", False, _V3),
    "unipc": SolverEntry(factories.unipc, "data", "3-4", "1", False, "Zhao et al. 2023, arXiv 2302.04867"),
    "exponential": SolverEntry(factories.exponential, "data", "2", "1", False, _OWN),
    "deis": SolverEntry(factories.deis, "noise", "3-4", "1", False, _DEIS),
    "deis-rk": SolverEntry(factories.deis_rk, "noise", "3", "3 (the order)", False, _DEIS),
    "ipndm": SolverEntry(factories.ipndm, "noise", "1-2", "1", False, "Liu et al. 2022, arXiv 2202.09778"),
    "ghvb": SolverEntry(factories.ghvb, "noise", "1-2", "1", False, "Wizadwongsa et al. 2023, arXiv 2307.11118"),
    "heun": SolverEntry(factories.heun, "noise", "2", "2", False, "Karras et al. 2022, arXiv 2206.00364"),
    "rk45": SolverEntry(factories.rk45, "velocity", "5", "adaptive", False, _SDE),
    "euler-maruyama": SolverEntry(factories.euler_maruyama, "score", "1", "1", True, _SDE),
    "reverse-diffusion": SolverEntry(factories.reverse_diffusion, "score", "1", "1", True, _SDE),
    "pc": SolverEntry(factories.pc, "score", "1", "1 + corrector steps", True, _SDE),
    "langevin": SolverEntry(factories.langevin, "score", "-", "corrector steps", True, _LANGEVIN),
    "s4": SolverEntry(factories.s4, "score", "1", "1", True, "Jo et al. 2022, arXiv 2202.02514"),
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
