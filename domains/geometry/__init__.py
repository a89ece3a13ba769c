"""Geometric trajectories: particles, molecules and pedestrians in motion."""

from scorefield.domains.geometry.domain import GeometryDomain

__all__ = ["GeometryDomain"]
