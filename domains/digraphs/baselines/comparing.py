"""A graph rescaled beside all baselines, in one table and one figure."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from tqdm import tqdm

from scorefield.core.names import unknown
from scorefield.core.statistics.table import Comparison, Row, short
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.digraphs.baselines.registry import BASELINES, sample_baseline
from scorefield.domains.digraphs.digraph import Digraph
from scorefield.domains.digraphs.matrices import measure
from scorefield.domains.digraphs.rescaling import scaled_nodes
from scorefield.domains.digraphs.sampling import Recipe, draw
from scorefield.domains.digraphs.statistics.comparing import compare_digraphs
from scorefield.domains.digraphs.statistics.measured import DigraphPopulation

__all__ = ["RESCALED", "SHOWN", "Method", "compare_baselines", "methods_table"]

RESCALED = "rescaled"
"""The name of rescaled graphs among the methods."""
SHOWN = (
    "ks_in", "ks_out", "tv_jdm_binned", "tv_dcm_binned", "ks_clustering", "tv_triads", "ks_paths", "ks_pagerank",
    "mean_degree", "gini_in", "gini_out", "reciprocity", "assortativity_out_in", "transitivity", "clustering",
    "wcc_largest_share", "scc_largest_share", "path_mean", "path_max", "sigma_1", "spectral_radius",
)  # fmt: skip
"""Statistics that tables show unless others are asked for."""


_LITTLE = 5e-4  # relative: half an interval below is not shown


@dataclass(frozen=True)
class Method:
    """A way to make graphs of another size, and how its graphs compare with the original.

    Args:
        name: `rescaled`, or that of a baseline.
        comparison: its samples against the original.
        samples: its samples, with their measures.
        seconds: CPU time of its quickest sample (the first one may compile).
    """

    name: str
    comparison: Comparison
    samples: DigraphPopulation
    seconds: float


def compare_baselines(
    graph: Digraph | DigraphPopulation,
    ratio: float | str | Fraction | None = None,
    *,
    nodes: int | None = None,
    num: int = 5,
    seed: int = 0,
    methods: Sequence[str] | None = None,
    only: Sequence[str] | None = SHOWN,
    resampling: Resampling | None = None,
    figures: bool = False,
    progress: bool = False,
) -> list[Method]:
    """Samples of a graph by several methods, each compared with it.

    Args:
        graph: the original, simple; the first where several are given.
        ratio: nodes of a sample for each node of the original; this or `nodes`.
        nodes: nodes of a sample.
        num: samples of each method.
        seed: of all of them.
        methods: `rescaled` and names of baselines; by default all that can make graphs of this size.
        only: names of statistics; None for all.
        resampling: how much to resample.
        figures: draw those of a report.
        progress: show a bar.

    Raises:
        InputError: an unknown method or statistic, a bad size, or a graph larger than a method makes.
    """
    original = graph if isinstance(graph, DigraphPopulation) else DigraphPopulation([graph])
    source = original[0].graph
    size = scaled_nodes(source.n, ratio, nodes)
    found = []
    with tqdm(_chosen(methods, size > source.n), desc="methods", disable=not progress) as bar:
        for name in bar:
            bar.set_postfix_str(name)
            made, seconds = _timed(_maker(name, source, size, seed), num)
            comparison = compare_digraphs(
                original,
                made,
                names=("original", name),
                seed=seed,
                resampling=resampling,
                only=only,
                figures=figures,
            )
            found.append(Method(name, comparison, made, seconds))
    return found


def _timed(make: Callable[[int], Digraph], num: int) -> tuple[DigraphPopulation, float]:
    """Samples, and CPU seconds of the quickest."""
    times, graphs = [time.process_time()], []
    for sample in range(num):
        graphs.append(make(sample))
        times.append(time.process_time())
    return DigraphPopulation(graphs), float(np.diff(times).min())


def _chosen(methods: Sequence[str] | None, larger: bool) -> list[str]:
    known = [RESCALED, *BASELINES]
    for name in methods or ():
        if name not in known:
            raise unknown("method", name, known)
    return [name for name in methods or known if methods or name == RESCALED or BASELINES[name].enlarges or not larger]


def _maker(name: str, graph: Digraph, nodes: int, seed: int) -> Callable[[int], Digraph]:
    if name != RESCALED:
        return lambda sample: sample_baseline(name, graph, nodes=nodes, seed=seed, sample=sample)
    matrices = measure(graph)
    return lambda sample: draw(matrices, Recipe(nodes=nodes), seed=seed, sample=sample).graph


def methods_table(methods: Sequence[Method]) -> str:
    """A line for each statistic, a column for each method: the mean over samples and, in brackets, half of its interval
    in units of the last digit.

    The smallest distance of a line is marked; `original` is the number of the original graph or, of distances, the
    floor.
    """
    rows = {row.name: row for method in methods for row in method.comparison.rows}
    names = [method.name.split("_", 1) for method in methods]
    lines = [["", "original", *(name[0] for name in names)], ["", "", *("".join(name[1:]) for name in names)]]
    lines.append(["nodes", "", *(f"{_mean(method, 'n'):,.0f}" for method in methods)])
    lines.append(["edges", "", *(f"{_mean(method, 'm'):,.0f}" for method in methods)])
    lines.append(["seconds", "", *(short(method.seconds) for method in methods)])
    for name, row in rows.items():
        cells = [method.comparison[name] for method in methods]
        values = [cell.value for cell in cells if cell.value is not None]
        best = min(values, default=None) if row.better == "lower" else None
        reference = f"floor {short(row.floor)}" if row.better and row.floor is not None else short(row.floor)
        lines.append([name, reference, *(_cell(cell, best) for cell in cells)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(c.rjust(w) if k else c.ljust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in lines
    )


def _mean(method: Method, name: str) -> float:
    return float(np.mean([getattr(graph, name) for graph in method.samples]))


def _cell(row: Row, best: float | None) -> str:
    mark = "*" if best is not None and row.value is not None and row.value <= best + 1e-12 else ""
    if row.low is None or row.high is None or row.value is None or row.high <= row.low:
        return f"{mark}{short(row.value)}"
    half = (row.high - row.low) / 2
    digits = max(0, -math.floor(math.log10(half)))
    if digits > 6 or round(half * 10**digits) == 0 or half < _LITTLE * abs(row.value):
        return f"{mark}{short(row.value)}"
    return f"{mark}{row.value:.{digits}f}({half * 10**digits:.0f})"
