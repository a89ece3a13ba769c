"""The comparison of two populations of trajectories by the statistics of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

import scorefield
from scorefield.core.names import unknown
from scorefield.core.statistics.table import Comparison
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.geometry.statistics.animation import animation_html
from scorefield.domains.geometry.statistics.catalogue import CATALOGUE, Entry, Work
from scorefield.domains.geometry.statistics.figures import trajectory_figures
from scorefield.domains.geometry.statistics.pairing import Pair, make_pair
from scorefield.domains.geometry.statistics.population import TrajectoryPopulation
from scorefield.domains.geometry.statistics.sources import population
from scorefield.domains.geometry.trajectories import Trajectories

__all__ = ["compare_trajectories", "statistics_table"]

_MOVING = "a report has an animation beside it: REPORT.GENERATED.animation.html"
Source = TrajectoryPopulation | Trajectories | NDArray[np.floating[Any]]


def statistics_table() -> list[tuple[str, str]]:
    """Name and one line about each statistic."""
    return [(entry.name, entry.description + (" (only if asked for)" if entry.long else "")) for entry in CATALOGUE]


def compare_trajectories(
    real: Source,
    generated: Source,
    train: Source | None = None,
    *,
    names: tuple[str, str] = ("real", "generated"),
    seed: int = 0,
    resampling: Resampling | None = None,
    only: Sequence[str] | None = None,
    figures: bool = True,
    progress: bool = False,
) -> Comparison:
    """Compare generated trajectories with real ones.

    Args:
        real: trajectories, or an array `[n, N, T, D]`; a `TrajectoryPopulation` keeps its features for the next
            comparison, and knows what moves.
        generated: likewise; of longer real ones the first frames are compared.
        train: what the model was trained on; no statistic of trajectories asks for it.
        names: what the two are called in tables.
        seed: of everything random.
        resampling: how much to resample.
        only: names of the statistics wanted; by default those that take seconds; `all` for every one.
        figures: draw the figures of a report, and an animation.
        progress: show progress bars.

    Raises:
        InputError: populations that cannot be compared, or a statistic that is unknown or does not apply.
    """
    settings = Resampling() if resampling is None else resampling
    pair = make_pair(population(real), population(generated), names)
    wanted = _chosen(only, pair)
    work = Work(pair, settings, seed, progress, frozenset(only or ()))
    rows = []
    with tqdm(wanted, desc="statistics", disable=not progress) as bar:
        for entry in bar:
            bar.set_postfix_str(entry.name)
            rows.append(entry.row(work))
    return Comparison(
        "geometry",
        *names,
        tuple(rows),
        trajectory_figures(pair, seed, names) if figures else (),
        (*pair.notes, *_left_out(wanted, pair), *([_MOVING] if figures else [])),
        {**(pair.facts or {}), **_versions(settings, seed)},
        _animation(pair, seed, names) if figures else {},
    )


def _chosen(only: Sequence[str] | None, pair: Pair) -> list[Entry]:
    """Those asked for; of those not asked for by name only what applies."""
    known = [entry.name for entry in CATALOGUE]
    for name in only or ():
        if name not in (*known, "all"):
            raise unknown("statistic", name, known)
    wanted = [entry for entry in CATALOGUE if (not entry.long if only is None else "all" in only or entry.name in only)]
    return [entry for entry in wanted if entry.name in (only or ()) or not entry.lacks(pair)]


def _left_out(wanted: Sequence[Entry], pair: Pair) -> list[str]:
    other = [entry for entry in CATALOGUE if entry not in wanted]
    absent = {entry.name: entry.lacks(pair) for entry in other}
    names = [entry.name for entry in other if not absent[entry.name]]
    notes = [f"not asked for: {', '.join(names)} (--statistics all, or their names)"] if names else []
    for reason in dict.fromkeys(filter(None, absent.values())):
        notes.append(f"{', '.join(name for name in absent if absent[name] == reason)}: not computed, {reason}")
    return notes


def _animation(pair: Pair, seed: int, names: tuple[str, str]) -> dict[str, bytes]:
    """A report has one for each generated population beside it."""
    page = animation_html(pair.real, pair.generated, seed=seed, names=names)
    return {f"{Path(names[1]).stem or 'generated'}.animation.html": page.encode()}


def _versions(settings: Resampling, seed: int) -> dict[str, str]:
    return {
        "seed": str(seed),
        "resampling": f"up to {settings.permutations} permutations, {settings.bootstrap} bootstrap draws, "
        f"{settings.floors} real subsamples",
        "versions": f"scorefield {scorefield.__version__}, torch {torch.__version__}, numpy {np.__version__}",
    }
