"""Time grids: decreasing times from 1 to the end of a run, in float64.

Sources: Song et al. 2021 (uniform); Lu et al. 2022 (log-SNR, quadratic; arXiv 2206.00927); Karras et al. 2022 (rho
grid, arXiv 2206.00364); Esser et al. 2024 (shift, arXiv 2403.03206).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.core.paths import GaussianPath

__all__ = ["GRIDS", "Even", "Explicit", "Grid", "Karras", "LogSNR", "Power", "Shift", "check_times", "grid_named"]


class Grid(ABC):
    """Spaces points between two times of a path."""

    @abstractmethod
    def between(self, path: GaussianPath, start: float, end: float, num: int) -> Tensor:
        """Times of `num` intervals from `start` down to `end`, `[num + 1]`, float64."""

    def within(self, path: GaussianPath, start: float, end: float, num: int) -> Tensor:
        """The same inside one step of the grid."""
        return self.between(path, start, end, num)


class Even(Grid):
    """Equal steps of a function u of time.

    Args:
        number: what the user may set of u.

    Raises:
        InputError: it is not positive.
    """

    def __init__(self, number: float = 1.0) -> None:
        if not number > 0:
            raise InputError(f"{type(self).__name__.lower()} {number:g} of a grid", mend="give a positive number")
        self.number = number

    @abstractmethod
    def coordinate(self, path: GaussianPath, t: Tensor) -> Tensor:
        """u at times t."""

    @abstractmethod
    def time(self, path: GaussianPath, u: Tensor) -> Tensor:
        """t where u is as given."""

    def between(self, path: GaussianPath, start: float, end: float, num: int) -> Tensor:
        """See `Grid.between`.

        Raises:
            InputError: u is infinite at an end.
        """
        low, high = self.coordinate(path, torch.tensor([start, end], dtype=torch.float64)).tolist()
        for u, what, mend in (
            (low, f"signal at t = {start:g}, so no grid is even in log_snr from there", "uniform, or start=0.99"),
            (high, f"noise at t = {end:g}, so no grid is even in log_snr to there", "uniform or karras, or end=0.001"),
        ):
            if not math.isfinite(u):
                raise InputError(f"{type(path).__name__} has no {what}", mend=f"give grid={mend}")
        times = self.time(path, torch.linspace(low, high, num + 1, dtype=torch.float64))
        times[0], times[-1] = start, end
        return times


class Power(Even):
    """u = t^(1/p): p = 1 uniform, p = 2 quadratic, p < 1 with more steps near the noise."""

    def coordinate(self, path: GaussianPath, t: Tensor) -> Tensor:
        """See `Even.coordinate`."""
        return t ** (1 / self.number)

    def time(self, path: GaussianPath, u: Tensor) -> Tensor:
        """See `Even.time`."""
        return u**self.number


class LogSNR(Even):
    """u = log_snr, the log signal-to-noise ratio (log sigma, where alpha is 1)."""

    def coordinate(self, path: GaussianPath, t: Tensor) -> Tensor:
        """See `Even.coordinate`."""
        return path.log_snr(t)

    def time(self, path: GaussianPath, u: Tensor) -> Tensor:
        """See `Even.time`."""
        return path.time_of(u)


class Karras(Even):
    """u = (sigma / alpha)^(1 / rho); rho = 7 in the paper, larger ones put more steps near the data."""

    def coordinate(self, path: GaussianPath, t: Tensor) -> Tensor:
        """See `Even.coordinate`."""
        return (-path.log_snr(t) / self.number).exp()

    def time(self, path: GaussianPath, u: Tensor) -> Tensor:
        """See `Even.time`."""
        return path.time_of(-self.number * u.log())


class Shift(Even):
    """t = K u / (1 + (K - 1) u): more steps near the noise where K > 1, as flow models like it."""

    def coordinate(self, path: GaussianPath, t: Tensor) -> Tensor:
        """See `Even.coordinate`."""
        return t / (self.number - (self.number - 1) * t)

    def time(self, path: GaussianPath, u: Tensor) -> Tensor:
        """See `Even.time`."""
        return self.number * u / (1 + (self.number - 1) * u)


class Explicit(Grid):
    """Times given by the user; inside a step, equal steps of the log signal-to-noise ratio.

    Args:
        times: strictly decreasing, in [0, 1].
    """

    def __init__(self, times: Sequence[float]) -> None:
        self.times = torch.tensor(times, dtype=torch.float64)
        check_times(self.times)

    def between(self, path: GaussianPath, start: float, end: float, num: int) -> Tensor:
        """See `Grid.between`; the given times, whose number and ends must fit."""
        first, last = self.times[0].item(), self.times[-1].item()
        if len(self.times) != num + 1:
            what = f"{len(self.times)} times make {len(self.times) - 1} steps, not {num}"
            raise InputError(what, mend=f"give steps={len(self.times) - 1}")
        if (first, last) != (start, end):
            what = f"times from {first:g} to {last:g} in a run from {start:g} to {end:g}"
            raise InputError(what, mend=f"give start={first:g} and end={last:g}")
        return self.times

    def within(self, path: GaussianPath, start: float, end: float, num: int) -> Tensor:
        """See `Grid.within`."""
        return LogSNR().between(path, start, end, num)


GRIDS: dict[str, Grid] = {
    "uniform": Power(1.0),
    "quadratic": Power(2.0),
    "logsnr": LogSNR(),
    "karras": Karras(7.0),
}
_WITH_NUMBER: dict[str, Callable[[float], Grid]] = {"power": Power, "karras": Karras, "shift": Shift}


def grid_named(grid: str | Grid) -> Grid:
    """A grid from its name; `power:P`, `karras:RHO` and `shift:K` carry a number, `1,0.6,0.2,0.001` are the times.

    Raises:
        InputError: the name is unknown, or its numbers cannot be.
    """
    if isinstance(grid, Grid):
        return grid
    if "," in grid:
        return Explicit([_number(word, grid, "write times as in 1,0.6,0.2,0.001") for word in grid.split(",")])
    name, _, number = grid.partition(":")
    if number and name in _WITH_NUMBER:
        return _WITH_NUMBER[name](_number(number, grid, f"give a positive number, as in {name}:2"))
    if grid not in GRIDS:
        raise unknown("grid", grid, [*GRIDS, *(f"{n}:NUMBER" for n in _WITH_NUMBER), "TIME,TIME,..."])
    return GRIDS[grid]


def _number(word: str, grid: str, mend: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise InputError(f"grid {grid!r}", mend=mend) from None


def check_times(times: Tensor) -> None:
    """Refuse a grid that is not strictly decreasing inside [0, 1].

    Raises:
        InputError: naming the first offending step.
    """
    if len(times) < 2:
        raise InputError(f"a time grid needs at least two times, not {len(times)}")
    if not (times[0] <= 1 and times[-1] >= 0):
        raise InputError(f"times from {times[0].item():g} to {times[-1].item():g} leave [0, 1]")
    rising = torch.nonzero(~(times[1:] < times[:-1]))  # so that NaN is found too
    if len(rising):
        raise InputError(f"the time grid does not decrease at step {int(rising[0]) + 1}")
