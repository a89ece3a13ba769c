"""Geometric trajectories: particles, molecules and pedestrians in motion."""
