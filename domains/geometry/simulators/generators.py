"""Simulated trajectories in chunks, as `core.generation` makes files of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.generation import Report
from scorefield.core.shards import Shard
from scorefield.domains.geometry.simulators.molecular_dynamics import MolecularMotion, Thermostat, molecular_dynamics
from scorefield.domains.geometry.simulators.particles import Clock, Motion, draw_starts, integrate, legacy_starts
from scorefield.domains.geometry.simulators.systems import SYSTEMS, Start
from scorefield.domains.geometry.trajectories import Trajectories

__all__ = ["MoleculeGenerator", "ParticleGenerator", "molecule_trajectories", "particle_trajectories"]

Values = Mapping[str, Any]


def particle_trajectories(name: str, motion: Motion, dt: float) -> Trajectories:
    """A population of particles: charge or mass as their feature, all pairs as edges, row by row.

    The features of edges are the products of charges, or whether there is a spring; of masses they are zero.

    Args:
        name: of the system.
        motion: what was simulated.
        dt: time between two frames.
    """
    number, nodes = motion.features.shape
    pairs = np.argwhere(~np.eye(nodes, dtype=bool))
    told = motion.relations[:, pairs[:, 0], pairs[:, 1], None] * (name != "gravity")
    return Trajectories.of(
        motion.x.transpose(0, 2, 1, 3).astype(np.float32),
        dt=dt,
        features=motion.features[:, :, None].astype(np.float32),
        edges=_shared(pairs, number),
        edge_features=told.astype(np.float32),
    )


def molecule_trajectories(motion: MolecularMotion, dt: float) -> Trajectories:
    """One trajectory of a molecule with its atomic numbers; bonds are its edges, each in both directions."""
    bonds = np.concatenate([motion.molecule.bonds, motion.molecule.bonds[:, ::-1]])
    return Trajectories.of(
        motion.x.transpose(1, 0, 2)[None].astype(np.float32),
        dt=dt,
        edges=_shared(bonds, 1),
        numbers=motion.molecule.numbers[None],
    )


def _shared(pairs: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    return np.repeat(pairs[None], number, axis=0)


class ParticleGenerator:
    """Makes populations of charges, springs or masses.

    Args:
        system: its name.
        seed: from 0 up; in legacy mode below 2^32.
        values: `nodes`, `steps`, `every`, `dt` and `legacy`.
        chunk_size: trajectories of a chunk.

    Raises:
        InputError: the values do not go together.
    """

    def __init__(self, system: str, seed: int, values: Values, chunk_size: int) -> None:
        self._system, self._seed, self._values, self._chunk_size = SYSTEMS[system], seed, dict(values), chunk_size
        self._clock = Clock(values["steps"], values["every"], values["dt"])
        self._legacy = (0, self._legacy_starts()) if values["legacy"] else None

    def request(self) -> dict[str, Any]:
        """See `core.generation.Generator`."""
        return {"simulation": self._system.name, "seed": self._seed, **self._values}

    def facts(self) -> dict[str, Any]:
        """See `core.generation.Generator`."""
        units = {"length": "1", "time": "1", "mass": "1"}
        return {
            "simulation": self._system.name, "seed": self._seed, "options": self._values,
            "dt": self._frame_time, "units": units, "versions": {"numpy": version("numpy")},
        }  # fmt: skip

    def samples_type(self) -> type[Trajectories]:
        """See `core.generation.Generator`."""
        return Trajectories

    def chunk(self, number: int, size: int, device: torch.device, report: Report | None = None) -> Shard:
        """See `core.generation.Generator`; particles are moved on the CPU."""
        begin = time.perf_counter()
        motion = integrate(self._system, self._starts(number * self._chunk_size, size), self._clock)
        samples = particle_trajectories(self._system.name, motion, self._frame_time)
        if report is not None:
            report(1.0)
        return Shard(samples, float(self._clock.steps), time.perf_counter() - begin)

    @property
    def _frame_time(self) -> float:
        return self._clock.every * self._clock.dt

    def _legacy_starts(self) -> Iterator[Start]:
        return legacy_starts(self._system, self._seed, self._clock.frames(self._system), self._values["nodes"])

    def _starts(self, first: int, size: int) -> list[Start]:
        """Starts of a chunk; those of legacy mode go on where the last chunk ended, else begin anew."""
        if self._legacy is None:
            return draw_starts(self._system, size, self._seed, self._values["nodes"], first)
        after, drawn = self._legacy
        if after > first:
            after, drawn = 0, self._legacy_starts()
        starts = list(islice(drawn, first - after, first - after + size))
        self._legacy = (first + size, drawn)
        return starts


class MoleculeGenerator:
    """Makes trajectories of a molecule.

    Args:
        molecule: its name.
        seed: from 0 up.
        values: fields of `Thermostat`.
        chunk_size: trajectories of a chunk.

    Raises:
        InputError: the values do not go together.
    """

    def __init__(self, molecule: str, seed: int, values: Values, chunk_size: int) -> None:
        self._molecule, self._seed, self._values, self._chunk_size = molecule, seed, dict(values), chunk_size
        self._settings = Thermostat(**values)

    def request(self) -> dict[str, Any]:
        """See `core.generation.Generator`; force fields depend on RDKit's version."""
        return {"simulation": self._molecule, "seed": self._seed, **self._values, "rdkit": version("rdkit")}

    def facts(self) -> dict[str, Any]:
        """See `core.generation.Generator`."""
        units = {"length": "angstrom", "time": "fs", "temperature": "K", "friction": "1/ps"}
        return {
            "simulation": self._molecule, "seed": self._seed, "options": self._values, "dt": self._frame_time,
            "units": units, "force_field": "MMFF94", "edges": "bonds", "versions": {"rdkit": version("rdkit")},
        }  # fmt: skip

    def samples_type(self) -> type[Trajectories]:
        """See `core.generation.Generator`."""
        return Trajectories

    def chunk(self, number: int, size: int, device: torch.device, report: Report | None = None) -> Shard:
        """See `core.generation.Generator`; molecules are moved on the CPU."""
        begin = time.perf_counter()
        parts = [self._trajectory(number * self._chunk_size + k, k, size, report) for k in range(size)]
        steps = self._settings.steps + self._settings.warm_up
        return Shard(Trajectories.concatenate(parts), float(steps), time.perf_counter() - begin)

    def _trajectory(self, number: int, k: int, size: int, report: Report | None) -> Trajectories:
        def tell(share: float) -> None:
            if report is not None:
                report((k + share) / size)

        motion = molecular_dynamics(self._molecule, self._seed, number, self._settings, tell)
        tell(1.0)
        return molecule_trajectories(motion, self._frame_time)

    @property
    def _frame_time(self) -> float:
        return self._settings.every * self._settings.timestep
