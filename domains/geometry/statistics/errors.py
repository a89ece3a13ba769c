"""Errors of forecasts and interpolations: how far K sampled trajectories of each system are from the true one.

With d_ks the distance of sample k from the truth at frame s, averaged over the nodes of the system (of pedestrians only
the first node's), a sample's ADE is the mean of d over frames, its FDE that at the last frame. Over the samples of a
system

    ade, fde                the mean over k
    min_ade, min_fde        the least over k, of either by itself, as published: they may be of different samples
    best_of_20_*            the expected least of 20 of the K samples, over all ways to choose them
    cluster_*               the least of the 20 samples whose ends are nearest to 20 centres of k-means (seeded)
    energy                  ade - 1/2 E |x_k - x_k'|, over nodes and frames: a proper score, least for the true law

and each is averaged over systems. The least of many samples rewards spread; `energy` does not.

Sources: Han et al. 2024 (GeoTDM); Gneiting and Raftery 2007 for the energy score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.statistics.statistic import generator_of
from scorefield.core.statistics.table import Row
from scorefield.core.statistics.uncertainty import Interval, normal_interval
from scorefield.domains.geometry.statistics.clustering import nearest_to_centres

__all__ = ["CLUSTERED", "DisplacementScores", "expected_least", "paired_ratio", "score_displacements"]

Array = NDArray[np.float64]
CLUSTERED = 20
"""How many samples are left of more of them, in `best_of_20` and `cluster`."""
_MOST_SHIFTS = 10
_NAMES: Mapping[str, str] = {
    "ade": "mean distance to the truth over frames, mean of the samples",
    "fde": "distance to the truth at the last frame, mean of the samples",
    "min_ade": "the same of the best sample of each system",
    "min_fde": "the same of the best sample of each system at the last frame",
    "best_of_20_ade": "expected least of 20 samples, over frames",
    "best_of_20_fde": "expected least of 20 samples, at the last frame",
    "cluster_ade": "least of the samples nearest to 20 centres, over frames",
    "cluster_fde": "least of the samples nearest to 20 centres, at the last frame",
    "energy": "energy score of positions, mean over frames and nodes",
}


@dataclass(frozen=True)
class DisplacementScores:
    """Errors of the samples of some systems.

    Attributes:
        ade: of each sample, `[K, systems]`.
        fde: likewise.
        energy: `[systems]`.
        kept: samples that are left after clustering, `[systems, 20]`, or None where there are no more than 20.
        frames: mean error at each frame: mean over samples, and of the best one at that frame, `[2, T]`; NaN where
            nothing was to be forecast.
        groups: which systems are not independent of each other, `[systems]`.
    """

    ade: Array
    fde: Array
    energy: Array
    kept: NDArray[np.int64] | None
    frames: Array
    groups: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.ade.shape[1])

    def __getitem__(self, name: str) -> float:
        """One score."""
        return self.values()[name]

    def by_system(self) -> dict[str, Array]:
        """Every score of each system, `[systems]`."""
        found = {"ade": self.ade.mean(0), "fde": self.fde.mean(0), "min_ade": self.ade.min(0)}
        found["min_fde"] = self.fde.min(0)
        if self.kept is not None:
            for name, errors in (("ade", self.ade), ("fde", self.fde)):
                found[f"best_of_20_{name}"] = expected_least(errors, CLUSTERED)
                found[f"cluster_{name}"] = np.take_along_axis(errors.T, self.kept, 1).min(1)
        return {**found, "energy": self.energy}

    def values(self) -> dict[str, float]:
        """All scores."""
        return {name: float(values.mean()) for name, values in self.by_system().items()}

    def rows(self, level: float = 0.95) -> list[Row]:
        """Scores with intervals for the mean over systems; none of fewer than two groups of systems."""
        rows = []
        for name, values in self.by_system().items():
            interval = self._interval(values, level)
            low, high = (None, None) if interval is None else (interval.low, interval.high)
            row = Row(name, float(values.mean()), low, high, n_real=len(self), description=_NAMES[name], better="lower")
            rows.append(replace(row, note=f"of {len(self.ade)} samples a system"))
        return rows

    def _interval(self, values: Array, level: float) -> Interval | None:
        """About the mean, from the sums of the groups' deviations."""
        codes = np.unique(self.groups, return_inverse=True)[1].ravel()
        sums = np.bincount(codes, values - values.mean())
        number = len(sums)
        if number < 2:
            return None
        deviation = float(np.sqrt(number / (number - 1) * (sums**2).sum())) / len(values)
        return normal_interval(float(values.mean()), deviation, level)

    def as_json(self) -> dict[str, Any]:
        """Numbers of systems and samples, scores, and errors at each frame; NaN becomes null."""
        frames = [[None if np.isnan(value) else float(value) for value in line] for line in self.frames]
        counts = {"n": len(self), "samples": len(self.ade)}
        return {**counts, **self.values(), "by_frame": {"mean": frames[0], "best": frames[1]}}


