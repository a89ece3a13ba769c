"""Options that commands which sample have in common, and what they stand for."""

from __future__ import annotations

import gc
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield.core.errors import InputError

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from scorefield.core.generation import Machine

__all__ = [
    "add_files",
    "add_machine",
    "add_sampler",
    "check_counts",
    "given",
    "machine_of",
    "pairs",
    "without_collecting",
]


def add_files(parser: ArgumentParser, data: str, drawn: str, reading: str) -> None:
    """Run, what is known, paths, and where results go.

    Args:
        parser: of a command that completes.
        data: what the command calls the file of what is known.
        drawn: what the picture shows of it.
        reading: examples of `--read`.
    """
    parser.add_argument("run_name", metavar="RUN", help="a run folder, else the name of a packaged run")
    parser.add_argument("--data", type=Path, required=True, metavar=data, help="what is known")
    parser.add_argument("--num", type=int, default=100, metavar="PATHS", help="sample paths (default 100)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="its suffix is the format")
    parser.add_argument("--paths", action="store_true", help="write all paths into tables too (.npz has them always)")
    parser.add_argument(
        "--plot", nargs="?", const="", metavar="PICTURE",
        help=f"draw {drawn}, medians, intervals and truth: .png, .svg or .html, FILE.png by default",
    )  # fmt: skip
    parser.add_argument(
        "--read", action="append", default=[], metavar="K=V",
        help=f"how to read {data}, as {reading}; by default as the run's own data; repeatable",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace what other settings made")


def add_sampler(parser: ArgumentParser, defaults: str) -> _ArgumentGroup:
    """Solver, weights, conditions, guidance, seed and chunks; `defaults` says whose they are."""
    group = parser.add_argument_group(f"sampler ({defaults})")
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
    group.add_argument("--seed", type=int, default=0, help="default 0")
    group.add_argument("--chunk-size", type=int, help="samples of one random stream (default 256); changes the samples")
    group.add_argument("--tile-size", type=int, help="rows of one network call (default 256); changes the samples")
    return group


def add_machine(parser: ArgumentParser) -> None:
    """Device, processes, threads and precision."""
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


@contextmanager
def without_collecting() -> Iterator[None]:
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


def check_counts(args: Namespace) -> None:
    """Refuse numbers that are too small, by the name of their option and before anything heavy is imported."""
    least = dict.fromkeys(("num", "steps", "chunk_size", "tile_size", "devices", "num_nodes", "threads"), 1)
    for name, lowest in {**least, "seed": 0}.items():
        value = getattr(args, name)
        if value is not None and value < lowest:
            place = f"--{name.replace('_', '-')}"
            raise InputError(f"{value} is too small", place=place, mend=f"give at least {lowest}")


def given(args: Namespace, *names: str) -> dict[str, Any]:
    """Those of these options that were given, by name."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def pairs(option: str, words: Sequence[str]) -> dict[str, Any]:
    """What `K=V` words say, by K.

    Raises:
        InputError: a word is none.
    """
    found = dict(word.partition("=")[::2] for word in words)
    for word in words:
        if "=" not in word or word.startswith("="):
            raise InputError(f"{option} {word}", mend="write it as NAME=VALUE")
    return found


def machine_of(args: Namespace, only: str | None = None) -> Machine:
    """The machine asked for; under torchrun, as many nodes and processes as it started.

    Args:
        args: what was typed.
        only: the one device that what generates can use.

    Raises:
        InputError: another device is asked for, or there is none such.
    """
    from scorefield.core.generation import Machine, choose_device

    devices, nodes = args.devices, args.num_nodes
    if "TORCHELASTIC_RUN_ID" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        devices, nodes = devices or local, nodes or int(os.environ["WORLD_SIZE"]) // local
    if only is not None and args.device not in ("auto", only):
        raise InputError(f"--device {args.device}", mend=f"this run samples on {only} only: leave --device out")
    return Machine(
        choose_device(only or args.device),
        1 if devices is None else devices,
        1 if nodes is None else nodes,
        args.threads,
    )
