"""The three systems of particles of the trajectory literature: charges, springs, masses.

Charged particles and springs are those of Kipf et al. (Neural relational inference, ICML 2018) in the variant without
walls during the run, masses those of Brandstetter et al. (ICLR 2022), with the sizes that GeoTDM (Han et al., NeurIPS
2024) uses. What is random in a start is drawn in a fixed order: interactions, positions, velocities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["SYSTEMS", "ParticleSystem", "Random", "Start"]

Array = NDArray[np.float64]
Random = np.random.Generator | np.random.RandomState

_WALL, _SPEED = 5.0, 0.5


@dataclass(frozen=True)
class Start:
    """One trajectory at its beginning.

    Attributes:
        x: positions, `(N, 3)`.
        v: velocities, `(N, 3)`.
        features: charge or mass of each particle, `(N,)`.
        relations: symmetric, without diagonal, `(N, N)`: product of charges or of masses, or whether there is a spring.
    """

    x: Array
    v: Array
    features: Array
    relations: Array


@dataclass(frozen=True)
class ParticleSystem:
    """What moves, and under which law.

    Attributes:
        name: what users call it.
        nodes: particles, by default.
        strength: the coupling c of a pair is this times its relation.
        newtonian: inverse-square law rather than springs.
        softening: added to squared distances.
        limit: of a force's components.
        scheme: how it is integrated: see `simulators.dynamics`.
        discarded: arrays of noise `(frames, ...)` that the published generator draws after each start.
        draw: draws a start of so many particles.
    """

    name: str
    nodes: int
    strength: float
    newtonian: bool
    softening: float
    limit: float
    scheme: Literal["leapfrog", "kick-drift-kick"]
    discarded: int
    draw: Callable[[Random, int], Start]

    def couplings(self, relations: Array) -> Array:
        """c of every pair, `(..., N, N)`."""
        return self.strength * relations


def _charged(random: Random, nodes: int) -> Start:
    charges = random.choice(np.array([-1.0, 0.0, 1.0]), size=(nodes, 1), p=[0.5, 0.0, 0.5])
    relations = charges @ charges.T
    np.fill_diagonal(relations, 0.0)
    x, v = _boxed(random, nodes, (nodes / 5) ** (1 / 3))
    return Start(x, v, charges[:, 0], relations)


def _springs(random: Random, nodes: int) -> Start:
    drawn = random.choice(np.array([0.0, 0.5, 1.0]), size=(nodes, nodes), p=[0.5, 0.0, 0.5])
    lower = np.tril(drawn, -1)
    x, v = _boxed(random, nodes, 0.5)
    return Start(x, v, np.zeros(nodes), lower + lower.T)


def _boxed(random: Random, nodes: int, spread: float) -> tuple[Array, Array]:
    """Gaussian positions and velocities of one speed; what starts outside the walls is reflected once."""
    x = random.standard_normal((3, nodes)) * spread
    v = random.standard_normal((3, nodes))
    v = v * _SPEED / np.sqrt((v**2).sum(axis=0))
    beyond, below = x > _WALL, x < -_WALL
    x = np.where(beyond, 2 * _WALL - x, np.where(below, -2 * _WALL - x, x))
    v = np.where(beyond, -np.abs(v), np.where(below, np.abs(v), v))
    return np.ascontiguousarray(x.T), np.ascontiguousarray(v.T)


def _gravity(random: Random, nodes: int) -> Start:
    x = random.standard_normal((nodes, 3))
    v = random.standard_normal((nodes, 3))
    return Start(x, v - v.mean(axis=0), np.ones(nodes), 1.0 - np.eye(nodes))


SYSTEMS = {
    system.name: system
    for system in (
        ParticleSystem("charged", 5, 1.0, True, 0.0, 100.0, "leapfrog", 2, _charged),
        ParticleSystem("springs", 5, -0.1, False, 0.0, 100.0, "leapfrog", 2, _springs),
        ParticleSystem("gravity", 10, -1.0, True, 0.01, float("inf"), "kick-drift-kick", 3, _gravity),
    )
}
"""The systems by name."""
