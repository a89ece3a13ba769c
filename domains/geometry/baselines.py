"""Forecasts and interpolations that need no training, beside which every model is shown.

Each fills the frames of `x [..., N, T, D]` that are not given from those that are, at their true places in time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError

__all__ = ["BASELINES", "constant_velocity", "linear_extrapolation", "linear_interpolation"]

Floats = NDArray[np.floating[Any]]


def constant_velocity(x: Floats, given: NDArray[np.bool_]) -> Floats:
    """Go on from the last two given frames before each frame; from the first two where there are not two before it.

    Args:
        x: positions `[..., N, T, D]`; only those of given frames are looked at.
        given: which frames are given, bool `[T]`.

    Raises:
        InputError: no frame is given, or one too many or too few for `x`.
    """
    known = _known(x, given)
    filled = x.copy()
    if len(known) == 1:
        filled[...] = x[..., known, :]
        return filled
    for frame in np.flatnonzero(~given):
        before = max(int((known < frame).sum()), 2)
        _lay_line(filled, x, int(known[before - 2]), int(known[before - 1]), int(frame))
    return filled


def linear_extrapolation(x: Floats, given: NDArray[np.bool_]) -> Floats:
    """The straight line of least squares through all given frames; arguments as of `constant_velocity`."""
    known = _known(x, given)
    times = np.arange(len(given), dtype=np.float64)
    centred = times[known] - times[known].mean()
    scatter = (centred**2).sum()
    weights = np.full((len(given), len(known)), 1 / len(known))
    if len(known) > 1:
        weights += (times - times[known].mean())[:, None] * centred / scatter
    filled = np.asarray(np.einsum("tk,...kd->...td", weights, x[..., known, :]), dtype=x.dtype)
    filled[..., known, :] = x[..., known, :]
    return filled


def linear_interpolation(x: Floats, given: NDArray[np.bool_]) -> Floats:
    """Straight lines between neighbouring given frames, and constant velocity beyond them; see `constant_velocity`."""
    known = _known(x, given)
    filled = constant_velocity(x, given)
    for frame in np.flatnonzero(~given):
        after = int((known < frame).sum())
        if 0 < after < len(known):
            _lay_line(filled, x, int(known[after - 1]), int(known[after]), int(frame))
    return filled


def _known(x: Floats, given: NDArray[np.bool_]) -> NDArray[np.int64]:
    if given.shape != x.shape[-2:-1]:
        raise InputError(f"says of {given.shape} frames which are given, there are {x.shape[-2]}", place="given")
    if not given.any():
        raise InputError("no frame is given", place="given")
    return np.flatnonzero(given)


def _lay_line(filled: Floats, x: Floats, first: int, second: int, frame: int) -> None:
    share = (frame - first) / (second - first)
    a, b = x[..., first, :], x[..., second, :]
    filled[..., frame, :] = a + share * (b - a)


BASELINES: dict[str, Callable[[Floats, NDArray[np.bool_]], Floats]] = {
    "constant velocity": constant_velocity,
    "linear extrapolation": linear_extrapolation,
    "linear interpolation": linear_interpolation,
}
