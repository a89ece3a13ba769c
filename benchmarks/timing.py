"""CPU times of several pieces of work, taken in turn within one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch

__all__ = ["REFERENCE_MATMUL", "Work", "matmul", "measured"]

Work = Callable[[], object]
REFERENCE_MATMUL = 23.0
"""Milliseconds of `matmul` on the core on which the published code was timed."""


def matmul() -> Work:
    """The yardstick of cores: two 1024 x 1024 float32 matrices."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return lambda: a @ b


def measured(works: Mapping[str, Work], repeats: int) -> dict[str, float]:
    """Median CPU-ms of each, after two rounds that do not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(repeats + 2):
        for name, work in works.items():
            start = time.process_time()
            work()
            if repeat >= 2:
                times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}
