"""A directed graph, or several, whose measures are computed once, however many statistics ask for them.

Lists of neighbours are large and quick to make, so they are made anew for every group of measures and not kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.statistics.statistic import generator_of
from scorefield.domains.digraphs.deviation import Deviations, deviations
from scorefield.domains.digraphs.digraph import Digraph
from scorefield.domains.digraphs.matrices import DegreeMatrices, measure
from scorefield.domains.digraphs.statistics.connectivity import (
    component_sizes,
    matrix_of,
    page_rank,
    page_rank_base,
    strong_labels,
)
from scorefield.domains.digraphs.statistics.degrees import assortativity
from scorefield.domains.digraphs.statistics.neighbours import in_lists, is_simple, out_lists, ties_of
from scorefield.domains.digraphs.statistics.paths import PathLengths, path_lengths
from scorefield.domains.digraphs.statistics.spectra import Radius, singular_values, spectral_radius
from scorefield.domains.digraphs.statistics.triads import (
    dyads,
    local_clustering,
    mean_clustering,
    transitivity,
    triad_census,
    triangles,
)

__all__ = ["DigraphPopulation", "MeasuredDigraph", "TieMeasures"]

_SINGULAR = 5


@dataclass(frozen=True)
class TieMeasures:
    """What follows from the ties of pairs and triangles.

    Args:
        reciprocity: share of edges whose reverse is there, NaN without edges.
        census: number of triads of each class.
        transitivity: of the underlying undirected graph.
        clustering: local clustering of every node, `(n,)`.
        mean_clustering: its mean.
    """

    reciprocity: float
    census: dict[str, int]
    transitivity: float
    clustering: NDArray[np.float64]
    mean_clustering: float


class MeasuredDigraph:
    """A simple directed graph and its measures.

    Args:
        graph: the graph.
    """

    def __init__(self, graph: Digraph) -> None:
        self.graph = graph

    @property
    def n(self) -> int:
        """Number of nodes."""
        return self.graph.n

    @property
    def m(self) -> int:
        """Number of edges."""
        return self.graph.m

    @cached_property
    def in_degrees(self) -> NDArray[np.int64]:
        """Of every node."""
        return self.graph.in_degrees

    @cached_property
    def out_degrees(self) -> NDArray[np.int64]:
        """Of every node."""
        return self.graph.out_degrees

    @cached_property
    def matrices(self) -> DegreeMatrices:
        """Joint degrees and degree correlation."""
        return measure(self.graph)

    def deviations(self, other: MeasuredDigraph) -> Deviations:
        """How far its degree distributions are from another's."""
        return deviations(self.matrices, other.matrices)

    def assortativity(self, source: str, target: str) -> float:
        """Over edges, of the `in` or `out` degree of the source with that of the target; NaN where one is constant."""
        sides = {"in": self.in_degrees, "out": self.out_degrees}
        return assortativity(self.graph, sides[source], sides[target])

    @cached_property
    def ties(self) -> TieMeasures:
        """Reciprocity, triads and clustering."""
        ties = ties_of(out_lists(self.graph), in_lists(self.graph))
        found = triangles(ties)
        mutual = int(dyads(ties)[:, 2].sum())
        return TieMeasures(
            mutual / self.m if self.m else float("nan"),
            triad_census(ties, found),
            transitivity(ties, found),
            local_clustering(ties, found),
            mean_clustering(ties, found),
        )

    @cached_property
    def weak(self) -> NDArray[np.int64]:
        """Sizes of weak components, largest first."""
        return component_sizes(matrix_of(out_lists(self.graph)), "weak")

    @cached_property
    def strong(self) -> NDArray[np.int64]:
        """Sizes of strong components, largest first."""
        return component_sizes(matrix_of(out_lists(self.graph)), "strong")

    @cached_property
    def paths(self) -> PathLengths:
        """Lengths of shortest paths, from sources that depend on the graph only."""
        return path_lengths(out_lists(self.graph), generator_of(0, "sources of paths"))

    @cached_property
    def singular(self) -> NDArray[np.float64]:
        """The five largest singular values of the adjacency matrix."""
        return singular_values(matrix_of(out_lists(self.graph)), _SINGULAR)

    @cached_property
    def radius(self) -> Radius:
        """The spectral radius of the adjacency matrix."""
        matrix = matrix_of(out_lists(self.graph))
        return spectral_radius(matrix, strong_labels(matrix))

    @cached_property
    def page_rank(self) -> NDArray[np.float64]:
        """Of every node, with sum 1."""
        return page_rank(in_lists(self.graph), self.out_degrees)

    @property
    def page_rank_base(self) -> float:
        """The PageRank of a node that nothing points at, whether or not there is one."""
        return page_rank_base(self.page_rank, self.out_degrees)


class DigraphPopulation:
    """Directed graphs and their measures.

    Args:
        graphs: at least one graph with nodes.

    Raises:
        InputError: no graph, one without nodes or that is not simple, or something that is no graph.
    """

    def __init__(self, graphs: Iterable[Digraph]) -> None:
        given = list(graphs)
        if not given:
            raise InputError("there is no graph to compare", mend="give one graph or several")
        for number, graph in enumerate(given):
            if not isinstance(graph, Digraph):
                raise InputError(f"{type(graph).__name__} is no Digraph", place=f"graph {number}")
            if not graph.n:
                raise InputError("has no nodes", place=f"graph {number}", mend="leave it out")
            if not is_simple(out_lists(graph)):
                what = "has an edge twice, or one from a node to itself"
                raise InputError(what, place=f"graph {number}", mend="simple_digraph drops them")
        self.graphs = [MeasuredDigraph(graph) for graph in given]

    def __len__(self) -> int:
        return len(self.graphs)

    def __iter__(self) -> Iterator[MeasuredDigraph]:
        return iter(self.graphs)

    def __getitem__(self, number: int) -> MeasuredDigraph:
        return self.graphs[number]
