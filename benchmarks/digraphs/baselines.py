"""A directed graph rescaled, beside all baselines: one table, one figure, one report.

    OMP_NUM_THREADS=1 python benchmarks/digraphs/baselines.py wiki-Vote.txt.gz --ratio 0.5 --num 5 --figure methods.svg

GRAPH is any file that `scorefield rescale` takes. Prints a line for each statistic and a column for each method: the
mean over samples, in brackets half of its 95 % interval in units of the last digit, a star at the smallest distance.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scorefield.core.errors import InputError
from scorefield.core.files import atomic
from scorefield.core.report.page import write_report
from scorefield.core.statistics.table import write_json
from scorefield.domains.digraphs import read_digraph
from scorefield.domains.digraphs.baselines.comparing import SHOWN, compare_baselines, methods_table
from scorefield.domains.digraphs.baselines.figure import methods_figure
from scorefield.domains.digraphs.statistics import DigraphPopulation


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", metavar="GRAPH")
    parser.add_argument("--ratio", default="0.5", help="nodes of a sample for each node of the graph (default 0.5)")
    parser.add_argument("--num", type=int, default=5, help="samples of each method (default 5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", help="rescaled and names of baselines, with commas between; by default all")
    parser.add_argument("--statistics", help="names, with commas between, or all; by default some twenty")
    parser.add_argument("--figure", type=Path, help="write an SVG")
    parser.add_argument("--report", type=Path, help="write an HTML report, a column for each method")
    parser.add_argument("--json", type=Path, help="write the statistics")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    original = DigraphPopulation([read_digraph(args.graph).graph])
    methods = compare_baselines(
        original,
        args.ratio,
        num=args.num,
        seed=args.seed,
        methods=args.methods and args.methods.split(","),
        only=args.statistics.split(",") if args.statistics else SHOWN,
        figures=args.report is not None,
        progress=sys.stderr.isatty(),
    )
    print(f"{Path(args.graph).name}: {original[0].n:,} nodes, {original[0].m:,} edges; ratio {args.ratio}")
    print(methods_table(methods))
    comparisons = [method.comparison for method in methods]
    if args.figure is not None:
        with atomic(args.figure) as temporary:
            temporary.write_text(methods_figure(original, methods), encoding="utf-8")
    if args.json is not None:
        write_json(comparisons, args.json)
    if args.report is not None:
        write_report(comparisons, args.report)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
