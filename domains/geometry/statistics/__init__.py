"""Statistics of populations of trajectories."""
