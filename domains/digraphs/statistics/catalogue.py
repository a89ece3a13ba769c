"""Every statistic of directed graphs: distances of distributions, discrepancies of populations, numbers of graphs.

One real graph is compared with each generated one by itself: the value is the mean, the interval Student's over the
samples. The floor draws as many nodes (of the degree correlation matrix: edges) at random from the real graph as a
sample has, and compares them with the rest: what no sampling of independent nodes would beat.

Two populations are compared as a whole: degrees of all graphs of either are pooled, intervals, p-values and floors
resample graphs. Discrepancies (MMD) compare graphs as such, and need populations.

A number of graphs is not a distance: its value is the mean over the generated graphs, its floor that of the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scorefield.core.statistics.distances import (
    Distance,
    KernelMMD,
    KolmogorovSmirnov,
    TotalVariation,
    Wasserstein1,
    distance_between,
)
from scorefield.core.statistics.statistic import Statistic, generator_of
from scorefield.core.statistics.table import Row
from scorefield.core.statistics.uncertainty import (
    Interval,
    Resampling,
    normal_interval,
    permutation_counts,
    permutation_p_value,
    t_interval,
    wilson_interval,
)
from scorefield.domains.digraphs.statistics.degrees import Weighted, pairs_of, weighted
from scorefield.domains.digraphs.statistics.histograms import (
    CellDistance,
    GaussianOfVariation,
    HistogramDistance,
    normalised,
    pooled_counts,
    sampled_floor,
)
from scorefield.domains.digraphs.statistics.measured import DigraphPopulation, MeasuredDigraph
from scorefield.domains.digraphs.statistics.numbers import NUMBERS, Number
from scorefield.domains.digraphs.statistics.triads import CONNECTED, TRIADS

__all__ = ["CATALOGUE", "Entry", "Pair"]

Feature = Callable[[MeasuredDigraph], Weighted]
_BINS = 100
_EQUAL = 1e-9  # relative: samples that differ by less are equal up to rounding


@dataclass(frozen=True)
class Pair:
    """What is compared.

    Args:
        real: the real graph or graphs.
        generated: the generated ones.
        settings: how much to resample.
        seed: of all resampling.
    """

    real: DigraphPopulation
    generated: DigraphPopulation
    settings: Resampling
    seed: int = 0

    @property
    def populations(self) -> bool:
        """Whether there are several graphs on either side."""
        return min(len(self.real), len(self.generated)) > 1


class Entry(Protocol):
    """A statistic of directed graphs."""

    @property
    def name(self) -> str:
        """Lower case, the field's abbreviation."""
        ...

    @property
    def description(self) -> str:
        """What it is, in a few words."""
        ...

    def lacks(self, pair: Pair) -> str:
        """Why it cannot be computed of a pair, or nothing."""
        ...

    def row(self, pair: Pair) -> Row:
        """The statistic of a pair."""
        ...


@dataclass(frozen=True)
class Distribution:
    """A distance of the distributions of something in two graphs, or two populations.

    Args:
        name: see `Entry`.
        description: see `Entry`.
        feature: what is distributed.
        distance: how it is compared.
        sampled: of what the floor of a single graph draws as many as a sample has, if that is a sample at all.
    """

    name: str
    description: str
    feature: Feature
    distance: CellDistance
    sampled: str = "nodes"

    def lacks(self, pair: Pair) -> str:
        """Nothing."""
        return ""

    def row(self, pair: Pair) -> Row:
        """See `Entry`."""
        row = self._pooled(pair) if pair.populations else self._each(pair)
        return replace(row, description=self.description, better="lower")

    def _pooled(self, pair: Pair) -> Row:
        cells, counts = pooled_counts([self.feature(graph) for part in (pair.real, pair.generated) for graph in part])
        statistic: Statistic[Any] = Statistic(self.name, "", lambda part: part, HistogramDistance(self.distance, cells))
        size = len(pair.real)
        return statistic.row_of_features(counts[:size], counts[size:], pair.settings, pair.seed)

    def _each(self, pair: Pair) -> Row:
        """Every generated graph against all real ones."""
        real = [self.feature(graph) for graph in pair.real]
        generated = [self.feature(graph) for graph in pair.generated]
        values = [self._apart(real, part) for part in generated]
        interval = _over_samples(values, pair.settings, HistogramDistance(self.distance, real[0].values).bounds)
        size = round(float(np.mean([part.counts.sum() for part in generated])))
        floor = self._floor(real, size, pair) if pair.settings.floors else None
        low, high = (interval.low, interval.high) if interval else (None, None)
        value = float(np.mean(values))
        return Row(self.name, value, low, high, floor, n_real=len(real), n_generated=len(generated))

    def _apart(self, real: Sequence[Weighted], generated: Weighted) -> float:
        cells, counts = pooled_counts([*real, generated])
        return distance_between(HistogramDistance(self.distance, cells), counts[: len(real)], counts[len(real) :])

    def _floor(self, real: Sequence[Weighted], size: int, pair: Pair) -> float | None:
        if len(real) > 1:  # each against the others
            parts = [self._apart([*real[:k], *real[k + 1 :]], real[k]) for k in range(len(real))]
            return float(np.mean(parts))
        if not self.sampled:
            return None
        generator = generator_of(pair.seed, self.name)
        return sampled_floor(self.distance, real[0], size, pair.settings.floors, generator)


