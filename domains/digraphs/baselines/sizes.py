"""What every baseline is asked for: how many nodes, how many edges, and its random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from scorefield.core.errors import InputError
from scorefield.domains.digraphs.digraph import Digraph
from scorefield.domains.digraphs.streams import Stream, generator, stream

__all__ = ["Request", "check_smaller"]

_PURPOSE = 9


@dataclass(frozen=True)
class Request:
    """One sample that is asked for.

    Args:
        graph: the original, simple and with nodes.
        nodes: how many nodes the sample has.
        seed: of its random numbers.
        sample: its number.
    """

    graph: Digraph
    nodes: int
    seed: int = 0
    sample: int = 0

    @property
    def ratio(self) -> Fraction:
        """Nodes of the sample for each node of the original."""
        return Fraction(self.nodes, self.graph.n)

    @property
    def edges(self) -> int:
        """As many edges for each node as the original has."""
        return round(self.ratio * self.graph.m)

    def generator(self) -> np.random.Generator:
        """For work on whole arrays."""
        return generator(self.seed, self.sample, _PURPOSE)

    def stream(self) -> Stream:
        """For kernels."""
        return stream(self.seed, self.sample, _PURPOSE, 1)


def check_smaller(request: Request, name: str) -> None:
    """Refuse more nodes than there are.

    Raises:
        InputError: what is drawn from a graph would be larger than it.
    """
    if request.nodes > request.graph.n:
        what = f"{name} draws from the graph's own {request.graph.n} nodes, {request.nodes} are asked for"
        raise InputError(what, mend="ask for a ratio of at most 1")
