"""Edge lists as text, as SNAP writes them: two ids a line with any blanks between, comments from # or %, optional gzip.

A compiled scanner goes over blocks of bytes, so that big files are read quickly and every fault has its line.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.core.errors import InputError, InputWarning

__all__ = ["text_batches"]

Ids = NDArray[np.int64]
_BLOCK = 1 << 24
_FAULTS = {
    1: "is no pair of whole numbers",
    2: "has only one number",
    3: "has a negative id",
    4: "has an id above 2^62",
}


def text_batches(path: Path) -> Iterator[tuple[Ids, Ids]]:
    """Sources and targets of the lines of a text file, some hundred thousand at a time.

    Raises:
        InputError: a file that cannot be read, or a line that is no edge; it names the line.
    """
    line = wide = 0
    for block in _blocks(path):
        src, dst, lines, fault, others = _scan(np.frombuffer(block, np.uint8))
        if fault:
            text = block.split(b"\n")[lines - 1].decode("utf-8", "replace").strip()
            what = f"{text[:60]!r} {_FAULTS[fault]}"
            raise InputError(what, file=path, place=f"line {line + lines}", mend="give two ids from 0 up a line")
        wide = wide or (line + others if others else 0)
        line += lines
        yield src, dst
    if wide:
        message = f"{path}: line {wide}: columns after the first two, such as weights, are left out"
        warnings.warn(message, InputWarning, stacklevel=2)


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines, some millions of bytes at a time."""
    rest = b""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            while block := file.read(_BLOCK):
                end = block.rfind(b"\n") + 1
                if end:
                    yield rest + block[:end]
                    rest = block[end:]
                else:
                    rest += block
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot be read ({error})", file=path, mend="give a whole file") from error
    if rest:
        yield rest + b"\n"


@compiled
def _scan(text: NDArray[np.uint8]) -> tuple[Ids, Ids, int, int, int]:
    """The edges of whole lines; the number of lines read, the fault of the last one (0: none), and the first line with
    more columns (0: none)."""
    size = 0
    for byte in text:
        size += byte == 10
    ids = np.empty((2, size), np.int64)
    edges = lines = others = place = 0
    while place < text.size:
        lines += 1
        found = 0
        while text[place] != 10:
            byte = text[place]
            if byte == 32 or byte == 9 or byte == 13:
                place += 1
            elif (byte == 35 or byte == 37) and found == 0:
                while text[place] != 10:
                    place += 1
            elif found == 2:
                others = others or lines
                while text[place] != 10:
                    place += 1
            else:
                value, place = _number(text, place)
                if value < 0:
                    return ids[0], ids[1], lines, -value, others
                ids[found, edges] = value
                found += 1
        place += 1
        if found == 1:
            return ids[0], ids[1], lines, 2, others
        edges += found == 2
    return ids[0, :edges].copy(), ids[1, :edges].copy(), lines, 0, others


@compiled
def _number(text: NDArray[np.uint8], place: int) -> tuple[int, int]:
    """The number that starts here, or minus the fault, and the place behind it."""
    sign = text[place] == 45
    place += sign
    first, value = place, 0
    while 48 <= text[place] <= 57:
        if value > 461168601842738790:
            return -4, place
        value = value * 10 + (text[place] - 48)
        place += 1
    if place == first or not (text[place] == 32 or text[place] == 9 or text[place] == 13 or text[place] == 10):
        return -1, place
    return (-3 if sign else value), place