def _over_samples(values: Sequence[float], settings: Resampling, bounds: tuple[float, float]) -> Interval | None:
    if len(values) < 2 or settings.bootstrap < 2:
        return None
    if float(np.ptp(values)) <= _EQUAL * abs(float(values[0])):
        return normal_interval(float(np.mean(values)), 0.0)
    found = t_interval(values, settings.level)
    return Interval(max(found.low, bounds[0]), min(found.high, bounds[1]))


@dataclass(frozen=True)
class Discrepancy:
    """Squared maximum mean discrepancy of the histograms of graphs, with a Gaussian kernel of their total variation.

    Args:
        name: see `Entry`.
        description: see `Entry`.
        feature: a graph's histogram.
        width: of the kernel.
    """

    name: str
    description: str
    feature: Feature
    width: float

    def lacks(self, pair: Pair) -> str:
        """See `Entry`."""
        return "" if pair.populations else "needs several graphs on either side"

    def row(self, pair: Pair) -> Row:
        """See `Entry`."""
        _, counts = pooled_counts([self.feature(graph) for part in (pair.real, pair.generated) for graph in part])
        rows, size = normalised(counts), len(pair.real)
        distance: Distance = KernelMMD(GaussianOfVariation(self.width))
        statistic: Statistic[Any] = Statistic(self.name, self.description, lambda part: part, distance)
        return statistic.row_of_features(rows[:size], rows[size:], pair.settings, pair.seed)


@dataclass(frozen=True)
class NumberOfGraphs:
    """A number of graphs, of the generated beside the real ones.

    Args:
        number: the number.
    """

    number: Number

    @property
    def name(self) -> str:
        """See `Entry`."""
        return self.number.name

    @property
    def description(self) -> str:
        """See `Entry`."""
        return self.number.description

    def lacks(self, pair: Pair) -> str:
        """Nothing."""
        return ""

    def row(self, pair: Pair) -> Row:
        """See `Entry`."""
        parts = [np.array([self.number.of(graph) for graph in part]) for part in (pair.real, pair.generated)]
        real, generated = (part[np.isfinite(part)] for part in parts)
        undefined = sum(part.size for part in parts) - real.size - generated.size
        row = Row(
            self.name,
            float(generated.mean()) if generated.size else None,
            floor=float(real.mean()) if real.size and pair.settings.floors else None,
            n_real=real.size,
            n_generated=generated.size,
            description=self.description,
            note=f"not defined for {undefined} of {sum(map(len, parts))} graphs" if undefined else "",
        )
        interval = self._interval(generated, pair.settings)
        if interval is not None:
            row = replace(row, low=interval.low, high=interval.high)
        if min(real.size, generated.size) > 1 and pair.settings.permutations:
            row = replace(row, p_value=self._p_value(real, generated, pair))
        return row

    def _interval(self, values: NDArray[np.float64], settings: Resampling) -> Interval | None:
        if self.number.share and values.size and settings.bootstrap > 1:
            return wilson_interval(float(values.sum()), values.size, settings.level)
        return _over_samples(values.tolist(), settings, (self.number.least, np.inf))

    def _p_value(self, real: NDArray[np.float64], generated: NDArray[np.float64], pair: Pair) -> float:
        """How often means of relabelled graphs are as far apart."""
        generator = generator_of(pair.seed, self.name)
        sizes = real.size, generated.size
        pooled = np.concatenate([real, generated])
        of_real, of_generated = permutation_counts(*sizes, pair.settings.permutations, generator)
        permuted = np.abs(pooled @ of_generated / sizes[1] - pooled @ of_real / sizes[0])
        return permutation_p_value(abs(float(generated.mean() - real.mean())), permuted, generator)


