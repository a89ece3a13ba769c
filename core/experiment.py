"""Experiments as plain data: what to train (`model`), on what (`data`) and how (`trainer`).

A configuration is a YAML file of these three. Wherever it names a class, `class_path` says which and `init_args` its
arguments; constructors are the schema. This file reads, checks, completes and builds configurations without
any parser library, so that training also works where only the core is installed.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from scorefield.core.domains import is_trusted
from scorefield.core.errors import InputError
from scorefield.core.names import nearest, unknown

__all__ = ["Experiment", "build", "confine", "find_class", "known_keys", "merge", "read_experiment"]

PARTS = {"model": "scorefield.core.module.ScoreModule", "data": None, "trainer": "lightning.pytorch.Trainer"}
"""The parts of a configuration and their classes; the class of the data is part of the configuration.

A `model` that names a class is another Lightning module, which takes a `system` too.
"""
_OBJECTIVE = "scorefield.core.objectives.DenoisingScoreMatching"
Tree = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


@dataclass(frozen=True)
class Experiment:
    """A checked configuration.

    Attributes:
        model: arguments of `ScoreModule`, or `{"class_path", "init_args"}` of another module.
        data: `{"class_path", "init_args"}` of the data module.
        trainer: arguments of Lightning's `Trainer`.
        file: where it was read, for errors.
    """

    model: Tree
    data: Tree
    trainer: Tree = field(default_factory=dict)
    file: Path | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: Path | None = None) -> Experiment:
        """Check every key and fill in the defaults.

        Raises:
            InputError: a key is unknown (the error names the nearest), a part is missing, or a class is.
        """
        _check_names(values, PARTS, file, "")
        missing = [part for part in ("model", "data") if part not in values]
        if missing:
            raise InputError(f"lacks {' and '.join(missing)}", file=file)
        parts: Tree = {}
        for part, path in PARTS.items():
            value = values.get(part) or {}
            whole = path is None or _names_class(part, value)
            if part == "model" and isinstance(value, dict) and not whole and value.get("objective") is None:
                value = {**value, "objective": {"class_path": _OBJECTIVE}}
            full = _complete(value if whole else {"class_path": path, "init_args": value}, file, part)
            parts[part] = full if whole else full["init_args"]
        return cls(**parts, file=file)

    @property
    def module(self) -> Tree:
        """`{"class_path", "init_args"}` of the Lightning module."""
        if _names_class("model", self.model):
            return self.model
        return {"class_path": PARTS["model"], "init_args": self.model}

    @property
    def system(self) -> Tree:
        """`{"class_path", "init_args"}` of the recipe.

        Raises:
            InputError: the module takes none.
        """
        found = _arguments(self.module).get("system")
        if not isinstance(found, dict):
            raise InputError("takes no system to train", file=self.file, place="model")
        return found

    def as_dict(self) -> Tree:
        """The plain tree of the three parts."""
        return {part: getattr(self, part) for part in PARTS}

    def to_yaml(self) -> str:
        """The complete configuration, which `fit` takes again."""
        return yaml.safe_dump(_plain(self.as_dict()), sort_keys=False)

    def overridden(self, changes: Mapping[str, Any]) -> Experiment:
        """Change single values.

        Args:
            changes: values by dotted key (`trainer.max_epochs`, `data.path`) or by its last part where that is
                the key of one part only (`max_epochs`).

        Raises:
            InputError: a key is unknown or could be several.
        """
        tree = _plain(self.as_dict())
        known = known_keys(self.as_dict())
        for name, value in changes.items():
            fits = [key for key in known if key == name] or [key for key in known if key.endswith(f".{name}")]
            if not fits:
                raise unknown("key", name, known)
            shortest = min(key.count(".") for key in fits)
            fits = [key for key in fits if key.count(".") == shortest]
            if len(fits) > 1:
                raise InputError(f"{name!r} could be several keys", mend=f"say which: {', '.join(fits)}")
            _assign(tree, fits[0].split("."), value)
        return Experiment.from_dict(tree, self.file)


def read_experiment(path: Path) -> Tree:
    """Read a YAML file as a plain tree.

    Raises:
        InputError: it is missing or not a YAML mapping.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise InputError(f"cannot be read ({reason})", file=path) from error
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}" if error.problem_mark else None
        raise InputError(f"not YAML ({error.problem})", file=path, place=place) from error
    except yaml.YAMLError as error:
        raise InputError("not YAML", file=path) from error
    if not isinstance(tree, dict):
        raise InputError("not a mapping of keys", file=path, mend=f"give {', '.join(PARTS)}")
    return tree


