"""`scorefield fit`: train a configuration.

Every constructor argument of the model, the data and the trainer is a key of the configuration and an option of the
command. Keys are checked first, by name; jsonargparse then checks and converts values.
"""

from __future__ import annotations

import re
from argparse import ArgumentError, RawDescriptionHelpFormatter
from argparse import ArgumentParser as PlainParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield.core.cli.command import RawCommand
from scorefield.core.errors import InputError
from scorefield.core.names import nearest, unknown

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from scorefield.core.experiment import Experiment

__all__ = ["COMMAND"]

EXAMPLES = """
examples:
  scorefield fit --config qm9_gdss --data.path qm9.csv
  scorefield fit --config smiles_gdss --data.path mine.smi --out runs/mine --trainer.max_epochs=50
  scorefield fit --config smiles_gdss --data.path mine.smi --model.lr=0.001 --model.system.width=32
  scorefield fit --config qm9_gdss --data.path qm9.csv --trainer.accelerator=gpu --trainer.precision=bf16-mixed
  scorefield fit --config qm9_gdss --data.path qm9.csv --trainer.devices=2
  scorefield fit --resume runs/qm9_gdss/001 --trainer.max_epochs=400
  scorefield fit --config qm9_gdss --data.path qm9.csv --export-states states.npz
  scorefield fit --config digraphs/rescale --data.path soc-Epinions1.txt.gz

A class that a configuration names (model.system, model.objective, data) explains its arguments with, for example,
  scorefield fit --model.system.help scorefield.domains.graphs.gdss.GDSS
"""

_OWN = {
    "--config": "name of a packaged configuration, or a file; given again, the later one is laid over the earlier",
    "--out": "run folder, empty or new (default: the next free runs/NAME/NNN)",
    "--resume": "continue the run in this folder; --trainer.max_epochs may be raised",
    "--export-states": "write the encoded data to this .npz and end; `scorefield.fit` trains on it anywhere",
}


def run(arguments: list[str]) -> int:
    """Train, or export the data.

    Raises:
        InputError: anything that the user can mend.
    """
    if any(word in ("-h", "--help") or re.match(r"--[\w.]+\.help\b", word) for word in arguments):
        _full_parser().parse_args(arguments)  # prints and ends the program
    own, rest = _own_parser().parse_known_args(arguments)
    _check_words(rest)
    from scorefield.core.experiment import confine, read_experiment
    from scorefield.core.fitting import checked_resume, train

    if own.resume is not None:
        if own.config or own.out or own.export_states:
            raise InputError("--resume takes neither --config, --out nor --export-states")
        file = checked_resume(own.resume) / "config.yaml"
        confine(read_experiment(file), file)
        own.config = [str(file)]
    experiment, name = _read(own.config or [])
    experiment = _overridden(experiment, rest)
    if own.export_states is not None:
        return _export(experiment, Path(own.export_states))
    resume = None if own.resume is None else Path(own.resume)
    folder = train(experiment, name=name, out=own.out, resume=resume)
    _say_next(folder)
    return 0


def _own_parser() -> PlainParser:
    parser = _RaisingParser(prog="scorefield fit", add_help=False, allow_abbrev=False)
    for option in _OWN:
        parser.add_argument(option, action="append" if option == "--config" else "store")
    return parser


def _check_words(rest: list[str]) -> None:
    """Find misspelt options of the command itself, and words that belong to no option, before heavy imports."""
    previous = ""
    for word in rest:
        if word.startswith("--"):
            option = word.partition("=")[0]
            guess = None if "." in option else nearest(option[2:], [name[2:] for name in _OWN])
            if guess:
                raise InputError(f"unknown option {option!r}", mend=f"did you mean '--{guess}'?")
        elif not previous.startswith("--") or "=" in previous:
            raise InputError(f"unexpected word {word!r}", mend=f"did you mean --config {word}?")
        previous = word


class _RaisingParser(PlainParser):
    def error(self, message: str) -> Any:
        raise InputError(message, mend="see `scorefield fit --help`")


def _full_parser(other: bool = False) -> ArgumentParser:
    """The parser that knows every argument, for help and values; `other`: of a configuration that names its module."""
    from jsonargparse import ArgumentParser, DefaultHelpFormatter
    from lightning.pytorch import LightningDataModule, LightningModule, Trainer

    from scorefield.core.module import ScoreModule

    class Help(DefaultHelpFormatter, RawDescriptionHelpFormatter):
        """Leaves the examples as they stand."""

    parser = ArgumentParser(
        prog="scorefield fit",
        usage="scorefield fit --config NAME_OR_FILE [--out RUN] [--any.argument=VALUE ...]",
        description="Train a model from a configuration.",
        epilog=EXAMPLES,
        formatter_class=Help,
        exit_on_error=False,
    )
    for option, text in _OWN.items():
        parser.add_argument(option, action="config" if option == "--config" else None, help=text)
    if other:
        parser.add_subclass_arguments(LightningModule, "model", fail_untyped=False, required=True)
    else:
        parser.add_class_arguments(ScoreModule, "model", fail_untyped=False)
    parser.add_subclass_arguments(LightningDataModule, "data", fail_untyped=False, required=True)
    parser.add_class_arguments(Trainer, "trainer", fail_untyped=False)
    return parser


