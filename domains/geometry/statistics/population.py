"""Populations of trajectories, and the windows of them that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.statistics.statistic import generator_of
from scorefield.domains.geometry.statistics.conservation import energies
from scorefield.domains.geometry.statistics.internal import InternalCoordinates
from scorefield.domains.geometry.statistics.kinds import kind_of, relations
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.trajectory_checks import check_finite

__all__ = ["ComparedTrajectories", "TrajectoryPopulation", "trajectories_of"]

Array = NDArray[np.float64]
_MOST_VALUES = 1_000_000  # of a bag in all: more are thinned, the same places in every trajectory
_CELLS = 36  # of a dihedral angle's histogram
_FEW_VALUES = 20  # of each trajectory that thinning leaves


@dataclass(frozen=True)
class ComparedTrajectories:
    """Trajectories of one length, from their first frame on, with their features.

    Args:
        trajectories: of which every frame exists.
        kind: what moves, see `kinds.kind_of`.
        molecule: internal coordinates, where all are of one molecule.
    """

    trajectories: Trajectories
    kind: str | None
    molecule: InternalCoordinates | None = None

    def __len__(self) -> int:
        return len(self.trajectories)

    @property
    def dt(self) -> float:
        """Time between frames."""
        return self.trajectories.dt

    @property
    def frames(self) -> int:
        """T."""
        return int(self.trajectories.x.shape[2])

    @cached_property
    def x(self) -> Array:
        """Positions `[n, N, T, D]` about the mean over nodes and frames, zero for nodes that do not exist."""
        x, there = self.trajectories.x.astype(np.float64), self.trajectories.mask[:, :, None, None]
        number = self.trajectories.mask.sum(1)[:, None, None, None] * self.frames
        centre = np.where(there, x, 0.0).sum((1, 2), keepdims=True) / number
        return np.where(there, x - centre, 0.0)

    def _bag(self, values: Array) -> Array:
        """Values `[n, N, ..., columns]` of nodes, NaN where there is no node, as a bag."""
        mask = self.trajectories.mask.reshape(*self.trajectories.mask.shape, *(1,) * (values.ndim - 2))
        marked = np.where(mask, values, np.nan)
        return _thinned(np.moveaxis(marked.reshape(len(self), -1, values.shape[-1]), 2, 1))

    @cached_property
    def positions(self) -> Array:
        """Centred positions, a column for each axis, `[n, D, values]`."""
        return self._bag(self.x)

    @cached_property
    def positions_as_given(self) -> Array:
        """The same as they stand in the file."""
        return self._bag(self.trajectories.x.astype(np.float64))

    @cached_property
    def speeds(self) -> Array:
        """`[n, 1, values]`."""
        return self._bag(np.linalg.norm(np.diff(self.x, axis=2), axis=-1, keepdims=True) / self.dt)

    @cached_property
    def accelerations(self) -> Array:
        """Sizes, `[n, 1, values]`; none of fewer than three frames."""
        return self._bag(np.linalg.norm(np.diff(self.x, 2, axis=2), axis=-1, keepdims=True) / self.dt**2)

    @cached_property
    def pair_distances(self) -> Array:
        """Between all pairs of nodes at all frames, `[n, 1, values]`; none of single nodes."""
        first, second = np.triu_indices(self.x.shape[1], 1)
        keep = _places(len(first) * self.frames, len(self))
        pair, frame = np.divmod(keep, self.frames)
        apart = np.linalg.norm(self.x[:, first[pair], frame] - self.x[:, second[pair], frame], axis=-1)
        there = self.trajectories.mask[:, first[pair]] & self.trajectories.mask[:, second[pair]]
        return np.where(there, apart, np.nan)[:, None]

    def spectrum(self, order: int) -> Array:
        """Mean power over nodes of velocities (order 1) or accelerations (2), at each frequency, `[n, F]`."""
        moved = np.diff(self.x, order, axis=2) / self.dt**order
        power = (np.abs(np.fft.rfft(moved, axis=2)) ** 2).sum(-1) * self.dt / moved.shape[2]
        mask = self.trajectories.mask
        return np.asarray(np.einsum("nk,nkf->nf", mask / mask.sum(1, keepdims=True), power))

    def frequencies(self, order: int) -> Array:
        """Those of `spectrum`."""
        return np.asarray(np.fft.rfftfreq(self.frames - order, self.dt), dtype=np.float64)

    @cached_property
    def lengths(self) -> Array:
        """Bond lengths, a column for each bond."""
        return np.zeros((len(self), 0, 0)) if self.molecule is None else _thinned(self.molecule.lengths(self.x))

    @cached_property
    def bends(self) -> Array:
        """Angles in degrees, a column for each."""
        return np.zeros((len(self), 0, 0)) if self.molecule is None else _thinned(self.molecule.bends(self.x))

    @cached_property
    def torsions(self) -> Array:
        """Dihedral angles in degrees, `[n, dihedrals, T]`."""
        return np.zeros((len(self), 0, 0)) if self.molecule is None else self.molecule.torsions(self.x)

    @cached_property
    def torsion_cells(self) -> NDArray[np.float32]:
        """Shares of the frames in each of 36 cells of 10 degrees, `[n, dihedrals, 36]`."""
        cells = np.minimum(np.floor((self.torsions + 180) * (_CELLS / 360)).astype(np.int64), _CELLS - 1)
        n, columns, frames = cells.shape
        found = np.zeros((n * columns, _CELLS), dtype=np.float32)
        np.add.at(found, (np.repeat(np.arange(n * columns), frames), cells.ravel()), np.float32(1 / max(frames, 1)))
        return found.reshape(n, columns, _CELLS)

    @cached_property
    def energies(self) -> tuple[Array, Array] | None:
        """Kinetic and potential energy `[n, T - 4]`, or None where no law is known, or what couples the nodes."""
        known = None if self.kind is None else relations(self.trajectories, self.kind)
        if self.kind is None or known is None or self.x.shape[-1] != 3:
            return None
        return energies(self.x, self.dt, self.kind, known)


def _places(number: int, rows: int) -> NDArray[np.int64]:
    """Which of so many places of a row are looked at; the same for the same numbers."""
    most = max(_FEW_VALUES, _MOST_VALUES // max(rows, 1))
    if number <= most:
        return np.arange(number)
    return np.sort(generator_of(number, "thinned").permutation(number)[:most])


def _thinned(bag: Array) -> Array:
    return bag[:, :, _places(bag.shape[2], len(bag) * bag.shape[1])]


def trajectories_of(samples: Any) -> Trajectories:
    """Trajectories, or an array `[n, N, T, D]` of them, all of whose positions are numbers.

    Raises:
        InputError: other things, positions that are no finite numbers, or frames that are missing before others.
    """
    found = samples if isinstance(samples, Trajectories) else Trajectories.of(_floating(samples))
    check_finite(found)
    frames = found.frame_mask
    if frames is not None and (np.diff(frames.astype(np.int8), axis=1) > 0).any():
        row = int((np.diff(frames.astype(np.int8), axis=1) > 0).any(1).argmax())
        raise InputError("a missing frame before others", place=f"trajectory {row}", mend="compare frames in a row")
    return found


def _floating(samples: Any) -> NDArray[np.floating[Any]]:
    try:
        array = np.asarray(samples)
        return array if array.dtype.kind == "f" else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{type(samples).__name__} are no trajectories", mend="give [n, nodes, frames, 2 or 3]"
        ) from error


class TrajectoryPopulation:
    """Trajectories that keep what was computed of them for the next comparison.

    Args:
        trajectories: or an array `[n, N, T, D]`.
        kind: what moves: `charged`, `springs`, `gravity`, `molecule`, or anything else; by default what the features
            tell.
        bonds: pairs of atoms; by default those at most 1.6 Angstrom apart in the first frame of the real trajectories.

    Raises:
        InputError: positions that are no finite numbers.
    """

    def __init__(
        self,
        trajectories: Trajectories | NDArray[np.floating[Any]],
        kind: str | None = None,
        bonds: Sequence[Sequence[int]] | NDArray[np.int64] | None = None,
    ) -> None:
        self.trajectories = trajectories_of(trajectories)
        self.timed = isinstance(trajectories, Trajectories)  # an array does not say how far its frames are apart
        self.kind = kind_of(self.trajectories) if kind in (None, "trajectories") else kind
        self.bonds = None if bonds is None else np.asarray(bonds, dtype=np.int64).reshape(-1, 2)
        self._kept: dict[tuple[object, ...], ComparedTrajectories] = {}

    def __len__(self) -> int:
        """How many trajectories there are."""
        return len(self.trajectories)

    @property
    def numbers(self) -> NDArray[np.int64] | None:
        """The atomic numbers of the one molecule that all of these are, `[N]`, or None."""
        numbers = self.trajectories.numbers
        if numbers is None or not self.trajectories.mask.all() or (numbers != numbers[:1]).any():
            return None
        return np.asarray(numbers[0])

    def compared(
        self, frames: int, dt: float, kind: str | None, molecule: InternalCoordinates | None
    ) -> ComparedTrajectories:
        """The first so many frames of those trajectories that have them.

        Args:
            frames: of each.
            dt: time between them.
            kind: what moves.
            molecule: internal coordinates.
        """
        bonds = b"" if molecule is None else molecule.bonds.tobytes()
        key = (frames, dt, kind, bonds)
        if key not in self._kept:
            long_enough = self.trajectories.lengths >= frames
            whole = self.trajectories if long_enough.all() else self.trajectories[long_enough]
            first = replace(whole.frames(0, frames), dt=dt)
            self._kept[key] = ComparedTrajectories(first, kind, molecule)
        return self._kept[key]
