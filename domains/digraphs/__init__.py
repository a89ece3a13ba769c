"""Directed graphs: exact degree matrices, and graphs of other sizes that have them rescaled."""

from scorefield.domains.digraphs.certificates import Certificate
from scorefield.domains.digraphs.construction import construct
from scorefield.domains.digraphs.deviations import Deviations, deviations
from scorefield.domains.digraphs.digraph import Digraph, simple_digraph
from scorefield.domains.digraphs.edge_files import ReadDigraph, read_digraph
from scorefield.domains.digraphs.edge_writing import write_digraph
from scorefield.domains.digraphs.matrices import DegreeMatrices, jdm_of_degrees, measure
from scorefield.domains.digraphs.mixing import mix
from scorefield.domains.digraphs.rescaling import Plan, rescale
from scorefield.domains.digraphs.sampling import Recipe, Sample, draw, sample_digraphs
from scorefield.domains.digraphs.validation import Violation, degree_matrices, validate

__all__ = [
    "Certificate", "DegreeMatrices", "Deviations", "Digraph", "Plan", "ReadDigraph", "Recipe", "Sample", "Violation",
    "construct", "degree_matrices", "deviations", "draw", "jdm_of_degrees", "measure", "mix", "read_digraph", "rescale",
    "sample_digraphs", "simple_digraph", "validate", "write_digraph",
]  # fmt: skip
