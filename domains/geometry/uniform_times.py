"""Frames at equal distances in time, which every model here takes for granted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError

__all__ = ["even_step"]


def even_step(times: NDArray[Any]) -> float:
    """The time between frames at these times.

    Raises:
        InputError: they are not equally spaced.
    """
    steps = np.diff(times.astype(np.float64))
    if not len(steps):
        return 1.0
    if np.ptp(steps) > 1e-3 * abs(steps.mean()) or not steps.mean() > 0:
        odd = int(np.argmax(np.abs(steps - steps[0]) > 1e-3 * abs(steps[0])))
        what = f"frames are not equally spaced: {steps[0]:g} and {steps[odd]:g} apart"
        raise InputError(what, place=f"frame {odd}", mend="choose frames that are")
    return float(steps.mean())
