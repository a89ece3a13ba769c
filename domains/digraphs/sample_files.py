"""Populations of directed graphs in files: a folder of one file a graph, one packed `.npz`, or one graph.

A folder holds `000.npz`, `001.npz`, ... (`src`, `dst`, `n` each) and, of rescaled graphs, `certificates.json`. A packed
`.npz` holds `nodes (g,)`, `edge_ptr (g + 1,)`, `src` and `dst`; that of one graph also `n`, so that it can be read as
the file of a single graph too.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from scorefield.core.errors import InputError
from scorefield.core.files import atomic, atomic_folder
from scorefield.domains.digraphs.edge_files import read_digraph, suffix_of
from scorefield.domains.digraphs.edge_writing import write_digraph
from scorefield.domains.digraphs.samples import Digraphs

__all__ = ["CERTIFICATES", "check_place", "is_population", "read_digraphs", "write_digraphs"]

CERTIFICATES = "certificates.json"
_NUMBERED = re.compile(r"\d{3,}\.npz")
_PACKED = {"nodes", "edge_ptr", "src", "dst"}
_DAMAGED = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def check_place(path: Path, num: int) -> None:
    """Find out before long work whether `num` graphs can be written to this path.

    Raises:
        InputError: an unknown suffix, or a format of one graph for several.
    """
    if path.suffix and suffix_of(path) != ".npz" and num != 1:
        what = f"{path.suffix} files hold one graph, not {num}"
        raise InputError(what, file=path, mend="name a folder (no suffix) or an .npz")


def is_population(path: Path) -> bool:
    """Whether a path is a folder of graphs, or an `.npz` of arrays such as directed graphs have."""
    if path.is_dir():
        return any(_NUMBERED.fullmatch(entry.name) for entry in path.iterdir())
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).stem for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return {"src", "dst"} < names


def write_digraphs(graphs: Digraphs, path: Path) -> None:
    """Write a population; the same graphs give the same bytes.

    Raises:
        InputError: an unknown suffix, several graphs where the format holds one, or a place that cannot be written to.
    """
    check_place(path, len(graphs))
    if not path.suffix:
        _write_folder(graphs, path)
    elif suffix_of(path) == ".npz":
        arrays: dict[str, Any] = dict(graphs.arrays())
        if len(graphs) == 1:
            arrays["n"] = np.array(graphs[0].n)
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
    else:
        write_digraph(path, graphs[0])


def _write_folder(graphs: Digraphs, path: Path) -> None:
    width = max(3, len(str(len(graphs) - 1)))
    with atomic_folder(path, lambda name: name == CERTIFICATES or bool(_NUMBERED.fullmatch(name))) as folder:
        for number, graph in enumerate(graphs):
            write_digraph(folder / f"{number:0{width}d}.npz", graph)
        if graphs.certificates is not None:
            listed = [{"file": f"{k:0{width}d}.npz", **facts} for k, facts in enumerate(graphs.certificates)]
            (folder / CERTIFICATES).write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


def read_digraphs(path: Path) -> Digraphs:
    """Read a folder, a packed `.npz`, or one graph in any format.

    Raises:
        InputError: something cannot be read or is no directed graph; the file is named.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.exists() and not path.suffix:
        raise InputError("there is no such folder", file=path)
    if suffix_of(path) == ".npz" and path.is_file():
        found = _read_packed(path)
        if found is not None:
            return found
    return Digraphs((read_digraph(path).graph,))


def _read_folder(path: Path) -> Digraphs:
    files = sorted(entry for entry in path.iterdir() if _NUMBERED.fullmatch(entry.name))
    if not files:
        raise InputError("holds no 000.npz, 001.npz, ...", file=path, mend="name a folder that sample or rescale wrote")
    graphs = tuple(read_digraph(file).graph for file in files)
    return Digraphs(graphs, _read_certificates(path / CERTIFICATES, len(graphs)))


def _read_certificates(file: Path, num: int) -> tuple[dict[str, object], ...] | None:
    if not file.is_file():
        return None
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", file=file) from error
    if not isinstance(listed, list) or len(listed) != num or not all(isinstance(facts, dict) for facts in listed):
        raise InputError(f"is no list of {num} certificates", file=file, mend="remove it, or copy the folder anew")
    return tuple({name: value for name, value in facts.items() if name != "file"} for facts in listed)


def _read_packed(path: Path) -> Digraphs | None:
    """None where the file is of one graph."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not set(file.files) >= _PACKED:
                return None
            arrays = {name: file[name] for name in file.files}
    except _DAMAGED as error:
        raise InputError(f"cannot be read ({error})", file=path, mend="give an .npz of arrays") from error
    try:
        found = Digraphs.from_arrays(arrays)
    except (InputError, json.JSONDecodeError) as error:
        raise InputError(str(error), file=path) from error
    for number, graph in enumerate(found):
        keys = np.sort(graph.keys)
        if (keys[1:] == keys[:-1]).any() or (graph.src == graph.dst).any():
            raise InputError("has a loop or an edge twice", file=path, place=f"graph {number}")
    return found
