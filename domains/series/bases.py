"""Where interpolants of series start: windows made of training windows, as statisticians and forecasters make them.

Both leave every value at its step of the window, so that a base has the marginal law of the data at each step and
keeps what depends on the place in a window (a day's course, say). Gaussian noise on top of them gives laws with a
density: a flow out of a finite set of points cannot fill the space between the data.

Sources: Kuensch 1989 and Liu and Singh 1992 for the block bootstrap; Hyndman and Athanasopoulos 2021, section 5.2, for
the seasonal naive forecast.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.interpolants.bases import PoolBase, uniforms
from scorefield.core.noise import NoiseSource
from scorefield.core.state import State

__all__ = ["BlockBootstrap", "SeasonalNaive", "SeriesBase", "season_of"]


class SeriesBase(PoolBase):
    """A base made of training windows x `[B, L, D]`.

    Args:
        jitter: standard deviation of noise on every value, on the scale [-1, 1] of the windows.
        pool: training windows to keep at most.

    Raises:
        InputError: a number that cannot be.
    """

    def __init__(self, jitter: float = 0.5, pool: int = 2048) -> None:
        super().__init__(pool)
        if not 0 <= jitter < float("inf"):
            raise InputError(f"jitter is {jitter:g}", mend="give 0 or more")
        self.jitter = jitter

    def draw(self, state: State, noise: NoiseSource) -> dict[str, Tensor]:
        """See `Base.draw`."""
        x = state["x"]
        made = self.windows(x, noise).to(x)
        return {"x": made + self.jitter * noise.normal(x) if self.jitter else made}

    @abstractmethod
    def windows(self, like: Tensor, noise: NoiseSource) -> Tensor:
        """Windows without noise, shaped as `like`, `[B, L, D]`."""


class BlockBootstrap(SeriesBase):
    """Blocks of random training windows one after the other, cut at random places, all features together.

    Args:
        block: steps of a block.
        jitter: see `SeriesBase`.
        pool: see `SeriesBase`.

    Raises:
        InputError: a number that cannot be; when data come, a block longer than their windows.
    """

    def __init__(self, block: int = 8, jitter: float = 0.5, pool: int = 2048) -> None:
        super().__init__(jitter, pool)
        if block < 1:
            raise InputError(f"block is {block}", mend="give at least 1")
        self.block = block

    def prepare(self, data: Any) -> None:
        """See `PoolBase.prepare`."""
        super().prepare(data)
        _check_inside("blocks", self.block, self.pool.shape[1])

    def windows(self, like: Tensor, noise: NoiseSource) -> Tensor:
        """See `SeriesBase.windows`."""
        length = like.shape[1]
        rows = self.rows(like, -(-(length + self.block - 1) // self.block), noise)
        shift = (uniforms(like, 1, noise) * self.block).long().clamp(max=self.block - 1)
        steps = torch.arange(length, device=like.device)
        return self.pool[rows.gather(1, (steps + shift) // self.block), steps]


class SeasonalNaive(SeriesBase):
    """A season of a random training window, repeated before and after.

    Args:
        period: steps of a season; by default that of the training windows (`season_of`).
        jitter: see `SeriesBase`.
        pool: see `SeriesBase`.

    Raises:
        InputError: a number that cannot be; when data come, a season longer than their windows, or none in them.
    """

    season: Tensor

    def __init__(self, period: int | None = None, jitter: float = 0.5, pool: int = 2048) -> None:
        super().__init__(jitter, pool)
        if period is not None and period < 1:
            raise InputError(f"period is {period}", mend="give at least 1, or null for that of the data")
        self.period = period
        self.register_buffer("season", torch.tensor(period or 0))

    def prepare(self, data: Any) -> None:
        """See `PoolBase.prepare`."""
        super().prepare(data)
        period = season_of(self.pool) if self.period is None else self.period
        _check_inside("seasons", period, self.pool.shape[1])
        self.season = torch.tensor(period)

    def windows(self, like: Tensor, noise: NoiseSource) -> Tensor:
        """See `SeriesBase.windows`."""
        length, rows = like.shape[1], self.rows(like, 1, noise)
        places = length - self.season + 1
        first = torch.minimum((uniforms(like, 1, noise) * places).long(), places - 1)
        steps = torch.arange(length, device=like.device)
        return self.pool[rows, first + (steps - first) % self.season]


def season_of(windows: Tensor) -> int:
    """The lag at which windows `[n, L, D]` agree with themselves: the first high peak of their autocorrelation.

    High is nine tenths of the highest, as seasons agree after two periods too. Lags go up to half a window; windows
    count around their own means, features by their variance.

    Raises:
        InputError: there is no peak.
    """
    x = windows.double() - windows.double().mean(1, keepdim=True)
    length, last = x.shape[1], x.shape[1] // 2 + 1
    lags = [(x[:, : length - m] * x[:, m:]).sum((0, 1)) / (length - m) for m in range(last + 1)]
    shares = torch.stack(lags)
    power = shares[0].clamp(min=torch.finfo(shares.dtype).tiny)
    agreement = (shares / power)[:, shares[0] > 0].mean(1) if bool((shares[0] > 0).any()) else torch.zeros(last + 1)
    peaks = [m for m in range(2, last) if agreement[m] > 0 and agreement[m - 1] < agreement[m] >= agreement[m + 1]]
    if not peaks:
        what = f"no season shows in windows of {length} steps"
        raise InputError(what, mend="give the period, or another base such as BlockBootstrap")
    highest = max(float(agreement[m]) for m in peaks)
    return next(m for m in peaks if float(agreement[m]) >= 0.9 * highest)


def _check_inside(what: str, steps: int, length: int) -> None:
    if steps > length:
        raise InputError(f"{what} of {steps} steps in windows of {length}", mend=f"give at most {length}")
