"""A mixture of Gaussian kernels on an interval as a sum of cosines.

    k(d) = sum_w exp(-d^2 / (2 w)),   |d| <= reach

Repeated with a period P that leaves the images of the widest Gaussian out of reach, k is its Fourier series
k(d) = a_0 + sum_m a_m cos(m f d) with f = 2 pi / P and a_m = (2 / P) sum_w sqrt(2 pi w) exp(-w (m f)^2 / 2). The
squared maximum mean discrepancy of two samples of N numbers is then sum_m a_m |phi_x(m f) - phi_y(m f)|^2 with the
empirical characteristic functions phi, in O(N M) instead of O(N^2).

For variances 0.01 to 2 and reach 2 (correlations), P = 14 and 160 terms are exact to 1e-11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SCORING_BANDWIDTHS", "TRAINING_BANDWIDTHS", "CosineExpansion", "cosine_expansion"]

TRAINING_BANDWIDTHS = (0.01, 0.05, 0.1, 0.2, 0.5, 0.7, 1.0)
"""Variances of the kernel in PaD-TS's training objective (arXiv 2501.00910)."""
SCORING_BANDWIDTHS = (*TRAINING_BANDWIDTHS, 1.5, 2.0)
"""Variances of the kernel in its scores."""


@dataclass(frozen=True)
class CosineExpansion:
    """The Fourier series of a kernel.

    Attributes:
        frequency: f, of the first mode.
        weights: a_1, ..., a_M; all positive. a_0 cancels in every discrepancy and is left out.
        at_zero: k(0).
    """

    frequency: float
    weights: tuple[float, ...]
    at_zero: float

    @property
    def split(self) -> tuple[int, int]:
        """(Q, R), nearly equal, with Q R > M: mode m = q R + r as a product of two short tables."""
        inner = math.isqrt(len(self.weights)) + 1
        return len(self.weights) // inner + 1, inner

    @property
    def table(self) -> list[list[float]]:
        """The weights by (q, r), zero for the mode 0 and where there is no mode."""
        outer, inner = self.split
        flat = [0.0, *self.weights]
        flat += [0.0] * (outer * inner - len(flat))
        return [flat[q * inner : (q + 1) * inner] for q in range(outer)]


def cosine_expansion(bandwidths: Sequence[float], reach: float, accuracy: float = 1e-12) -> CosineExpansion:
    """The series of sum_w exp(-d^2 / (2 w)) that is as exact as asked for |d| <= reach.

    Args:
        bandwidths: the variances w.
        reach: the largest difference of two numbers.
        accuracy: error, relative to one Gaussian's height, of what is left out (images, higher modes).

    Raises:
        ValueError: a bandwidth, the reach or the accuracy is not positive.
    """
    if not bandwidths or min(bandwidths) <= 0 or reach <= 0 or not 0 < accuracy < 1:
        raise ValueError("bandwidths and reach must be positive, the accuracy between 0 and 1")
    tail = 2 * math.log(1 / accuracy)
    period = reach + math.sqrt(max(bandwidths) * tail)
    frequency = 2 * math.pi / period
    modes = math.ceil(math.sqrt(tail / min(bandwidths)) / frequency)
    weights = tuple(
        sum(2 / period * math.sqrt(2 * math.pi * w) * math.exp(-w * (m * frequency) ** 2 / 2) for w in bandwidths)
        for m in range(1, modes + 1)
    )
    return CosineExpansion(frequency, weights, float(len(bandwidths)))
