"""The data module of trajectories."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from scorefield.core.downloads import file_digest
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.given import given_steps
from scorefield.core.loading import Batch, batch_loader
from scorefield.domains.geometry.molecular_graph import atom_features
from scorefield.domains.geometry.observed_systems import observed_systems
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.trajectory_files import read_trajectories
from scorefield.domains.geometry.windows import Featuriser, FramePlan, TrajectoryWindows, Windows

__all__ = ["Part", "Recorded", "Splitting", "TrajectoryData", "tell", "thinned_in_time"]

Splitting = Literal["trajectories", "time"]
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
_VALIDATION = 256  # windows that a validation looks at
_REFERENCES = 8192  # training windows that statistics look at


@dataclass(frozen=True)
class Recorded:
    """What a data module has read.

    Attributes:
        trajectories: all of them.
        where: where they came from, for messages and the run.
        kind: what moves: `charged`, `springs`, `gravity`, `molecule`, `pedestrians` or `trajectories`.
        unit: of lengths.
        time_unit: of times.
        loops: see `TrajectoryWindows`; so are the next two.
        featurise: see there.
        test_scale: what positions of the test part are divided by; they are multiplied back in every result.
        facts: more to tell of the data in the run.
        tables: more that sampling needs.
    """

    trajectories: Trajectories
    where: str
    kind: str = "trajectories"
    unit: str = ""
    time_unit: str = ""
    loops: bool = False
    featurise: Featuriser | None = None
    test_scale: float = 1.0
    facts: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)


class TrajectoryData(LightningDataModule):
    """Windows of trajectories from a file.

    Args:
        path: `.npz` with `x [n, N, T, D]` (see `trajectory_files`), `.xyz` or `.extxyz`.
        frames: of a window; by default all, and shorter trajectories are padded.
        given: frames that are given, such as `0:10` or `0:5,25:30`; by default none, and whole windows are generated.
        every: only every so manyth frame is looked at.
        stride: frames between the starts of two windows.
        split: `trajectories`: whole ones for training, validation and test, in the order of the file; `time`: each is
            cut, its beginning for training. By default the former where there are at least three.
        validation: share for validation.
        test: share for the test.
        edges: `file`: those that it tells; `all`: all pairs. By default the former where there are some.
        unit: of lengths, for figures.
        batch_size: windows in a training batch, over all processes together.
        num_workers: processes that load batches.
        seed: seed of the order of training.

    Raises:
        InputError: a number that cannot be.
    """

    sizes: dict[str, int]
    tables: dict[str, Any]
    provenance: dict[str, Any]

    def __init__(
        self,
        path: str | None = None,
        frames: int | None = None,
        given: str | None = None,
        every: int = 1,
        stride: int = 1,
        split: Splitting | None = None,
        validation: float = 0.1,
        test: float = 0.2,
        edges: Literal["file", "all"] | None = None,
        unit: str = "",
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (("every", every), ("stride", stride), ("batch_size", batch_size), ("frames", frames)):
            if value is not None and value < 1:
                raise InputError(f"data.{name} is {value}", mend="give at least 1")
        for name, share in (("validation", validation), ("test", test)):
            if not 0 <= share < 1 or validation + test >= 1:
                raise InputError(f"data.{name} is {share}", mend="the shares lie from 0 up, together below 1")
        for name, asked, known in (("split", split, ("trajectories", "time")), ("edges", edges, ("file", "all"))):
            if asked is not None and asked not in known:
                raise InputError(f"data.{name} is {asked!r}", mend=f"give {' or '.join(known)}")
        self.path, self.frames, self.every, self.stride = path, frames, every, stride
        self.split, self.shares, self.edges, self.unit = split, (1 - validation - test, validation, test), edges, unit
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.span: int | None = None  # frames that are cut out, where they are more than those that are kept
        self.legacy_centering = False
        self._asked = given
        if given is not None and frames is not None:
            given_steps(given, frames, "data.given")
        self._source: Recorded | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read the trajectories and find the windows; called again it does nothing.

        Raises:
            InputError: a file that cannot be read or holds what no model can learn, trajectories shorter than a
                window, frames that are given beyond their end, or no window for training.
        """
        if self._source is not None:
            return
        source = self.read()
        found = source.trajectories
        self._plan = self._planned(found, source.where)
        self._parts = self.parts_of(found, self.span or self._plan.frames)
        if not len(self._parts["train"]):
            raise InputError(
                f"no window of {self.span or self._plan.frames} frames is left for training", file=source.where,
                mend="give fewer data.frames, or more trajectories",
            )  # fmt: skip
        self._source = source
        self.sizes = self._sizes(found)
        self.tables = self._tables(source)
        self.provenance = self._provenance(source)
        facts = self.provenance
        rank_zero_info(
            f"{source.where}: {facts['trajectories']} trajectories of up to {self.sizes['nodes']} nodes; windows of "
            f"{self._plan.frames} frames: {facts['train']} for training, {facts['validation']} for validation, "
            f"{facts['test']} for testing"
        )

    def read(self) -> Recorded:
        """What there is, with the frames that are looked at."""
        if self.path is None:
            raise InputError("no file of trajectories is named", mend="give one with --data.path")
        found = read_trajectories(Path(self.path))
        if self.edges == "all":
            found = replace(found, edges=None, edge_features=None)
        elif self.edges == "file" and found.edges is None:
            raise InputError("tells no edges", file=self.path, mend="give data.edges=all")
        if found.features is None and found.numbers is not None:
            found = replace(found, features=self._atoms(found))
        return Recorded(thinned_in_time(found, self.every), self.path, unit=self.unit)

    def _atoms(self, found: Trajectories) -> NDArray[np.float32]:
        try:
            return atom_features(found.numbers)  # type: ignore[arg-type]
        except InputError as error:
            raise InputError(str(error), file=self.path) from None

    def parts_of(self, trajectories: Trajectories, span: int) -> dict[Part, Windows]:
        """Which windows are for what."""
        lengths, number = trajectories.lengths, len(trajectories)
        padded = self.frames is None
        if not padded:
            self.tell_short(lengths, span)
        cuts = np.cumsum([0, *self.shares])
        split = self.split or ("trajectories" if number >= 3 else "time")
        if padded and split == "time":
            mend = "give data.frames, the frames of a window"
            raise InputError("whole trajectories cannot be cut in time", file=self.path, mend=mend)
        parts: dict[Part, Windows] = {}
        for part, low, high in zip(PARTS, cuts[:-1], cuts[1:], strict=True):
            if split == "time":
                first, last = (np.round(lengths * share).astype(np.int64) for share in (low, high))
                parts[part] = Windows.within(np.arange(number), first, last, span, self.stride)
                continue
            rows = np.arange(round(number * low), round(number * high))
            kept = lengths[rows]
            whole = Windows.whole(rows)
            parts[part] = whole if padded else Windows.within(rows, 0 * kept, kept, span, self.stride)
        return parts

    def windows(self, part: Part, most: int | None = None) -> TrajectoryWindows:
        """The windows of a part; with `most`, at most so many, evenly spread."""
        source = self._read()
        chosen = self._parts[part] if most is None else self._parts[part].thinned(most)
        return TrajectoryWindows(
            source.trajectories, chosen, self._plan, loops=source.loops, featurise=source.featurise,
            scale=source.test_scale if part == "test" else 1.0,
        )  # fmt: skip

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the training windows, in random order."""
        return self._loader(self.windows("train"), shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """At most 256 windows, evenly spread: for validation, or of the training part where there are none."""
        part: Part = "validation" if len(self._read_parts()["validation"]) else "train"
        return self._loader(self.windows(part, _VALIDATION), shuffle=False)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test windows in order."""
        return self._loader(self.windows("test"), shuffle=False)

    def train_references(self) -> Trajectories:
        """Training windows in the units of the data, at most 8192, evenly spread."""
        return self.windows("train", _REFERENCES).samples()

    def test_references(self) -> Trajectories:
        """The test windows; the training windows where there are none."""
        return self.windows("test").samples() if len(self._read_parts()["test"]) else self.train_references()

    def local_files(self) -> dict[str, str]:
        """Arguments that open the same file from any folder."""
        return {} if self.path is None else {"path": str(Path(self.path).absolute())}

    def _read(self) -> Recorded:
        self.setup()
        if self._source is None:
            raise RuntimeError("setup did not read the trajectories")
        return self._source

    def _read_parts(self) -> dict[Part, Windows]:
        self._read()
        return self._parts

    def _planned(self, found: Trajectories, where: str) -> FramePlan:
        lengths = found.lengths
        frames = found.x.shape[2] if self.frames is None else self.frames
        if int(lengths.max()) < (self.span or frames):
            what = f"{lengths.max()} frames at most, shorter than the window of {self.span or frames}"
            raise InputError(what, file=where, mend="give fewer data.frames or longer trajectories")
        given = None if self._asked is None else given_steps(self._asked, frames, "data.given")
        if given is not None and self.frames is None:
            last = int(np.flatnonzero(given)[-1])
            free = int(np.flatnonzero(~given)[0])
            if int(lengths.min()) <= max(last, free):
                place = f"trajectory {int(lengths.argmin())}"
                what = f"its {lengths.min()} frames hold not all that are given, or nothing else"
                raise InputError(what, file=where, place=place, mend="give data.frames, or fewer data.given")
        centred_on = self.span if self.legacy_centering and self.span else frames
        return FramePlan(frames, given, centred_on)

    def set_span(self, span: int | None) -> None:
        """Cut windows with so many frames, of which the first are kept.

        Raises:
            InputError: they are fewer than those that are kept.
        """
        if span is not None and self.frames is not None and span < self.frames:
            raise InputError(f"data.span is {span}", mend=f"give at least data.frames, {self.frames}")
        self.span = span

    def tell_short(self, lengths: NDArray[np.int64], span: int) -> None:
        """Say how many trajectories are shorter than a window."""
        short = int((lengths < span).sum())
        if short:
            tell(f"{self.path}: {short} of {len(lengths)} trajectories are shorter than {span} frames and left out")

    def _sizes(self, found: Trajectories) -> dict[str, int]:
        batch = self.windows("train", 1).__getitems__([0])
        sizes = {
            "nodes": found.x.shape[1],
            "frames": self._plan.frames,
            "space": found.x.shape[3],
            "features": int(batch["features"].shape[-1]),
            "edge_features": int(batch["edge_features"].shape[-1]) if "edge_features" in batch else 0,
        }
        return sizes if self._plan.given is None else {**sizes, "given": int(self._plan.given.sum())}

    def _tables(self, source: Recorded) -> dict[str, Any]:
        found, plan = source.trajectories, self._plan
        tables: dict[str, Any] = {
            "kind": source.kind, "dt": found.dt, "unit": source.unit, "time_unit": source.time_unit,
        }  # fmt: skip
        if plan.given is not None:
            tables["given"] = np.flatnonzero(plan.given).tolist()
        rows = self._parts["train"].rows
        counts = {"nodes": found.mask[rows].sum(1), "lengths": np.minimum(found.lengths[rows], plan.frames)}
        for name, values in counts.items():
            sizes, frequency = np.unique(values, return_counts=True)
            if len(sizes) > 1:
                tables[name] = {str(size): int(n) for size, n in zip(sizes, frequency, strict=True)}
        tables["pairs"] = "file" if found.edges is not None else "all and self" if source.loops else "all"
        tables["spread"] = self.windows("train", _REFERENCES).spread()
        if source.test_scale != 1:
            tables["test_scale"] = source.test_scale
        return tables | {"systems": observed_systems(found, rows, source.featurise is None)} | source.tables

    def _provenance(self, source: Recorded) -> dict[str, Any]:
        path = Path(source.where)
        return {
            "name": path.name,
            "file": source.where,
            "sha256": file_digest(path) if path.is_file() else None,
            "licence": "not stated",
            "trajectories": len(source.trajectories),
            **{part: len(self._parts[part]) for part in PARTS},
            **source.facts,
        }

    def _loader(self, windows: TrajectoryWindows, *, shuffle: bool) -> DataLoader[Batch]:
        trainer = self.trainer
        return batch_loader(
            windows,
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            num_workers=self.num_workers,
            world_size=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
        )


def thinned_in_time(found: Trajectories, every: int) -> Trajectories:
    """Every so manyth frame, from the first on."""
    if every == 1:
        return found
    cut: dict[str, Any] = {"x": found.x[:, :, ::every], "dt": found.dt * every}
    if found.features is not None and found.features.ndim == 4:
        cut["features"] = found.features[:, :, ::every]
    if found.frame_mask is not None:
        cut["frame_mask"] = found.frame_mask[:, ::every]
    return replace(found, **cut)


@rank_zero_only
def tell(text: str) -> None:
    """Warn a user of what is odd about his data."""
    warnings.warn(text, InputWarning, stacklevel=2)
