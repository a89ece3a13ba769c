"""Trajectories of particles: many at once, each from a random stream of its own.

Trajectory k of seed s is drawn from `SeedSequence(s).spawn(n)[k]`, so it depends neither on n nor on how the work is
cut. In legacy mode starts are drawn one after the other from numpy's old generator, as the published data were: there
trajectory k needs the draws of all before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as count_up
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.domains.geometry.simulators.dynamics import kick_drift_kick, leapfrog
from scorefield.domains.geometry.simulators.systems import SYSTEMS, ParticleSystem, Start

__all__ = ["Clock", "Motion", "draw_starts", "energy", "integrate", "legacy_starts", "simulate_particles"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Clock:
    """How long, how finely, and what is kept.

    Args:
        steps: steps of the published loop.
        every: steps between frames.
        dt: length of a step.

    Raises:
        InputError: a number that cannot be, or no frame is left.
    """

    steps: int = 5000
    every: int = 100
    dt: float = 1e-3

    def __post_init__(self) -> None:
        if not (math.isfinite(self.dt) and self.dt > 0):
            raise InputError(f"steps of length {self.dt:g}", mend="give a number above 0")
        if self.every < 1 or self.steps <= self.every:
            what = f"{self.steps} steps of which every {self.every}th is kept"
            raise InputError(what, mend="give more steps, or keep more of them")

    def frames(self, system: ParticleSystem) -> int:
        """Frames that the published loop keeps; only gravity's hold the start."""
        return (self.steps - 1) // self.every + (system.scheme == "kick-drift-kick")


@dataclass(frozen=True)
class Motion:
    """What a simulation gives.

    Attributes:
        x: positions, `(n, frames, N, 3)`.
        v: velocities, likewise; with leapfrog half a step before the positions.
        features: charges or masses, `(n, N)`.
        relations: `(n, N, N)`, see `Start`.
        clipped: trajectories in which a force was clipped, `(n,)`.
    """

    x: Array
    v: Array
    features: Array
    relations: Array
    clipped: NDArray[np.bool_]


def draw_starts(system: ParticleSystem, num: int, seed: int, nodes: int | None = None, first: int = 0) -> list[Start]:
    """Starts of the trajectories `first` to `first + num - 1` of a seed."""
    sequences = (np.random.SeedSequence(seed, spawn_key=(k,)) for k in range(first, first + num))
    return [system.draw(np.random.Generator(np.random.PCG64(key)), nodes or system.nodes) for key in sequences]


def legacy_starts(system: ParticleSystem, seed: int, frames: int, nodes: int | None = None) -> Iterator[Start]:
    """Starts as the published generator draws them in one process, without end.

    Args:
        system: what moves.
        seed: of numpy's old generator.
        frames: that each trajectory keeps; noise of this length is drawn after each start and thrown away.
        nodes: particles.

    Raises:
        InputError: the seed is not below 2^32.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"seed {seed} in legacy mode", mend="give one from 0 to 4294967295")
    random, count = np.random.RandomState(seed), nodes or system.nodes

    def draw() -> Start:
        start = system.draw(random, count)
        for _ in range(system.discarded):
            random.standard_normal((frames, 3, count))
        return start

    return (draw() for _ in count_up())


def simulate_particles(
    name: str,
    num: int,
    seed: int = 0,
    *,
    nodes: int | None = None,
    clock: Clock | None = None,
    first: int = 0,
    legacy: bool = False,
) -> Motion:
    """Draw starts and integrate them.

    Args:
        name: of a system: charged, springs, gravity.
        num: trajectories.
        seed: from 0 up; in legacy mode below 2^32.
        nodes: particles, at least 2; 5, or 10 of gravity, by default.
        clock: how long; by default 5000 steps of 0.001 of which every 100th is kept.
        first: number of the first trajectory.
        legacy: draw as the published data were drawn.

    Raises:
        InputError: an unknown name, a number out of range, or positions that are not finite.
    """
    if name not in SYSTEMS:
        raise unknown("system", name, SYSTEMS)
    system, clock = SYSTEMS[name], clock or Clock()
    for what, given, least in (("num", num, 1), ("seed", seed, 0), ("nodes", nodes, 2)):
        if given is not None and given < least:
            raise InputError(f"{what} is {given}", mend=f"give at least {least}")
    if not legacy:
        return integrate(system, draw_starts(system, num, seed, nodes, first), clock)
    drawn = legacy_starts(system, seed, clock.frames(system), nodes)
    return integrate(system, list(islice(drawn, first, first + num)), clock)


def integrate(system: ParticleSystem, starts: list[Start], clock: Clock) -> Motion:
    """The trajectories of some starts.

    Raises:
        InputError: positions are not finite: steps are too long.
    """
    x, v = (np.stack([getattr(start, name) for start in starts]) for name in ("x", "v"))
    relations = np.stack([start.relations for start in starts])
    shape = (len(starts), clock.frames(system), *x.shape[1:])
    positions, velocities, clipped = np.empty(shape), np.empty(shape), np.zeros(len(starts), np.bool_)
    run = leapfrog if system.scheme == "leapfrog" else kick_drift_kick
    run(
        x, v, system.couplings(relations), system.newtonian, system.softening, system.limit,
        clock.dt, clock.every, positions, velocities, clipped,
    )  # fmt: skip
    if not np.isfinite(positions).all():
        raise InputError(f"{system.name}: positions are not finite", mend="take shorter steps")
    return Motion(positions, velocities, np.stack([start.features for start in starts]), relations, clipped)


def energy(system: ParticleSystem, x: Array, v: Array, relations: Array) -> tuple[Array, Array]:
    """Kinetic and potential energy.

    Args:
        system: whose law holds.
        x: positions, `(..., N, 3)`.
        v: velocities, likewise.
        relations: `(..., N, N)`, broadcast against the positions.

    Returns:
        Both, `(...)`.
    """
    square = ((x[..., :, None, :] - x[..., None, :, :]) ** 2).sum(-1)
    couplings = system.couplings(relations)
    if system.newtonian:
        pairs = couplings / np.sqrt(square + system.softening + np.eye(x.shape[-2]))  # the diagonal has no coupling
    else:
        pairs = -couplings * square / 2
    return (v**2).sum((-2, -1)) / 2, pairs.sum((-2, -1)) / 2
