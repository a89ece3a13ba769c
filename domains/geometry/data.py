"""The data modules that configurations name."""

from __future__ import annotations

from scorefield.domains.geometry.molecule_data import MoleculeTrajectoryData
from scorefield.domains.geometry.nbody_data import NBodyData
from scorefield.domains.geometry.pedestrian_data import PedestrianData
from scorefield.domains.geometry.trajectory_data import TrajectoryData

__all__ = ["MoleculeTrajectoryData", "NBodyData", "PedestrianData", "TrajectoryData"]
