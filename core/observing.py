"""How samples are held to what is observed: the way, the potential, and what both are told.

A Gaussian observation says that a value is known up to an error; a quantile observation (`core.guidance.levels`) that
it is the k-quantile of what a path may have there, with a level k for each path of an item, so that the paths together
stand for the distribution.

Source: Kollovieh et al. 2023 (arXiv 2307.11494, section 3.2) for the latter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, get_args

from scorefield.core.completion import ITEM, OBSERVED, Observing, PotentialName
from scorefield.core.errors import InputError
from scorefield.core.guidance.levels import LEVEL, Levels
from scorefield.core.guidance.observations import GaussianObservation, Observation, QuantileObservation
from scorefield.core.guidance.potentials import together
from scorefield.core.guidance.registry import make_guide
from scorefield.core.guide import Guide
from scorefield.core.names import unknown

__all__ = ["OBSERVING_WAYS", "Observe", "Used"]

OBSERVING_WAYS = ("moments", "replacement", "self", "gradient", "dps", "particles", "afdps")
"""Ways that can hold samples to observations."""
_COMPETING = ("particles", "afdps")
_SOFT = ("gradient", "dps", "particles", "afdps")  # they take x0_hat as uncertain by `prior_std`
_PUBLISHED: Mapping[str, PotentialName] = {"self": "quantile"}
"""The potential with which a way was published, if it is not `gaussian`."""
_SELF_STD = math.sqrt(0.5)  # the energy of self-guidance at a Gaussian is the plain sum of squares, as published


@dataclass(frozen=True)
class Used:
    """How observations are used.

    Attributes:
        way: one of `OBSERVING_WAYS`.
        arguments: of the way.
        potential: `gaussian` or `quantile`.
        std: standard deviation of the error, or scale of the quantile's distribution, on the scale of the states.
        levels: in which order paths take quantile levels; None for a Gaussian.
        hard: whether observed entries are replaced besides.
        prior_std: see `GaussianObservation`.
    """

    way: str
    arguments: Mapping[str, Any]
    potential: PotentialName
    std: float
    levels: Levels | None
    hard: bool
    prior_std: float | None

    @property
    def competing(self) -> bool:
        """Whether paths of an item compete as particles."""
        return self.way in _COMPETING

    def settings(self) -> dict[str, Any]:
        """Everything that samples depend on, JSON-able."""
        said = {"way": self.way, "way_arguments": dict(self.arguments), "potential": self.potential, "std": self.std}
        return {**said, **({} if self.levels is None else {"levels": self.levels}), "hard": self.hard}

    def guides(self, names: Sequence[str]) -> list[Guide]:
        """What holds samples to what is observed of these components.

        Raises:
            InputError: the way cannot use the potential, or an argument of it cannot be.
        """
        if not names:
            return []
        groups = {"groups": ITEM} if self.competing else {}
        seen = together([self._observation(name) for name in names])
        guides = [make_guide(self.way, seen, {**groups, **self.arguments})]
        if self.hard and self.way != "replacement":
            exact = [GaussianObservation(name, OBSERVED + name, self.std) for name in names]
            guides.append(make_guide("replacement", together(exact)))
        return guides

    def _observation(self, name: str) -> Observation:
        if self.potential == "quantile":
            return QuantileObservation(name, OBSERVED + name, LEVEL, self.std)
        return GaussianObservation(name, OBSERVED + name, self.std, prior_std=self.prior_std)


@dataclass(frozen=True)
class Observe:
    """How a user wants observations to be used; None takes what the domain found best.

    Attributes:
        way: one of `OBSERVING_WAYS`.
        arguments: of the way, as users type them.
        std: standard deviation of the observations' error, or the quantile's scale, on the scale of the states.
        potential: `gaussian` or `quantile`; with another way than the domain's best, `quantile` for `self` and
            `gaussian` for all others by default.
        levels: order of quantile levels: `ordered`, `shuffled` or `random`.
        hard: whether observed entries are replaced besides.
    """

    way: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    std: float | None = None
    potential: PotentialName | None = None
    levels: Levels | None = None
    hard: bool | None = None

    @classmethod
    def taken(cls, settings: dict[str, Any]) -> Self:
        """From `way`, `way_arguments`, `std`, `potential`, `levels`, `hard`, which are taken out of `settings`."""
        arguments = dict(settings.pop("way_arguments", None) or {})
        rest = {name: settings.pop(name, None) for name in ("way", "std", "potential", "levels", "hard")}
        return cls(arguments=arguments, **rest)

    def settled(self, best: Observing) -> Used:
        """With the defaults in place.

        Raises:
            InputError: a way or a potential that cannot observe, levels without quantiles, or a number that cannot be.
        """
        way = self.way or best.way
        if way not in OBSERVING_WAYS:
            raise unknown("way to use observations", way, OBSERVING_WAYS)
        potential = self.potential or (best.potential if way == best.way else _PUBLISHED.get(way, "gaussian"))
        if potential not in get_args(PotentialName):
            raise unknown("potential of observations", potential, get_args(PotentialName))
        std = self._std(best, way, potential) if self.std is None else self.std
        if not 0 < std < float("inf"):
            raise InputError(f"{std:g} is no standard deviation of an error", mend="give more than 0")
        known = best.arguments if way == best.way else {}
        hard = best.hard if self.hard is None else self.hard
        prior_std = best.prior_std if way in _SOFT else None
        arguments = {**known, **self.arguments}
        return Used(way, arguments, potential, std, self._levels(best, potential), bool(hard), prior_std)

    def _levels(self, best: Observing, potential: str) -> Levels | None:
        if potential != "quantile":
            if self.levels is not None:
                raise InputError("levels are those of quantiles", mend="give the potential quantile with them")
            return None
        levels = self.levels or best.levels
        if levels not in get_args(Levels):
            raise unknown("order of quantile levels", levels, get_args(Levels))
        return levels

    @staticmethod
    def _std(best: Observing, way: str, potential: str) -> float:
        if potential == "quantile":
            return best.scale
        return _SELF_STD if way == "self" else best.std

    def __bool__(self) -> bool:
        """Whether anything is chosen."""
        return self != Observe()
