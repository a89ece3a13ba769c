"""Undirected graphs and molecules."""

from scorefield.domains.graphs.domain import GraphDomain

__all__ = ["GraphDomain"]
