"""Directed graphs: exact degree matrices, and graphs of other sizes that have them rescaled."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorefield.domains.digraphs.certificates import Certificate as Certificate
    from scorefield.domains.digraphs.construction import construct as construct
    from scorefield.domains.digraphs.deviation import Deviations as Deviations
    from scorefield.domains.digraphs.deviation import deviations as deviations
    from scorefield.domains.digraphs.digraph import Digraph as Digraph
    from scorefield.domains.digraphs.digraph import simple_digraph as simple_digraph
    from scorefield.domains.digraphs.domain import DigraphDomain as DigraphDomain
    from scorefield.domains.digraphs.edge_files import ReadDigraph as ReadDigraph
    from scorefield.domains.digraphs.edge_files import read_digraph as read_digraph
    from scorefield.domains.digraphs.edge_writing import write_digraph as write_digraph
    from scorefield.domains.digraphs.exchange import as_digraph as as_digraph
    from scorefield.domains.digraphs.exchange import to_data as to_data
    from scorefield.domains.digraphs.exchange import to_networkx as to_networkx
    from scorefield.domains.digraphs.matrices import DegreeMatrices as DegreeMatrices
    from scorefield.domains.digraphs.matrices import jdm_of_degrees as jdm_of_degrees
    from scorefield.domains.digraphs.matrices import measure as measure
    from scorefield.domains.digraphs.mixing import mix as mix
    from scorefield.domains.digraphs.rescaling import Plan as Plan
    from scorefield.domains.digraphs.rescaling import rescale as rescale
    from scorefield.domains.digraphs.samples import Digraphs as Digraphs
    from scorefield.domains.digraphs.sampling import Recipe as Recipe
    from scorefield.domains.digraphs.sampling import Sample as Sample
    from scorefield.domains.digraphs.sampling import draw as draw
    from scorefield.domains.digraphs.sampling import sample_digraphs as sample_digraphs
    from scorefield.domains.digraphs.validation import Violation as Violation
    from scorefield.domains.digraphs.validation import degree_matrices as degree_matrices
    from scorefield.domains.digraphs.validation import validate as validate

# Module -> its public names, imported on first use: the program's lists need the domain's name only.
_NAMES = {
    "certificates": ("Certificate",),
    "construction": ("construct",),
    "deviation": ("Deviations", "deviations"),
    "digraph": ("Digraph", "simple_digraph"),
    "domain": ("DigraphDomain",),
    "edge_files": ("ReadDigraph", "read_digraph"),
    "edge_writing": ("write_digraph",),
    "exchange": ("as_digraph", "to_data", "to_networkx"),
    "matrices": ("DegreeMatrices", "jdm_of_degrees", "measure"),
    "mixing": ("mix",),
    "rescaling": ("Plan", "rescale"),
    "samples": ("Digraphs",),
    "sampling": ("Recipe", "Sample", "draw", "sample_digraphs"),
    "validation": ("Violation", "degree_matrices", "validate"),
}
_PLACES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
