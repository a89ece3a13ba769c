"""`scorefield compare`: statistics of generated populations against a real one."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from scorefield.core.cli.command import Command
from scorefield.core.errors import InputError

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield compare test.smi generated.csv --train train.smi --report report.html
  scorefield compare runs/qm9_gdss/001 a.smi b.smi --json out.json    test split and training set of the run"""


def add_arguments(parser: ArgumentParser) -> None:
    """The populations, and where the results go."""
    parser.add_argument("real", metavar="REAL", help="a file, or a run: its test split and training set")
    parser.add_argument("generated", metavar="GENERATED", nargs="+", help="one or several files")
    parser.add_argument("--train", metavar="FILE", help="what the model was trained on, for novelty")
    parser.add_argument("--domain", metavar="NAME", help="by default that of the run or of the files")
    parser.add_argument("--report", metavar="FILE", help="write an HTML report")
    parser.add_argument("--json", metavar="FILE", help="write the statistics as JSON (a list for several files)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all resampling (default 0)")
    parser.add_argument(
        "--permutations", type=int, default=199, help="relabellings behind a p-value (default 199; 0: none)"
    )


def run(args: Namespace) -> int:
    """Compare, print the tables, write what was asked for."""
    if args.permutations < 0 or args.seed < 0:
        name = "--permutations" if args.permutations < 0 else "--seed"
        raise InputError("must not be negative", place=name)
    from scorefield.core.files import check_writable

    for place in (args.json, args.report):
        if place is not None:
            check_writable(place)
    from scorefield.core.comparison import compare_many
    from scorefield.core.statistics.table import write_json
    from scorefield.core.statistics.uncertainty import Resampling

    comparisons = compare_many(
        args.real,
        args.generated,
        args.train,
        args.domain,
        seed=args.seed,
        resampling=Resampling(permutations=args.permutations),
        figures=args.report is not None,
        progress=sys.stderr.isatty(),
    )
    print("\n\n".join(str(comparison) for comparison in comparisons))
    if args.json is not None:
        write_json(comparisons, args.json)
    if args.report is not None:
        from scorefield.core.report.page import write_report

        write_report(comparisons, args.report)
    return 0


COMMAND = Command("compare", "compare generated populations with a real one", EXAMPLES, add_arguments, run)
