"""`scorefield demo`: fit, sample, compare and report on embedded data, with the commands that a user would type."""

from __future__ import annotations

import shlex
import shutil
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from scorefield.core.cli.command import Command
from scorefield.core.domains import find_domains, load_domain
from scorefield.core.errors import InputError
from scorefield.core.names import unknown

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield demo
  scorefield demo --domain graphs --out somewhere"""

_MARK = ".scorefield-demo"


def add_arguments(parser: ArgumentParser) -> None:
    """Which domain, and where to."""
    parser.add_argument("--domain", metavar="NAME", default="graphs", help="see `scorefield list domains`")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("scorefield-demo"), help="default: %(default)s")


def run(args: Namespace) -> int:
    """The tour: about two minutes on two cores."""
    if args.domain not in find_domains():
        raise unknown("domain", args.domain, list(find_domains()))
    folder = _empty(args.out / args.domain)
    begin = time.monotonic()
    tour = load_domain(args.domain).demo()
    run_folder, generated, report = (str(folder / name) for name in ("run", tour.file, "report.html"))
    _type("fit", ["--config", tour.config, *tour.overrides, "--out", run_folder])
    _type("sample", [run_folder, "--num", str(tour.num), "--out", generated])
    _type("compare", [run_folder, generated, "--report", report, "--json", str(folder / "statistics.json")])
    print(f"\nThe tour took {time.monotonic() - begin:.0f} s. Open {report} in a browser.")
    return 0


def _type(name: str, words: list[str]) -> None:
    """Show a command and run it in this process."""
    from importlib import import_module

    print(f"\n$ scorefield {name} {shlex.join(words)}", flush=True)
    code = import_module(f"scorefield.core.cli.{name}").COMMAND(words)
    if code:
        raise RuntimeError(f"scorefield {name} ended with exit code {code}")


def _empty(folder: Path) -> Path:
    """A folder for this tour; an earlier tour's is replaced, nothing else is."""
    mark = folder / _MARK
    try:
        if mark.exists():
            shutil.rmtree(folder)
        elif folder.exists() and any(folder.iterdir()):
            raise InputError("is not empty and was not made by the demo", file=folder, mend="give another --out")
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror or error})", file=folder) from error
    return folder


COMMAND = Command("demo", "the whole tour on embedded data: fit, sample, compare, report", EXAMPLES, add_arguments, run)
