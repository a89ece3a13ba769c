"""Files from elsewhere: where they are kept, how they are fetched, what tells them apart."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from scorefield.core.errors import InputError

__all__ = ["cache_folder", "download", "file_digest"]


def cache_folder() -> Path:
    """`$SCOREFIELD_CACHE`, or `~/.cache/scorefield`."""
    return Path(os.environ.get("SCOREFIELD_CACHE") or Path.home() / ".cache" / "scorefield")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise InputError("there is no such file", file=path) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", file=path) from error


def download(url: str, target: Path, name: str) -> None:
    """Download a file, with a progress bar.

    Raises:
        InputError: it cannot be had, or arrives incomplete.
    """
    mend = f"download {name} elsewhere and give the file with --data.path"
    try:
        with urllib.request.urlopen(url, timeout=60) as response, target.open("wb") as stream:
            length = int(response.headers.get("Content-Length") or 0)
            with tqdm.wrapattr(response, "read", total=length or None, desc=f"downloading {name}") as source:
                shutil.copyfileobj(source, stream)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{name} cannot be downloaded from {url} ({reason})", mend=mend) from error
    if length and target.stat().st_size != length:
        raise InputError(f"{name} from {url} arrived incomplete", mend=mend)
