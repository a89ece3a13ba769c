"""Encoded molecules of a file, kept so that the second run starts at once.

One `.npz` per file and options, named by a SHA-256 over the content of the file, the options, the version of
the encoding and that of RDKit, in `$SCOREFIELD_CACHE` or `~/.cache/scorefield`. A cache that cannot be read
or written is never an error: the molecules are encoded again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.downloads import cache_folder
from scorefield.core.errors import InputError
from scorefield.core.files import atomic
from scorefield.domains.graphs.packed import PackedGraphs

__all__ = ["EncodedFile", "cache_key", "load_encoded", "store_encoded"]

VERSION = 1
"""Raised whenever the encoding or the layout of the file changes."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedFile:
    """The molecules of a file.

    Args:
        packed: graphs whose node types are atomic numbers.
        smiles: the SMILES of the file.
        rows: the row of each molecule in the file, int64 `(n,)`.
    """

    packed: PackedGraphs
    smiles: list[str]
    rows: NDArray[np.int64]


def cache_key(digest: str, options: Mapping[str, Any]) -> str:
    """The name of a cache file, from the digest of the input and the options of the encoding."""
    text = json.dumps({"file": digest, "version": VERSION, **options}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def load_encoded(key: str) -> EncodedFile | None:
    """The molecules stored under a key, or None."""
    path = cache_folder() / f"molecules-{key[:32]}.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            packed = PackedGraphs(
                **{name: arrays[name] for name in ("node_ptr", "nodes", "edge_ptr", "edges", "orders")}
            )
            smiles = arrays["smiles"].tobytes().decode().split("\n")
            return EncodedFile(packed, smiles, arrays["rows"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s: cannot be used and is made anew (%s)", path, error)
        return None


def store_encoded(key: str, encoded: EncodedFile) -> None:
    """Keep the molecules under a key."""
    path = cache_folder() / f"molecules-{key[:32]}.npz"
    text = np.frombuffer("\n".join(encoded.smiles).encode(), dtype=np.uint8)
    arrays: dict[str, Any] = {"smiles": text, "rows": encoded.rows, **encoded.packed.arrays()}
    try:
        with atomic(path) as temporary:
            np.savez_compressed(temporary, **arrays)
    except InputError as error:
        log.warning("encoded molecules are not kept: %s", error)
