"""`scorefield compare`: statistics of generated populations against a real one."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

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
    parser.add_argument(
        "--statistics",
        metavar="NAMES",
        help="only these, with commas between them (`scorefield list statistics`); all: the long ones too",
    )
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
    _check_places(args)
    from scorefield.core.comparison import compare_many
    from scorefield.core.statistics.table import write_json
    from scorefield.core.statistics.uncertainty import Resampling

    wanted = {} if args.statistics is None else {"only": _names(args.statistics)}
    comparisons = compare_many(
        args.real,
        args.generated,
        args.train,
        args.domain,
        seed=args.seed,
        resampling=Resampling(permutations=args.permutations),
        figures=args.report is not None,
        progress=sys.stderr.isatty(),
        **wanted,
    )
    print("\n\n".join(str(comparison) for comparison in comparisons))
    if args.json is not None:
        write_json(comparisons, args.json)
    if args.report is not None:
        from scorefield.core.report.page import write_report

        write_report(comparisons, args.report)
    return 0


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InputError(f"{text!r} names no statistic", place="--statistics", mend="write names with commas between")
    return names


def _check_places(args: Namespace) -> None:
    """Refuse places of results that would replace what is read, or one another.

    Raises:
        InputError: a place is one of the inputs, a file beside them that is read too, or cannot be written.
    """
    from scorefield.core.files import check_writable

    sources = [args.real, *args.generated, *([] if args.train is None else [args.train])]
    # A population's summary and a run's description are read as well.
    taken = [Path(name) for source in sources for name in (source, f"{source}.json", Path(source) / "model.json")]
    for option, suffixes in (("json", (".json",)), ("report", (".html", ".htm"))):
        place = getattr(args, option)
        if place is None:
            continue
        if Path(place).suffix.lower() not in suffixes:
            mend = f"end its name in {' or '.join(suffixes)}"
            raise InputError(f"--{option} does not write files of this name", file=place, mend=mend)
        if any(_same(Path(place), path) for path in taken):
            raise InputError(f"--{option} would replace what is compared", file=place, mend="write to another file")
        check_writable(place)


def _same(a: Path, b: Path) -> bool:
    try:
        return a.resolve() == b.resolve() or (a.exists() and b.exists() and a.samefile(b))
    except (OSError, RuntimeError):  # a loop of links, or a name that is too long: others tell of it
        return False


COMMAND = Command("compare", "compare generated populations with a real one", EXAMPLES, add_arguments, run)
