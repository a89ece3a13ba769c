"""Compiled integrators of particles that attract or repel each other in pairs.

The force on particle i is `F_i = sum_j c_ij (x_i - x_j) w(r_ij)`, with `w(r) = 1` for springs and
`w(r) = (r^2 + softening)^(-3/2)` for the inverse-square law; masses are one. Forces may be clipped per component.

Trajectories do not depend on each other: each is integrated by the same operations in the same order, whatever else is
in the batch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled

__all__ = ["kick_drift_kick", "leapfrog"]

Array = NDArray[np.float64]


@compiled
def _forces(x: Array, couplings: Array, newtonian: bool, softening: float, limit: float, forces: Array) -> bool:
    """Fill `forces [N, 3]`; says whether a component had to be clipped to `limit`."""
    count = len(x)
    forces[:] = 0.0
    for i in range(count):
        for j in range(i + 1, count):
            dx, dy, dz = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1], x[i, 2] - x[j, 2]
            size = couplings[i, j]
            if newtonian:
                square = dx * dx + dy * dy + dz * dz + softening
                # Coinciding charges: an infinite force becomes not-a-number here, and the caller finds it.
                cube = square * math.sqrt(square)
                size = size / cube if cube > 0.0 else math.nan
            forces[i, 0] += size * dx
            forces[i, 1] += size * dy
            forces[i, 2] += size * dz
            forces[j, 0] -= size * dx
            forces[j, 1] -= size * dy
            forces[j, 2] -= size * dz
    clipped = False
    for i in range(count):
        for axis in range(3):
            if abs(forces[i, axis]) > limit:
                forces[i, axis] = math.copysign(limit, forces[i, axis])
                clipped = True
    return clipped


@compiled
def leapfrog(
    x: Array, v: Array, couplings: Array, newtonian: bool, softening: float, limit: float,
    dt: float, every: int, positions: Array, velocities: Array, clipped: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Kick, then drift and kick in turn; frame f is taken after `every * (f + 1)` drifts, before the kick there.

    Saved velocities therefore lag behind positions by half a step, and the start is not saved.

    Args:
        x: start, `(n, N, 3)`; ends as the last positions.
        v: velocities of the start; end as the last ones.
        couplings: c, `(n, N, N)`.
        newtonian: inverse-square law rather than springs.
        softening: added to squared distances.
        limit: of a force's components.
        dt: step.
        every: steps between frames.
        positions: filled, `(n, frames, N, 3)`.
        velocities: filled, likewise.
        clipped: filled, `(n,)`: whether a force was clipped.
    """
    number, frames, count = positions.shape[:3]
    forces = np.empty((count, 3))
    for n in range(number):
        x_n, v_n, c_n = x[n], v[n], couplings[n]
        clipped[n] = _forces(x_n, c_n, newtonian, softening, limit, forces)
        for i in range(count):
            for axis in range(3):
                v_n[i, axis] += dt * forces[i, axis]
        for frame in range(frames):
            for step in range(every):
                for i in range(count):
                    for axis in range(3):
                        x_n[i, axis] += dt * v_n[i, axis]
                if step == every - 1:
                    positions[n, frame] = x_n
                    velocities[n, frame] = v_n
                clipped[n] |= _forces(x_n, c_n, newtonian, softening, limit, forces)
                for i in range(count):
                    for axis in range(3):
                        v_n[i, axis] += dt * forces[i, axis]


@compiled
def kick_drift_kick(
    x: Array, v: Array, couplings: Array, newtonian: bool, softening: float, limit: float,
    dt: float, every: int, positions: Array, velocities: Array, clipped: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Half a kick, a drift, half a kick; frame f is taken after `every * f` steps, so the first one is the start.

    Positions and velocities belong to the same time. The arguments are those of `leapfrog`.
    """
    number, frames, count = positions.shape[:3]
    forces = np.empty((count, 3))
    half = dt / 2
    for n in range(number):
        x_n, v_n, c_n = x[n], v[n], couplings[n]
        clipped[n] = _forces(x_n, c_n, newtonian, softening, limit, forces)
        for frame in range(frames):
            positions[n, frame] = x_n
            velocities[n, frame] = v_n
            for _ in range(every if frame < frames - 1 else 0):
                for i in range(count):
                    for axis in range(3):
                        v_n[i, axis] += half * forces[i, axis]
                        x_n[i, axis] += dt * v_n[i, axis]
                clipped[n] |= _forces(x_n, c_n, newtonian, softening, limit, forces)
                for i in range(count):
                    for axis in range(3):
                        v_n[i, axis] += half * forces[i, axis]
