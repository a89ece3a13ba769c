"""What `forecast`, `impute` and `interpolate` have in common: they complete what a file holds of something."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield.core.cli.command import Command
from scorefield.core.cli.options import (
    add_files,
    add_machine,
    add_sampler,
    check_counts,
    given,
    machine_of,
    pairs,
    without_collecting,
)
from scorefield.core.errors import InputError

if TYPE_CHECKING:
    from scorefield.core.completer import Completer
    from scorefield.core.completion import Items, Outputs, TaskName
    from scorefield.core.generation import Generated
    from scorefield.core.item_paths import ItemPaths

__all__ = ["completing_command", "given_options", "make_file", "outputs_of"]

_PICTURES = (".png", ".svg", ".html")
_OPTIONS = ("horizon", "holdout", "missing", "given", "fill")


def completing_command(
    name: TaskName, help_line: str, examples: str, add_options: Callable[[ArgumentParser], None]
) -> Command:
    """A command that completes.

    Args:
        name: the task.
        help_line: one line.
        examples: shown below the options.
        add_options: adds those that only this command has.
    """
    return Command(name, help_line, examples, partial(_add_arguments, add_options), partial(_run, name))


def given_options(parser: ArgumentParser) -> None:
    """What says which steps are given, and what stands for the others."""
    parser.add_argument(
        "--given", metavar="STEPS",
        help="these steps of each window are given, the others are not, as in 0:5,20:24; what FILE holds of those is "
        "taken as the truth to compare with",
    )  # fmt: skip
    parser.add_argument("--fill", choices=("median", "mean"), help="what stands for missing values (default median)")


def _add_arguments(add_options: Callable[[ArgumentParser], None], parser: ArgumentParser) -> None:
    add_files(parser, "FILE", "given values", "group=ticker, time=date")
    add_options(parser)
    group = parser.add_argument_group("observations (defaults are the domain's, see docs/completion.md)")
    group.add_argument(
        "--way", help="how given values act: moments, replacement, self, gradient, dps, particles, afdps"
    )
    group.add_argument("--way-arg", action="append", default=[], metavar="K=V", help="argument of the way; repeatable")
    group.add_argument(
        "--potential", metavar="gaussian|quantile",
        help="what is said of given values: what they are, or which quantile of each path they are (the latter by "
        "default with --way self)",
    )  # fmt: skip
    group.add_argument("--std", type=float, help="error of given values (scale of quantiles) as the model sees them")
    group.add_argument("--levels", metavar="ORDER", help="of quantile levels: ordered, shuffled or random")
    group.add_argument("--hard", action="store_true", default=None, help="replace given values at every step besides")
    add_sampler(parser, "defaults are the domain's")
    add_machine(parser)


def _run(name: TaskName, args: Namespace) -> int:
    """Read, check everything, complete, write, and say what came out."""
    check_counts(args)
    from scorefield.core.runs import resolve_run

    resolve_run(args.run_name)  # a misspelt name is found before anything heavy is imported
    with without_collecting():
        outputs = outputs_of(args)
        completer = _completer(name, args)
    return make_file(completer, outputs, args, "try --way replacement, a larger --std, or more --steps")


def make_file(paths: ItemPaths, outputs: Outputs, args: Namespace, mend: str) -> int:
    """Make paths of all items, write them, and say what came out; `mend` is what to do where numbers overflow.

    Raises:
        InputError: a file cannot be written, is another request's, or numbers overflow.
    """
    paths.items.check(outputs)
    try:
        made = _generated(paths, outputs, args, args.overwrite)
        if made is not None and not made.new and outputs.plot is not None and not outputs.plot.exists():
            # These settings have made the file without this picture: the same bytes once more, now with it.
            made = _generated(paths, outputs, args, overwrite=True)
    except FloatingPointError as error:
        raise InputError(str(error), file=args.run_name, mend=mend) from error
    if made is not None:
        print(_lines(outputs, made, paths.items))
    return 0


def _generated(paths: ItemPaths, outputs: Outputs, args: Namespace, overwrite: bool) -> Generated | None:
    from scorefield.core.generation import generate

    return generate(
        paths, args.out, paths.num, paths.chunk_size, machine_of(args), overwrite,
        lambda filled, file: paths.items.write(filled, outputs), {"all_paths": outputs.paths},
    )  # fmt: skip


def outputs_of(args: Namespace) -> Outputs:
    """Where results go.

    Raises:
        InputError: a picture of an unknown format.
    """
    from scorefield.core.completion import Outputs

    plot = None
    if args.plot is not None:
        plot = Path(args.plot) if args.plot else args.out.with_name(f"{args.out.name}.png")
        if plot.suffix.lower() not in _PICTURES:
            raise InputError("no format of pictures", file=plot, mend=f"end its name in {', '.join(_PICTURES)}")
    return Outputs(args.out, plot, args.paths)


def _completer(name: TaskName, args: Namespace) -> Completer:
    from scorefield.core.completer import Observe
    from scorefield.core.completion import Task
    from scorefield.core.model import Model

    options = {option: getattr(args, option) for option in _OPTIONS if getattr(args, option, None) is not None}
    task = Task(name, args.data, {k: v for k, v in options.items() if v is not False}, pairs("--read", args.read))
    arguments: dict[str, Any] = pairs("--solver-arg", args.solver_arg)
    if args.grid is not None:
        arguments["grid"] = args.grid
    return Model(args.run_name).completer(
        task,
        args.num,
        args.solver,
        args.steps,
        observe=Observe(args.way, pairs("--way-arg", args.way_arg), args.std, args.potential, args.levels, args.hard),
        arguments=arguments,
        seed=args.seed,
        weights=args.weights,
        precision=args.precision,
        conditions=pairs("--condition", args.condition),
        guide=args.guide,
        **given(args, "chunk_size", "tile_size"),
    )


def _lines(outputs: Outputs, made: Generated, items: Items) -> str:
    summary, file = made.summary, outputs.file
    if not made.new:
        return f"{file}: already there, made with these settings"
    calls, seconds = summary["evaluations"], summary["seconds"]
    lines = [
        f"{file}: {summary['num']} paths of {summary['filled']} values in {summary['items']} {items.noun}, {calls:g} "
        f"network calls each, {seconds:.1f} s"
    ]
    lines += [f"picture in {outputs.plot}"] if outputs.plot is not None else []
    lines += items.told(summary)
    return "\n".join(lines)
