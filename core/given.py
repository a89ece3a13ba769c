"""Which steps of a window are given, as a user writes it: `0:5,20:24`, `0,12,-1`, `::4`."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError

__all__ = ["given_steps"]

_NUMBER = r"[+-]?\d*"
_PART = re.compile(rf"({_NUMBER})(?:(:)({_NUMBER})(?::({_NUMBER}))?)?")


def given_steps(text: str, length: int, place: str = "--given") -> NDArray[np.bool_]:
    """Which of `length` steps are given, `(length,)`; numbers and slices count as in Python, from 0.

    Args:
        text: what a user wrote.
        length: steps of a window.
        place: where he wrote it, for messages.

    Raises:
        InputError: a part that is no slice or reaches beyond the window, or all steps or none are given.
    """
    given = np.zeros(length, dtype=bool)
    for part in text.split(","):
        given[_steps(part.strip(), length, place)] = True
    if given.all() or not given.any():
        what = "gives all steps of a window" if given.all() else "gives no step of a window"
        raise InputError(f"{text!r} {what}", place=place, mend=f"windows have {length} steps")
    return given


def _steps(part: str, length: int, place: str) -> slice | int:
    match = _PART.fullmatch(part)
    if match is None or not part or part in "+-":
        raise InputError(f"{part!r} is no step and no slice", place=place, mend="write it as 0:5,20:24")
    first, colon, last, stride = match.groups()
    try:
        numbers = [int(word) if word else None for word in (first, last, stride)]
    except ValueError:
        raise InputError(f"{part!r} is no slice", place=place, mend="write it as 0:5,20:24") from None
    for end, number in enumerate(numbers[:2]):
        highest = length if end else length - 1
        if number is not None and not -length <= number <= highest:
            what = f"step {number} of {part!r} lies beyond a window of {length} steps"
            raise InputError(what, place=place, mend=f"give 0 to {length - 1}, slices up to {length}")
    if colon is None:
        return int(numbers[0] or 0)
    if numbers[2] is not None and numbers[2] < 1:
        raise InputError(f"{part!r} has no forward step", place=place, mend="write it as 0:24:4")
    return slice(*numbers)
