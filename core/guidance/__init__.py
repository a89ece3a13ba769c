"""Guidance: potentials, and the ways of using one."""
