"""`scorefield list`: what there is, one line each."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

from scorefield.core.cli.command import Command
from scorefield.core.configs import config_summary, packaged_configs
from scorefield.core.domains import find_domains
from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.core.runs import Run, local_runs, packaged_runs

if TYPE_CHECKING:
    from scorefield.core.comparison import Comparing
    from scorefield.core.guidance.potentials import Potential

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield list configs
  scorefield list solvers"""

Rows = Iterable[tuple[str, str]]


def add_arguments(parser: ArgumentParser) -> None:
    """What to list."""
    parser.add_argument("what", metavar="WHAT", help=f"one of {', '.join(_LISTS)}")


def run(args: Namespace) -> int:
    """Print the lines."""
    if args.what not in _LISTS:
        raise unknown("list", args.what, _LISTS)
    rows, nothing = _LISTS[args.what]
    print(_aligned(rows()) or nothing)
    return 0


def _aligned(rows: Rows) -> str:
    lines = list(rows)
    width = max((len(name) for name, _ in lines), default=0)
    return "\n".join(f"{name:<{width}}  {text}".rstrip() for name, text in lines)


def _configs() -> Rows:
    return [(name, config_summary(path)) for name, path in packaged_configs().items()]


def _domains() -> Rows:
    return [(name, entry.description()) for name, entry in find_domains().items()]


def _runs() -> Rows:
    for folder in local_runs():
        yield str(folder), _run_summary(Run(folder))
    for name, folder in packaged_runs().items():
        yield name, f"packaged; {_run_summary(Run(folder))}"


def _run_summary(run: Run) -> str:
    """A list shows broken runs too, with what is wrong."""
    if not run.model_file.is_file():
        return "not finished"
    try:
        return run.summary()
    except InputError as error:
        return f"broken: {error}"


def _solvers() -> Rows:
    from scorefield.core.solver_registry import INTERPOLANT_SOLVERS, SOLVERS, describe_arguments

    for name, entry in {**SOLVERS, **INTERPOLANT_SOLVERS}.items():
        kind = "stochastic" if entry.stochastic else "deterministic"
        evaluations = f"{entry.evaluations} evaluation{'' if entry.evaluations == '1' else 's'} a step"
        scope = "" if name in SOLVERS else "for interpolants; "
        yield name, f"{scope}{kind}, order {entry.order}, {evaluations}, uses the {entry.kind}; {entry.source}"
        yield "", f"arguments: {describe_arguments(name)}"


def _statistics() -> Rows:
    for domain, entry in find_domains().items():
        for name, text in cast("Comparing", entry.load()).statistics_table():
            yield f"{domain}/{name}", text


def _simulations() -> Rows:
    from scorefield.core.simulation import simulations

    for name, simulation in simulations().items():
        yield name, simulation.description
        yield "", f"options: {', '.join(option.flag for option in simulation.options)}"


def _potentials() -> Rows:
    from scorefield.core.guidance.naming import CONDITION, named_potentials
    from scorefield.core.guidance.registry import PYTHON_POTENTIALS, ways_for

    def told(kind: type[Potential], text: str) -> str:
        gradient = "differentiable" if kind.differentiable else "no gradient"
        return f"{gradient}; {', '.join(ways_for(kind)) or 'no way yet'}; {text}"

    for domain, entry in find_domains().items():
        for name, potential in named_potentials(entry.load()).items():
            yield f"{domain}/{name}{potential.syntax}", told(potential.kind, potential.description)
    yield f"core/{CONDITION}", "classifier-free; strengthens the run's own condition, weight 1 leaves it as it is"
    for kind in PYTHON_POTENTIALS:
        yield f"core/{kind.__name__}", f"{told(kind, _first_line(kind))} (Python only)"


def _first_line(kind: type) -> str:
    text = (kind.__doc__ or "").partition("\n")[0].rstrip(".")
    return text[:1].lower() + text[1:]


def _ways() -> Rows:
    from scorefield.core.guidance.registry import WAYS, describe_way

    for name, way in WAYS.items():
        yield name, f"{way.description}; {way.source}"
        yield "", f"arguments: {describe_way(name)}"


# What can be listed -> its rows, and the line that stands for none.
_LISTS: dict[str, tuple[Callable[[], Rows], str]] = {
    "configs": (_configs, "no configurations are packaged"),
    "domains": (_domains, "no domains are installed"),
    "runs": (_runs, "no runs here (looked in ./runs) and none packaged"),
    "solvers": (_solvers, "no solvers"),
    "statistics": (_statistics, "no statistics"),
    "potentials": (_potentials, "no potentials"),
    "simulations": (_simulations, "no domain has simulations"),
    "ways": (_ways, "no ways of using potentials"),
}

COMMAND = Command("list", "show what there is: configs, domains, runs, solvers and more", EXAMPLES, add_arguments, run)
