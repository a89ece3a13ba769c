"""What a law of motion keeps: energy and momentum of particles along trajectories of which only positions are known.

Velocities in the middle of five frames are (x_{t-2} - 8 x_{t-1} + 8 x_{t+1} - x_{t+2}) / (12 dt), with an error of
dt^4. Drift of energy: its range over the frames over the mean kinetic energy. Drift of momentum: the largest deviation
of sum_i m_i (x_{t+1} - x_t) / dt from its mean over frames, over the mean of sum_i m_i |v_i|; the laws of these
systems keep it exactly, whatever the time between frames. Both have no unit. True trajectories have an energy drift
too, where particles come close: read them beside the floor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from scorefield.core.statistics.statistic import Measurement
from scorefield.core.statistics.uncertainty import Interval
from scorefield.domains.geometry.simulators.particles import energy
from scorefield.domains.geometry.simulators.systems import SYSTEMS

__all__ = ["LEAST_FRAMES", "energies", "energy_drift", "median_of", "momentum_drift"]

Array = NDArray[np.float64]
LEAST_FRAMES = 6


def energies(x: Array, dt: float, kind: str, relations: Array) -> tuple[Array, Array]:
    """Kinetic and potential energy at all frames but two at either end, `[n, T - 4]`.

    Args:
        x: positions `[n, N, T, 3]`, zero for nodes that do not exist.
        dt: time between frames.
        kind: name of the system.
        relations: see `kinds.relations`.
    """
    v = (x[:, :, :-4] - 8 * x[:, :, 1:-3] + 8 * x[:, :, 3:-1] - x[:, :, 4:]) / (12 * dt)
    places, speeds = (part.transpose(0, 2, 1, 3) for part in (x[:, :, 2:-2], v))
    return energy(SYSTEMS[kind], places, speeds, relations[:, None])


def energy_drift(kinetic: Array, potential: Array) -> Array:
    """Of each trajectory, `[n]`."""
    total, mean = kinetic + potential, kinetic.mean(1)
    return np.asarray(np.ptp(total, axis=1) / np.where(mean > 0, mean, np.nan))


def momentum_drift(x: Array, masses: Array) -> Array:
    """Of each trajectory, `[n]`, from positions `[n, N, T, D]` and masses `[n, N]`."""
    moved = masses[:, :, None, None] * np.diff(x, axis=2)
    total = moved.sum(1)
    apart = np.linalg.norm(total - total.mean(1, keepdims=True), axis=-1).max(1)
    size = np.linalg.norm(moved, axis=-1).sum(1).mean(1)
    return np.asarray(apart / np.where(size > 0, size, np.nan))


def median_of(values: Array, level: float) -> Measurement | None:
    """The median, with the interval between two of the ordered values that holds it whatever their law."""
    ordered = np.sort(values[np.isfinite(values)])
    number = len(ordered)
    if not number:
        return None
    below = int(stats.binom.ppf(0.5 - level / 2, number, 0.5))
    interval = Interval(float(ordered[max(below - 1, 0)]), float(ordered[min(number - below, number - 1)]))
    return Measurement(float(np.median(ordered)), interval if number > 5 else None, number)
