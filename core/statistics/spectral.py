"""Discrepancies of many one-dimensional features at once, by the cosine series of their kernel.

Features are (rows, columns), or (rows, columns, values) where each row brings a bag of values to each column, all of
the same weight. The distance is the mean over columns of the squared maximum mean discrepancy of the column's numbers
under a mixture of Gaussians (`core.cosine_kernel`): time in proportion to the values, not to their square.

`SpectralMMD` is the distance itself. `SketchedMMD` has the same mean and varies alike, on a table of random Fourier
features that is made once: for the many relabellings behind p-values and intervals. `DrawnMMD` compares some values
drawn at random, the same places in both samples, as PaD-TS's value distribution shift does (arXiv 2501.00910).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from scorefield.core.cosine_kernel import SCORING_BANDWIDTHS, CosineExpansion, cosine_expansion
from scorefield.core.statistics.distances import Array, Counts, Evaluator
from scorefield.core.statistics.features import Features

__all__ = ["DrawnMMD", "SketchedMMD", "SpectralMMD"]

_BLOCK = 1 << 14  # numbers whose powers are tabled at once: 7 MB
_MOST_ENTRIES = 1 << 25  # of a sketch's table, 128 MB
_GOLDEN = (math.sqrt(5) - 1) / 2
Powers = npt.NDArray[np.complex128]


def _bags(pooled: Features, reach: float) -> npt.NDArray[np.floating]:
    """(rows, columns, values), centred.

    Raises:
        ValueError: the numbers lie further apart than the series is exact for.
    """
    values = np.asarray(pooled)
    values = values[..., None] if values.ndim == 2 else values
    if values.size and float(np.ptp(values)) > reach + 1e-6:
        raise ValueError(f"numbers up to {np.ptp(values):.3g} apart, the kernel is expanded for {reach:.3g}")
    return values


def _powers(base: Powers, number: int) -> Powers:
    """1, base, base^2, ...: (number, n)."""
    found = np.empty((number, len(base)), dtype=np.complex128)
    found[0] = 1.0
    for power in range(1, number):
        np.multiply(found[power - 1], base, out=found[power])
    return found


def _characteristic(values: Array, weights: Array, expansion: CosineExpansion) -> Powers:
    """sum_n w_n exp(i m f x_n) for all modes m = q R + r: (draws, Q, R), from x (n,) and w (draws, n)."""
    outer, inner = expansion.split
    found = np.zeros((len(weights), outer, inner), dtype=np.complex128)
    for start in range(0, len(values), _BLOCK):
        part = slice(start, start + _BLOCK)
        angle = expansion.frequency * values[part]
        base = np.cos(angle) + 1j * np.sin(angle)
        fine = _powers(base, inner)
        coarse = _powers(fine[-1] * base, outer)
        for draw, weight in enumerate(weights[:, part]):
            found[draw] += (coarse * weight) @ fine.T
    return found


@dataclass(frozen=True)
class SpectralMMD:
    """Mean over columns of the squared maximum mean discrepancy under sum_w exp(-d^2 / (2 w)).

    Args:
        bandwidths: the variances w.
        reach: the largest difference of two numbers.
        unbiased: the U-statistic (zero in the mean under equality, may be negative) instead of the V-statistic.
    """

    bandwidths: tuple[float, ...] = SCORING_BANDWIDTHS
    reach: float = 2.0
    unbiased: bool = False
    larger_is_closer: ClassVar[bool] = False

    @property
    def bounds(self) -> tuple[float, float]:
        """A U-statistic may be negative."""
        return (-math.inf if self.unbiased else 0.0), math.inf

    def columns(self, pooled: Features, real: Counts, generated: Counts) -> Array:
        """The discrepancy of each column, (columns, draws); arguments as `Distance.evaluator` describes them.

        Raises:
            ValueError: unbiased with bags of values, or numbers beyond `reach`.
        """
        bags = _bags(pooled, self.reach)
        expansion = cosine_expansion(self.bandwidths, self.reach)
        number = bags.shape[2]
        if self.unbiased and number > 1:
            raise ValueError("the unbiased discrepancy takes one number per row")
        series = np.asarray(expansion.table)
        shares = [(counts / counts.sum(axis=0)).T for counts in (real, generated)]
        draws = real.shape[1]
        weights = np.concatenate(shares) if self.unbiased else shares[1] - shares[0]
        weights = np.repeat(weights / number, number, axis=1)
        found = np.empty((bags.shape[1], draws))
        for column in range(bags.shape[1]):
            values = np.ascontiguousarray(bags[:, column]).ravel().astype(np.float64)
            phi = _characteristic(values, weights, expansion)
            if not self.unbiased:
                found[column] = np.einsum("qr,dqr->d", series, np.abs(phi) ** 2)
                continue
            within = np.einsum("qr,dqr->d", series, np.abs(phi) ** 2)
            cross = np.einsum("qr,dqr->d", series, (phi[:draws] * phi[draws:].conj()).real)
            m, n = real.sum(axis=0), generated.sum(axis=0)
            diagonal = float(series.sum())
            of_real, of_generated = (m * within[:draws] - diagonal) / (m - 1), (n * within[draws:] - diagonal) / (n - 1)
            found[column] = of_real + of_generated - 2 * cross
        return found

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`."""

        def evaluate(real: Counts, generated: Counts) -> Array:
            return np.asarray(self.columns(pooled, real, generated).mean(axis=0))

        return evaluate


