"""Statistics that are one number of a graph: what they are called, what they mean, how they are found.

Numbers that grow with a graph (components, triads, the largest singular value) come twice, as they are and divided by
the number of nodes, so that graphs of other sizes can be compared. A number that is not defined is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from scorefield.domains.digraphs.statistics.degrees import gini
from scorefield.domains.digraphs.statistics.measured import MeasuredDigraph
from scorefield.domains.digraphs.statistics.triads import TRIADS

__all__ = ["NUMBERS", "Number"]

Measure = Callable[[MeasuredDigraph], float]


class Number(NamedTuple):
    """A number of a graph.

    Args:
        name: lower case.
        description: what it is, in a few words.
        of: how it is found; NaN where it is not defined.
        share: whether it is 0 or 1 for each graph.
        least: the least value it can take.
    """

    name: str
    description: str
    of: Measure
    share: bool = False
    least: float = 0.0


def _both(name: str, description: str, of: Measure) -> Iterator[Number]:
    yield Number(name, description, of)
    yield Number(f"{name}_per_node", f"{description}, divided by the nodes", lambda graph: of(graph) / graph.n)


def _size(graph: MeasuredDigraph, kind: str) -> float:
    return float(getattr(graph, kind)[0])


def _components(graph: MeasuredDigraph, kind: str) -> float:
    return float(len(getattr(graph, kind)))


def _share(graph: MeasuredDigraph, kind: str) -> float:
    return _size(graph, kind) / graph.n


def _assortativity(graph: MeasuredDigraph, source: str, target: str) -> float:
    return graph.assortativity(source, target)


def _triad(graph: MeasuredDigraph, name: str) -> float:
    return float(graph.ties.census[name])


def _singular(graph: MeasuredDigraph, place: int) -> float:
    return float(graph.singular[place])


def _degrees() -> Iterator[Number]:
    yield Number("nodes", "nodes", lambda graph: float(graph.n))
    yield Number("edges", "edges", lambda graph: float(graph.m))
    yield Number("mean_degree", "edges for each node", lambda graph: graph.m / graph.n)
    for side in ("in", "out"):
        yield Number(f"max_{side}", f"largest {side}-degree", partial(_largest, side=side))
        yield Number(f"gini_{side}", f"Gini coefficient of {side}-degrees", partial(_gini, side=side))
    yield Number("reciprocity", "share of edges whose reverse is there", lambda graph: graph.ties.reciprocity)
    for source, target in (("out", "in"), ("out", "out"), ("in", "in"), ("in", "out")):
        what = f"correlation over edges of the source's {source}- and the target's {target}-degree"
        yield Number(
            f"assortativity_{source}_{target}", what, partial(_assortativity, source=source, target=target), least=-1.0
        )


def _largest(graph: MeasuredDigraph, side: str) -> float:
    return float(getattr(graph, f"{side}_degrees").max())


def _gini(graph: MeasuredDigraph, side: str) -> float:
    return gini(getattr(graph, f"{side}_degrees"))


def _structure() -> Iterator[Number]:
    yield Number("transitivity", "share of paths of two edges that close, undirected", lambda g: g.ties.transitivity)
    yield Number("clustering", "mean local clustering, undirected", lambda graph: graph.ties.mean_clustering)
    for short, kind in (("wcc", "weak"), ("scc", "strong")):
        yield from _both(f"{short}_count", f"{kind} components", partial(_components, kind=kind))
        yield Number(f"{short}_largest", f"nodes of the largest {kind} component", partial(_size, kind=kind))
        yield Number(f"{short}_largest_share", f"share of nodes in the largest {kind} one", partial(_share, kind=kind))
    yield Number("acyclic", "share of graphs without a cycle", lambda g: float(len(g.strong) == g.n), share=True)
    yield Number("path_mean", "mean length of shortest paths", lambda graph: graph.paths.mean)
    yield Number("path_q90", "length within which 90 % of shortest paths lie", lambda graph: graph.paths.quantile())
    yield Number("path_max", "longest shortest path (reachable diameter)", lambda graph: graph.paths.most)
    yield from _both("sigma_1", "largest singular value", partial(_singular, place=0))
    for place in range(1, 5):
        yield Number(f"sigma_{place + 1}", f"singular value {place + 1}", partial(_singular, place=place))
    yield Number("spectral_radius", "largest absolute eigenvalue", lambda graph: graph.radius.value)
    yield Number("pagerank_max", "largest PageRank", lambda graph: float(graph.page_rank.max()))


def _triads() -> Iterator[Number]:
    for name in TRIADS:
        yield from _both(f"triad_{name.lower()}", f"triads {name}", partial(_triad, name=name))


NUMBERS: tuple[Number, ...] = (*_degrees(), *_structure(), *_triads())
