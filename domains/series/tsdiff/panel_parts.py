"""Data sets as GluonTS lays them out: a folder or an archive with JSON lines under `train/` and `test/`.

What all series have in common stands in `metadata.json`, beside these two or in `metadata/`: the frequency as `freq`
or, in older sets, `time_granularity`, and the number of steps to forecast as `prediction_length`.
"""

from __future__ import annotations

import gzip
import json
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from scorefield.core.errors import InputError
from scorefield.domains.series.tables import suffix

__all__ = ["LINES", "Metadata", "Parts", "archive_parts", "folder_parts", "text_of"]

LINES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
_PARTS = ("train", "test")
_METADATA = "metadata.json"


@dataclass(frozen=True)
class Metadata:
    """What a `metadata.json` says.

    Attributes:
        place: where it stands.
        frequency: alias of the step, None where it says none.
        prediction: steps to forecast, None where it says none.
    """

    place: str
    frequency: str | None
    prediction: int | None


@dataclass(frozen=True)
class Parts:
    """What a folder or an archive holds.

    Attributes:
        path: of the folder or archive.
        lines: JSON lines of `train` and `test`, none where a part lacks.
        told: texts of `metadata.json` by their place; none, one or, in either place, two.
    """

    path: Path
    lines: dict[str, list[str]]
    told: dict[str, str]

    def metadata(self) -> list[Metadata]:
        """What is told of the set.

        Raises:
            InputError: what is told is no JSON, no object, or no number of steps.
        """
        return [_metadata(text, self.path, place) for place, text in self.told.items()]


def text_of(path: Path) -> str:
    """The text of a file, packed or not.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.name.endswith(".gz") else content).decode("utf-8-sig")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"cannot be read ({type(error).__name__})", file=path) from error


def folder_parts(folder: Path) -> Parts:
    """The parts of a folder.

    Raises:
        InputError: a file cannot be read.
    """
    lines: dict[str, list[str]] = {}
    for part in _PARTS:
        files = sorted(file for file in (folder / part).glob("[!.]*") if suffix(file) in LINES)
        lines[part] = [line for file in files for line in text_of(file).split("\n")]
    found = [folder / _METADATA, folder / "metadata" / _METADATA]
    return Parts(folder, lines, {str(file.relative_to(folder)): text_of(file) for file in found if file.is_file()})


def archive_parts(path: Path) -> Parts:
    """The parts of an archive; nothing is unpacked to disk.

    Raises:
        InputError: it cannot be read.
    """
    lines: dict[str, list[str]] = {part: [] for part in _PARTS}
    roots: set[PurePosixPath] = set()
    told: dict[PurePosixPath, str] = {}
    try:
        with tarfile.open(path) as archive:
            for member in sorted(archive.getmembers(), key=lambda member: member.name):
                name = PurePosixPath(member.name)
                part = name.parent.name
                series = part in lines and suffix(Path(name)) in LINES and not name.name.startswith(".")
                stream = archive.extractfile(member) if member.isfile() and (series or name.name == _METADATA) else None
                if stream is None:
                    continue
                content = stream.read()
                text = (gzip.decompress(content) if name.suffix == ".gz" else content).decode("utf-8-sig")
                if series:
                    lines[part] += text.split("\n")
                    roots.add(name.parent.parent)
                else:
                    told[name] = text
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
        raise InputError(f"is no archive of series ({type(error).__name__})", file=path) from error
    return Parts(path, lines, {str(name): text for name, text in told.items() if roots & {name.parent, _above(name)}})


def _above(name: PurePosixPath) -> PurePosixPath | None:
    """The folder that a folder of metadata belongs to."""
    return name.parent.parent if name.parent.name == "metadata" else None


def _metadata(text: str, path: Path, place: str) -> Metadata:
    try:
        told: Any = json.loads(text)
    except ValueError as error:
        raise InputError(f"is no JSON ({error})", file=path, place=place) from None
    if not isinstance(told, dict):
        raise InputError("is no object with freq and prediction_length", file=path, place=place)
    frequency = told.get("freq", told.get("time_granularity"))
    prediction = told.get("prediction_length")
    if prediction is not None and (not str(prediction).isdecimal() or int(prediction) < 1):
        what = f"prediction_length {prediction!r} is no whole number above 0"
        raise InputError(what, file=path, place=place)
    steps = None if prediction is None else int(prediction)
    return Metadata(place, None if frequency is None else str(frequency), steps)
