"""Finished chunks of a generated file, kept until it is whole.

`FILE.parts/request.json` holds everything that was asked for, `FILE.parts/000017.npz` the samples of
chunk 17. What appears there is whole; a chunk whose file is damaged or answers another request counts as
missing. At the end `FILE` is put together from the shards, `FILE.json` tells how it was made, and the folder goes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scorefield.core.domain import Samples
from scorefield.core.errors import InputError
from scorefield.core.files import atomic, check_writable, is_filled

__all__ = ["Shard", "Shards", "Write"]

Request = dict[str, Any]
"""Everything that the bytes of a file depend on, JSON-able."""

Write = Callable[[Any, Path], Mapping[str, Any]]
"""Writes samples to a file, and says what the file's summary shall hold besides."""

_PREFIX = "samples."  # before the names of the samples' own arrays


@dataclass(frozen=True)
class Shard:
    """The samples of one chunk and what they took.

    Attributes:
        samples: in the order in which they were drawn.
        evaluations: network calls per sample.
        seconds: time spent.
    """

    samples: Samples
    evaluations: float
    seconds: float


class Shards:
    """The shards of one file.

    Args:
        file: the file that is being generated; without a suffix a folder, of samples that can be saved as one.
        request: everything that its bytes depend on.
        samples_type: class of its samples.
    """

    def __init__(self, file: str | Path, request: Request, samples_type: type[Samples]) -> None:
        self.file = Path(file)
        self.summary_file = self.file.with_name(f"{self.file.name}.json")
        self.folder = self.file.with_name(f"{self.file.name}.parts")
        self.request: Request = json.loads(json.dumps(request))
        self._key = hashlib.sha256(json.dumps(self.request, sort_keys=True).encode()).hexdigest()
        self._type = samples_type
        self._is_folder = not self.file.suffix and getattr(samples_type, "in_folders", False)

    @property
    def _request_file(self) -> Path:
        return self.folder / "request.json"

    def finished(self) -> dict[str, Any] | None:
        """The file's summary, if the file is there and was made by this request."""
        summary = _read_json(self.summary_file)
        whole = is_filled(self.file) and summary is not None and summary.get("request") == self.request
        return summary if whole else None

    def check(self, overwrite: bool = False) -> None:
        """Refuse what could not be written at the end; nothing is changed.

        Args:
            overwrite: whether what another request made may be replaced.

        Raises:
            InputError: the file or its shards come from another request, or cannot be written here.
        """
        check_writable(self.file, self._is_folder)
        if overwrite or self.finished() is not None:
            return
        if self.folder.exists():
            earlier = _read_json(self._request_file)
            if earlier == self.request or self._empty():
                return  # also where the file is there: it stems from an assembly that was interrupted
            raise self._refusal(self.folder, "holds an unfinished request with other settings", earlier)
        if is_filled(self.file):
            summary = _read_json(self.summary_file) or {}
            raise self._refusal(self.file, "is there already, made with other settings", summary.get("request"))

    def _empty(self) -> bool:
        """Whether the folder tells of no work: it may hold what a killed process was about to write."""
        kept = self._request_file.exists() or any(self.folder.glob("[0-9]*.npz"))
        return self.folder.is_dir() and not kept

    def _refusal(self, path: Path, what: str, earlier: Any) -> InputError:
        difference = _difference(earlier, self.request) if isinstance(earlier, dict) else ""
        mend = "give --overwrite to replace it, or write to another file"
        return InputError(what + difference, file=path, mend=mend)

    def discard(self) -> None:
        """Remove the shards; what says whose they are goes last."""
        for path in self.folder.glob("[0-9]*.npz"):
            _remove(path)
        _remove(self.folder)

    def tidy(self) -> None:
        """Remove what an interruption left of a finished request; another request's shards stay."""
        if _read_json(self._request_file) == self.request or self._empty():
            self.discard()

    def abandon(self) -> None:
        """Remove the folder of a failed request without a finished chunk: it would stand in a corrected one's way."""
        if _read_json(self._request_file) == self.request and not any(self.folder.glob("[0-9]*.npz")):
            with suppress(InputError):  # the failure itself is what the user has to hear of
                self.discard()

    def open(self, overwrite: bool = False) -> None:
        """Make the folder ready for shards of this request.

        Args:
            overwrite: whether shards of another request may go, and its file be replaced at the end.

        Raises:
            InputError: they may not and are there, or the folder cannot be made.
        """
        self.check(overwrite)
        if overwrite and _read_json(self._request_file) != self.request:
            self.discard()
        with atomic(self._request_file) as temporary:
            temporary.write_text(json.dumps(self.request, indent=1) + "\n", encoding="utf-8")

    def path(self, chunk: int) -> Path:
        """Where the shard of a chunk lies."""
        return self.folder / f"{chunk:06d}.npz"

    def write(self, chunk: int, shard: Shard) -> None:
        """Store a chunk.

        Raises:
            InputError: the folder cannot be written to, or another process has removed it.
        """
        if not self.folder.is_dir():  # `atomic` would make it anew, without the request
            raise InputError("was removed during the work", file=self.folder, mend="start again")
        facts = {"request": self._key, "evaluations": shard.evaluations, "seconds": shard.seconds}
        arrays = {_PREFIX + name: value for name, value in shard.samples.arrays().items()}
        with atomic(self.path(chunk)) as temporary:
            np.savez(temporary, allow_pickle=False, **{k: np.asarray(v) for k, v in facts.items()}, **arrays)

    def read(self, chunk: int) -> Shard | None:
        """The stored chunk; None where it is missing, damaged or of another request."""
        try:
            with self.path(chunk).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                values = {name: stored[name] for name in stored.files}
            if str(values["request"]) != self._key:
                return None
            arrays = {name[len(_PREFIX) :]: v for name, v in values.items() if name.startswith(_PREFIX)}
            samples = self._type.from_arrays(arrays)
            return Shard(samples, float(values["evaluations"]), float(values["seconds"]))
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
            return None

    def missing(self, sizes: Mapping[int, int]) -> list[int]:
        """Chunks still to be made.

        Args:
            sizes: number of samples of every chunk.
        """

        def whole(chunk: int, size: int) -> bool:
            shard = self.read(chunk)
            return shard is not None and len(shard.samples) == size

        return [chunk for chunk, size in sizes.items() if not whole(chunk, size)]

    def assemble(
        self, sizes: Mapping[int, int], facts: Mapping[str, Any], write: Write | None = None
    ) -> dict[str, Any]:
        """Write the file and its summary, then remove the folder.

        Args:
            sizes: number of samples of every chunk.
            facts: what the summary says besides counts and costs.
            write: writes the file; by default the samples do.

        Returns:
            The summary.

        Raises:
            InputError: a shard is damaged, or a file cannot be written.
        """
        shards = {chunk: self.read(chunk) for chunk in sizes}
        found = [shard for shard in shards.values() if shard is not None]
        if len(found) < len(shards):
            broken = next(chunk for chunk, shard in shards.items() if shard is None)
            raise InputError("missing or damaged", file=self.path(broken), mend="run the command again")
        samples = self._type.concatenate([shard.samples for shard in found])
        summary: dict[str, Any] = {**facts, **_costs(found), **samples.counts(), "request": self.request}
        _remove(self.summary_file)  # it must never stand beside a file that it does not describe
        if write is None:
            samples.save(self.file)
        else:
            summary |= write(samples, self.file)
        with atomic(self.summary_file) as temporary:
            temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        self.discard()
        return summary


def _costs(shards: list[Shard]) -> dict[str, int | float]:
    total = sum(len(shard.samples) for shard in shards)
    mean = sum(shard.evaluations * len(shard.samples) for shard in shards) / max(total, 1)
    seconds = round(sum(shard.seconds for shard in shards), 3)
    return {"evaluations": round(mean) if abs(mean - round(mean)) < 1e-9 else mean, "seconds": seconds}


def _difference(earlier: Request, asked: Request) -> str:
    """The first settings that differ, in brackets."""
    names = [name for name in {**earlier, **asked} if earlier.get(name) != asked.get(name)]
    shown = [f"{name} {_short(earlier.get(name))} there, {_short(asked.get(name))} asked" for name in names[:3]]
    return f" ({'; '.join(shown)})" if shown else ""


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else text[:21] + "..."


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot be removed ({error.strerror})", file=path) from error
