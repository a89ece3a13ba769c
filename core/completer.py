"""A diffusion run as a generator of completions: paths of what is missing; see `core.item_paths` for how it is cut."""

from __future__ import annotations

import copy
from typing import Any

import torch

from scorefield.core.completion import ITEM, OBSERVED, Items
from scorefield.core.diffusion import Diffusion, warn_of_rounding
from scorefield.core.errors import InputError
from scorefield.core.generation import CHUNK_SIZE
from scorefield.core.guidance.levels import LEVEL, quantile_levels
from scorefield.core.guidance.particles import Particles
from scorefield.core.guide import Guide
from scorefield.core.interpolants.system import Bridge
from scorefield.core.item_paths import ItemPaths, Tell
from scorefield.core.noise import Seeded
from scorefield.core.observing import OBSERVING_WAYS, Observe, Used
from scorefield.core.sampling import sample
from scorefield.core.state import State

__all__ = ["OBSERVING_WAYS", "Completer", "Observe"]


class Completer(ItemPaths):
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
        super().__init__(diffusion, items, paths, chunk_size)
        if hasattr(items, "system"):
            diffusion.system = items.system(diffusion.system)
        if diffusion.search is not None or diffusion.teleport is not None:
            raise InputError("search and teleportation know no observations", mend="leave them out")
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

    def request(self) -> dict[str, Any]:
        """See `Generator`."""
        return {**self.diffusion.request(), **self.items.request(), "paths": self.paths, **self._observing()}

    def facts(self) -> dict[str, Any]:
        """See `Generator`; `num` counts the paths of one item."""
        return {"num": self.paths, **self.items.facts(), **self.diffusion.facts(), **self._observing()}

    def _observing(self) -> dict[str, Any]:
        return {} if self.used is None else self.used.settings()

    def sampled(self, frame: State, device: torch.device, noise: Seeded, tell: Tell | None) -> tuple[State, float]:
        """See `ItemPaths.sampled`."""
        guides = [*self._guides(self._seen(frame)), *self._others]
        system, solver = self.diffusion.system, self.diffusion.solver
        frame = frame.to(device, self.diffusion.dtype)
        found = sample(system, frame, solver, noise, guides=guides, progress=tell)
        return found.state, found.evaluations

    def _seen(self, frame: State) -> list[str]:
        """Components of which something is observed; with nothing observed of any, paths are the model's own."""
        known = {name: frame.condition.get(OBSERVED + name) for name in self.diffusion.system.components}
        return [name for name, value in known.items() if value is not None and not bool(value.isnan().all())]

    def prepared(self, frame: State, generator: torch.Generator) -> State:
        """With the level of each path, where observations are quantiles."""
        if self.used is None or self.used.levels is None:
            return frame
        levels = quantile_levels(len(frame) // self.paths, self.paths, self.used.levels, generator)
        return State(frame.components, frame.masks, {**frame.condition, LEVEL: levels})

    def _guides(self, names: list[str]) -> list[Guide]:
        """What holds samples to what is observed of these components."""
        return [] if self.used is None else self.used.guides(names)


def _within_items(guide: Guide) -> Guide:
    """Particles of which those of one item compete: a path of another one has no place there."""
    if isinstance(guide, Particles) and guide.groups is None:
        guide = copy.copy(guide)
        guide.groups = ITEM
    return guide
