"""Statistics of directed graphs and of populations of them."""

from scorefield.domains.digraphs.statistics.comparing import compare_digraphs, statistics_table
from scorefield.domains.digraphs.statistics.measured import DigraphPopulation, MeasuredDigraph
from scorefield.domains.digraphs.statistics.sources import population, read_population, recognises, reference

__all__ = [
    "DigraphPopulation",
    "MeasuredDigraph",
    "compare_digraphs",
    "population",
    "read_population",
    "recognises",
    "reference",
    "statistics_table",
]
