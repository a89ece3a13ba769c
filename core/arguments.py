"""Arguments that users type for what a name stands for: names are checked, words read by annotation, and numbers."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scorefield.core.errors import InputError
from scorefield.core.names import nearest

__all__ = ["check_positive", "checked", "described", "parameters"]


def check_positive(name: str, value: float) -> None:
    """Take nothing but a finite number above 0.

    Raises:
        InputError: `value` is another.
    """
    if not 0 < value < math.inf:
        raise InputError(f"{name} is {value:g}", mend="give a positive number")


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Parameters as keywords, with their annotations resolved; those of a `__signature__` as they stand."""
    if hasattr(function, "__signature__"):
        return list(function.__signature__.parameters.values())
    target = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(target)
    return [
        p.replace(annotation=hints.get(p.name, Any), kind=inspect.Parameter.KEYWORD_ONLY)
        if p.kind is not inspect.Parameter.VAR_KEYWORD
        else p
        for p in inspect.signature(function).parameters.values()
    ]


def checked(what: str, known: Sequence[inspect.Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name; strings are read as the argument's type.

    Args:
        what: whose arguments, for messages (`solver ddim`).
        known: the arguments that there are.
        given: those given.

    Raises:
        InputError: unknown argument, or a value that cannot be.
    """
    annotations = {p.name: p.annotation for p in known}
    arguments = dict(given)
    place = what.rpartition(" ")[2]
    for key, value in given.items():
        if key not in annotations:
            near = nearest(key, annotations)
            takes = f"it takes {', '.join(annotations)}" if annotations else "it takes none"
            raise InputError(f"{what} has no argument {key!r}", mend=f"did you mean {near}?" if near else takes)
        if isinstance(value, str):
            arguments[key] = _read(value, annotations[key], f"{place}: {key}")
        if isinstance(arguments[key], float) and not math.isfinite(arguments[key]):
            raise InputError(f"{value} is no finite number", place=f"{place}: {key}")
    return arguments


def _read(text: str, annotation: Any, place: str) -> Any:
    """Read a word of the command line as the annotated type."""
    choices = [c for c in typing.get_args(annotation) or (annotation,) if c is not type(None)]
    if text.lower() == "none" and type(None) in typing.get_args(annotation):
        return None
    for choice in choices:
        if choice is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if isinstance(choice, str) or choice is str:
            return text
        if choice in (int, float):
            try:
                return choice(text)
            except ValueError:
                continue
    wanted = " or ".join(getattr(c, "__name__", str(c)) for c in choices)
    raise InputError(f"{text!r} is no {wanted}", place=place)


def described(parameter: inspect.Parameter) -> str:
    """An argument as a user would write it, with its default, the other choices in brackets."""
    choices = [c for c in typing.get_args(parameter.annotation) if isinstance(c, str) and c != parameter.default]
    default = str(parameter.default)
    default = default.lower() if parameter.default is None or isinstance(parameter.default, bool) else default
    return f"{parameter.name}={default}" + (f" (or {', '.join(choices)})" if choices else "")
