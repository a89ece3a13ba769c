"""Rescaled samples of a directed graph: measured once, then rescaled, constructed and mixed anew for each sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from scorefield.core.errors import InputError
from scorefield.domains.digraphs.certificates import Certificate
from scorefield.domains.digraphs.construction import Start, construct_wiring
from scorefield.domains.digraphs.digraph import Digraph
from scorefield.domains.digraphs.matrices import DegreeMatrices, measure
from scorefield.domains.digraphs.mixing import Mixing, mix_wiring, relabel
from scorefield.domains.digraphs.rescaling import OnInfeasible, rescale
from scorefield.domains.digraphs.streams import stream
from scorefield.domains.digraphs.stubs import to_digraph

__all__ = ["Recipe", "Sample", "draw", "sample_digraphs"]


@dataclass(frozen=True)
class Recipe:
    """How samples are drawn.

    Args:
        ratio: nodes of a sample for each node of the original; this or `nodes`.
        nodes: nodes of a sample.
        start: how edges are first laid, `cyclic` or `random`.
        steps_per_edge: length of the Markov chain, in steps for each edge.
        on_infeasible: where hubs have more neighbours than there are nodes, `clip` their degrees, or `raise`.
    """

    ratio: float | str | Fraction | None = None
    nodes: int | None = None
    start: Start = "cyclic"
    steps_per_edge: float = 10
    on_infeasible: OnInfeasible = "clip"


@dataclass(frozen=True, eq=False)
class Sample:
    """One rescaled graph.

    Args:
        graph: the graph, simple.
        matrices: its degree matrices.
        certificate: how far they are from the original's.
        mixing: what the Markov chain did.
    """

    graph: Digraph
    matrices: DegreeMatrices
    certificate: Certificate
    mixing: Mixing


def draw(original: DegreeMatrices, recipe: Recipe, *, seed: int = 0, sample: int = 0) -> Sample:
    """Sample number `sample` of a seed, the same whatever other samples are drawn.

    Raises:
        InputError: a bad size, start or length, or a size that this graph cannot have.
    """
    plan = rescale(
        original,
        recipe.ratio,
        nodes=recipe.nodes,
        seed=seed,
        sample=sample,
        on_infeasible=recipe.on_infeasible,
    )
    wiring = construct_wiring(plan.matrices, seed=seed, sample=sample, start=recipe.start)
    mixing = mix_wiring(wiring, recipe.steps_per_edge, seed=seed, sample=sample)
    graph = relabel(to_digraph(wiring), seed=seed, sample=sample)
    return Sample(graph, plan.matrices, plan.certificate, mixing)


def sample_digraphs(graph: Digraph, recipe: Recipe, count: int, *, seed: int = 0) -> Iterator[Sample]:
    """Independent rescaled samples of a simple graph, numbers 0 to count - 1 of a seed.

    Raises:
        InputError: at once for a negative count or seed, or a graph without nodes or with loops; while drawing, as
        `draw`.
    """
    if count < 0:
        raise InputError(f"{count} samples asked for", mend="ask for 0 or more")
    if not graph.n:
        raise InputError("the graph has no nodes", mend="give a graph with nodes")
    stream(seed)
    original = measure(graph)
    return (draw(original, recipe, seed=seed, sample=number) for number in range(count))
