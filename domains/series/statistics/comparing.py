"""The comparison of two populations of series by the statistics of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

import scorefield
from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.core.statistics.table import Comparison
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.statistics.catalogue import CATALOGUE, Entry, Work
from scorefield.domains.series.statistics.figures import series_figures
from scorefield.domains.series.statistics.pairing import Pair, make_pair
from scorefield.domains.series.statistics.panel import PanelPair, shaped
from scorefield.domains.series.statistics.panel_statistics import PANEL_CATALOGUE
from scorefield.domains.series.statistics.population import SeriesPopulation
from scorefield.domains.series.statistics.sources import population

__all__ = ["compare_series", "statistics_table"]

_PAIRED = ("fdds", "correlational")  # statistics of several columns
Series = SeriesSamples | SeriesPopulation | npt.NDArray[np.floating]


def statistics_table() -> list[tuple[str, str]]:
    """Name and one line about each statistic."""
    entries = (*CATALOGUE, *PANEL_CATALOGUE)
    return [(entry.name, entry.description + (" (only if asked for)" if entry.long else "")) for entry in entries]


def compare_series(
    real: Series,
    generated: Series,
    train: Series | None = None,
    *,
    names: tuple[str, str] = ("real", "generated"),
    seed: int = 0,
    resampling: Resampling | None = None,
    only: Sequence[str] | None = None,
    figures: bool = True,
    progress: bool = False,
) -> Comparison:
    """Compare generated windows with real ones.

    Args:
        real: series `(n, L, D)`, or longer ones that are cut into windows of the generated length; a
            `SeriesPopulation` keeps its features for the next comparison.
        generated: series of one length.
        train: what the model was trained on, for `memorisation`.
        names: what the two are called in tables.
        seed: seed of everything random.
        resampling: how much to resample.
        only: names of the statistics wanted; by default those that take seconds; `all` for every one.
        figures: draw the figures of a report.
        progress: show progress bars.

    Raises:
        InputError: populations that cannot be compared, or an unknown statistic.
    """
    settings = Resampling() if resampling is None else resampling
    real, made, seen = population(real), population(generated), None if train is None else population(train)
    wanted = _chosen(only, real.panel is not None)
    made, seen, shapes = _of_panel(real, made, seen, names)
    pair = make_pair(real, made, seen, names, seed)
    work = Work(pair, settings, seed, progress, {}, {}, shapes)
    rows = []
    with tqdm(_possible(wanted, pair, only), desc="statistics", disable=not progress) as bar:
        for entry in bar:
            bar.set_postfix_str(entry.name)
            rows.append(entry.row(work))
    return Comparison(
        "series",
        *names,
        tuple(rows),
        series_figures(pair, real.columns, seed, names) if figures else (),
        (*pair.notes, *_left_out(wanted, shapes is not None)),
        {**pair.facts, **_versions(settings, seed)},
        work.attachments,
    )


def _of_panel(
    real: SeriesPopulation, made: SeriesPopulation, seen: SeriesPopulation | None, names: tuple[str, str]
) -> tuple[SeriesPopulation, SeriesPopulation | None, PanelPair | None]:
    """Generated and training windows as windows of the real ones' panel, and the three of them; else as they are."""
    if real.panel is None:
        return made, seen, None
    made = shaped(made, real.panel, names[1], real.scaling)
    seen = None if seen is None else shaped(seen, real.panel, "the training windows", real.scaling)
    return made, seen, PanelPair(real.panel, _rows(made), None if seen is None else _rows(seen))


def _known(panel: bool) -> list[Entry]:
    """What there is to compute: of windows of a panel nothing about several columns, but what forecasters tell."""
    if not panel:
        return list(CATALOGUE)
    return [*(entry for entry in CATALOGUE if not entry.name.startswith(_PAIRED)), *PANEL_CATALOGUE]


def _chosen(only: Sequence[str] | None, panel: bool) -> list[Entry]:
    known = [entry.name for entry in _known(panel)]
    for name in only or ():
        if name not in (*known, "all"):
            if name in [entry.name for entry in PANEL_CATALOGUE]:
                mend = "give the run that the windows are from as REAL"
                raise InputError(f"{name} is a statistic of runs of panels", mend=mend)
            raise unknown("statistic", name, known)
    if only is None:
        return [entry for entry in _known(panel) if not entry.long]
    return [entry for entry in _known(panel) if "all" in only or entry.name in only]


def _possible(wanted: Sequence[Entry], pair: Pair, only: Sequence[str] | None) -> list[Entry]:
    """Without those that need the labels of both sets where these are unknown, unless asked for by name."""
    labelled = pair.real.labels is not None and pair.generated.labels is not None
    return [entry for entry in wanted if labelled or not entry.labelled or entry.name in (only or ())]


def _rows(made: SeriesPopulation) -> npt.NDArray[np.float64]:
    """Windows of one column, `(n, L)`."""
    return made.table.values.reshape(len(made), -1)


def _left_out(wanted: Sequence[Entry], panel: bool) -> list[str]:
    names = [entry.name for entry in _known(panel) if entry not in wanted]
    return [f"not asked for: {', '.join(names)} (--statistics all, or their names)"] if names else []


def _versions(settings: Resampling, seed: int) -> dict[str, str]:
    return {
        "seed": str(seed),
        "resampling": f"{settings.permutations} permutations, {settings.bootstrap} bootstrap draws, "
        f"up to {settings.floors} real subsamples",
        "versions": f"scorefield {scorefield.__version__}, torch {torch.__version__}, numpy {np.__version__}",
    }
