"""Every statistic of series: what is a feature times a distance, and what trains a network or needs both sets at once.

Sources: Li et al. 2025 (vds, fdds), Yoon et al. 2019 (ds, ps), Yuan and Qiao 2024 (correlational, context_fid).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

import numpy as np
import torch

from scorefield.core.statistics.distances import Array, Distance
from scorefield.core.statistics.features import Features
from scorefield.core.statistics.frechet import Frechet
from scorefield.core.statistics.spectral import DrawnMMD, SketchedMMD, SpectralMMD
from scorefield.core.statistics.statistic import Statistic, generator_of
from scorefield.core.statistics.table import Row
from scorefield.core.statistics.uncertainty import Interval, Resampling, t_interval, wilson_interval
from scorefield.domains.series.statistics.discriminative import Discriminated, Discriminator, Rows, Task
from scorefield.domains.series.statistics.moments import MeanCorrelations, correlational_by_draws
from scorefield.domains.series.statistics.neighbours import (
    NeighbourAccuracy,
    NeighbourRatio,
    memorisation,
    most_windows,
    nearest_distances,
    nearest_labels,
    warping_distances,
)
from scorefield.domains.series.statistics.pairing import Pair
from scorefield.domains.series.statistics.panel import PanelPair
from scorefield.domains.series.statistics.population import ScoredWindows
from scorefield.domains.series.statistics.predictive import Predictor

__all__ = ["CATALOGUE", "Entry", "Work"]

_LAGS = (1, 4)
_REPEATS = 5
_FLOOR_WORK = 40_000_000  # numbers in all evaluations behind a floor: some ten seconds
_FRECHET_DRAWS, _FRECHET_DIMENSIONS = 99, 96


@dataclass
class Work:
    """One comparison: what is compared and how, and what several statistics share.

    Args:
        pair: the windows.
        settings: how much to resample.
        seed: of everything random.
        progress: show progress bars.
        known: results that several statistics need.
        attachments: files that belong to a report, by name.
        panel: what forecasters are trained on and tested on, where the real windows are those of a run of a panel.
    """

    pair: Pair
    settings: Resampling
    seed: int
    progress: bool
    known: dict[str, object]
    attachments: dict[str, bytes]
    panel: PanelPair | None = None


@dataclass(frozen=True)
class Entry:
    """A statistic of series.

    Args:
        name: lower case, the field's abbreviation.
        description: what it is, in a few words.
        compute: its row, without the description.
        long: takes a minute or more; computed only if asked for.
        better: "lower", "higher" or "" (no direction).
        labelled: about the classes of windows; left out where there are none.
    """

    name: str
    description: str
    compute: Callable[[Entry, Work], Row]
    long: bool = False
    better: str = "lower"
    labelled: bool = False

    def row(self, work: Work) -> Row:
        """The statistic of a pair."""
        return replace(self.compute(self, work), description=self.description, better=self.better)


def _empty(entry: Entry, note: str) -> Row:
    return Row(entry.name, None, note=note)


def _by_distance(
    feature: Callable[[ScoredWindows], Features],
    distance: Distance | Callable[[Work], Distance],
    resampled: Distance | None = None,
    needs: str = "",
) -> Callable[[Entry, Work], Row]:
    """A feature times a distance; `needs` says what windows without such features lack."""

    def compute(entry: Entry, work: Work) -> Row:
        real, generated = feature(work.pair.real), feature(work.pair.generated)
        if real.size == 0:
            return _empty(entry, needs)
        chosen = distance(work) if callable(distance) else distance
        floors = max(3, _FLOOR_WORK // real.size)
        statistic = Statistic(entry.name, "", feature, chosen, resampled, most_floors=floors)
        return statistic.row_of_features(real, generated, work.settings, work.seed)

    return compute


def _context(entry: Entry, work: Work) -> Row:
    encoder = work.pair.real.encoder(work.seed, progress=work.progress)
    work.attachments["encoder.safetensors"] = encoder.content()
    resampled = Frechet(_FRECHET_DIMENSIONS)
    statistic: Statistic[ScoredWindows] = Statistic(
        entry.name, "", lambda windows: encoder.embed(windows.x), Frechet(), resampled, _FRECHET_DRAWS
    )
    row = statistic.row(work.pair.real, work.pair.generated, work.settings, work.seed)
    said = f"embedding {encoder.fingerprint()}, trained on the real windows with seed {work.seed}; values of other"
    return replace(row, note="; ".join(filter(None, (row.note, f"{said} embeddings are not comparable"))))


def _generators(name: str, seed: int, number: int) -> list[np.random.Generator]:
    return [generator_of(seed, f"{name} {repeat}") for repeat in range(number)]


def _halves(number: int, name: str, seed: int) -> list[Task]:
    """Real windows against other real windows, as often as there are repeats."""
    orders = [generator.permutation(number) for generator in _generators(f"{name} halves", seed, _REPEATS)]
    return [(order[: number // 2], order[number // 2 :]) for order in orders]


def _repeated(entry: Entry, work: Work, values: Sequence[float], note: str = "") -> Row:
    """The mean of repeats with its t-interval; further values are those of the floor."""
    found, floors = values[:_REPEATS], values[_REPEATS:]
    interval: Interval = t_interval(found, work.settings.level)
    n = len(work.pair.real)
    floor = float(np.mean(floors)) if floors else None
    said = f"floor of {n // 2} real objects against the {n - n // 2} others" if floors else ""
    return Row(
        entry.name,
        float(np.mean(found)),
        interval.low,
        interval.high,
        floor,
        n_real=n,
        n_generated=len(work.pair.generated),
        note="; ".join(filter(None, (note, said))),
    )


def _tasks(work: Work, name: str, main: Task) -> list[Task]:
    return [main] * _REPEATS + (_halves(len(work.pair.real), name, work.seed) if work.settings.floors else [])


def _pool(work: Work) -> tuple[torch.Tensor, Rows, Rows]:
    """Real windows followed by generated ones, and the rows of either."""
    n = len(work.pair.real)
    both = np.concatenate([work.pair.real.x, work.pair.generated.x])
    return torch.from_numpy(both), np.arange(n), np.arange(n, len(both))


def _discriminated(name: str, discriminator: Discriminator, work: Work) -> list[Discriminated]:
    """The results of a discriminator, trained once however many statistics need them."""
    if name not in work.known:
        pool, real, generated = _pool(work)
        tasks = _tasks(work, name, (real, generated))
        generators = _generators(name, work.seed, len(tasks))
        work.known[name] = discriminator(pool, tasks, generators, name=name, progress=work.progress)
    return cast("list[Discriminated]", work.known[name])


def _discriminative(name: str, discriminator: Discriminator, area: bool = False) -> Callable[[Entry, Work], Row]:
    def compute(entry: Entry, work: Work) -> Row:
        results = _discriminated(name, discriminator, work)
        own = results[:_REPEATS]
        real, generated = (np.mean([getattr(r, f"{side}_accuracy") for r in own]) for side in ("real", "generated"))
        note = (
            "" if area else f"taken for what they are: {real:.1%} of the real, {generated:.1%} of the generated windows"
        )
        return _repeated(entry, work, [r.area if area else r.score for r in results], note)

    return compute


def _predictive(predictor: Predictor) -> Callable[[Entry, Work], Row]:
    def compute(entry: Entry, work: Work) -> Row:
        if work.pair.real.length < 2:
            return _empty(entry, "needs two steps")
        pool, real, generated = _pool(work)
        tasks = _tasks(work, entry.name, (generated, real))
        generators = _generators(entry.name, work.seed, len(tasks))
        return _repeated(entry, work, predictor(pool, tasks, generators, name=entry.name, progress=work.progress))

    return compute


def _mean_correlations(work: Work) -> MeanCorrelations:
    return MeanCorrelations(work.pair.real.features, work.pair.real.length)


def _correlational_table(entry: Entry, work: Work) -> Row:
    distance, n = _mean_correlations(work), len(work.pair.real)
    generator = generator_of(work.seed, entry.name)
    real, generated = work.pair.real.moments, work.pair.generated.moments
    size = max(1, n // 5)  # of the floor's draws too: the score falls with it
    values = correlational_by_draws(np.concatenate([real, generated]), n, distance, generator, size, _REPEATS)
    floors = []
    for halves in _halves(n, entry.name, work.seed) if work.settings.floors else []:
        pooled = np.concatenate([real[rows] for rows in halves])
        floors += correlational_by_draws(pooled, len(halves[0]), distance, generator, size, 1).tolist()
    return _repeated(entry, work, [*values.tolist(), *floors])


def _warping(kind: Literal["dtw", "soft_dtw"], work: Work) -> tuple[Array, tuple[Rows, Rows], str]:
    """Warping distances between some windows of both sets, which those are, and a note on how they were chosen."""
    sets = work.pair.real, work.pair.generated
    most, draw = most_windows(sets[0].length, sets[0].features), generator_of(work.seed, "warping")
    real, generated = (np.sort(draw.permutation(len(part))[:most]) for part in sets)
    if kind not in work.known:
        windows = np.concatenate([sets[0].x[real], sets[1].x[generated]])
        work.known[kind] = warping_distances(windows, kind)
    note = "" if len(real) == len(sets[0]) else f"of {len(real)} windows of either set, drawn at random"
    return cast("Array", work.known[kind]), (real, generated), note


def _warped(kind: Literal["dtw", "soft_dtw"], distance: Callable[[Array], Distance]) -> Callable[[Entry, Work], Row]:
    def compute(entry: Entry, work: Work) -> Row:
        table, (chosen, _), note = _warping(kind, work)
        number = len(chosen)
        statistic: Statistic[Array] = Statistic(entry.name, "", np.asarray, distance(table))
        row = statistic.row_of_features(np.arange(number), np.arange(number, 2 * number), work.settings, work.seed)
        return replace(row, note="; ".join(filter(None, (note, row.note))))

    return compute


def _label_accuracy(entry: Entry, work: Work) -> Row:
    classes = work.pair.real.labels, work.pair.generated.labels
    if classes[0] is None or classes[1] is None:
        return _empty(entry, "needs classes in both sets")
    table, (real, generated), note = _warping("dtw", work)
    known, made = classes[0][real], classes[1][generated]
    right = nearest_labels(table[:, : len(known)], known) == np.concatenate([known, made])
    share = float(right[len(known) :].mean())
    interval = wilson_interval(int(right[len(known) :].sum()), len(made), work.settings.level)
    floor = float(right[: len(known)].mean())
    return Row(
        entry.name, share, interval.low, interval.high, floor, n_real=len(known), n_generated=len(made), note=note
    )


def _memorisation(entry: Entry, work: Work) -> Row:
    real, generated, train = work.pair.real, work.pair.generated, work.pair.train
    if train is None:
        return _empty(entry, "no training windows were given (--train)")
    of_real = nearest_distances(real.x, train.x)
    if float(np.median(of_real)) < 1e-5:
        return _empty(entry, "the real windows are training windows: it needs windows held out from training")
    of_generated = nearest_distances(generated.x, train.x)
    generator = generator_of(work.seed, entry.name)
    draws = work.settings.bootstrap
    value, interval = memorisation(of_generated, of_real, draws, work.settings.level, generator)
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return Row(entry.name, value, low, high, 1.0, n_real=len(real), n_generated=len(generated))


_PAIRS = "needs two columns"
_LAGGED = "needs two columns, and windows longer than the lag"

CATALOGUE: tuple[Entry, ...] = (
    Entry(
        "vds",
        "value distribution shift: MMD of 10,000 values a column",
        _by_distance(ScoredWindows.values, lambda work: DrawnMMD(seed=work.seed), SketchedMMD()),
    ),
    Entry(
        "vds_exact",
        "the same of all values",
        _by_distance(ScoredWindows.values, SpectralMMD(), SketchedMMD()),
    ),
    Entry(
        "fdds",
        "functional dependency distribution shift: MMD of correlations within windows",
        _by_distance(lambda windows: windows.correlations, SpectralMMD(), SketchedMMD(), _PAIRS),
    ),
    Entry(
        "fdds_unbiased",
        "the same without bias, zero in the mean for equal laws",
        _by_distance(lambda windows: windows.correlations, SpectralMMD(unbiased=True), SketchedMMD(), _PAIRS),
    ),
    *(
        Entry(
            f"fdds_lag{lag}",
            f"MMD of correlations {lag} step{'s' if lag > 1 else ''} apart",
            _by_distance(partial(ScoredWindows.lagged, lag=lag), SpectralMMD(), SketchedMMD(), _LAGGED),
        )
        for lag in _LAGS
    ),
    Entry(
        "acf",
        "MMD of autocorrelations at lags 1, 2, 4, ...",
        _by_distance(lambda windows: windows.autocorrelations, SpectralMMD(), SketchedMMD(), "needs two steps"),
    ),
    Entry(
        "correlational",
        "mean correlations of the whole sets, summed differences / 10",
        _by_distance(lambda windows: windows.moments, _mean_correlations),
    ),
    Entry(
        "correlational_table",
        "the same on random fifths of the windows, 5 times, as tables state it",
        _correlational_table,
    ),
    Entry(
        "ds",
        "discriminative score: |accuracy - 1/2| of a recurrent classifier",
        _discriminative("ds", Discriminator()),
        True,
    ),
    Entry(
        "ds_auc",
        "area under that classifier's ROC curve; 1/2: nothing told apart",
        _discriminative("ds", Discriminator(), True),
        True,
        "",
    ),
    Entry(
        "ds_probe",
        "discriminative score of a stronger classifier (2 layers of 64)",
        _discriminative("ds_probe", Discriminator(64, 2, 500)),
        True,
    ),
    Entry(
        "ps",
        "predictive score: error on real windows of a network trained on generated ones",
        _predictive(Predictor()),
        True,
    ),
    Entry("ps_all", "the same from all columns to all columns", _predictive(Predictor(True)), True),
    Entry("context_fid", "Fréchet distance of contrastive embeddings (TS2Vec)", _context, True),
    Entry(
        "dtw_nn",
        "distance to the nearest real window over that among real ones (DTW); 1 is ideal",
        _warped("dtw", NeighbourRatio),
        better="",
    ),
    Entry(
        "dtw_1nn",
        "share of nearest neighbours (DTW) from the same set; 1/2 is ideal",
        _warped("dtw", NeighbourAccuracy),
        better="",
    ),
    Entry(
        "soft_dtw_nn", "dtw_nn by the soft-DTW divergence; 1 is ideal", _warped("soft_dtw", NeighbourRatio), True, ""
    ),
    Entry(
        "label_1nn",
        "share of windows whose nearest real window (DTW) is of their class",
        _label_accuracy,
        better="higher",
        labelled=True,
    ),
    Entry(
        "memorisation",
        "median distance to training windows over that of held-out real ones; 1 is ideal",
        _memorisation,
        better="",
    ),
)
