"""Writing files so that they appear whole or not at all, and refusing what is no format."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scorefield.core.errors import InputError

__all__ = ["atomic", "atomic_folder", "check_format", "check_writable", "is_filled"]


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends without an error.

    The temporary name keeps the suffixes of `path`, since writers choose a format by them.

    Raises:
        InputError: the folder cannot be made or written to.
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror or error})", file=path) from error
    finally:
        with suppress(OSError):  # where the parent is no folder there is nothing to remove
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, ours: Callable[[str], bool]) -> Iterator[Path]:
    """Yield a new folder beside `path` that takes its name when the block ends without an error.

    Args:
        path: the folder; what was there goes, if nothing but our own files is in it.
        ours: whether a name is that of a file that may go.

    Raises:
        InputError: the folder cannot be made, or holds something else.
    """
    path = Path(path)
    mark = uuid.uuid4().hex[:8]
    temporary, former = path.with_name(f".{mark}.{path.name}"), path.with_name(f".{mark}.former.{path.name}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.is_dir():
            other = sorted(entry.name for entry in path.iterdir() if entry.is_dir() or not ours(entry.name))
            if other:
                raise InputError(f"holds {other[0]}, which no such folder has", file=path, mend="name another folder")
            os.replace(path, former)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror or error})", file=path) from error
    finally:
        for gone in (temporary, former):
            shutil.rmtree(gone, ignore_errors=True)


def is_filled(path: Path) -> bool:
    """Whether there is a file, or a folder with something in it."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def check_format(kind: str, known: Collection[str], what: str, path: Path) -> None:
    """Refuse a suffix that is not that of a format.

    Args:
        kind: the suffix.
        known: those of formats.
        what: they are formats of this.
        path: the file, for the message.

    Raises:
        InputError: it is unknown.
    """
    if kind not in known:
        raise InputError(
            f"{kind or 'no suffix'} is no format of {what}", file=path, mend=f"known are {' '.join(known)}"
        )


def check_writable(path: str | Path, folder: bool = False) -> None:
    """Find out before long work whether a file can be written at its end; nothing is left behind.

    Args:
        path: the file.
        folder: it is to be a folder, which `atomic_folder` writes.

    A file is made and removed in the folder, or in the nearest one above it that exists: permissions alone do not tell
    of read-only file systems, and to the superuser they tell nothing.

    Raises:
        InputError: the path is a folder (or a file, where it is to be a folder), or the folder it is in cannot be made
            or written to.
    """
    path = Path(path)
    try:
        if path.is_file() if folder else path.is_dir():
            what, wanted = ("a file", "a folder") if folder else ("a folder", "a file")
            raise InputError(f"is {what}", file=path, mend=f"name {wanted}")
        missing, parent = path, path.parent
        while not parent.exists() and parent != parent.parent:
            missing, parent = parent, parent.parent
        if not parent.is_dir():
            raise InputError("is a file, not a folder to write to", file=parent)
        with tempfile.NamedTemporaryFile(dir=parent, prefix=f".{missing.name}."):
            pass
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        raise InputError(what, file=path, mend="write to another folder") from error
