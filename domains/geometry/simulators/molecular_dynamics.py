"""Molecular dynamics of single molecules: velocity Verlet, or Langevin dynamics at a temperature.

One step is half a kick, half a drift, friction with noise, half a drift, half a kick (BAOAB, Leimkuhler and Matthews,
Appl. Math. Res. Express 2013); without friction it is velocity Verlet. Noise is drawn on velocities whose centre of
mass rests. Trajectory k of seed s draws from `SeedSequence(s).spawn(n)[k]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.geometry.simulators.molecules import Molecule, molecule

__all__ = ["BOLTZMANN", "KCAL", "MolecularMotion", "Thermostat", "molecular_dynamics"]

Array = NDArray[np.float64]

BOLTZMANN = 0.00198720425864083
"""In kcal/mol/K."""
KCAL = 4.184e-4
"""One kcal/mol in atomic mass units x (angstrom/fs)^2."""

_FAR = 1e3
_REPORTED = 500


@dataclass(frozen=True)
class Thermostat:
    """How a molecule is moved.

    Args:
        steps: recorded steps.
        every: steps between frames.
        timestep: fs.
        temperature: kelvin; that of the warm-up and of the thermostat.
        friction: of the thermostat, 1/ps; without any, energy is conserved.
        warm_up: steps before the recording, always with a thermostat of 10/ps.

    Raises:
        InputError: a number that cannot be, or no frame is left.
    """

    steps: int = 200_000
    every: int = 10
    timestep: float = 0.5
    temperature: float = 500.0
    friction: float = 0.0
    warm_up: int = 4000

    def __post_init__(self) -> None:
        numbers = (self.timestep, self.temperature, self.friction)
        if not all(map(math.isfinite, numbers)) or min(self.timestep, self.temperature) <= 0 or self.friction < 0:
            what = f"steps of {self.timestep:g} fs at {self.temperature:g} K, friction {self.friction:g}/ps"
            raise InputError(what, mend="give numbers above 0; friction may be 0")
        if self.every < 1 or self.steps < self.every or self.warm_up < 0:
            what = f"{self.steps} steps of which every {self.every}th is kept, {self.warm_up} before"
            raise InputError(what, mend="give more steps, or keep more of them")


@dataclass(frozen=True)
class MolecularMotion:
    """What a simulation gives.

    Attributes:
        molecule: its atoms and bonds.
        x: positions in angstrom, their centre of mass at zero, `(frames, N, 3)`.
        v: velocities in angstrom/fs at the same times.
        energy: potential and kinetic, kcal/mol, `(frames, 2)`.
    """

    molecule: Molecule
    x: Array
    v: Array
    energy: Array


def molecular_dynamics(
    name: str,
    seed: int = 0,
    number: int = 0,
    thermostat: Thermostat | None = None,
    report: Callable[[float], None] | None = None,
) -> MolecularMotion:
    """One trajectory, from a minimum of the energy and a warm-up.

    Args:
        name: of the molecule.
        seed: from 0 up.
        number: of the trajectory.
        thermostat: how; by default 0.1 ns at constant energy after 2 ps at 500 K, a frame each 5 fs.
        report: is told the share that is done.

    Raises:
        InputError: the molecule is unknown, or it flew apart.
    """
    settings, tell = thermostat or Thermostat(), report or (lambda share: None)
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(number,))))
    found = molecule(name, int(random.integers(2**31 - 1)))
    moving = _Moving(found, settings, random)
    total = settings.warm_up + settings.steps
    for step in range(settings.warm_up):
        moving.step(10.0)
        if step % _REPORTED == 0:
            tell(step / total)
    if settings.friction == 0:
        moving.stop_turning()
    frames = settings.steps // settings.every
    x, v, energy = np.empty((frames, *found.rest.shape)), np.empty((frames, *found.rest.shape)), np.empty((frames, 2))
    for frame in range(frames):
        moving.check()
        x[frame], v[frame] = moving.x, moving.v
        energy[frame] = found.energy(moving.x), moving.kinetic()
        for _ in range(settings.every):
            moving.step(settings.friction)
        if frame % (_REPORTED // 10) == 0:
            tell((settings.warm_up + frame * settings.every) / total)
    return MolecularMotion(found, x, v, energy)


class _Moving:
    """A molecule in motion."""

    def __init__(self, found: Molecule, settings: Thermostat, random: np.random.Generator) -> None:
        self._molecule, self._dt, self._random = found, settings.timestep, random
        self._mass = found.masses[:, None]
        self._total = float(found.masses.sum())
        self._thermal = np.sqrt(BOLTZMANN * settings.temperature * KCAL / self._mass)
        self.x = found.rest - (self._mass * found.rest).sum(0) / self._total
        self.v = self._drawn()
        self._kick = self._half_kick()

    def _drawn(self) -> Array:
        """Maxwell's velocities, less that of the centre of mass."""
        drawn = self._thermal * self._random.standard_normal(self.x.shape)
        centred: Array = drawn - (self._mass * drawn).sum(0) / self._total
        return centred

    def _half_kick(self) -> Array:
        return self._molecule.forces(self.x) * (self._dt / 2 * KCAL) / self._mass

    def step(self, friction: float) -> None:
        """One step; the friction is in 1/ps."""
        self.v += self._kick
        if friction > 0:
            kept = math.exp(-friction * self._dt / 1000)
            self.x += self._dt / 2 * self.v
            self.v = kept * self.v + math.sqrt(1 - kept * kept) * self._drawn()
            self.x += self._dt / 2 * self.v
        else:
            self.x += self._dt * self.v
        self._kick = self._half_kick()
        self.v += self._kick

    def stop_turning(self) -> None:
        """Take the rotation out of the velocities."""
        x, mass = self.x, self._mass
        inertia = (mass * x**2).sum() * np.eye(3) - (mass * x).T @ x
        momentum = (mass * np.cross(x, self.v)).sum(0)
        self.v -= np.cross(np.linalg.solve(inertia, momentum), x)

    def kinetic(self) -> float:
        """Kinetic energy, kcal/mol."""
        return float((self._mass * self.v**2).sum() / 2 / KCAL)

    def check(self) -> None:
        """Find out whether the molecule is still in one piece.

        Raises:
            InputError: it is not.
        """
        if not np.abs(self.x).max() < _FAR:  # false of not-a-number, too
            raise InputError("the molecule flew apart", mend="take a shorter timestep or a lower temperature")
