"""A solver whose coefficients come from a model's own statistics, measured before the run."""

from scorefield.core.empirical.statistics import ComponentStatistics, EmpiricalModelStatistics
from scorefield.core.empirical.v3 import DPMSolverV3

__all__ = ["ComponentStatistics", "DPMSolverV3", "EmpiricalModelStatistics"]
