"""Stochastic interpolants: families, their noise, systems of them, training and transport."""

from scorefield.core.interpolants.analytic import GaussianBridge, gaussian_bridge
from scorefield.core.interpolants.couplings import Coupling, DataDependent, Independent, OptimalTransport, Paired
from scorefield.core.interpolants.gammas import GAMMAS, Gamma, gamma_named
from scorefield.core.interpolants.interpolant import INTERPOLANTS, QUANTITIES, Interpolant, Quantity, interpolant_named
from scorefield.core.interpolants.objectives import InterpolantMatching
from scorefield.core.interpolants.sampling import Transport, transport
from scorefield.core.interpolants.system import SOURCE, Bridge, Heads, InterpolantSystem

__all__ = [
    "GAMMAS", "INTERPOLANTS", "QUANTITIES", "SOURCE", "Bridge", "Coupling", "DataDependent", "Gamma", "GaussianBridge",
    "Heads", "Independent", "Interpolant", "InterpolantMatching", "InterpolantSystem", "OptimalTransport", "Paired",
    "Quantity", "Transport", "gamma_named", "gaussian_bridge", "interpolant_named", "transport",
]  # fmt: skip
