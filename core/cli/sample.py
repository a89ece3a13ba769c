"""`scorefield sample`: generate from a run."""

from __future__ import annotations

import gc
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield.core.cli.command import Command
from scorefield.core.errors import InputError

if TYPE_CHECKING:
    from scorefield.core.diffusion import Diffusion
    from scorefield.core.generation import Generated, Machine

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield sample molecules_small --num 100 --out molecules.smi
  scorefield sample runs/qm9_gdss/001 --num 10000 --out molecules.csv --solver unipc --steps 20 --seed 1
  scorefield sample runs/qm9_gdss/001 --num 10000 --out molecules.smi --devices 2
  scorefield sample runs/qm9_gdss/001 --num 1000 --out molecules.smi --guide degree=2.2:50 --guide atoms.N=0.3:200
  torchrun --nnodes 2 --nproc-per-node 4 ... -m -- scorefield sample RUN --num 1000000 --out molecules.parquet

An interrupted command goes on where it stopped when it is run again. The bytes of FILE depend neither on
interruptions nor on the number of processes, as long as --threads, the machine type and the settings stay.
torchrun needs the `--`, or it takes --num for an option of its own."""


def add_arguments(parser: ArgumentParser) -> None:
    """What to sample, how, and where."""
    parser.add_argument("run_name", metavar="RUN", help="a run folder, else the name of a packaged run")
    parser.add_argument("--num", type=int, required=True, help="number of samples")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="its suffix is the format")
    parser.add_argument("--overwrite", action="store_true", help="replace what other settings made")
    _add_sampler(parser)
    _add_machine(parser)


def _add_sampler(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("sampler (defaults are the run's)")
    group.add_argument("--solver", help="`scorefield list solvers` shows them")
    group.add_argument("--steps", type=int, help="steps of the solver")
    group.add_argument("--grid", help="time grid of the solver")
    group.add_argument(
        "--solver-arg", action="append", default=[], metavar="K=V",
        help="argument of the solver, see `scorefield list solvers`; repeatable",
    )  # fmt: skip
    group.add_argument("--weights", choices=("raw", "ema"), help="trained or averaged weights")
    group.add_argument("--condition", action="append", default=[], metavar="K=V", help="as num_nodes=7; repeatable")
    group.add_argument(
        "--guide", action="append", default=[], metavar="NAME[=TARGET][:WEIGHT]",
        help="what to guide by, see `scorefield list potentials`; weight 1 by default; repeatable",
    )  # fmt: skip
    group.add_argument("--way", help="how to, see `scorefield list ways`; by gradients where there are, else particles")
    group.add_argument("--way-arg", action="append", default=[], metavar="K=V", help="argument of the way; repeatable")
    group.add_argument(
        "--teleport", metavar="FILE:TIME",
        help="start at this time (0.7, say), as Gaussian data would have got there; core/teleport.py makes FILE",
    )  # fmt: skip
    group.add_argument("--seed", type=int, default=0, help="default 0")
    group.add_argument(
        "--chunk-size", type=int, default=256, help="samples of one random stream (default 256); changes the samples"
    )
    group.add_argument("--tile-size", type=int, help="rows of one network call (default 256); changes the samples")


def _add_machine(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--device", "--accelerator", default="auto", metavar="auto|cpu|cuda", help="auto: a GPU where there is one"
    )
    group.add_argument("--devices", type=int, help="processes (GPUs) on each node (default 1)")
    group.add_argument("--num-nodes", type=int, help="nodes (default 1); start the command on each of them")
    group.add_argument(
        "--threads", type=int, default=1, help="CPU threads of each process (default 1); changes last digits"
    )
    group.add_argument("--precision", default="32-true", help="32-true (default), bf16-mixed or 64-true")


def run(args: Namespace) -> int:
    """Check everything, generate, and say what came out."""
    _check_counts(args)
    from scorefield.core.runs import resolve_run

    resolve_run(args.run_name)  # a misspelt name is found before anything heavy is imported
    with _without_collecting():
        from scorefield.core.generation import generate

        generator = _generator(args)
    try:
        made = generate(generator, args.out, args.num, args.chunk_size, _machine(args), args.overwrite)
    except FloatingPointError as error:
        mend = "train it on, or try another solver or other arguments"
        if args.guide:
            mend = "lower the weights of --guide, or take more steps"
        raise InputError(str(error), file=args.run_name, mend=mend) from error
    if made is not None:
        print(_line(args.out, made))
    return 0


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Imports leave next to no garbage, but looking for it takes a fifth of their time.

    What is there afterwards stays and is not looked at again, neither here nor in copies of this process.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


def _check_counts(args: Namespace) -> None:
    """Refuse numbers that are too small, by the name of their option and before anything heavy is imported."""
    least = dict.fromkeys(("num", "steps", "chunk_size", "tile_size", "devices", "num_nodes", "threads"), 1)
    for name, lowest in {**least, "seed": 0}.items():
        value = getattr(args, name)
        if value is not None and value < lowest:
            place = f"--{name.replace('_', '-')}"
            raise InputError(f"{value} is too small", place=place, mend=f"give at least {lowest}")


def _generator(args: Namespace) -> Diffusion:
    from scorefield.core.model import Model

    model = Model(args.run_name)
    known = model.domain.suffixes(model.record.tables)
    if not args.out.name.lower().endswith(known):
        raise InputError(f"unknown suffix {args.out.suffix!r}", file=args.out, mend=f"give one of {', '.join(known)}")
    arguments = _pairs("--solver-arg", args.solver_arg)
    if args.grid is not None:
        arguments["grid"] = args.grid
    tile = {} if args.tile_size is None else {"tile_size": args.tile_size}
    return model.generator(
        args.solver,
        args.steps,
        args.seed,
        args.weights,
        args.precision,
        conditions=_pairs("--condition", args.condition),
        arguments=arguments,
        guide=args.guide,
        way=args.way,
        way_arguments=_pairs("--way-arg", args.way_arg),
        teleport=args.teleport,
        **tile,
    )


def _pairs(option: str, words: Sequence[str]) -> dict[str, Any]:
    pairs = dict(word.partition("=")[::2] for word in words)
    for word in words:
        if "=" not in word or word.startswith("="):
            raise InputError(f"{option} {word}", mend="write it as NAME=VALUE")
    return pairs


def _machine(args: Namespace) -> Machine:
    """The machine asked for; under torchrun, as many nodes and processes as it started."""
    from scorefield.core.generation import Machine, choose_device

    devices, nodes = args.devices, args.num_nodes
    if "TORCHELASTIC_RUN_ID" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        devices, nodes = devices or local, nodes or int(os.environ["WORLD_SIZE"]) // local
    return Machine(
        choose_device(args.device),
        1 if devices is None else devices,
        1 if nodes is None else nodes,
        args.threads,
    )


def _line(file: Path, made: Generated) -> str:
    summary = made.summary
    if not made.new:
        return f"{file}: already there, made with these settings"
    calls, seconds = summary["evaluations"], summary["seconds"]
    return f"{file}: {summary['num']} samples, {calls:g} network calls each, {seconds:.1f} s"


COMMAND = Command("sample", "generate from a run", EXAMPLES, add_arguments, run)
