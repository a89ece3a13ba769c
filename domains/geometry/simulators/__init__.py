"""Simulated trajectories."""
