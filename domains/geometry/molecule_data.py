"""The data module of molecular dynamics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.domains.geometry.molecular_graph import MolecularGraph, molecular_graph, odd_bonds
from scorefield.domains.geometry.molecule_files import MD17, fetch_md17, read_recording
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.trajectory_data import PARTS, Part, Recorded, TrajectoryData, tell
from scorefield.domains.geometry.windows import Windows

__all__ = ["MoleculeTrajectoryData"]

_SHARES = (0.6, 0.2, 0.2)
_HYDROGEN = 1


class MoleculeTrajectoryData(TrajectoryData):
    """Windows of the motion of one molecule: MD17, simulated, or of a user.

    Every trajectory is cut in time: its first 60 % are for training, 20 % for validation and 20 % for the test. Windows
    start at even distances, and overlap.

    Args:
        path: see `molecule_files.read_recording`; by default the molecule of MD17 is downloaded.
        molecule: one of MD17: aspirin, benzene, ethanol, malonaldehyde, naphthalene, salicylic_acid, toluene, uracil.
        frames: of a window; 20 of 30 in the published unconditional runs.
        given: frames that are given, such as `0:10`; by default none.
        every: only every so manyth frame is looked at; by default 10 of MD17, 1 else.
        train: windows that are trained on at most.
        validation: windows for validation at most.
        test: windows for the test at most.
        span: windows are cut with so many frames, of which the first `frames` are kept.
        legacy_centering: centre unconditional windows over all `span` frames, as published, in place of over those
            that are kept.
        all_pairs: join all pairs of atoms, in place of those at most three bonds apart.
        bonds: pairs of atoms, counted from 0, or `near`: those closer than 1.6 angstrom in the first frame. By default
            those of the file where it tells some, else `near`.
        hydrogens: False leaves them out.
        url: another folder to download from.
        batch_size: windows in a training batch, over all processes together.
        num_workers: processes that load batches.
        seed: seed of the order of training.
    """

    def __init__(
        self,
        path: str | None = None,
        molecule: str | None = None,
        frames: int = 30,
        given: str | None = None,
        every: int | None = None,
        train: int = 5000,
        validation: int = 1000,
        test: int = 1000,
        span: int | None = None,
        legacy_centering: bool = False,
        all_pairs: bool = False,
        bonds: list[list[int]] | Literal["near"] | None = None,
        hydrogens: bool = True,
        url: str | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(path, frames, given, every or 1, batch_size=batch_size, num_workers=num_workers, seed=seed)
        if molecule is not None and molecule not in MD17:
            raise unknown("data.molecule", molecule, MD17)
        for name, value, least in (("train", train, 1), ("validation", validation, 0), ("test", test, 0)):
            if value < least:
                raise InputError(f"data.{name} is {value}", mend=f"give at least {least}")
        if isinstance(bonds, str) and bonds != "near":
            raise InputError(f"data.bonds is {bonds!r}", mend="give near, or pairs of atoms")
        self.molecule, self.url, self.thinning = molecule, url, every
        self.counts = {"train": train, "validation": validation, "test": test}
        self.all_pairs, self.bonds, self.hydrogens = all_pairs, bonds, hydrogens
        self.set_span(span)
        self.legacy_centering = legacy_centering

    def prepare_data(self) -> None:
        """Download the molecule, unless a file is given."""
        if self.path is None and self.molecule is not None:
            fetch_md17(self.molecule, self.url)

    def read(self) -> Recorded:
        """See `TrajectoryData.read`."""
        if self.path is None and self.molecule is None:
            raise InputError("no molecule is named", mend="give data.molecule, or a file with --data.path")
        where = Path(self.path) if self.path is not None else fetch_md17(str(self.molecule), self.url)
        found = read_recording(where, self.thinning).trajectories
        if not self.hydrogens:
            found = _without_hydrogens(found, where)
        try:
            graph = self.graph_of(found)
        except InputError as error:
            raise InputError(str(error), file=where) from None
        self._tell_odd(graph, found, where)
        found = replace(
            found,
            features=_shared(graph.features, len(found)),
            edges=_shared(graph.edges, len(found)),
            edge_features=_shared(graph.edge_features, len(found)),
        )
        numbers = found.numbers[0].tolist() if found.numbers is not None else []
        tables = {"numbers": numbers, "bonds": graph.bonds.tolist()}
        facts = {"every": self.thinning, "licence": "not stated; see the source"}
        return Recorded(found, str(where), "molecule", "angstrom", "fs", facts=facts, tables=tables)

    def _tell_odd(self, graph: MolecularGraph, found: Trajectories, where: Path) -> None:
        """Distances in one frame can join hydrogens, or miss a stretched bond."""
        near = self.bonds == "near" or (self.bonds is None and found.edges is None)
        odd = odd_bonds(graph.bonds, found.numbers[0]) if near and found.numbers is not None else None
        if odd is not None:
            tell(f"{where}: {odd} in the first frame; name the bonds with data.bonds where that is wrong")

    def graph_of(self, found: Trajectories) -> MolecularGraph:
        """The features of a molecule, from the first frame.

        Raises:
            InputError: atomic numbers above 9, or bonds between atoms that are not there.
        """
        bonds = self.bonds
        if bonds is None and found.edges is not None:
            bonds = found.edges[0][(found.edges[0] >= 0).all(1)].tolist()
        told = None if isinstance(bonds, str) else bonds
        numbers = np.zeros(0) if found.numbers is None else found.numbers[0]
        return molecular_graph(found.x[0, :, 0], numbers, all_pairs=self.all_pairs, bonds=told)

    def parts_of(self, trajectories: Trajectories, span: int) -> dict[Part, Windows]:
        """See `TrajectoryData.parts_of`."""
        lengths, rows = trajectories.lengths, np.arange(len(trajectories))
        cuts = np.round(np.cumsum([0, *_SHARES]) * lengths[:, None]).astype(np.int64)
        parts: dict[Part, Windows] = {}
        for number, part in enumerate(PARTS):
            every = Windows.within(rows, cuts[:, number], cuts[:, number + 1], span)
            wanted = min(self.counts[part], len(every))
            apart = len(every) // wanted if wanted else 1
            parts[part] = every.chosen(np.arange(wanted, dtype=np.int64) * apart)
        return parts


def _shared(values: NDArray[Any], number: int) -> NDArray[Any]:
    """One array for all trajectories, which takes no memory of its own."""
    return np.broadcast_to(values, (number, *values.shape))


def _without_hydrogens(found: Trajectories, where: Path) -> Trajectories:
    numbers = found.numbers[0] if found.numbers is not None else np.zeros(0)
    kept = np.flatnonzero(numbers != _HYDROGEN)
    if not len(kept):
        raise InputError("holds nothing but hydrogen", file=where, mend="leave data.hydrogens=true")
    more: dict[str, Any] = {}
    if found.edges is not None:
        places = np.full(len(numbers) + 1, -1)
        places[kept] = np.arange(len(kept))
        edges = places[found.edges]
        more["edges"] = edges[:, (edges[0] >= 0).all(1)]
    left = replace(found, edges=None, edge_features=None, features=None)
    mask = np.ones((len(found), len(kept)), dtype=bool)
    return replace(left, x=found.x[:, kept], mask=mask, numbers=np.broadcast_to(numbers[kept], mask.shape), **more)
