"""The seasonal naive forecast of a given context as the base of an interpolant, and what a network sees around it.

From the scaled context c with its mask (`encoding.features`) follow a mean and a deviation of the forecast,

    m_i = the last known value of the same phase of the season,    s = j (mean |c_i - c_{i-season}| + floor),

and x_0 = m + s z, z ~ N(0, I): a series that repeats itself starts narrow, one that does not starts wide. Nothing but
the condition enters, so that training and sampling draw from the same law, and nothing of the truth is in it.

Source: Hyndman and Athanasopoulos 2021, sections 5.2 and 5.8, for the forecast and the seasonal error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core.arguments import check_positive
from scorefield.core.errors import InputError
from scorefield.core.interpolants.bases import Base, Moments
from scorefield.core.noise import NoiseSource
from scorefield.core.spaces import Space
from scorefield.core.state import State
from scorefield.domains.series.tsdiff.network import GIVEN

__all__ = ["ForecastSteps", "SeasonalBase", "last_season"]

_SEASONS = 8  # that features look back by at most
_LARGEST = 10.0  # of features, in deviations
_LEAST = 1e-3  # deviation of a context, in its mean size


@dataclass(frozen=True)
class ForecastSteps(Space):
    """The steps after a context; those of the context are zero.

    Args:
        context: their number.
    """

    context: int

    def project(self, value: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
        """See `Space.project`."""
        return torch.cat([torch.zeros_like(value[:, : self.context]), value[:, self.context :]], 1)

    def noise(self, like: Tensor, masks: Mapping[str, Tensor], source: NoiseSource) -> Tensor:
        """See `Space.noise`."""
        return self.project(source.normal(like), masks)

    def dimension(self, like: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
        """See `Space.dimension`."""
        free = like[:, self.context :].numel() // max(len(like), 1)
        return torch.full((len(like),), free, dtype=torch.int64, device=like.device)


def last_season(values: Tensor, known: Tensor, season: int) -> Tensor:
    """The last known value of each phase, `[B, season]`, of contexts `[B, T]`; as `forecasters.RepeatedSeason`."""
    seasons, counts = values.shape[1] // season, known.sum(1, keepdim=True)
    means = (values * known).sum(1, keepdim=True) / counts.clamp(min=1)
    if not seasons:
        return means.expand(-1, season)
    there = known[:, -seasons * season :].unflatten(1, (seasons, season)).flip(1)
    latest = there.to(torch.int8).argmax(1, keepdim=True)
    found = values[:, -seasons * season :].unflatten(1, (seasons, season)).flip(1).gather(1, latest)[:, 0]
    return torch.where(there.any(1), found, means)


class SeasonalBase(Base):
    """Seasonal naive forecasts of what a state's condition gives, and normal noise as wide as their errors.

    Args:
        context: steps that are given.
        season: steps of a season.
        jitter: deviation of the noise in units of the context's seasonal error.
        floor: least seasonal error, in units of the context's mean size.

    Raises:
        InputError: a number that cannot be.
    """

    def __init__(self, context: int, season: int, jitter: float = 1.25, floor: float = 0.01) -> None:
        super().__init__()
        for name, count in (("context", context), ("season", season)):
            if count < 1:
                raise InputError(f"{name} is {count}", mend="give at least 1")
        for name, number in (("jitter", jitter), ("floor", floor)):
            check_positive(name, number)
        self.context, self.season, self.jitter, self.floor = context, season, jitter, floor

    def draw(self, state: State, noise: NoiseSource) -> dict[str, Tensor]:
        """See `Base.draw`."""
        mean, size = self.moments(state)["x"]
        return {"x": mean + size * noise.normal(state["x"])}

    def moments(self, state: State) -> Moments:
        """Mean `[B, L, 1]`, zero in the context, and deviation `[B, 1, 1]`.

        Raises:
            InputError: nothing is given, or not as many steps.
        """
        values, known = self._context(state)
        steps = state["x"].shape[1] - self.context
        future = self._repeated(values, known, steps)
        mean = torch.cat([torch.zeros_like(values), future], 1)
        return {"x": (mean[..., None], self._size(values, known)[..., None])}

    def features(self, state: State) -> Tensor:
        """What is given, around the mean and in units of the deviation, `[B, L, number of features]`.

        The window's own course, the naive forecast in place of the future; what is known; seasonal differences of the
        context; by how much earlier seasons differ from the last one; the logarithm of the deviation; lags as given.
        """
        values, known = self._context(state)
        steps, given = state["x"].shape[1] - self.context, state.condition[GIVEN]
        size = self._size(values, known)
        filled = torch.cat([values, self._repeated(values, known, steps)], 1)
        there = torch.cat([known, torch.zeros_like(known[:, :1]).expand(-1, steps)], 1)
        centre, spread = _course(values, known)
        before, seen_before = self._earlier(filled, there, 1)
        reference, has_reference = before.clone(), seen_before.clone()
        reference[:, self.context :], has_reference[:, self.context :] = filled[:, self.context :], True
        parts = [(filled - centre) / spread, there.to(values), self._over(filled - before, size, there & seen_before)]
        for number in self._seasons():
            earlier, seen = self._earlier(filled, there, number)
            parts.append(self._over(earlier - reference, size, seen & has_reference))
        parts.append((size / spread).log().expand_as(filled))
        return torch.cat([torch.stack(parts, -1), given[..., :-2]], -1)

    def width(self, given: int) -> int:
        """Number of features, from that of what is given."""
        return 4 + len(self._seasons()) + given - 2

    def _seasons(self) -> range:
        return range(2, min(self.context // self.season, _SEASONS) + 1)

    def _context(self, state: State) -> tuple[Tensor, Tensor]:
        """Values and what is known of them, `[B, context]`."""
        given = state.condition.get(GIVEN)
        if not isinstance(given, Tensor):
            raise InputError("the base forecasts what is given, and nothing is", mend=f"give {GIVEN} in the condition")
        if given.shape[:2] != state["x"].shape[:2] or given.shape[1] <= self.context:
            what = f"{GIVEN} of shape {tuple(given.shape)} for windows of shape {tuple(state['x'].shape)}"
            raise InputError(what, mend=f"give [B, L, F] with {self.context} steps of context")
        part = given[:, : self.context].to(state["x"])
        return part[..., -2], part[..., -1] > 0.5

    def _repeated(self, values: Tensor, known: Tensor, steps: int) -> Tensor:
        phases = torch.arange(steps, device=values.device) % self.season
        return last_season(values, known, self.season)[:, phases]

    def _size(self, values: Tensor, known: Tensor) -> Tensor:
        """The deviation, `[B, 1]`; from the mean size of the context where no two values a season apart are known."""
        apart, both = (values[:, self.season :] - values[:, : -self.season]).abs(), known[:, self.season :]
        both = both & known[:, : -self.season]
        error = (apart * both).sum(1) / both.sum(1).clamp(min=1)
        level = (values.abs() * known).sum(1) / known.sum(1).clamp(min=1)
        return self.jitter * (torch.where(both.any(1), error, level) + self.floor)[:, None]

    def _earlier(self, filled: Tensor, there: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Values so many seasons before, and whether they are known; what lies before the window is not."""
        shift = number * self.season
        if shift >= filled.shape[1]:
            return torch.zeros_like(filled), torch.zeros_like(there)
        pad = (shift, 0)
        values = torch.nn.functional.pad(filled[:, :-shift], pad)
        return values, torch.nn.functional.pad(there[:, :-shift], pad)

    @staticmethod
    def _over(values: Tensor, size: Tensor, where: Tensor) -> Tensor:
        return torch.where(where, (values / size).clamp(-_LARGEST, _LARGEST), 0.0)


def _course(values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of what is known of contexts, `[B, 1]`."""
    count = known.sum(1, keepdim=True).clamp(min=1)
    centre = (values * known).sum(1, keepdim=True) / count
    spread = (((values - centre) * known).square().sum(1, keepdim=True) / count).sqrt()
    return centre, spread + _LEAST
