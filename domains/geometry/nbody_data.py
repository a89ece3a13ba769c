"""The data module of simulated particles: charges, springs and masses."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.trajectory_data import PARTS, Part, Recorded, TrajectoryData
from scorefield.domains.geometry.trajectory_files import read_trajectories
from scorefield.domains.geometry.windows import Windows

__all__ = ["NBodyData"]

_BLOCKS = (10, 2, 2)  # a simulated file holds 10,000 trajectories for training, then 2,000 and 2,000


class NBodyData(TrajectoryData):
    """Trajectories of particles, of a file that `scorefield simulate` wrote, or simulated on the spot.

    Of a file the first 10/14 are for training, 2/14 for validation and the last 2/14 for the test.

    Args:
        system: `charged`, `springs` or `gravity`.
        path: a file; by default `train + validation + test` trajectories are simulated.
        frames: of a window, which starts where a trajectory does; 20 of 30 in the published unconditional runs.
        given: frames that are given, such as `0:10` or `0:5,25:30`; by default none.
        train: trajectories that are trained on at most.
        validation: trajectories for validation at most.
        test: trajectories for the test at most.
        span: with `legacy_centering`, frames over which the mean position is zero.
        legacy_centering: centre unconditional windows over `span` frames before they are cut, as published, in place
            of over the window itself.
        simulation_seed: seed of what is simulated.
        nodes: particles of what is simulated; 5, of gravity 10, by default.
        batch_size: trajectories in a training batch, over all processes together.
        num_workers: processes that load batches.
        seed: seed of the order of training.
    """

    def __init__(
        self,
        system: Literal["charged", "springs", "gravity"],
        path: str | None = None,
        frames: int = 30,
        given: str | None = None,
        train: int = 3000,
        validation: int = 256,
        test: int = 2000,
        span: int = 30,
        legacy_centering: bool = False,
        simulation_seed: int = 43,
        nodes: int | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(path, frames, given, batch_size=batch_size, num_workers=num_workers, seed=seed)
        if system not in _SYSTEMS:
            raise unknown("data.system", system, _SYSTEMS)
        for name, value, least in (("train", train, 1), ("validation", validation, 0), ("test", test, 0)):
            if value < least:
                raise InputError(f"data.{name} is {value}", mend=f"give at least {least}")
        self.system, self.counts = system, {"train": train, "validation": validation, "test": test}
        self.simulation_seed, self.nodes = simulation_seed, nodes
        self.legacy_centering = legacy_centering
        self.set_span(max(span, frames) if legacy_centering else None)

    def read(self) -> Recorded:
        """See `TrajectoryData.read`."""
        if self.path is not None:
            return Recorded(read_trajectories(Path(self.path)), self.path, self.system)
        made = {"licence": "none needed: computed", "simulation_seed": self.simulation_seed}
        return Recorded(self._simulated(), self.system, self.system, facts=made)

    def _simulated(self) -> Trajectories:
        """As many frames as windows need, and not more."""
        from scorefield.domains.geometry.simulators.generators import particle_trajectories
        from scorefield.domains.geometry.simulators.particles import Clock, simulate_particles
        from scorefield.domains.geometry.simulators.systems import SYSTEMS

        every, span = Clock().every, self.span or self.frames or 1
        steps = max(span - (SYSTEMS[self.system].scheme == "kick-drift-kick"), 1) * every + 1
        number = sum(self.counts.values())
        rank_zero_info(f"simulating {number} trajectories of {self.system} for {steps} steps")
        clock = Clock(steps, every)
        motion = simulate_particles(self.system, number, self.simulation_seed, nodes=self.nodes, clock=clock)
        return particle_trajectories(self.system, motion, every * clock.dt)

    def parts_of(self, trajectories: Trajectories, span: int) -> dict[Part, Windows]:
        """See `TrajectoryData.parts_of`."""
        sizes = self.counts.values() if self.path is None else _BLOCKS
        ends = np.round(np.cumsum([0, *sizes]) * (len(trajectories) / sum(sizes))).astype(np.int64)
        self.tell_short(trajectories.lengths, span)
        parts: dict[Part, Windows] = {}
        for part, first, last in zip(PARTS, ends[:-1], ends[1:], strict=True):
            rows = np.arange(first, last)
            parts[part] = Windows.whole(rows[trajectories.lengths[rows] >= span][: self.counts[part]])
        return parts


_SYSTEMS = ("charged", "springs", "gravity")
