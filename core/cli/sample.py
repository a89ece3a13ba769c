"""`scorefield sample`: generate from a run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from scorefield.core.cli.command import Command
from scorefield.core.cli.options import (
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
    from scorefield.core.generation import Generated, Generator
    from scorefield.core.model import Model

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield sample molecules_small --num 100 --out molecules.smi
  scorefield sample runs/qm9_gdss/001 --num 10000 --out molecules.csv --solver unipc --steps 20 --seed 1
  scorefield sample runs/qm9_gdss/001 --num 10000 --out molecules.smi --devices 2
  scorefield sample runs/qm9_gdss/001 --num 1000 --out molecules.smi --guide degree=2.2:50 --guide atoms.N=0.3:200
  scorefield sample runs/rescale/001 --num 10 --condition ratio=0.3 --out samples/
  torchrun --nnodes 2 --nproc-per-node 4 ... -m -- scorefield sample RUN --num 1000000 --out molecules.parquet

An interrupted command goes on where it stopped when it is run again. The bytes of FILE depend neither on
interruptions nor on the number of processes, as long as --threads, the machine type and the settings stay.
torchrun needs the `--`, or it takes --num for an option of its own."""


def add_arguments(parser: ArgumentParser) -> None:
    """What to sample, how, and where."""
    parser.add_argument("run_name", metavar="RUN", help="a run folder, else the name of a packaged run")
    parser.add_argument("--num", type=int, required=True, help="number of samples")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="its suffix is the format; of digraphs also DIR"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what other settings made")
    _add_sampler(parser)
    add_machine(parser)


def _add_sampler(parser: ArgumentParser) -> None:
    group = add_sampler(parser, "defaults are the run's")
    group.add_argument("--way", help="how to, see `scorefield list ways`; by gradients where there are, else particles")
    group.add_argument("--way-arg", action="append", default=[], metavar="K=V", help="argument of the way; repeatable")
    group.add_argument(
        "--teleport", metavar="FILE:TIME",
        help="start at this time (0.7, say), as Gaussian data would have got there; core/teleport.py makes FILE",
    )  # fmt: skip


def run(args: Namespace) -> int:
    """Check everything, generate, and say what came out."""
    check_counts(args)
    from scorefield.core.runs import resolve_run

    resolve_run(args.run_name)  # a misspelt name is found before anything heavy is imported
    with without_collecting():
        from scorefield.core.generation import choose_chunk_size, generate

        generator = _generator(args)
    machine, size = machine_of(args, getattr(generator, "device", None)), choose_chunk_size(generator, args.chunk_size)
    try:
        made = generate(generator, args.out, args.num, size, machine, args.overwrite)
    except FloatingPointError as error:
        mend = "train it on, or try another solver or other arguments"
        if args.guide:
            mend = "lower the weights of --guide, or take more steps"
        raise InputError(str(error), file=args.run_name, mend=mend) from error
    if made is not None:
        print(_line(args.out, made))
    return 0


def _generator(args: Namespace) -> Generator:
    from scorefield.core.model import Model

    model = Model(args.run_name)
    _check_out(model, args.out, args.num)
    arguments = pairs("--solver-arg", args.solver_arg)
    if args.grid is not None:
        arguments["grid"] = args.grid
    return model.source(
        args.seed,
        pairs("--condition", args.condition),
        solver=args.solver,
        steps=args.steps,
        weights=args.weights,
        precision=args.precision,
        arguments=arguments,
        guide=args.guide,
        way=args.way,
        way_arguments=pairs("--way-arg", args.way_arg),
        teleport=args.teleport,
        **given(args, "tile_size"),
    )


def _check_out(model: Model, out: Path, num: int) -> None:
    """Refuse a file that the samples cannot be saved as."""
    if hasattr(model.domain, "check_place"):
        model.domain.check_place(out, num)
        return
    known = model.domain.suffixes(model.record.tables)
    if not out.name.lower().endswith(known):
        raise InputError(f"unknown suffix {out.suffix!r}", file=out, mend=f"give one of {', '.join(known)}")


def _line(file: Path, made: Generated) -> str:
    summary = made.summary
    if not made.new:
        return f"{file}: already there, made with these settings"
    calls, seconds = summary["evaluations"], summary["seconds"]
    effort = f"{calls:g} network calls each, " if calls else ""
    return f"{file}: {summary['num']} samples, {effort}{seconds:.1f} s"


COMMAND = Command("sample", "generate from a run", EXAMPLES, add_arguments, run)
