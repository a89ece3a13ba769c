"""Run folders: where `fit` writes, and what `sample` and `compare` take.

A finished run holds at least `model.json` (what to build) and `model.safetensors` (its weights). A RUN that
a user names is a folder, else the name of a packaged run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from scorefield.core.domains import find_domains
from scorefield.core.errors import InputError
from scorefield.core.files import check_writable
from scorefield.core.names import nearest, unknown

__all__ = [
    "FORMAT",
    "Run",
    "allocate",
    "check_claim",
    "claim",
    "local_runs",
    "open_run",
    "packaged_runs",
    "resolve_run",
]

FORMAT = 1
_REQUIRED = ("format", "domain", "system", "sizes", "tables", "sampling")


@dataclass(frozen=True)
class Run:
    """A finished run on disk.

    Args:
        folder: the run folder.
    """

    folder: Path

    @property
    def model_file(self) -> Path:
        """What to build, and the sizes and tables that sampling needs."""
        return self.folder / "model.json"

    @property
    def weights_file(self) -> Path:
        """Raw and averaged weights."""
        return self.folder / "model.safetensors"

    @property
    def config_file(self) -> Path:
        """The complete configuration; absent in an imported run."""
        return self.folder / "config.yaml"

    @property
    def domain(self) -> str:
        """The name of the domain it belongs to."""
        return str(self.model["domain"])

    @cached_property
    def model(self) -> dict[str, Any]:
        """The content of `model.json`.

        Raises:
            InputError: the file cannot be read, lacks a key or was written by a later version.
        """
        model = _read_json(self.model_file)
        for key in _REQUIRED:
            if key not in model:
                raise InputError("key is missing", file=self.model_file, place=key, mend="copy the run anew")
        if model["format"] != FORMAT:
            what = f"format {model['format']!r} is not known, only {FORMAT}"
            raise InputError(what, file=self.model_file, place="format", mend="use the version that wrote it")
        return model

    def summary(self) -> str:
        """One line for lists: domain, what was trained, how it samples."""
        recipe = str(self.model["system"].get("class_path", "")).rpartition(".")[2]
        sampling = self.model["sampling"]
        sampler = f"{sampling['solver']} with {sampling.get('steps')} steps" if "solver" in sampling else "no sampler"
        return f"{self.domain}, {recipe}, {sampler}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}"
        raise InputError(error.msg, file=path, place=place, mend="copy the run anew") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise InputError(f"cannot be read ({reason})", file=path, mend="copy the run anew") from error
    if not isinstance(content, dict):
        raise InputError("not a table of keys", file=path, mend="copy the run anew")
    return content


def packaged_runs() -> dict[str, Path]:
    """The runs that come with the package, by name."""
    root = Path(str(files("scorefield.data"))) / "runs"
    return {path.parent.name: path.parent for path in sorted(root.glob("*/model.json"))}


def local_runs(base: str | Path = "runs") -> list[Path]:
    """The run folders `base/NAME/NNN`, finished or not, in order of their names."""
    return sorted(path for path in Path(base).glob("*/*") if path.is_dir() and not path.name.startswith("."))


def resolve_run(run: str | Path) -> Path:
    """The folder of a finished run.

    Args:
        run: a run folder, else the name of a packaged run.

    Raises:
        InputError: there is none; the line names the nearest, or what in the folder is missing.
    """
    folder = Path(run)
    if folder.is_dir():
        return _checked(folder)
    if folder.is_file():
        raise InputError("a file, not a run folder", file=folder, mend=_name_instead(folder))
    packaged = packaged_runs()
    if str(run) in packaged:
        return packaged[str(run)]
    known = [*packaged, *map(str, local_runs())]
    guess = nearest(str(run), known)
    mend = f"did you mean {guess!r}?" if guess else "`scorefield list runs` shows what there is"
    raise InputError("neither a run folder nor a packaged run", file=run, mend=mend)


def _name_instead(file: Path) -> str:
    holds_run = (file.parent / "model.json").is_file()
    return f"name its folder, {str(file.parent)!r}" if holds_run else "name a folder"


def _checked(folder: Path) -> Path:
    if (folder / "model.json").is_file():
        return folder
    inner = sorted(path.parent for path in folder.glob("*/model.json"))
    if inner:
        raise InputError("holds runs but is none itself", file=folder, mend=f"the last is {str(inner[-1])!r}")
    if (folder / "checkpoints").is_dir():
        mend = f"finish it with `scorefield fit --resume {folder}`"
        raise InputError("the run has not finished: there is no model.json", file=folder, mend=mend)
    mend = "name another folder, or copy the run anew"
    raise InputError("not a run: there is no model.json", file=folder, mend=mend)


def open_run(run: str | Path, domain: str | None = None) -> Run:
    """A finished run whose description and weight file are whole.

    Args:
        run: a run folder, else the name of a packaged run.
        domain: the domain it has to be of; any by default.

    Raises:
        InputError: there is none, a file is missing or cut short, or it is of another domain or one not installed.
    """
    opened = Run(resolve_run(run))
    found = opened.domain  # reads the description, whatever the domain may be
    if domain is not None and found != domain:
        what = f"a run of the domain {found!r}, but {domain!r} is needed"
        raise InputError(what, file=opened.folder)
    if found not in find_domains():
        raise unknown("domain", found, find_domains(), file=opened.model_file, place="domain")
    check_weights(opened.weights_file)
    return opened


def check_weights(path: Path) -> None:
    """Compare a safetensors file's size with what its header says.

    Raises:
        InputError: the file is missing, cut short or not a safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 8 + length <= size else None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, mend="copy the run anew") from error
    except (ValueError, RecursionError) as error:
        raise InputError("corrupted: the header is not JSON", file=path, mend="copy the run anew") from error
    if header is None:
        raise InputError("cut short or not a safetensors file", file=path, mend="copy the run anew")
    try:
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise InputError("corrupted: the header is no table of tensors", file=path, mend="copy the run anew") from error
    expected = 8 + length + max(ends, default=0)
    if expected != size:
        what = f"corrupted: {size} bytes where the header says {expected}"
        raise InputError(what, file=path, mend="copy the run anew")


def allocate(name: str, base: str | Path = "runs") -> Path:
    """Make the next free folder `base/NAME/NNN`; two processes never get the same.

    Raises:
        InputError: the folder cannot be made.
    """
    parent = Path(base) / name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        taken = [int(path.name) for path in parent.iterdir() if path.name.isdecimal()]
        number = max(taken, default=0) + 1
        while True:
            try:
                (parent / f"{number:03d}").mkdir()
            except FileExistsError:
                number += 1
            else:
                return parent / f"{number:03d}"
    except OSError as error:
        raise InputError(f"a run folder cannot be made here ({error.strerror})", file=parent) from error


def claim(folder: str | Path) -> Path:
    """Make the run folder that a user named.

    Raises:
        InputError: it holds files already, or cannot be made.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise InputError(f"a run folder cannot be made here ({error.strerror})", file=folder) from error
    if occupied:
        raise _occupied(folder)
    return folder


def check_claim(folder: str | Path) -> None:
    """Find out before long work whether `claim` would take a folder; nothing is changed.

    Raises:
        InputError: it holds files already, or cannot be made or written to.
    """
    folder = Path(folder)
    check_writable(folder / "model.json")
    if folder.is_dir() and any(folder.iterdir()):
        raise _occupied(folder)


def _occupied(folder: Path) -> InputError:
    mend = "name another, or continue a run with `--resume`"
    return InputError("the folder is not empty", file=folder, mend=mend)
