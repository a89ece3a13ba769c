"""Paths, spaces, systems, solvers and statistics, shared by every domain."""
