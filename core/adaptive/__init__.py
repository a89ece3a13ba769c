"""Solvers that choose their steps."""

from scorefield.core.adaptive.dpm import DPMSolverAdaptive
from scorefield.core.adaptive.ode import TorchDiffEq
from scorefield.core.adaptive.solver import AdaptivePlan, AdaptiveSolver

__all__ = ["AdaptivePlan", "AdaptiveSolver", "DPMSolverAdaptive", "TorchDiffEq"]
