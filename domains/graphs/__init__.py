"""Undirected graphs and molecules."""
