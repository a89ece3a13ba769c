"""Statistics of populations of molecules."""

from scorefield.domains.graphs.statistics.comparing import DISTANCES, STATISTICS, compare_molecules
from scorefield.domains.graphs.statistics.population import MoleculePopulation

__all__ = ["DISTANCES", "STATISTICS", "MoleculePopulation", "compare_molecules"]
