"""The data module of pedestrians."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.domains.geometry.pedestrian_tracks import LICENCE, fetch_tracks, read_tracks
from scorefield.domains.geometry.pedestrians import (
    FRAMES,
    RECORDINGS,
    SCENES,
    STEP,
    held_part,
    pedestrian_features,
    samples_of,
)
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.trajectory_data import PARTS, Part, Recorded, TrajectoryData
from scorefield.domains.geometry.windows import Windows

__all__ = ["PedestrianData"]


class PedestrianData(TrajectoryData):
    """ETH and UCY with one scene left out for the test: 8 frames given, 12 to forecast, node 0 the one that counts.

    Of the other recordings the first four fifths of the frames are for training, the rest for validation.

    Args:
        scene: the one that is tested on: eth, hotel, univ, zara1 or zara2.
        path: a folder with the eight recordings as text, or an `.npz` of them; by default they are downloaded.
        given: frames that are given; None generates all, and then no features are known.
        slots: agents of a sample at most; as published 1, and of univ 2, of zara1 3.
        test_scale: what positions of the test are divided by before the network sees them; errors are multiplied back.
            By default 1; `published` is 1.4 of eth, 1 of the others.
        url: another folder to download from.
        batch_size: samples in a training batch, over all processes together.
        num_workers: processes that load batches.
        seed: seed of the order of training.
    """

    def __init__(
        self,
        scene: Literal["eth", "hotel", "univ", "zara1", "zara2"],
        path: str | None = None,
        given: str | None = "0:8",
        slots: int | None = None,
        test_scale: float | Literal["published"] = 1.0,
        url: str | None = None,
        batch_size: int = 100,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(path, FRAMES, given, batch_size=batch_size, num_workers=num_workers, seed=seed)
        if scene not in SCENES:
            raise unknown("data.scene", scene, SCENES)
        if slots is not None and slots < 1:
            raise InputError(f"data.slots is {slots}", mend="give at least 1")
        scale = SCENES[scene].test_scale if test_scale == "published" else test_scale
        if isinstance(scale, str) or not 0 < scale < float("inf"):
            raise InputError(f"data.test_scale is {test_scale!r}", mend="give a number above 0, or published")
        self.scene, self.url, self.test_scale = scene, url, float(scale)
        self.slots = SCENES[scene].slots if slots is None else slots

    def prepare_data(self) -> None:
        """Download the recordings, unless files are given."""
        if self.path is None:
            fetch_tracks(self.url)

    def read(self) -> Recorded:
        """See `TrajectoryData.read`."""
        where = fetch_tracks(self.url) if self.path is None else Path(self.path)
        tracks, tested = read_tracks(where), SCENES[self.scene].tested
        rest = [held_part(tracks[name]) for name in RECORDINGS if name not in tested]
        cut = {
            "train": [samples_of(first, self.slots) for first, _ in rest],
            "validation": [samples_of(second, self.slots) for _, second in rest],
            "test": [samples_of(tracks[name], self.slots) for name in tested],
        }
        self._counts = {part: sum(len(x) for x, _ in cut[part]) for part in PARTS}
        found = [sample for part in PARTS for sample in cut[part]]
        if not self._counts["train"]:
            raise InputError(f"no agent stays for {FRAMES} frames", file=where)
        x, mask = (np.concatenate([sample[k] for sample in found]) for k in (0, 1))
        return Recorded(
            Trajectories(x, mask, dt=STEP), str(where), "pedestrians", "m", "s", loops=True,
            featurise=pedestrian_features, test_scale=self.test_scale,
            facts={"name": f"eth_ucy {self.scene}", "licence": LICENCE},
        )  # fmt: skip

    def parts_of(self, trajectories: Trajectories, span: int) -> dict[Part, Windows]:
        """See `TrajectoryData.parts_of`."""
        ends = np.cumsum([0, *self._counts.values()])
        bounds = zip(PARTS, ends[:-1], ends[1:], strict=True)
        return {part: Windows.whole(np.arange(first, last)) for part, first, last in bounds}
