"""A diffusion run as a generator of completions: paths of what is missing, item by item in numbered chunks.

All paths of an item lie in one chunk, and paths that compete in one network call, as long as they fit there. Chunk k
has random streams of its own, of which its rounds draw one after the other.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from scorefield.core.completion import ITEM, OBSERVED, Filled, Items, Observing
from scorefield.core.diffusion import Diffusion, Report, join, warn_of_rounding
from scorefield.core.errors import InputError
from scorefield.core.generation import CHUNK_SIZE, chunk_sizes
from scorefield.core.guidance.observations import GaussianObservation
from scorefield.core.guidance.particles import Particles
from scorefield.core.guidance.potentials import together
from scorefield.core.guidance.registry import make_guide
from scorefield.core.guide import Guide
from scorefield.core.interpolants.system import Bridge
from scorefield.core.names import unknown
from scorefield.core.noise import Seeded, stream_seed
from scorefield.core.progress import SampleBar
from scorefield.core.sampling import Sampled, sample
from scorefield.core.shards import Shard
from scorefield.core.state import State

__all__ = ["OBSERVING_WAYS", "Completer", "Observe"]

OBSERVING_WAYS = ("moments", "replacement", "gradient", "dps", "particles", "afdps")
"""Ways that can hold samples to observations."""
_COMPETING = ("particles", "afdps")
_SOFT = ("gradient", "dps", "particles", "afdps")  # they take x0_hat as uncertain by `prior_std`


@dataclass(frozen=True)
class Observe:
    """How observations are used; None takes what the domain found best.

    Attributes:
        way: one of `OBSERVING_WAYS`.
        arguments: of the way, as users type them.
        std: standard deviation of the observations' error, on the scale of the states.
    """

    way: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    std: float | None = None

    def settled(self, best: Observing) -> tuple[str, dict[str, Any], float]:
        """Way, its arguments and the error, with the defaults in place.

        Raises:
            InputError: a way that cannot observe, or an error that is not positive.
        """
        way = self.way or best.way
        if way not in OBSERVING_WAYS:
            raise unknown("way to use observations", way, OBSERVING_WAYS)
        std = best.std if self.std is None else self.std
        if not 0 < std < float("inf"):
            raise InputError(f"{std:g} is no standard deviation of an error", mend="give more than 0")
        known = best.arguments if way == best.way else {}
        return way, {**known, **self.arguments}, std


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
        if any(isinstance(component.path, Bridge) for component in diffusion.system.components.values()):
            what = "a run that carries one set of data to another cannot be held to observations"
            raise InputError(what, mend="take a run that starts from noise")
        self.diffusion, self.items, self.paths = diffusion, items, paths
        self.per_chunk = max(1, chunk_size // paths)
        best = items.observing()
        self.way, self.arguments, self.std = (observe or Observe()).settled(best)
        if self.way in _COMPETING and paths < 2:
            raise InputError("one path is no set of particles", mend="ask for more, or choose another way")
        self._prior_std = best.prior_std if self.way in _SOFT else None
        self._others = [_within_items(guide) for guide in diffusion.guides]
        guides = self._guides(list(diffusion.system.components))  # so that wrong arguments are told at once
        if diffusion.settings.precision == "bf16-mixed" and any(guide.gradient for guide in guides):
            warn_of_rounding(diffusion.system)

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
        asked = {"paths": self.paths, "way": self.way, "way_arguments": self.arguments, "std": self.std}
        return {**self.diffusion.request(), **self.items.request(), **asked}

    def facts(self) -> dict[str, Any]:
        """See `Generator`; `num` counts the paths of one item."""
        used = {"way": self.way, "way_arguments": self.arguments, "std": self.std}
        return {"num": self.paths, **self.items.facts(), **self.diffusion.facts(), **used}

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
            parts, tiles = [], list(self._tiles(frame))
            for index, tile in enumerate(tiles):
                tell = _share_of(report, (done + index / len(tiles)) / work.rounds, 1 / len(tiles) / work.rounds)
                sampled = self._sampled(tile.to(device, self.diffusion.dtype), noise, tell)
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

    def _sampled(self, frame: State, noise: Seeded, tell: Callable[[int, int], None] | None) -> Sampled:
        names = [name for name in self.diffusion.system.components if OBSERVED + name in frame.condition]
        guides = [*self._guides(names), *self._others]
        return sample(self.diffusion.system, frame, self.diffusion.solver, noise, guides=guides, progress=tell)

    def _tiles(self, frame: State) -> Iterator[State]:
        """Rows of one network call each; the paths of an item stay together where they fit."""
        most = self.diffusion.settings.tile_size
        rows = max(1, most // self.paths) * self.paths if self.paths <= most else most
        for first in range(0, len(frame), rows):
            yield frame.rows(slice(first, first + rows))

    def _guides(self, names: list[str]) -> list[Guide]:
        """What holds samples to what is observed of these components."""
        if not names:
            return []
        seen = [GaussianObservation(n, OBSERVED + n, self.std, prior_std=self._prior_std) for n in names]
        groups = {"groups": ITEM} if self.way in _COMPETING else {}
        return [make_guide(self.way, together(seen), {**groups, **self.arguments})]


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
