"""`scorefield simulate`: data from a simulation that a domain offers."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scorefield.core.cli.command import Parser, RawCommand
from scorefield.core.cli.options import without_collecting
from scorefield.core.errors import InputError
from scorefield.core.simulation import Option, Simulation, chosen, find_simulation, simulations

if TYPE_CHECKING:
    from scorefield.core.generation import Generated

__all__ = ["COMMAND"]

_HELP = "simulate data: particles, molecules"

EXAMPLES = """\
examples:
  scorefield simulate charged --num 14000 --seed 43 --out charged.npz
  scorefield simulate gravity --num 2000 --nodes 20 --out gravity20.npz --devices 2
  scorefield simulate aspirin --num 8 --temperature 300 --out aspirin.npz
  scorefield simulate springs --help                    what can be set

An interrupted command goes on where it stopped when it is run again. Sample k of a seed is the same for any --num.
FILE.json tells how FILE was made."""


def run(words: Sequence[str]) -> int:
    """Find the simulation, check everything, simulate, and say what came out."""
    name = words[0] if words else ""
    if name in ("", "-h", "--help"):
        return _overview(name)
    if name.startswith("-"):
        raise InputError(f"{name} stands before NAME", mend="write it as `scorefield simulate NAME --num N --out FILE`")
    simulation = find_simulation(name)
    parser = Parser(f"scorefield simulate {name}", simulation.description, EXAMPLES)
    _add_arguments(parser, simulation)
    args = parser.parse(words[1:])
    for place, value, least in (("--num", args.num, 1), ("--seed", args.seed, 0), ("--devices", args.devices, 1)):
        if value < least:
            raise InputError(f"{value} is too small", place=place, mend=f"give at least {least}")
    if not args.out.name.lower().endswith(simulation.suffixes):
        mend = f"give one of {', '.join(simulation.suffixes)}"
        raise InputError(f"unknown suffix {args.out.suffix!r}", file=args.out, mend=mend)
    made = _simulated(simulation, args)
    if made is not None:
        print(_line(args.out, made))
    return 0


def _overview(asked: str) -> int:
    """Print what can be simulated; asking for nothing is an error.

    Raises:
        InputError: no name was given.
    """
    known = simulations()
    if not asked:
        raise InputError("the following arguments are required: NAME", mend="see `scorefield simulate --help`")
    width = max(map(len, known), default=0)
    names = "\n".join(f"  {name:<{width}}  {known[name].description}" for name in known) or "  no domain has any"
    text = f"simulations:\n{names}\n\nscorefield simulate NAME --help shows what else can be set.\n\n{EXAMPLES}"
    parser = Parser("scorefield simulate", _HELP, text)
    parser.add_argument("name", metavar="NAME", help="what to simulate")
    _add_common(parser)
    parser.usage = "scorefield simulate NAME --num N --out FILE [options]"
    parser.print_help()
    return 0


def _add_common(parser: ArgumentParser) -> None:
    parser.add_argument("--num", type=int, required=True, metavar="N", help="number of samples")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default 0")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="its suffix is the format")
    parser.add_argument("--overwrite", action="store_true", help="replace what other settings made")
    parser.add_argument("--devices", type=int, default=1, metavar="P", help="processes that share the work (default 1)")


def _add_arguments(parser: ArgumentParser, simulation: Simulation) -> None:
    _add_common(parser)
    group = parser.add_argument_group("simulation")
    for option in simulation.options:
        if isinstance(option.default, bool):
            group.add_argument(option.flag, action="store_true", help=option.help)
        else:
            group.add_argument(
                option.flag, type=type(option.default), default=option.default, metavar=_metavar(option),
                help=f"{option.help} (default %(default)s)",
            )  # fmt: skip


def _metavar(option: Option) -> str:
    return {int: "N", float: "X"}.get(type(option.default), "VALUE")


def _simulated(simulation: Simulation, args: Namespace) -> Generated | None:
    """Make the file, or what is missing of it."""
    values = chosen(simulation, {option.name: getattr(args, option.name) for option in simulation.options})
    with without_collecting():
        from scorefield.core.generation import Machine, generate

        generator = simulation.generator(args.seed, values)
    machine = Machine("cpu", args.devices)
    return generate(generator, args.out, args.num, simulation.chunk_size, machine, args.overwrite)


def _line(file: Path, made: Generated) -> str:
    summary = made.summary
    if not made.new:
        return f"{file}: already there, made with these settings"
    return f"{file}: {summary['num']} samples, {summary['seconds']:.1f} s"


COMMAND = RawCommand("simulate", _HELP, run)
