"""The frame of the program: help, exit codes, one-line errors, `--debug`."""

from __future__ import annotations

import sys
import warnings
from argparse import Namespace
from types import SimpleNamespace

import pytest

import scorefield
from scorefield.core.cli import main as program_module
from scorefield.core.cli.command import Command, RawCommand
from scorefield.core.cli.main import main
from scorefield.core.errors import InputError, InputWarning


@pytest.fixture
def command(monkeypatch):
    """Put a command `probe` into the program; `command(run)` says what it does."""

    def add(run=lambda args: 0, raw=False):
        def add_arguments(parser):
            parser.add_argument("run", metavar="RUN")
            parser.add_argument("--steps", type=int, default=3)

        made = (
            RawCommand("probe", "probe things", run)
            if raw
            else Command("probe", "probe things", "examples:\n  scorefield probe here", add_arguments, run)
        )
        monkeypatch.setitem(sys.modules, "scorefield.core.cli.probe", SimpleNamespace(COMMAND=made))
        monkeypatch.setitem(program_module._MODULES, "probe", "probe")

    return add


def fail_with(error):
    def run(args: Namespace) -> int:
        raise error

    return run


def one_line(capsys) -> str:
    """The only line on standard error, with nothing on standard output."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("scorefield: ")
    return err


def test_help_lists_commands_with_their_lines(command, capsys):
    command()
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "probe" in out
    assert "probe things" in out
    assert "exit codes" in out


def test_no_argument_is_help(capsys):
    assert main([]) == 0
    assert "usage: scorefield COMMAND" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"scorefield {scorefield.__version__}\n"


def test_command_help_shows_options_and_examples(command, capsys):
    command()
    assert main(["probe", "--help"]) == 0
    out = capsys.readouterr().out
    assert "usage: scorefield probe" in out
    assert "--steps" in out
    assert "  scorefield probe here" in out


def test_command_gets_parsed_arguments(command):
    seen = []
    command(lambda args: seen.append((args.run, args.steps)) or 0)
    assert main(["probe", "here", "--steps", "5"]) == 0
    assert seen == [("here", 5)]


def test_raw_command_gets_everything_but_debug(command):
    seen = []
    command(lambda words: seen.extend(words) or 0, raw=True)
    assert main(["probe", "--config", "a.yaml", "--debug", "--help"]) == 0
    assert seen == ["--config", "a.yaml", "--help"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["prob"], "unknown command 'prob'; did you mean 'probe'?"),
        (["--verison"], "unknown option '--verison'; did you mean '--version'?"),
        (["probe", "here", "--stesp", "5"], "unknown option '--stesp'; did you mean '--steps'?"),
        (["probe", "here", "--step=5"], "unknown option '--step'; did you mean '--steps'?"),
        (["probe"], "required: RUN; see `scorefield probe --help`"),
        (["probe", "here", "--steps", "five"], "argument --steps: invalid int value: 'five'"),
        (["probe", "here", "there"], "unrecognized arguments: there"),
    ],
)
def test_wrong_usage_is_one_line_and_2(command, capsys, arguments, expected):
    command()
    assert main(arguments) == 2
    assert expected in one_line(capsys)


def test_input_error_is_one_line_and_2(command, capsys):
    command(fail_with(InputError("not a number\nhere", file="a.csv", place="row 3", mend="mend it")))
    assert main(["probe", "here"]) == 2
    assert one_line(capsys) == "scorefield: a.csv: row 3: not a number here; mend it\n"


def test_missing_file_is_one_line_and_2(command, capsys, tmp_path):
    command(lambda args: len((tmp_path / "absent.csv").read_text()))
    assert main(["probe", "here"]) == 2
    assert "absent.csv: No such file" in one_line(capsys)


def test_internal_failure_is_one_line_and_1(command, capsys):
    command(fail_with(KeyError("width")))
    assert main(["probe", "here"]) == 1
    err = one_line(capsys)
    assert "internal failure: KeyError: 'width'" in err
    assert "--debug" in err


@pytest.mark.parametrize("arguments", [["--debug", "probe", "here"], ["probe", "here", "--debug"]])
@pytest.mark.parametrize(("error", "code"), [(InputError("bad"), 2), (KeyError("width"), 1)])
def test_debug_adds_the_traceback(command, capsys, arguments, error, code):
    command(fail_with(error))
    assert main(arguments) == code
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("scorefield: ")


def test_interrupt_is_130(command, capsys):
    command(fail_with(KeyboardInterrupt()))
    assert main(["probe", "here"]) == 130
    assert "interrupted" in one_line(capsys)


def test_a_library_that_ends_after_an_interrupt_is_130(command, capsys):
    def run(args):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    command(run)
    assert main(["probe", "here"]) == 130


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (3, 3), ("in words", 1)])
def test_exit_of_a_library_keeps_its_code(command, code, expected):
    command(fail_with(SystemExit(code)))
    assert main(["probe", "here"]) == expected


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("category", [UserWarning, DeprecationWarning, FutureWarning])
def test_only_our_own_warnings_are_shown(command, capsys, category):
    def run(args):
        warnings.warn("for a programmer", category, stacklevel=1)
        warnings.warn("for a user", InputWarning, stacklevel=1)
        return 0

    command(run)
    with warnings.catch_warnings():  # that of the tests would record what is shown
        warnings.showwarning = lambda message, *_: print(f"library: {message}", file=sys.stderr)
        assert main(["probe", "here"]) == 0
        assert capsys.readouterr().err == "scorefield: warning: for a user\n"
        warnings.simplefilter("always")
        assert main(["probe", "here", "--debug"]) == 0
        assert capsys.readouterr().err == "library: for a programmer\nscorefield: warning: for a user\n"


def test_closed_pipe_ends_quietly(project, python):
    code = "import sys, os; os.close(1); r, w = os.pipe(); os.close(r); os.dup2(w, 1);"
    code += "from scorefield.core.cli.main import main; sys.exit(main(['--help']))"
    done = python("-c", code)
    assert done.returncode == 141
    assert done.stderr == ""


def test_python_m(program):
    done = program("--version")
    assert (done.returncode, done.stdout) == (0, f"scorefield {scorefield.__version__}\n")
