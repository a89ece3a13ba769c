"""The comparison of directed graphs: one with samples of it, or two populations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
from tqdm import tqdm

import scorefield
from scorefield.core.names import unknown
from scorefield.core.statistics.table import Comparison
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.digraphs.statistics.catalogue import CATALOGUE, Entry, Pair
from scorefield.domains.digraphs.statistics.figures import digraph_figures
from scorefield.domains.digraphs.statistics.measured import DigraphPopulation
from scorefield.domains.digraphs.statistics.numbers import NUMBERS
from scorefield.domains.digraphs.statistics.paths import MOST_EXACT, SOURCES
from scorefield.domains.digraphs.statistics.sources import population

__all__ = ["compare_digraphs", "statistics_table"]

_NUMBERS = frozenset(number.name for number in NUMBERS)


def statistics_table() -> list[tuple[str, str]]:
    """Name and one line about each statistic."""
    return [(entry.name, entry.description) for entry in CATALOGUE]


def compare_digraphs(
    real: Any,
    generated: Any,
    train: Any = None,
    *,
    names: tuple[str, str] = ("real", "generated"),
    seed: int = 0,
    resampling: Resampling | None = None,
    only: Sequence[str] | None = None,
    figures: bool = True,
    progress: bool = False,
) -> Comparison:
    """Compare generated directed graphs with real ones.

    Args:
        real: a `Digraph`, several, or a `DigraphPopulation`, which keeps its measures for the next comparison.
        generated: likewise.
        train: what the model was trained on; no statistic of directed graphs asks for it.
        names: what the two are called in tables.
        seed: seed of all resampling.
        resampling: how much to resample.
        only: names of the statistics wanted; all by default, and for `all`.
        figures: draw the figures of a report.
        progress: show progress bars.

    Raises:
        InputError: graphs without nodes, no graph at all, or an unknown statistic.
    """
    settings = Resampling() if resampling is None else resampling
    pair = Pair(population(real), population(generated), settings, seed)
    wanted, notes = _chosen(only, pair)
    rows = []
    with tqdm(wanted, desc="statistics", disable=not progress) as bar:
        for entry in bar:
            bar.set_postfix_str(entry.name)
            rows.append(entry.row(pair))
    return Comparison(
        "digraphs",
        *names,
        tuple(rows),
        digraph_figures(pair, names) if figures else (),
        (*notes, *_notes(wanted, pair)),
        _facts(pair),
    )


def _chosen(only: Sequence[str] | None, pair: Pair) -> tuple[list[Entry], list[str]]:
    """Those asked for that can be computed, and what is said of the others."""
    known = [entry.name for entry in CATALOGUE]
    for name in only or ():
        if name not in (*known, "all"):
            raise unknown("statistic", name, known)
    asked = [entry for entry in CATALOGUE if only is None or "all" in only or entry.name in only]
    absent: dict[str, list[str]] = {}
    for entry in asked:
        if entry.lacks(pair):
            absent.setdefault(entry.lacks(pair), []).append(entry.name)
    notes = [f"{', '.join(left)}: not computed, {reason}" for reason, left in absent.items()]
    return [entry for entry in asked if not entry.lacks(pair)], notes


def _notes(wanted: Sequence[Entry], pair: Pair) -> list[str]:
    notes = []
    if any(entry.name in _NUMBERS for entry in wanted):
        notes.append("rows without a direction: the mean over generated graphs; floor: that of the real ones")
    if len(pair.real) == 1 and any(entry.name not in _NUMBERS for entry in wanted):
        notes.append(
            "floors of distances: as many nodes (tv_dcm: edges) of the real graph as a sample has, at most half, drawn "
            "at random, against the rest"
        )
    if len(pair.generated) > 1 and not pair.populations:
        notes.append("intervals are over samples")
    large = any(graph.n > MOST_EXACT for part in (pair.real, pair.generated) for graph in part)
    if large and any("path" in entry.name for entry in wanted):
        notes.append(f"path lengths of graphs of more than {MOST_EXACT} nodes: from {SOURCES} random sources")
    if any(entry.name == "spectral_radius" for entry in wanted):
        stuck = sum(not graph.radius.converged for part in (pair.real, pair.generated) for graph in part)
        if stuck:
            notes.append(f"spectral_radius: the iteration did not come to an end for {stuck} graphs")
    return notes


def _facts(pair: Pair) -> dict[str, str]:
    settings = pair.settings
    return {
        "real graphs": _sizes(pair.real),
        "generated graphs": _sizes(pair.generated),
        "seed": str(pair.seed),
        "resampling": f"{settings.permutations} permutations, {settings.bootstrap} bootstrap draws, "
        f"{settings.floors} real subsamples",
        "versions": f"scorefield {scorefield.__version__}, scipy {scipy.__version__}, numpy {np.__version__}",
    }


def _sizes(part: DigraphPopulation) -> str:
    said = []
    for name, sizes in (("nodes", [graph.n for graph in part]), ("edges", [graph.m for graph in part])):
        low, high = min(sizes), max(sizes)
        said.append(f"{low:,} {name}" if low == high else f"{low:,} to {high:,} {name}")
    return f"{len(part):,}, {', '.join(said)}"
