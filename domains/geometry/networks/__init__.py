"""Equivariant networks of trajectories."""
