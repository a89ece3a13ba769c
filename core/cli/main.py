"""The program `scorefield`: finds the command, runs it and turns every error into a line and an exit code.

Exit codes: 0 done, 2 wrong usage or bad input, 1 an internal failure, 130 interrupted, 141 the reader of our
output went away.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import scorefield
from scorefield.core.cli.command import Command, RawCommand
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.names import unknown

__all__ = ["main"]

# Command -> its file.
_MODULES = {
    "demo": "demo",
    "fit": "fit",
    "sample": "sample",
    "forecast": "forecast",
    "impute": "impute",
    "interpolate": "interpolate",
    "refine": "refine",
    "compare": "compare",
    "simulate": "simulate",
    "rescale": "rescale",
    "diagnose": "diagnose",
    "import": "imports",
    "list": "listing",
}

# Errors about one file that the user can mend, if the system says which file it is.
_FILE_ERRORS = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: what stands after the program's name; by default those of this process.

    Returns:
        The exit code.
    """
    debug, words = _take_debug(sys.argv[1:] if arguments is None else arguments)
    try:
        with _plain_warnings(debug):
            code = _dispatch(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Python flushes standard output once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        return _report(error, debug)


@contextmanager
def _plain_warnings(debug: bool) -> Iterator[None]:
    """Show our own warnings as one line, once; processes that were launched for the work say nothing.

    Those of libraries speak to programmers: they are shown with `debug` only.
    """
    first = all(os.environ.get(name, "0") in ("", "0") for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))

    def show(message: Any, category: type[Warning], *place: Any) -> None:
        if not issubclass(category, InputWarning):
            if debug:
                before(message, category, *place)
        elif first:
            _say(f"warning: {message}", 0)

    with warnings.catch_warnings():
        before, warnings.showwarning = warnings.showwarning, show  # type: ignore[assignment]
        yield


def _take_debug(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether `--debug` is among the arguments, and the others."""
    words = [word for word in arguments if word != "--debug"]
    return len(words) < len(arguments), words


def _dispatch(words: list[str]) -> int:
    first = words[0] if words else "--help"
    if first in ("-h", "--help"):
        print(_overview())
        return 0
    if first == "--version":
        print(f"scorefield {scorefield.__version__}")
        return 0
    if first.startswith("-"):
        raise unknown("option", first, ["--help", "--version", "--debug"])
    if first not in _MODULES:
        raise unknown("command", first, _MODULES)
    return _load(first)(words[1:])


def _load(name: str) -> Command | RawCommand:
    package = __name__.rpartition(".")[0]
    command: Command | RawCommand = importlib.import_module(f"{package}.{_MODULES[name]}").COMMAND
    return command


def _overview() -> str:
    width = max(len(name) for name in _MODULES)
    commands = "\n".join(f"  {name:<{width}}  {_load(name).help}" for name in _MODULES)
    return f"""usage: scorefield COMMAND [arguments]

{scorefield.__doc__}

commands:
{commands}

options:
  --help     this text; `scorefield COMMAND --help` explains a command and shows examples
  --version  the version
  --debug    anywhere on the line: show the traceback of an error

exit codes: 0 done, 2 wrong usage or bad input, 1 internal failure"""


def _report(error: BaseException, debug: bool) -> int:
    """Print the error as one line (or whole, with `--debug`) and give the exit code."""
    if isinstance(error, SystemExit):
        return _exit_code(error, debug)
    if debug:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        return _say("interrupted", 130)
    if isinstance(error, InputError):
        return _say(error, 2)
    if isinstance(error, _FILE_ERRORS) and error.filename is not None:
        return _say(f"{os.fsdecode(error.filename)}: {error.strerror}", 2)
    hint = "" if debug else "; --debug shows where"
    return _say(f"internal failure: {type(error).__name__}: {error}{hint}", 1)


def _exit_code(error: SystemExit, debug: bool) -> int:
    """The code of a library that wanted to end the program."""
    if isinstance(error.__context__, KeyboardInterrupt):  # the trainer's way of ending after Ctrl-C
        return _report(error.__context__, debug)
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    return _say(error.code, 1)


def _say(message: Any, code: int) -> int:
    """One line on standard error, whatever the message looks like."""
    print(f"scorefield: {' '.join(str(message).split())}", file=sys.stderr)
    return code
