"""Statistics of populations of trajectories."""

from scorefield.domains.geometry.statistics.comparing import compare_trajectories, statistics_table
from scorefield.domains.geometry.statistics.population import TrajectoryPopulation

__all__ = ["TrajectoryPopulation", "compare_trajectories", "statistics_table"]
