"""The log signal-to-noise ratio at the two ends of a range of times."""

from __future__ import annotations

import math

import torch

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath

__all__ = ["log_snr_ends"]


def log_snr_ends(
    path: GaussianPath, first: float, last: float, *, mend: str, place: str | None = None
) -> tuple[float, float]:
    """`GaussianPath.log_snr` at two times, in float64: the higher, then the lower.

    Args:
        path: the path.
        first: the earlier time.
        last: the later one.
        mend: what to do where there is no signal or no noise at one of them.
        place: what messages call the two.

    Raises:
        InputError: one of them is infinite.
    """
    high, low = path.log_snr(torch.tensor([first, last], dtype=torch.float64)).tolist()
    if not math.isfinite(high - low):
        what = f"the log signal-to-noise ratio of {type(path).__name__} is infinite at an end"
        raise InputError(what, place=place, mend=mend)
    return high, low
