"""What a file of a command holds: one object `COMMAND`.

`core/cli/sample.py` reads, from top to bottom::

    def add_arguments(parser: ArgumentParser) -> None: ...
    def run(args: Namespace) -> int: ...          # heavy packages are imported in here
    COMMAND = Command("sample", "generate from a run", EXAMPLES, add_arguments, run)

A command whose arguments another library parses (`fit`) is a `RawCommand`; it gets them as they were typed.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from scorefield.core.errors import InputError
from scorefield.core.names import nearest

__all__ = ["Command", "Parser", "RawCommand"]


@dataclass(frozen=True)
class Command:
    """A command parsed with argparse.

    Args:
        name: what the user types.
        help: one line for `scorefield --help`.
        epilog: examples, shown below the options as they stand.
        add_arguments: adds the command's arguments to its parser.
        run: does the work and returns the exit code.
    """

    name: str
    help: str
    epilog: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]

    def __call__(self, arguments: Sequence[str]) -> int:
        """Parse the arguments and run.

        Raises:
            InputError: an argument is missing, unknown or malformed.
        """
        parser = Parser(f"scorefield {self.name}", self.help, self.epilog)
        self.add_arguments(parser)
        return self.run(parser.parse(arguments))


@dataclass(frozen=True)
class RawCommand:
    """A command that parses its own arguments, `--help` included.

    Args:
        name: what the user types.
        help: one line for `scorefield --help`.
        run: takes the arguments after the command's name and returns the exit code.
    """

    name: str
    help: str
    run: Callable[[list[str]], int]

    def __call__(self, arguments: Sequence[str]) -> int:
        """Run with the arguments as they were typed."""
        return self.run(list(arguments))


class Parser(ArgumentParser):
    """An argument parser whose errors are `InputError`s; options cannot be abbreviated."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        sentence = f"{description[:1].upper()}{description[1:]}."
        super().__init__(
            prog=prog,
            description=sentence,
            epilog=epilog,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Turn a usage error into one line.

        Raises:
            InputError: always.
        """
        raise InputError(message, mend=f"see `{self.prog} --help`")

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """Parse, looking for misspelt options first: what else is wrong usually follows from them.

        Raises:
            InputError: an argument is missing, unknown or malformed.
        """
        options = self._option_string_actions
        for argument in arguments:
            if argument == "--":
                break
            option = argument.partition("=")[0]
            if option.startswith("--") and option not in options:
                guess = nearest(option, [name for name in options if name.startswith("--")])
                mend = f"did you mean {guess!r}?" if guess else f"see `{self.prog} --help`"
                raise InputError(f"unknown option {option!r}", mend=mend)
        return self.parse_args(arguments)