def _in(graph: MeasuredDigraph) -> Weighted:
    return weighted(graph.in_degrees)


def _out(graph: MeasuredDigraph) -> Weighted:
    return weighted(graph.out_degrees)


def _total(graph: MeasuredDigraph) -> Weighted:
    return weighted(graph.in_degrees + graph.out_degrees)


def _jdm(graph: MeasuredDigraph) -> Weighted:
    return pairs_of(graph.matrices.jdm)


def _dcm(graph: MeasuredDigraph) -> Weighted:
    return pairs_of(graph.matrices.dcm)


def _binned_jdm(graph: MeasuredDigraph) -> Weighted:
    return pairs_of(graph.matrices.jdm, binned=True)


def _binned_dcm(graph: MeasuredDigraph) -> Weighted:
    return pairs_of(graph.matrices.dcm, binned=True)


def _page_rank(graph: MeasuredDigraph) -> Weighted:
    return weighted(np.round(graph.page_rank / graph.page_rank_base, 9))


def _clustering(graph: MeasuredDigraph) -> Weighted:
    return weighted(graph.ties.clustering)


def _clustering_bins(graph: MeasuredDigraph) -> Weighted:
    return weighted(np.minimum((graph.ties.clustering * _BINS).astype(np.int64), _BINS - 1))


def _paths(graph: MeasuredDigraph) -> Weighted:
    there = np.flatnonzero(graph.paths.counts)
    return Weighted(there, graph.paths.counts[there])


def _triads(graph: MeasuredDigraph, names: tuple[str, ...]) -> Weighted:
    return Weighted(np.arange(len(names)), np.array([graph.ties.census[name] for name in names], dtype=np.float64))


def _connected_triads(graph: MeasuredDigraph) -> Weighted:
    return _triads(graph, CONNECTED)


def _all_triads(graph: MeasuredDigraph) -> Weighted:
    return _triads(graph, TRIADS)


_SIDES: tuple[tuple[str, str, Feature], ...] = (
    ("in", "in-degrees", _in),
    ("out", "out-degrees", _out),
    ("total", "total degrees", _total),
)
_DISTANCES: tuple[tuple[str, str, CellDistance], ...] = (
    ("ks", "Kolmogorov-Smirnov distance", KolmogorovSmirnov()),
    ("tv", "total variation", TotalVariation()),
    ("w1", "Wasserstein-1 distance", Wasserstein1()),
)
_TV, _KS = TotalVariation(), KolmogorovSmirnov()

CATALOGUE: tuple[Entry, ...] = (
    *(
        Distribution(f"{short}_{side}", f"{what} of {degrees}", feature, distance)
        for short, what, distance in _DISTANCES
        for side, degrees, feature in _SIDES
    ),
    Distribution("tv_jdm", "total variation of joint (in, out) degrees", _jdm, _TV),
    Distribution("tv_jdm_binned", "the same of degrees binned by powers of two", _binned_jdm, _TV),
    Distribution("tv_dcm", "total variation of edges by out-degree of source, in-degree of target", _dcm, _TV, "edges"),
    Distribution("tv_dcm_binned", "the same of degrees binned by powers of two", _binned_dcm, _TV, "edges"),
    Distribution("ks_clustering", "Kolmogorov-Smirnov distance of local clustering", _clustering, _KS),
    Distribution("tv_triads", "total variation of the 13 classes of connected triads", _connected_triads, _TV, ""),
    Distribution("ks_paths", "Kolmogorov-Smirnov distance of lengths of shortest paths", _paths, _KS, ""),
    Distribution(
        "ks_pagerank",
        "Kolmogorov-Smirnov distance of PageRank over that of a node that nothing points at",
        _page_rank,
        _KS,
    ),
    Discrepancy("mmd_in", "MMD of in-degree histograms", _in, 1.0),
    Discrepancy("mmd_out", "MMD of out-degree histograms", _out, 1.0),
    Discrepancy("mmd_clustering", "MMD of histograms of local clustering", _clustering_bins, 0.1),
    Discrepancy("mmd_triads", "MMD of shares of the 16 classes of triads", _all_triads, 0.1),
    *map(NumberOfGraphs, NUMBERS),
)
