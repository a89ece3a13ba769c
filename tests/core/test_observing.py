"""What a user says of observations, with a domain's defaults."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from scorefield.core.completion import OBSERVED, Observing
from scorefield.core.errors import InputError
from scorefield.core.guidance.chain import Current, Stepped
from scorefield.core.guidance.inpainting import Replacement
from scorefield.core.guidance.levels import LEVEL
from scorefield.core.guidance.moments import Moments
from scorefield.core.guidance.observations import GaussianObservation, QuantileObservation
from scorefield.core.guidance.particles import Particles
from scorefield.core.observing import Observe, Used

EXACT = Observing("moments", {"iterations": 2}, 0.01, 0.5, "ddpm", 25, {})
QUANTILES = Observing("self", {"point": "current"}, 0.05, 1.0, "ddpm", 20, {}, "quantile", 2.0)


def test_defaults_are_the_domains() -> None:
    used = Observe().settled(EXACT)
    assert used == Used("moments", {"iterations": 2}, "gaussian", 0.01, None, False, None)
    assert used.settings() == {
        "way": "moments", "way_arguments": {"iterations": 2}, "potential": "gaussian", "std": 0.01, "hard": False,
    }  # fmt: skip
    used = Observe(arguments={"weight": 2}).settled(QUANTILES)
    assert used == Used("self", {"point": "current", "weight": 2}, "quantile", 2.0, "ordered", False, None)
    assert used.settings()["levels"] == "ordered"
    assert Observe().settled(replace(QUANTILES, hard=True)).hard
    assert not Observe(hard=False).settled(replace(QUANTILES, hard=True)).hard


def test_another_way_takes_the_potential_that_goes_with_it_and_its_own_error() -> None:
    assert Observe("self").settled(EXACT) == Used("self", {}, "quantile", 1.0, "ordered", False, None)
    assert Observe("self", levels="random").settled(EXACT).levels == "random"
    for way in ("moments", "replacement", "gradient", "dps", "particles", "afdps"):
        assert Observe(way).settled(QUANTILES).potential == "gaussian"
    assert Observe().settled(replace(EXACT, way="self")).potential == "gaussian"  # the domain found it best
    assert Observe("moments").settled(QUANTILES) == Used("moments", {}, "gaussian", 0.05, None, False, None)
    assert Observe("gradient").settled(QUANTILES).prior_std == 1.0
    # The energy of self-guidance with squares is their plain sum.
    assert Observe("self", potential="gaussian").settled(EXACT).std == pytest.approx(math.sqrt(0.5))
    assert Observe("self", potential="gaussian").settled(QUANTILES).std == pytest.approx(math.sqrt(0.5))
    assert Observe("self", potential="quantile").settled(EXACT).std == 1.0
    assert Observe("gradient", std=0.2, potential="quantile").settled(EXACT).std == 0.2


def test_guides() -> None:
    (guide,) = Observe().settled(EXACT).guides(["x"])
    assert isinstance(guide, Moments)
    observation = guide.observations[0]
    assert (observation.value, observation.std) == (OBSERVED + "x", 0.01)
    current, exact = Observe(hard=True).settled(QUANTILES).guides(["x"])
    assert isinstance(current, Current)
    assert isinstance(current.potential, QuantileObservation)
    assert (current.potential.level, current.potential.scale) == (LEVEL, 2.0)
    assert isinstance(exact, Replacement)
    assert isinstance(exact.observations[0], GaussianObservation)
    assert isinstance(Observe("self").settled(EXACT).guides(["x"])[0], Stepped)
    assert len(Observe("replacement", hard=True).settled(EXACT).guides(["x"])) == 1
    particles = Observe("particles", potential="quantile").settled(QUANTILES).guides(["x"])[0]
    assert isinstance(particles, Particles)
    assert particles.groups == "item"
    assert Observe().settled(EXACT).guides([]) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"way": "refine"}, "unknown way to use observations 'refine'"),
        ({"potential": "laplace"}, "unknown potential of observations 'laplace'"),
        ({"potential": "quantile", "levels": "sorted"}, "unknown order of quantile levels 'sorted'"),
        ({"levels": "random"}, "levels are those of quantiles"),
        ({"std": 0.0}, "no standard deviation"),
        ({"std": math.inf}, "no standard deviation"),
    ],
)
def test_what_cannot_be(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Observe(**wanted).settled(EXACT)


def test_settings_are_taken_out_of_others() -> None:
    settings = {"way": "self", "seed": 3, "levels": "random", "way_arguments": {"weight": 2}}
    assert Observe.taken(settings) == Observe("self", {"weight": 2}, levels="random")
    assert settings == {"seed": 3}
    assert not Observe()
    assert Observe(hard=True)
