"""Configurations of graphs and molecules."""
