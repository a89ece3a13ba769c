"""What makes paths of items with a diffusion run, item by item in numbered chunks: completion and refinement.

All paths of an item lie in one chunk, and in one network call, as long as they fit there. Chunk k has random streams of
its own, of which its rounds draw one after the other.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch

from scorefield.core.completion import Filled, Items
from scorefield.core.diffusion import Diffusion, Report, join
from scorefield.core.errors import InputError
from scorefield.core.generation import CHUNK_SIZE, chunk_sizes
from scorefield.core.noise import Seeded, stream_seed
from scorefield.core.progress import SampleBar
from scorefield.core.shards import Shard
from scorefield.core.state import State

__all__ = ["ItemPaths", "Tell"]

Tell = Callable[[int, int], None]
"""Told the steps done and their number."""


class ItemPaths(ABC):
    """A `Generator` whose samples are paths of items.

    Args:
        diffusion: the run.
        items: what paths are made of.
        paths: of each item.
        chunk_size: paths in a chunk, about; all of an item stay together.

    Raises:
        InputError: a number that cannot be.
    """

    def __init__(self, diffusion: Diffusion, items: Items, paths: int, chunk_size: int = CHUNK_SIZE) -> None:
        for what, count in (("paths asked for", paths), ("paths in a chunk", chunk_size)):
            if count < 1:
                raise InputError(f"{count} {what}", mend="give at least 1")
        self.diffusion, self.items, self.paths = diffusion, items, paths
        self.per_chunk = max(1, chunk_size // paths)

    @property
    def num(self) -> int:
        """Paths of all items."""
        return len(self.items) * self.paths

    @property
    def chunk_size(self) -> int:
        """Paths in a chunk, which cuts no item."""
        return self.per_chunk * self.paths

    @abstractmethod
    def request(self) -> dict[str, Any]:
        """See `Generator`."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """See `Generator`; `num` counts the paths of one item."""

    @abstractmethod
    def sampled(self, frame: State, device: torch.device, noise: Seeded, tell: Tell | None) -> tuple[State, float]:
        """Rows of one network call: what became of them, and calls for each."""

    def prepared(self, frame: State, generator: torch.Generator) -> State:
        """A round's state with what has to be drawn for it before it is cut into tiles."""
        return frame

    def samples_type(self) -> type[Filled]:
        """See `Generator`."""
        return Filled

    def chunk(self, number: int, size: int, device: torch.device, report: Report | None = None) -> Shard:
        """See `Generator`."""
        start = time.perf_counter()
        filled, evaluations = self.filled(number, size, device, report)
        return Shard(filled, evaluations, time.perf_counter() - start)

    @torch.no_grad()
    def filled(
        self, number: int, size: int, device: torch.device, report: Report | None = None
    ) -> tuple[Filled, float]:
        """The items of one chunk, and network calls a path; arguments as of `Generator.chunk`."""
        settings = self.diffusion.settings
        self.diffusion.make_ready(device)
        generator = torch.Generator().manual_seed(stream_seed("draw", settings.seed, number))
        noise, calls, done = Seeded(settings.seed, number, device), 0.0, 0
        mine = range(number * self.per_chunk, number * self.per_chunk + size // self.paths)
        work = self.items.begin(mine, self.paths, generator, settings.conditions)
        while (frame := work.next()) is not None:
            parts, tiles = [], list(self._tiles(self.prepared(frame, generator)))
            for index, tile in enumerate(tiles):
                tell = _share_of(report, (done + index / len(tiles)) / work.rounds, 1 / len(tiles) / work.rounds)
                state, evaluations = self.sampled(tile, device, noise, tell)
                parts.append(state.to("cpu"))
                calls += evaluations * len(tile)
            work.take(join(parts))
            done += 1
        return work.result(), calls / size

    def completed(self, device: torch.device, progress: bool = False) -> Any:
        """All chunks in this process, as the domain presents them; `progress` shows a bar on a terminal."""
        parts = []
        with SampleBar(progress) as bar:
            bar.start(self.num)
            for number, size in chunk_sizes(self.num, self.chunk_size).items():
                parts.append(self.filled(number, size, device, bar.within(size))[0])
        return self.items.present(Filled.concatenate(parts))

    def _tiles(self, frame: State) -> Iterator[State]:
        """Rows of one network call each; the paths of an item stay together where they fit."""
        most = self.diffusion.settings.tile_size
        rows = max(1, most // self.paths) * self.paths if self.paths <= most else most
        for first in range(0, len(frame), rows):
            yield frame.rows(slice(first, first + rows))


def _share_of(report: Report | None, before: float, share: float) -> Tell | None:
    if report is None:
        return None
    return lambda step, steps: report(before + share * step / steps)
