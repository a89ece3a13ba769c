"""Configurations of trajectories."""
