"""`scorefield rescale`: graphs like one graph, of another size, without a run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield.core.cli.command import Command
from scorefield.core.cli.options import without_collecting
from scorefield.core.errors import InputError

if TYPE_CHECKING:
    from scorefield.core.generation import Generated, Generator

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield rescale soc-Epinions1.txt.gz --ratio 0.3 --num 10 --out samples
  scorefield rescale wiki-Vote.txt.gz --nodes 5000 --num 100 --out samples --devices 2 --seed 1
  scorefield rescale edges.csv --n 1000 --ratio 2 --out twice.txt.gz

DIR gets 000.npz, 001.npz, ... (src, dst, n) and certificates.json: for each graph how far its joint degree and degree
correlation matrices are from the original ones, and what is proved of that. Instead of DIR also one .npz for all; one
graph in any format: .txt .csv .parquet .npz .graphml. DIR.json tells how they were made.
An interrupted command goes on where it stopped when it is run again; processes change no byte.
Graphs larger than memory: `scorefield fit --config digraphs/rescale --data.path GRAPH`, then sample the run."""

_CONDITIONS = ("ratio", "nodes", "steps_per_edge", "start", "on_infeasible")


def add_arguments(parser: ArgumentParser) -> None:
    """Which graph, how large, how many, and where to."""
    parser.add_argument("graph", metavar="GRAPH", type=Path, help=".txt .csv .parquet .npz .graphml, also with .gz")
    parser.add_argument("--n", type=int, metavar="N", help="nodes of GRAPH, if ids are 0 to N-1; some may be isolated")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--ratio", metavar="R", help="nodes of a sample for each node of GRAPH, as 0.3 or 1/3")
    size.add_argument("--nodes", metavar="N", help="nodes of a sample")
    parser.add_argument("--num", type=int, default=1, metavar="K", help="number of samples (default 1)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder, or one file")
    parser.add_argument("--overwrite", action="store_true", help="replace what other settings made")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default 0")
    group = parser.add_argument_group("method")
    group.add_argument("--steps-per-edge", metavar="X", help="length of the chain that mixes edges (default 10)")
    group.add_argument("--start", metavar="cyclic|random", help="how edges are first laid (default cyclic)")
    group.add_argument(
        "--on-infeasible", metavar="clip|raise",
        help="where hubs have more neighbours than there are nodes: cut their degrees (default), or refuse",
    )  # fmt: skip
    parser.add_argument("--devices", type=int, default=1, metavar="P", help="processes that share the work (default 1)")


def run(args: Namespace) -> int:
    """Check everything, measure, sample, and say what came out."""
    for place, value, least in (("--num", args.num, 1), ("--seed", args.seed, 0), ("--devices", args.devices, 1)):
        if value < least:
            raise InputError(f"{value} is too small", place=place, mend=f"give at least {least}")
    if not args.graph.is_file():
        raise InputError("is no file", file=args.graph, mend="name a file that exists")
    with without_collecting():
        from scorefield.core.generation import Machine, choose_chunk_size, generate

        generator = _generator(args)
    made = generate(
        generator, args.out, args.num, choose_chunk_size(generator), Machine("cpu", args.devices), args.overwrite
    )
    if made is not None:
        print(_line(args.out, made))
    return 0


def _generator(args: Namespace) -> Generator:
    """What the one domain that rescales makes of the graph.

    Raises:
        InputError: no domain does, or the graph or a setting is wrong.
    """
    from scorefield.core.domains import find_domains

    given = {name: getattr(args, name) for name in _CONDITIONS if getattr(args, name) is not None}
    for entry in find_domains().values():
        domain: Any = entry.load()
        if hasattr(domain, "rescaling"):
            domain.check_place(args.out, args.num)
            generator: Generator = domain.rescaling(args.graph, args.n, given, args.seed)
            return generator
    raise InputError("no installed domain rescales graphs", mend="install scorefield anew")


def _line(file: Path, made: Generated) -> str:
    summary = made.summary
    if not made.new:
        return f"{file}: already there, made with these settings"
    text = f"{file}: {summary['num']} graphs of {summary['nodes']} nodes and {summary['edges']:g} edges"
    worst = {"KS of degrees": "max_ks", "TV of JDM": "max_tv_jdm", "TV of DCM": "max_tv_dcm"}
    told = [f"{name} {summary[key]:.2g}" for name, key in worst.items() if key in summary]
    text += f", at most {', '.join(told)} from the original" if told else ""
    cut = f"; {summary['clipped_stubs']} edges cut off" if summary.get("clipped_stubs") else ""
    return f"{text}{cut}, {summary['seconds']:.1f} s"


COMMAND = Command("rescale", "graphs like a directed graph, smaller or larger", EXAMPLES, add_arguments, run)
