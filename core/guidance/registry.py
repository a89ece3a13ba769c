"""Ways of using a potential, by the names that users type, with what each of them needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scorefield.core.arguments import checked, described, parameters
from scorefield.core.errors import InputError
from scorefield.core.guidance.chain import self_guidance
from scorefield.core.guidance.gradient import DPS, Gradient
from scorefield.core.guidance.inpainting import Replacement
from scorefield.core.guidance.moments import Moments
from scorefield.core.guidance.observations import GaussianObservation, Matrix, Observation, QuantileObservation
from scorefield.core.guidance.particles import Particles
from scorefield.core.guidance.potentials import Potential, Weighted, parts
from scorefield.core.guidance.properties import Classifier, Expert, Property, Regressor, Reward
from scorefield.core.guidance.refine import Refine, Refinement
from scorefield.core.guidance.search import RolloverSearch
from scorefield.core.guidance.targets import AFDPS
from scorefield.core.guide import Guide
from scorefield.core.names import unknown

__all__ = ["PYTHON_POTENTIALS", "WAYS", "Way", "default_way", "describe_way", "make_guide", "suit", "ways_for"]


@dataclass(frozen=True)
class Way:
    """A way of using a potential.

    Attributes:
        make: builds the guide from a potential and the way's own arguments.
        description: one line.
        source: where it was published.
        gradient: whether it needs the energy's gradient.
        value: whether it needs the energy's value.
        state: whether it has x_t to hand to energies, not only data predictions.
        observation: whether it works with observations only.
        exact: whether it works with Gaussian observations through a matrix, or of entries themselves, only.
        experts: whether it takes a second model, of whose energy there is only a gradient, for what it is.
    """

    make: Callable[..., Guide]
    description: str
    source: str
    gradient: bool = False
    value: bool = False
    state: bool = True
    observation: bool = False
    exact: bool = False
    experts: bool = False

    def obstacle(self, potential: Potential | type[Potential]) -> str | None:
        """Why this way cannot use a potential (that is not a sum) or a kind of potentials, if it cannot."""
        kind = potential if isinstance(potential, type) else type(potential)
        if self.experts and issubclass(kind, Expert):
            return None
        if self.gradient and not potential.differentiable:
            return "has no gradient"
        if self.value and not potential.valued:
            return "has no value, only a gradient"
        if not self.state and potential.needs_state:
            return "needs the noised state"
        if (self.observation or self.exact) and not issubclass(kind, Observation):
            return "is no observation"
        if self.exact and not issubclass(kind, GaussianObservation):
            return "does not say what the data are"
        if self.exact and isinstance(potential, Observation) and not isinstance(potential.operator, Matrix | None):
            return "has an operator that is no matrix"
        return None


def _particles(
    potential: Potential,
    move: Literal["auto", "gradient", "around", "plain"] = "auto",
    weight: float = 1.0,
    limit: float | None = 0.5,
    ramp: float = 0.0,
    every: int = 1,
    threshold: float = 0.5,
    islands: int = 1,
    groups: str | None = None,
) -> Guide:
    """Particles that move along the energy's gradient (through the network, or around it), or not at all.

    `auto` takes `gradient` where there is one; `weight` and `limit` are the gradient's, the rest `Particles` has.
    """
    pieces = [Weighted(part, factor) for factor, part in parts(potential) if not isinstance(part, Expert)]
    moving = all(part.differentiable for part in pieces) if move == "auto" else move != "plain"
    proposal = Gradient(pieces, weight, move != "around", limit=limit) if pieces and moving else None
    return Particles(potential, proposal or "plain", ramp, every, threshold, None, islands, groups)


def _afdps(
    potential: Potential, ramp: float = 0.0, threshold: float = 0.5, islands: int = 1, groups: str | None = None
) -> Guide:
    return Particles(AFDPS(potential, ramp), threshold=threshold, islands=islands, groups=groups)


def _refine(
    potential: Potential,
    time: float | None = None,
    steps: int = 20,
    step_size: float = 0.1,
    method: Literal["langevin", "likelihood"] = "langevin",
    noise_scale: float = 0.1,
    weight: float = 1.0,
) -> Guide:
    return Refine(potential, Refinement(time, steps, step_size, method, noise_scale, weight))


WAYS: dict[str, Way] = {
    "gradient": Way(
        Gradient,
        "moves the score along minus the energy's gradient, through the network",
        "Dhariwal and Nichol 2021, arXiv 2105.05233",
        gradient=True,
    ),
    "dps": Way(
        DPS,
        "gradient of an observation, with steps that do not grow with the residual",
        "Chung et al. 2023, arXiv 2209.14687",
        gradient=True,
        observation=True,
    ),
    "replacement": Way(
        Replacement,
        "sets what is observed to its own noised values, at the end to the observation itself",
        "Song et al. 2021, arXiv 2011.13456; Lugmayr et al. 2022, arXiv 2201.09865",
        exact=True,
    ),
    "moments": Way(
        Moments,
        "weighs observations against the covariance that the network's derivative tells; exact for Gaussian data",
        "Rozet et al. 2024, arXiv 2405.13712",
        gradient=True,
        exact=True,
    ),
    "self": Way(
        self_guidance,
        "follows each step by a push along the gradient, of the size of the step's noise; with ddpm, or point=current",
        "Kollovieh et al. 2023, arXiv 2307.11494",
        gradient=True,
    ),
    "particles": Way(
        _particles,
        "weighs and resamples the samples of a tile; needs a stochastic one-step solver and some hundred steps",
        "Wu et al. 2023, arXiv 2306.17775; Singhal et al. 2025, arXiv 2501.06848",
        value=True,
        experts=True,
    ),
    "afdps": Way(
        _afdps,
        "particles weighted by the energy of the noised state itself; best with euler-maruyama",
        "Chen et al. 2025, arXiv 2506.03979; Skreta et al. 2025, arXiv 2503.02819",
        gradient=True,
        value=True,
    ),
    "rbf": Way(
        RolloverSearch,
        "spends a budget of network calls on successors of lower energy; needs a stochastic one-step solver",
        "Kim et al. 2025, arXiv 2503.19385",
        value=True,
    ),
    "refine": Way(
        _refine,
        "steps along the energy and the model's own denoising error, once samples are there",
        "Kollovieh et al. 2023, arXiv 2307.11494",
        gradient=True,
        state=False,
    ),
}


PYTHON_POTENTIALS: tuple[type[Potential], ...] = (
    GaussianObservation, QuantileObservation, Classifier, Regressor, Property, Reward, Expert,
)  # fmt: skip
"""Potentials of the core; they take tensors or functions, so that they have no place on the command line."""


def ways_for(potential: Potential | type[Potential]) -> list[str]:
    """Names of the ways that can use all parts of a potential, or this kind of potentials."""
    pieces = [potential] if isinstance(potential, type) else [part for _, part in parts(potential)]
    return [name for name, way in WAYS.items() if all(way.obstacle(piece) is None for piece in pieces)]


def suit(way: str, potential: Potential) -> None:
    """Check that a way can use a potential.

    Raises:
        InputError: it cannot; the message says why and which ways can.
    """
    for _, part in parts(potential):
        obstacle = WAYS[way].obstacle(part)
        if obstacle is not None:
            can = ways_for(part)
            mend = f"it works with {', '.join(can)}" if can else "no way works with it"
            raise InputError(f"{way} cannot use {part.name}: it {obstacle}", mend=mend)


def default_way(potential: Potential) -> str:
    """`gradient` where that works, else `particles`."""
    return "gradient" if all(WAYS["gradient"].obstacle(part) is None for _, part in parts(potential)) else "particles"


def make_guide(way: str, potential: Potential, arguments: Mapping[str, Any] | None = None) -> Guide:
    """The guide that uses a potential in one way.

    Args:
        way: a key of `WAYS`.
        potential: what to guide by.
        arguments: the way's own arguments; strings are read as the argument's type.

    Raises:
        InputError: unknown way or argument, a value that cannot be, or a potential that the way cannot use.
    """
    if way not in WAYS:
        raise unknown("way", way, WAYS)
    suit(way, potential)
    return WAYS[way].make(potential, **checked(f"way {way}", _arguments(way), arguments or {}))


def describe_way(name: str) -> str:
    """The arguments of a way as a user would write them."""
    return ", ".join(described(p) for p in _arguments(name))


def _arguments(way: str) -> list[Any]:
    """All parameters but the potential."""
    return parameters(WAYS[way].make)[1:]