def expected_least(errors: Array, number: int) -> Array:
    """The expected least of `number` of K errors `[K, systems]` chosen without replacement, `[systems]`."""
    total = len(errors)
    ways = np.array([comb(total - rank - 1, number - 1) / comb(total, number) for rank in range(total)])
    return np.asarray(ways @ np.sort(errors, axis=0))


def score_displacements(
    samples: NDArray[np.floating],
    truth: NDArray[np.floating],
    *,
    mask: NDArray[np.bool_] | None = None,
    frames: NDArray[np.bool_] | None = None,
    first_only: bool = False,
    scale: float = 1.0,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> DisplacementScores:
    """Score sampled trajectories.

    Args:
        samples: `[K, systems, N, T, D]`.
        truth: `[systems, N, T, D]`.
        mask: nodes that exist, `[systems, N]`.
        frames: frames that count, `[T]` or `[systems, T]`: those that were not given, and exist. By default all.
        first_only: only the first node of each system counts, as published for pedestrians.
        scale: errors are multiplied by it, for positions that were divided by it.
        groups: which systems are not independent of each other (windows of one scene), `[systems]`; intervals know it.
        seed: of the clusters.

    Raises:
        InputError: shapes that do not fit, a system without anything to score, or positions that are not finite.
    """
    x, y = np.asarray(samples), np.asarray(truth)
    if x.ndim != 5 or x.shape[1:] != y.shape or not x.size:
        what = f"samples of shape {x.shape} for true trajectories of shape {y.shape}"
        raise InputError(what, mend="give [samples, systems, nodes, frames, space] and [systems, nodes, frames, space]")
    nodes = np.ones(y.shape[:2], bool) if mask is None else np.array(mask, dtype=bool)
    if first_only:
        x, y, nodes = x[:, :, :1], y[:, :1], nodes[:, :1]
    counted = np.broadcast_to(True if frames is None else np.asarray(frames, dtype=bool), (len(y), y.shape[2]))
    _check(x, y, nodes, counted)
    weights = nodes / nodes.sum(1, keepdims=True)
    distances = scale * np.stack([_mean_distance(sample, y, weights) for sample in x])
    last = y.shape[2] - 1 - counted[:, ::-1].argmax(1)
    ade = np.where(counted, distances, 0.0).sum(2) / counted.sum(1)
    fde = np.take_along_axis(distances, last[None, :, None], 2)[..., 0]
    spread = scale * _mean_spread(x, weights, counted)
    kept = None
    if len(x) > CLUSTERED:
        rows = np.arange(len(y))
        ends = np.moveaxis(x[:, rows, nodes.argmax(1), last], 0, 1).astype(np.float64)
        kept = nearest_to_centres(ends, CLUSTERED, generator_of(seed, "clusters"))
    own = np.arange(len(y)) if groups is None else np.asarray(groups, dtype=np.int64)
    return DisplacementScores(ade, fde, ade.mean(0) - spread / 2, kept, _by_frame(distances, counted), own)


def _check(x: NDArray[Any], y: NDArray[Any], nodes: NDArray[np.bool_], counted: NDArray[np.bool_]) -> None:
    for what, there in (("node", nodes), ("frame", counted)):
        if not there.any(1).all():
            raise InputError(f"has no {what} to score", place=f"system {int(there.any(1).argmin())}")
    matters = nodes[:, :, None] & counted[:, None]
    for what, values in (("sample", x), ("true trajectory", y[None])):
        wrong = ~np.isfinite(values).all(-1) & matters
        if wrong.any():
            sample, system, node, frame = (int(k) for k in np.argwhere(wrong)[0])
            place = f"{what if what != 'sample' else f'sample {sample}'} of system {system}, node {node}, frame {frame}"
            raise InputError("a position that is no finite number", place=place)


def _mean_distance(x: NDArray[Any], y: NDArray[Any], weights: Array) -> Array:
    """Between two populations `[systems, N, T, D]`, weighted over nodes, `[systems, T]`."""
    apart = np.linalg.norm(x.astype(np.float64) - y, axis=-1)
    return np.asarray(np.einsum("sn,snt->st", weights, np.where(weights[..., None] > 0, apart, 0.0)))


def _mean_spread(x: NDArray[Any], weights: Array, counted: NDArray[np.bool_]) -> Array:
    """Mean distance of two samples over nodes and frames, `[systems]`; 0 of a single sample.

    Of pairs k, k + shift: all of them up to 21 samples, of more those of the first ten shifts.
    """
    number, found, total = len(x), np.zeros(len(weights)), 0.0
    for shift in range(1, min(number // 2, _MOST_SHIFTS) + 1):
        weight = 0.5 if 2 * shift == number else 1.0  # each pair comes twice
        for sample, other in zip(x, np.roll(x, shift, axis=0), strict=True):
            apart = np.where(counted, _mean_distance(sample, other, weights), 0.0)
            found += weight * apart.sum(1) / counted.sum(1)
        total += weight * number
    return found / max(total, 1.0)


def _by_frame(distances: Array, counted: NDArray[np.bool_]) -> Array:
    number = counted.sum(0)
    parts = [np.where(counted, over, 0.0).sum(0) for over in (distances.mean(0), distances.min(0))]
    return np.asarray(np.stack(parts) / np.where(number > 0, number, np.nan))


def paired_ratio(
    first: DisplacementScores,
    second: DisplacementScores,
    name: str = "ade",
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, Interval]:
    """The ratio of two forecasters' mean errors on the same systems, with a paired bootstrap interval.

    Systems are drawn with replacement, the same for both, and of each the samples of either.

    Args:
        first: whose error is above the line.
        second: whose error is below it.
        name: `ade`, `fde`, `min_ade` or `min_fde`.
        draws: of the bootstrap.
        level: of the interval.
        seed: of the draws.

    Raises:
        InputError: different systems, or another score.
    """
    over: Callable[[Array], Array] = (lambda e: e.min(0)) if name.startswith("min_") else (lambda e: e.mean(0))
    kind = name.removeprefix("min_")
    if kind not in ("ade", "fde") or len(first) != len(second):
        what = f"the ratio of {name} of {len(first)} and {len(second)} systems"
        raise InputError(what, mend="give ade, fde, min_ade or min_fde of the same systems")
    errors = [first.ade, second.ade] if kind == "ade" else [first.fde, second.fde]
    generator = generator_of(seed, f"ratio {name}")
    found = np.empty(draws)
    for draw in range(draws):
        systems = generator.integers(len(first), size=len(first))
        means = []
        for part in errors:
            chosen = generator.integers(len(part), size=(len(part), len(systems)))
            means.append(over(part[chosen, systems]).mean())
        found[draw] = means[0] / means[1]
    low, high = np.quantile(found, [0.5 - level / 2, 0.5 + level / 2])
    return float(over(errors[0]).mean() / over(errors[1]).mean()), Interval(float(low), float(high))
