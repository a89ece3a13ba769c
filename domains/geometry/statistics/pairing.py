"""What of two populations of trajectories is compared: as many frames of both, in the same space and time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.geometry.molecular_graph import bonds_of
from scorefield.domains.geometry.statistics.internal import InternalCoordinates
from scorefield.domains.geometry.statistics.population import ComparedTrajectories, TrajectoryPopulation
from scorefield.domains.geometry.statistics.surrogate_scores import Motions

__all__ = ["Pair", "make_pair"]

_MOST_BONDS = 6  # of an atom; more mean other units than Angstrom
_FEW = 2


@dataclass(frozen=True)
class Pair:
    """Two sets of trajectories of one length.

    Args:
        real: the real ones.
        generated: the generated ones.
        notes: what has to be known of the choice.
        facts: numbers and protocol, for a report.
    """

    real: ComparedTrajectories
    generated: ComparedTrajectories
    notes: tuple[str, ...] = ()
    facts: dict[str, str] | None = None

    @cached_property
    def motions(self) -> Motions:
        """Real trajectories followed by generated ones, for networks; nodes that exist come first."""
        parts = [_motions(part) for part in (self.real, self.generated)]
        nodes = max(part.x.shape[1] for part in parts)
        x, told = (torch.cat([_wider(getattr(part, name), nodes) for part in parts]) for name in ("x", "nodes"))
        return Motions(told, x, np.concatenate([part.sizes for part in parts]))


def _motions(part: ComparedTrajectories) -> Motions:
    given = part.trajectories
    order = np.argsort(~given.mask, axis=1, kind="stable")
    x = np.take_along_axis(part.x, order[:, :, None, None], 1).astype(np.float32)
    told = np.zeros(x.shape[:3], dtype=np.float32)
    if given.features is not None and given.features.shape[2:] == (1,):
        told += np.take_along_axis(given.features, order[:, :, None], 1)
    return Motions(torch.from_numpy(told), torch.from_numpy(x), given.mask.sum(1).astype(np.int64))


def _wider(values: torch.Tensor, nodes: int) -> torch.Tensor:
    missing = values.new_zeros(len(values), nodes - values.shape[1], *values.shape[2:])
    return torch.cat([values, missing], 1)


def make_pair(
    real: TrajectoryPopulation, generated: TrajectoryPopulation, names: tuple[str, str] = ("real", "generated")
) -> Pair:
    """The trajectories to compare.

    Raises:
        InputError: another space, another time between frames, other molecules, or too few trajectories or frames.
    """
    _check_alike(real, generated, names)
    lengths = [part.trajectories.lengths for part in (real, generated)]
    frames = int(min(lengths[0].max(), lengths[1].min()))
    counts = int((lengths[0] >= frames).sum()), len(generated)
    if min(counts) < _FEW or frames < 2:
        few = names[0] if counts[0] < _FEW else names[1]
        raise InputError(f"{min(counts)} trajectories of {frames} frames", file=few, mend="give at least 2 of 2 frames")
    kind = real.kind if real.kind is not None else generated.kind
    molecule, doubt = _molecule(real, names)
    dt = (real if real.timed else generated).trajectories.dt
    pair = [part.compared(frames, dt, kind, molecule) for part in (real, generated)]
    notes = [*_notes(lengths, frames, names), *([doubt] if doubt else [])]
    return Pair(pair[0], pair[1], tuple(notes), _facts(pair[0], pair[1], names))


def _check_alike(real: TrajectoryPopulation, generated: TrajectoryPopulation, names: tuple[str, str]) -> None:
    spaces = [part.trajectories.x.shape[3] for part in (real, generated)]
    if spaces[0] != spaces[1]:
        raise InputError(f"trajectories in {spaces[1]} dimensions, {spaces[0]} in {names[0]}", file=names[1])
    steps = [part.trajectories.dt for part in (real, generated)]
    if real.timed and generated.timed and not np.isclose(steps[0], steps[1], rtol=1e-3):
        what, mend = f"frames {steps[1]:g} apart, {steps[0]:g} in {names[0]}", "compare frames equally far apart"
        raise InputError(what, file=names[1], place="dt", mend=mend)
    numbers = [part.numbers for part in (real, generated)]
    sizes = [part.trajectories.mask.shape[1] for part in (real, generated)]
    other = numbers[0] is not None and numbers[1] is not None and not np.array_equal(numbers[0], numbers[1])
    if other or (numbers[0] is not None and sizes[0] != sizes[1]):
        raise InputError(f"another molecule than in {names[0]}", file=names[1], mend="compare trajectories of one")


def _molecule(real: TrajectoryPopulation, names: tuple[str, str]) -> tuple[InternalCoordinates | None, str]:
    """Internal coordinates by the bonds of the real molecule, or why there are none."""
    if real.numbers is None or real.trajectories.x.shape[3] != 3:
        several = real.trajectories.numbers is not None
        return None, f"{names[0]} holds several molecules: no statistics of bonds" if several else ""
    bonds: NDArray[np.int64] = bonds_of(real.trajectories.x[0, :, 0]) if real.bonds is None else real.bonds
    found = InternalCoordinates.of(bonds)
    if not 0 < found.most_bonds <= _MOST_BONDS:
        return None, f"{names[0]}: up to {found.most_bonds} bonds of an atom, not Angstrom? no statistics of bonds"
    return found, ""


def _notes(lengths: list[NDArray[np.int64]], frames: int, names: tuple[str, str]) -> list[str]:
    notes = []
    for length, name in zip(lengths, names, strict=True):
        short, cut = int((length < frames).sum()), int((length > frames).sum())
        if short:
            notes.append(f"{name}: {short:,} trajectories of fewer than {frames} frames are left out")
        if cut:
            notes.append(f"{name}: the first {frames} of up to {int(length.max())} frames are compared")
    return notes


def _facts(real: ComparedTrajectories, generated: ComparedTrajectories, names: tuple[str, str]) -> dict[str, str]:
    sizes = [np.unique(part.trajectories.mask.sum(1)) for part in (real, generated)]
    said = ["to".join([f" {size.min()} ", f" {size.max()} "] if len(size) > 1 else [str(size[0])]) for size in sizes]
    facts = {
        "real trajectories": f"{len(real):,}, {said[0].strip()} nodes",
        "generated trajectories": f"{len(generated):,}, {said[1].strip()} nodes",
        "protocol": f"{real.frames} frames, {real.dt:g} apart, both centred on them",
        "kind": real.kind or "trajectories",
    }
    if real.molecule is not None:
        parts = (
            (real.molecule.bonds, "bonds"),
            (real.molecule.angles, "angles"),
            (real.molecule.dihedrals, "dihedrals"),
        )
        facts["molecule"] = ", ".join(f"{len(part)} {name}" for part, name in parts)
    return facts
