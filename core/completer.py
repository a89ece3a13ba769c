"""A diffusion run as a generator of completions: paths of what is missing, item by item in numbered chunks.

All paths of an item lie in one chunk, and paths that compete in one network call, as long as they fit there. Chunk k
has random streams of its own, of which its rounds draw one after the other.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from scorefield.core.completion import ITEM, OBSERVED, Filled, Items
from scorefield.core.diffusion import Diffusion, Report, join, warn_of_rounding
from scorefield.core.errors import InputError
from scorefield.core.generation import CHUNK_SIZE, chunk_sizes
from scorefield.core.guidance.levels import LEVEL, quantile_levels
from scorefield.core.guidance.particles import Particles
from scorefield.core.guide import Guide
from scorefield.core.interpolants.system import Bridge
from scorefield.core.noise import Seeded, stream_seed
from scorefield.core.observing import OBSERVING_WAYS, Observe, Used
from scorefield.core.progress import SampleBar
from scorefield.core.sampling import Sampled, sample
from scorefield.core.shards import Shard
from scorefield.core.state import State

__all__ = ["OBSERVING_WAYS", "Completer", "Observe"]


class Completer:
    """Completes items with a diffusion run; a `Generator` whose samples are paths.

    Args:
        diffusion: the run and how to sample it, with guides besides observations.
        items: what is observed.
        paths: of each item.
        observe: how observations are used.
        chunk_size: paths in a chunk, about; all of an item stay together.

    Raises:
        InputError: a number, a way or an argument of it that cannot be.
    """

    def __init__(
        self,
        diffusion: Diffusion,
        items: Items,
        paths: int,
        observe: Observe | None = None,
        chunk_size: int = CHUNK_SIZE,
    ) -> None:
        for what, count in (("paths asked for", paths), ("paths in a chunk", chunk_size)):
            if count < 1:
                raise InputError(f"{count} {what}", mend="give at least 1")
        if diffusion.search is not None or diffusion.teleport is not None:
            raise InputError("search and teleportation know no observations", mend="leave them out")
        self.diffusion, self.items, self.paths = diffusion, items, paths
        self.per_chunk = max(1, chunk_size // paths)
        self.used = self._settled(observe or Observe())
        self._others = [_within_items(guide) for guide in diffusion.guides]
        guides = self._guides(list(diffusion.system.components))  # so that wrong arguments are told at once
        if diffusion.settings.precision == "bf16-mixed" and any(guide.gradient for guide in guides):
            warn_of_rounding(diffusion.system)

    def _settled(self, observe: Observe) -> Used | None:
        """How observations are used; None where the network itself takes what is given."""
        if not self.items.observes:
            if observe:
                what = "this run is given what is known, and is held to no observations"
                raise InputError(what, mend="leave way, potential, std, levels and hard out")
            return None
        if any(isinstance(component.path, Bridge) for component in self.diffusion.system.components.values()):
            what = "a run that carries one set of data to another cannot be held to observations"
            raise InputError(what, mend="take a run that starts from noise")
        used = observe.settled(self.items.observing())
        if used.competing and self.paths < 2:
            raise InputError("one path is no set of particles", mend="ask for more, or choose another way")
        return used

    @property
    def num(self) -> int:
        """Paths of all items."""
        return len(self.items) * self.paths

    @property
    def chunk_size(self) -> int:
        """Paths in a chunk, which cuts no item."""
        return self.per_chunk * self.paths

    def request(self) -> dict[str, Any]:
        """See `Generator`."""
        return {**self.diffusion.request(), **self.items.request(), "paths": self.paths, **self._observing()}

    def facts(self) -> dict[str, Any]:
        """See `Generator`; `num` counts the paths of one item."""
        return {"num": self.paths, **self.items.facts(), **self.diffusion.facts(), **self._observing()}

    def _observing(self) -> dict[str, Any]:
        return {} if self.used is None else self.used.settings()

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
            parts, tiles = [], list(self._tiles(self._levelled(frame, generator)))
            for index, tile in enumerate(tiles):
                tell = _share_of(report, (done + index / len(tiles)) / work.rounds, 1 / len(tiles) / work.rounds)
                sampled = self._sampled(tile, device, noise, tell)
                parts.append(sampled.state.to("cpu"))
                calls += sampled.evaluations * len(tile)
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

    def _sampled(
        self, frame: State, device: torch.device, noise: Seeded, tell: Callable[[int, int], None] | None
    ) -> Sampled:
        guides = [*self._guides(self._seen(frame)), *self._others]
        system, solver = self.diffusion.system, self.diffusion.solver
        return sample(system, frame.to(device, self.diffusion.dtype), solver, noise, guides=guides, progress=tell)

    def _seen(self, frame: State) -> list[str]:
        """Components of which something is observed; with nothing observed of any, paths are the model's own."""
        known = {name: frame.condition.get(OBSERVED + name) for name in self.diffusion.system.components}
        return [name for name, value in known.items() if value is not None and not bool(value.isnan().all())]

    def _levelled(self, frame: State, generator: torch.Generator) -> State:
        """With the level of each path, where observations are quantiles."""
        if self.used is None or self.used.levels is None:
            return frame
        levels = quantile_levels(len(frame) // self.paths, self.paths, self.used.levels, generator)
        return State(frame.components, frame.masks, {**frame.condition, LEVEL: levels})

    def _tiles(self, frame: State) -> Iterator[State]:
        """Rows of one network call each; the paths of an item stay together where they fit."""
        most = self.diffusion.settings.tile_size
        rows = max(1, most // self.paths) * self.paths if self.paths <= most else most
        for first in range(0, len(frame), rows):
            yield frame.rows(slice(first, first + rows))

    def _guides(self, names: list[str]) -> list[Guide]:
        """What holds samples to what is observed of these components."""
        return [] if self.used is None else self.used.guides(names)


def _within_items(guide: Guide) -> Guide:
    """Particles of which those of one item compete: a path of another one has no place there."""
    if isinstance(guide, Particles) and guide.groups is None:
        guide = copy.copy(guide)
        guide.groups = ITEM
    return guide


def _share_of(report: Report | None, before: float, share: float) -> Callable[[int, int], None] | None:
    if report is None:
        return None
    return lambda step, steps: report(before + share * step / steps)
