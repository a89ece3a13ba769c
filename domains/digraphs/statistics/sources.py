"""What `compare` takes in this domain: files and folders of directed graphs, runs, decoded samples, graphs."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from scorefield.core.references import open_data
from scorefield.core.runs import Run
from scorefield.domains.digraphs.digraph import Digraph
from scorefield.domains.digraphs.sample_files import is_population
from scorefield.domains.digraphs.samples import Digraphs
from scorefield.domains.digraphs.statistics.measured import DigraphPopulation

__all__ = ["population", "read_population", "recognises", "reference"]

_TEXT = (".txt", ".txt.gz")
_TABLES = (".csv", ".csv.gz")
_NAMES = {"src", "dst"}
_COMMENTS = 50  # lines that a file may begin with


def recognises(path: Path) -> bool:
    """Whether a folder, an `.npz`, a list of edges or a GraphML holds directed graphs, by its first lines."""
    suffix = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if path.is_dir() or suffix == ".npz":
        return is_population(path)
    if suffix not in (*_TEXT, *_TABLES, ".graphml") or not path.is_file():
        return False
    lines = _first_lines(path)
    if suffix == ".graphml":
        return any('edgedefault="directed"' in line for line in lines)
    if suffix in _TABLES:
        header = next(csv.reader(lines[:1]), [])
        return {cell.strip().lower() for cell in header} >= _NAMES
    edges = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return bool(edges) and len(edges[0]) >= 2 and all(cell.isdigit() for cell in edges[0][:2])


def _first_lines(path: Path) -> list[str]:
    try:
        with gzip.open(path, "rt") if path.suffix.lower() == ".gz" else path.open() as file:
            return list(islice(file, _COMMENTS))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error):
        return []


def read_population(path: Path) -> DigraphPopulation:
    """The graphs of a file or folder.

    Raises:
        InputError: it cannot be read, or holds no graph with nodes; it names the place.
    """
    return DigraphPopulation(Digraphs.load(path))


def population(
    samples: DigraphPopulation | Digraph | Iterable[Digraph], *, progress: bool = False
) -> DigraphPopulation:
    """A population that keeps its measures.

    Raises:
        InputError: there is no graph with nodes.
    """
    if isinstance(samples, DigraphPopulation):
        return samples
    return DigraphPopulation([samples] if isinstance(samples, Digraph) else samples)


def reference(run: Run) -> tuple[DigraphPopulation, DigraphPopulation]:
    """The test split and the training set of a run; a rescaled graph is its own.

    Raises:
        InputError: the run does not say which data it was trained on, or they are not there or not as they were.
    """
    module = open_data(run, "directed graphs")
    return population(module.test_references()), population(module.train_references())