def merge(base: Any, change: Any) -> Any:
    """Lay one tree over another; another class starts with no arguments of the former."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    if change.get("class_path", base.get("class_path")) != base.get("class_path"):
        return change
    return {**base, **{key: merge(base.get(key), value) for key, value in change.items()}}


def confine(tree: Any, file: Path | None = None, also: Sequence[str] = ("lightning", "torch")) -> None:
    """Refuse classes of packages that nobody vouched for: a run folder may have been downloaded.

    Args:
        tree: a configuration or a part of it.
        file: where it was read, for errors.
        also: packages whose classes are allowed beside those of this suite and of installed domains.

    Raises:
        InputError: a class is of another package; nothing was imported.
    """
    if isinstance(tree, list):
        for value in tree:
            confine(value, file, also)
    if not isinstance(tree, dict):
        return
    path = str(tree.get("class_path", ""))
    if path and not is_trusted(path) and path.partition(".")[0] not in also:
        mend = "give the configuration with --config if you trust it"
        raise InputError(
            f"{path} is not of scorefield or of an installed domain", file=file, place="class_path", mend=mend
        )
    for value in tree.values():
        confine(value, file, also)


def build(spec: Any, file: Path | None = None, place: str = "") -> Any:
    """Build what a tree describes, arguments first.

    Raises:
        InputError: a class is missing or does not take its arguments.
    """
    if isinstance(spec, list):
        return [build(value, file, place) for value in spec]
    if not isinstance(spec, dict):
        return spec
    if "class_path" not in spec:
        return {key: build(value, file, f"{place}.{key}") for key, value in spec.items()}
    made = find_class(spec["class_path"], file, place)
    arguments = {key: build(value, file, f"{place}.{key}") for key, value in _arguments(spec).items()}
    for key, settings in _dataclasses(made).items():
        if isinstance(arguments.get(key), dict):
            arguments[key] = settings(**arguments[key])
    try:
        return made(**arguments)
    except InputError as error:
        if not place:
            raise
        raise InputError(str(error).removeprefix(f"{place}."), file=file, place=place) from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{made.__name__}: {error}", file=file, place=place) from error


def find_class(path: Any, file: Path | None = None, place: str = "") -> type:
    """Import a class by its path.

    Raises:
        InputError: there is none.
    """
    module, _, name = str(path).rpartition(".")
    place = f"{place}.class_path"
    if not module:
        raise InputError(f"{path!r} is not a path to a class", file=file, place=place, mend="give package.module.Class")
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise InputError(f"{module!r} cannot be imported ({error})", file=file, place=place) from error
    except AttributeError:
        names = [n for n, value in vars(importlib.import_module(module)).items() if isinstance(value, type)]
        raise unknown(f"class in {module}", name, names, file=file, place=place) from None
    if not isinstance(found, type):
        raise InputError(f"{path} is not a class", file=file, place=place)
    return found


def known_keys(tree: Mapping[str, Any]) -> list[str]:
    """Dotted keys that the classes of a tree take; `init_args` is left out of them."""
    keys = []
    for part, path in PARTS.items():
        value = tree.get(part) or {}
        whole = path is None or _names_class(part, value)
        spec = value if whole else {"class_path": path, "init_args": value}
        keys += [f"{part}.{key}" for key in _walk_keys(spec)]
    return keys


def _names_class(part: str, value: Any) -> bool:
    """Whether the model of a configuration is another module than ours."""
    return part == "model" and isinstance(value, Mapping) and "class_path" in value


def _walk_keys(spec: Any) -> Iterator[str]:
    if not isinstance(spec, dict) or "class_path" not in spec:
        return
    given = _arguments(spec)
    for name in _signature(find_class(spec["class_path"])) or given:
        yield name
        yield from (f"{name}.{key}" for key in _walk_keys(given.get(name)))


def _complete(spec: Any, file: Path | None, place: str) -> Any:
    """Check the keys of a tree against the constructors and add plain defaults."""
    if isinstance(spec, list):
        return [_complete(value, file, f"{place}[{i}]") for i, value in enumerate(spec)]
    if not isinstance(spec, dict):
        return spec
    if "class_path" not in spec:
        if place in PARTS:
            raise InputError("lacks class_path", file=file, place=place)
        return spec
    _check_names(spec, ("class_path", "init_args"), file, f"{place}.")
    known = _signature(find_class(spec["class_path"], file, place))
    given = _arguments(spec)
    if known is None:
        return spec
    _check_names(given, known, file, f"{place}.")
    lacking = [n for n, p in known.items() if p.default is p.empty and n not in given]
    if lacking:
        raise InputError(f"lacks {', '.join(lacking)}", file=file, place=place)
    arguments: Tree = {}
    for name, parameter in known.items():
        default = _plain(parameter.default)
        if name in given and is_dataclass(parameter.default) and isinstance(given[name], dict):
            _check_names(given[name], default, file, f"{place}.{name}.")
            arguments[name] = {**default, **given[name]}
        elif name in given:
            arguments[name] = _complete(given[name], file, f"{place}.{name}")
        elif _is_plain(default):
            arguments[name] = default
    return {"class_path": spec["class_path"], "init_args": arguments}


def _check_names(given: Any, known: Mapping[str, Any] | tuple[str, ...], file: Path | None, prefix: str) -> None:
    if not isinstance(given, Mapping):
        raise InputError("not a mapping of keys", file=file, place=prefix.rstrip(".") or None)
    for name in given:
        if name not in known:
            close = nearest(str(name), known)
            mend = f"did you mean {prefix}{close}?" if close else f"known: {', '.join(known)}"
            raise InputError("unknown key", file=file, place=f"{prefix}{name}", mend=mend)


def _signature(made: type) -> dict[str, inspect.Parameter] | None:
    """Arguments of a constructor; None where it takes any."""
    parameters = inspect.signature(made).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return {name: p for name, p in parameters.items() if p.kind is not p.VAR_POSITIONAL}


def _dataclasses(made: type) -> dict[str, type]:
    """Arguments whose values are dataclasses: a configuration gives their fields without a class path."""
    parameters = inspect.signature(made).parameters.items()
    return {name: type(p.default) for name, p in parameters if is_dataclass(p.default)}


def _arguments(spec: Mapping[str, Any]) -> Tree:
    return spec.get("init_args") or {}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    return value is None or isinstance(value, bool | int | float | str)


def _plain(value: Any) -> Any:
    """Tuples as lists, paths as text, dataclasses as mappings: what YAML and JSON can hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _assign(tree: Tree, keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        tree = tree[key]
        if "class_path" in tree:
            tree = tree.setdefault("init_args", {})
    tree[keys[-1]] = value
