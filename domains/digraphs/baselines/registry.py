"""Baselines by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.domains.digraphs.baselines import block_model, degrees, induced
from scorefield.domains.digraphs.baselines.sizes import Request
from scorefield.domains.digraphs.digraph import Digraph
from scorefield.domains.digraphs.rescaling import scaled_nodes

__all__ = ["BASELINES", "Baseline", "baseline_table", "sample_baseline"]


class Baseline(NamedTuple):
    """A way to make a graph of another size.

    Args:
        description: what it does, in a few words.
        sample: makes one.
        enlarges: whether graphs can be larger than the original.
    """

    description: str
    sample: Callable[[Request], Digraph]
    enlarges: bool = False


BASELINES: Mapping[str, Baseline] = {
    "random_node": Baseline("nodes uniformly, and the edges between them", induced.random_node),
    "random_edge": Baseline("edges uniformly, and their ends", induced.random_edge),
    "ties": Baseline("ends of random edges, and all edges between them (TIES)", induced.ties),
    "forest_fire": Baseline("forest fire, forward .7, backward .14; induced", induced.forest_fire),
    "random_walk": Baseline("random walk along edges with restart .15; induced", induced.random_walk),
    "snowball": Baseline("breadth-first search, up to 50 neighbours each; induced", induced.snowball),
    "erased_configuration": Baseline(
        "rescaled degrees, stubs joined at random, loops and parallels dropped", degrees.erased_configuration, True
    ),
    "simple_configuration": Baseline(
        "rescaled degrees, a simple graph by edge switching", degrees.simple_configuration, True
    ),
    "chung_lu": Baseline("degrees in the mean, drawn anew (Chung-Lu)", degrees.chung_lu, True),
    "dcsbm": Baseline("degree-corrected block model of communities by modularity", block_model.dcsbm, True),
}
"""The baselines."""


def baseline_table() -> list[tuple[str, str]]:
    """Name and one line about each baseline."""
    return [(name, baseline.description) for name, baseline in BASELINES.items()]


def sample_baseline(
    name: str,
    graph: Digraph,
    ratio: float | str | Fraction | None = None,
    *,
    nodes: int | None = None,
    seed: int = 0,
    sample: int = 0,
) -> Digraph:
    """A graph of another size by a baseline.

    Args:
        name: of the baseline.
        graph: the original, simple.
        ratio: nodes of the sample for each node of the original; this or `nodes`.
        nodes: nodes of the sample. `random_edge` takes edges in this proportion, and has as many nodes as these join.
        seed: the seed.
        sample: the number of the sample; each has random numbers of its own.

    Raises:
        InputError: an unknown name, a bad size or seed, a graph without nodes, or a larger graph than a baseline makes.
    """
    if name not in BASELINES:
        raise unknown("baseline", name, list(BASELINES))
    if not graph.n:
        raise InputError("the graph has no nodes", mend="give a graph with nodes")
    return BASELINES[name].sample(Request(graph, scaled_nodes(graph.n, ratio, nodes), seed, sample))
