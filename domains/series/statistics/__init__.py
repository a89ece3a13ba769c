"""Statistics of populations of series."""

from scorefield.domains.series.statistics.comparing import compare_series, statistics_table
from scorefield.domains.series.statistics.population import SeriesPopulation

__all__ = ["SeriesPopulation", "compare_series", "statistics_table"]