@dataclass(frozen=True)
class SketchedMMD:
    """What varies like `SpectralMMD` at a fraction of the cost: few modes a column, drawn by their weight.

    Args:
        bandwidths: the variances w.
        reach: the largest difference of two numbers.
        most_entries: of the table, which decide how many modes there are; all of them where they fit.
    """

    bandwidths: tuple[float, ...] = SCORING_BANDWIDTHS
    reach: float = 2.0
    most_entries: int = _MOST_ENTRIES
    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def table(self, pooled: Features) -> npt.NDArray[np.float32]:
        """Rows whose inner products are the kernel's, up to the choice of modes: (features, rows)."""
        bags = _bags(pooled, self.reach)
        rows, columns, number = bags.shape
        expansion = cosine_expansion(self.bandwidths, self.reach)
        weights = np.asarray(expansion.weights)
        room = max(1, self.most_entries // (2 * rows * columns))
        count = min(room, len(weights))
        found = np.empty((columns, 2, count, rows), dtype=np.float32)
        for column in range(columns):
            modes, heights = _chosen_modes(weights, count, (column * _GOLDEN) % 1.0)
            frequencies = (expansion.frequency * modes).astype(np.float32)
            scale = np.sqrt(heights / columns)
            for start in range(0, rows, max(1, _BLOCK // number)):
                part = slice(start, start + max(1, _BLOCK // number))
                angle = frequencies[:, None, None] * bags[part, column].astype(np.float32)
                found[column, 0, :, part] = scale[:, None] * np.cos(angle).mean(-1)
                found[column, 1, :, part] = scale[:, None] * np.sin(angle).mean(-1)
        return found.reshape(-1, rows)

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`."""
        table = self.table(pooled)

        def evaluate(real: Counts, generated: Counts) -> Array:
            weights = generated / generated.sum(axis=0) - real / real.sum(axis=0)
            embedded = table @ weights.astype(np.float32)
            return np.asarray(np.einsum("fd,fd->d", embedded, embedded, dtype=np.float64))

        return evaluate


def _chosen_modes(weights: Array, count: int, offset: float) -> tuple[npt.NDArray[np.intp], Array]:
    """Modes and the weight of each: all of them, or as many as asked for, evenly along the weights' running sum."""
    if count >= len(weights):
        return np.arange(1, len(weights) + 1), weights
    running = np.cumsum(weights) / weights.sum()
    places = (np.arange(count) + offset) / count
    return 1 + np.minimum(np.searchsorted(running, places), len(weights) - 1), np.full(count, weights.sum() / count)


@dataclass(frozen=True)
class DrawnMMD:
    """Discrepancy of values drawn with replacement from bags, at the same places in both samples where sizes agree.

    Args:
        number: draws of each column.
        seed: of the draws.
        exact: the distance of what is drawn.
    """

    number: int = 10_000
    seed: int = 0
    exact: SpectralMMD = field(default_factory=SpectralMMD)
    larger_is_closer: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def at(
        self, real: npt.NDArray[np.floating], generated: npt.NDArray[np.floating], places: npt.NDArray[np.intp]
    ) -> Array:
        """The discrepancy of each column, (columns,), of the values at `places` (columns, number).

        Args:
            real: flat values, (columns, values).
            generated: likewise.
            places: indices of values.
        """
        pair = [np.take_along_axis(values, places, axis=1).T for values in (real, generated)]
        counts = np.repeat([[1], [0]], places.shape[1], axis=0)
        return self.exact.columns(np.concatenate(pair), counts, 1 - counts)[:, 0]

    def evaluator(self, pooled: Features) -> Evaluator:
        """See `Distance`; multiplicities must be whole numbers."""
        bags = _bags(pooled, self.exact.reach)
        unit = np.random.default_rng(self.seed).random((bags.shape[1], self.number))

        def drawn(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
            rows = np.repeat(np.arange(len(counts)), counts)
            places = (unit * (len(rows) * bags.shape[2])).astype(np.intp)
            chosen = bags[rows[places // bags.shape[2]], np.arange(bags.shape[1])[:, None], places % bags.shape[2]]
            return np.asarray(chosen)

        def evaluate(real: Counts, generated: Counts) -> Array:
            every = np.broadcast_to(np.arange(self.number), unit.shape)
            pairs = [(drawn(real[:, draw]), drawn(generated[:, draw])) for draw in range(real.shape[1])]
            return np.array([self.at(*pair, every).mean() for pair in pairs])

        return evaluate
