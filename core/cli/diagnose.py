"""`scorefield diagnose`: how a run's solvers converge, and what its score field is worth."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scorefield.core.cli.command import Command
from scorefield.core.errors import InputError

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield diagnose molecules_small
  scorefield diagnose runs/qm9_gdss/001 --out report.html --json report.json
  scorefield diagnose runs/qm9_gdss/001 --num 256 --steps 10,20,50,100 --solvers ddim,dpmpp-2m,unipc
  scorefield diagnose runs/qm9_gdss/001 --states states.npz    at training data, which `fit --export-states` writes

endpoint error: every deterministic solver against a fine reference, from the same noise
Fokker-Planck residual: does the score change with time as the noise demands?
asymmetry of the Jacobian: is the score a gradient?
ODE-SDE gap: do both ways to sample the model give the same distribution?
local dimension: in how many directions the data vary (FLIPD, and a count of normal directions)"""

_PLACES = (("out", (".html", ".htm")), ("json", (".json",)))


def add_arguments(parser: ArgumentParser) -> None:
    """The run, what to look at, and where the results go."""
    parser.add_argument("run_name", metavar="RUN", help="a run folder, else the name of a packaged run")
    parser.add_argument("--out", metavar="FILE", help="write an HTML page")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON")
    parser.add_argument("--num", type=int, default=64, help="samples to look at (default 64)")
    parser.add_argument(
        "--steps", default="5,10,20,50", metavar="N,N,...", help="steps of the solvers (default 5,10,20,50)"
    )
    parser.add_argument(
        "--solvers", metavar="NAME,NAME,...", help="solvers to compare (default: all deterministic ones)"
    )
    parser.add_argument("--times", type=int, default=8, help="times at which the score is looked at (default 8)")
    parser.add_argument("--probes", type=int, default=4, help="probes of derivatives (default 4)")
    parser.add_argument("--gap-steps", type=int, default=100, help="steps of the ODE and the SDE (default 100)")
    parser.add_argument(
        "--noise",
        type=float,
        default=0.05,
        help="sigma / alpha at which the local dimension is measured (default 0.05)",
    )
    parser.add_argument("--states", metavar="FILE", help="look at these states in place of the run's own samples")
    parser.add_argument("--weights", choices=("raw", "ema"), help="trained or averaged weights")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda", help="auto: a GPU where there is one")


def run(args: Namespace) -> int:
    """Look, print the table, write what was asked for."""
    steps, solvers = _steps(args.steps), _solvers(args.solvers)
    _check_places(args)
    from scorefield.core.runs import resolve_run

    resolve_run(args.run_name)  # a misspelt name is found before anything heavy is imported
    from scorefield.core.diagnostics.diagnosis import Settings, diagnose
    from scorefield.core.model import Model

    names = ("num", "times", "probes", "gap_steps", "noise", "seed", "weights", "states")
    settings = Settings(steps=steps, solvers=solvers, **{name: getattr(args, name) for name in names})
    with _progress() as report:
        try:
            found = diagnose(Model(args.run_name), settings, args.device, report)
        except FloatingPointError as error:
            raise InputError(str(error), file=args.run_name, mend="train it on, or give other --weights") from error
    print(found)
    if args.json is not None:
        found.to_json(args.json)
    if args.out is not None:
        found.to_html(args.out)
        print(f"wrote {args.out}")
    return 0


def _steps(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise InputError(f"{text!r} are no numbers of steps", place="--steps", mend="write them as 5,10,20") from None


def _solvers(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise InputError(f"{text!r} lacks a name", place="--solvers", mend="write them as ddim,unipc")
    return names


def _check_places(args: Namespace) -> None:
    """Refuse places of results that cannot be written, before the long work.

    Raises:
        InputError: a wrong suffix, or a place that cannot be written or is an input.
    """
    from scorefield.core.files import check_writable

    for option, suffixes in _PLACES:
        place = getattr(args, option)
        if place is None:
            continue
        if Path(place).suffix.lower() not in suffixes:
            mend = f"end its name in {' or '.join(suffixes)}"
            raise InputError(f"--{option} does not write files of this name", file=place, mend=mend)
        if Path(place).resolve() == (Path(args.run_name) / "model.json").resolve():
            raise InputError(f"--{option} would replace the run's description", file=place)
        check_writable(place)


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None] | None]:
    """A bar of the whole work on a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed}", leave=False) as bar:

        def report(stage: str, share: float) -> None:
            bar.set_description_str(stage, refresh=False)
            bar.update(100 * share - bar.n)

        yield report


COMMAND = Command("diagnose", "how a run's solvers converge, and what its score is worth", EXAMPLES, add_arguments, run)
