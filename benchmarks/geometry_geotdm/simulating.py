"""Simulated particles: compiled batches against NumPy, one trajectory at a time, in one run, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/geometry_geotdm/simulating.py [--num 512] [--plain 2] [--molecules]

The plain version is a transcription of the published generator: arrays of all pairs, a Python loop over steps. From the
same starts both give the same trajectories, which is checked. Prints CPU-ms of a trajectory of 5000 steps, the ratio,
and minutes for the published 14 000; with `--molecules` also CPU-us of a step of molecular dynamics.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from scorefield.domains.geometry.simulators.molecular_dynamics import Thermostat, molecular_dynamics
from scorefield.domains.geometry.simulators.molecules import SMILES
from scorefield.domains.geometry.simulators.particles import Clock, draw_starts, integrate, simulate_particles
from scorefield.domains.geometry.simulators.systems import SYSTEMS, ParticleSystem, Start

Array = NDArray[np.float64]


def forces(system: ParticleSystem, x: Array, couplings: Array) -> Array:
    """All pairs at once."""
    between = x[:, None] - x[None]
    sizes = couplings
    if system.newtonian:
        square = (between**2).sum(-1) + system.softening
        np.fill_diagonal(square, 1.0)
        sizes = couplings / square**1.5
    return np.clip((sizes[:, :, None] * between).sum(1), -system.limit, system.limit)


def plain(system: ParticleSystem, start: Start, clock: Clock) -> Array:
    """Positions `(frames, N, 3)` of one trajectory."""
    x, v, c = start.x.copy(), start.v.copy(), system.couplings(start.relations)
    frames, dt = [], clock.dt
    if system.scheme == "leapfrog":
        v += dt * forces(system, x, c)
        for step in range(1, clock.steps):
            x += dt * v
            if step % clock.every == 0:
                frames.append(x.copy())
            v += dt * forces(system, x, c)
        return np.stack(frames)
    force = forces(system, x, c)
    for step in range(clock.steps):
        if step % clock.every == 0:
            frames.append(x.copy())
        v += dt / 2 * force
        x += dt * v
        force = forces(system, x, c)
        v += dt / 2 * force
    return np.stack(frames)


def particles(name: str, num: int, plain_num: int) -> None:
    """One line of the table."""
    system, clock = SYSTEMS[name], Clock()
    simulate_particles(name, 1, clock=Clock(3, 1))  # compiled here
    begin = time.process_time()
    simulate_particles(name, num)
    own = (time.process_time() - begin) / num
    starts = draw_starts(system, plain_num, 0)
    begin = time.process_time()
    theirs = np.stack([plain(system, start, clock) for start in starts])
    other = (time.process_time() - begin) / plain_num
    # Round-off grows with every close encounter, so only the first frames have to agree to many digits.
    error = np.abs(theirs - integrate(system, starts, clock).x)[:, :5].max()
    minutes = own * 14_000 / 60
    print(f"{name:10} {1000 * other:10.1f} {1000 * own:12.3f} {other / own:8.0f} {minutes:14.2f} {error:12.1e}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--num", type=int, default=512)
    parser.add_argument("--plain", type=int, default=2)
    parser.add_argument("--molecules", action="store_true")
    args = parser.parse_args()
    print(f"{'system':10} {'numpy ms':>10} {'compiled ms':>12} {'ratio':>8} {'min for 14000':>14} {'difference':>12}")
    for name in SYSTEMS:
        particles(name, args.num, args.plain)
    if args.molecules:
        print(f"\n{'molecule':16} {'us a step':>10} {'s for 200 000':>14}")
        for name in SMILES:
            begin = time.process_time()
            molecular_dynamics(name, 0, 0, Thermostat(steps=5000, warm_up=0))
            step = (time.process_time() - begin) / 5000
            print(f"{name:16} {1e6 * step:10.1f} {2e5 * step:14.1f}")


if __name__ == "__main__":
    main()