def _read(names: list[str]) -> tuple[Experiment, str]:
    """The configurations laid over each other, and the name of the last for the run folder."""
    from scorefield.core.configs import resolve_config
    from scorefield.core.experiment import Experiment, merge, read_experiment

    if not names:
        raise InputError("no configuration is named", mend="give --config; `scorefield list configs` shows them")
    files = [resolve_config(name) for name in names]
    tree: dict[str, Any] = {}
    for file in files:
        tree = merge(tree, read_experiment(file))
    return Experiment.from_dict(tree, files[-1]), files[-1].stem


def _overridden(experiment: Experiment, options: list[str]) -> Experiment:
    """Apply the options of the command line; values of file and options are checked against their types."""
    from scorefield.core.experiment import Experiment

    _check_options(experiment, options)
    parser = _full_parser(other="class_path" in experiment.model)
    text = ["--config", experiment.to_yaml()]
    _parse(parser, text, experiment.file)
    values = _parse(parser, text + options, None).as_dict()
    return Experiment.from_dict({part: values[part] for part in ("model", "data", "trainer")}, experiment.file)


def _check_options(experiment: Experiment, options: list[str]) -> None:
    """Find misspelt options, unless one of them names another class, whose arguments are not known yet."""
    from scorefield.core.experiment import known_keys

    tree = experiment.as_dict()
    known = known_keys(tree)
    keys = [_key(word) for word in options if word.startswith("--")]
    classes = {"data", *(key for key in known if f"{key}." in " ".join(known)), "model.objective"}
    if any(key in classes or key.endswith(".class_path") for key in keys):
        return
    for key in keys:
        if key not in known and not any(key.startswith(f"{k}.") and _is_mapping(tree, k) for k in known):
            raise unknown("option", f"--{key}", [*_OWN, *(f"--{name}" for name in known)])


def _key(word: str) -> str:
    return word[2:].partition("=")[0].rstrip("+").replace(".init_args", "")


def _is_mapping(tree: dict[str, Any], key: str) -> bool:
    """Whether the value of a known key is a plain mapping (or nothing), which has keys of its own."""
    value: Any = tree
    for part in key.split("."):
        value = value.get("init_args", value) if isinstance(value, dict) else {}
        value = value.get(part)
    return value is None or (isinstance(value, dict) and "class_path" not in value)


def _parse(parser: ArgumentParser, arguments: list[str], file: Path | None) -> Any:
    try:
        return parser.parse_args(arguments)
    except (ArgumentError, ValueError, TypeError, KeyError) as error:
        raise _one_line(str(error), file) from error


def _one_line(message: str, file: Path | None) -> InputError:
    """The innermost key and reason of a parser's many-line message."""
    keys = re.findall(r'(?:Parser key|Key|key) "([\w.+\[\]]+)"', message)
    place = ".".join(dict.fromkeys(keys)) or None
    reasons = [line.strip(" -") for line in message.splitlines() if re.search(r"Expected|not accepted|nvalid", line)]
    reasons = [line for line in reasons if "NoneType" not in line] or [message.partition("\n")[0]]
    if file is None and place is not None:
        place = f"--{place}"
    reason = re.sub(r"<class '([\w.]+)'>", r"\1", reasons[0]).replace("typing.", "")
    given = re.search(r"Given value: (?!NestedArg)(.+)", message)
    tail = f" (given: {given[1]})" if given and "ot value" not in reason else ""
    return InputError(f"{reason}{tail}", file=file, place=place)


def _export(experiment: Experiment, path: Path) -> int:
    """Write the encoded data."""
    import numpy as np

    from scorefield.core.experiment import build
    from scorefield.core.files import atomic

    if path.suffix != ".npz":
        raise InputError("states are written as .npz", file=path, mend=f"name it {path.with_suffix('.npz').name}")
    data = build(experiment.data, experiment.file, "data")
    if not hasattr(data, "arrays"):
        raise InputError(f"{type(data).__name__} has no states to export", file=experiment.file, place="data")
    data.prepare_data()
    data.setup("fit")
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **data.arrays())
    print(f"wrote {path}")
    return 0


def _say_next(folder: Path) -> None:
    from lightning.pytorch.utilities import rank_zero_only

    if getattr(rank_zero_only, "rank", 0) == 0:
        print(f"trained {folder}; next: scorefield sample {folder} --num 1000 --out FILE")


COMMAND = RawCommand("fit", "train a model from a configuration", run)
