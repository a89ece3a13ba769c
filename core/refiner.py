"""A diffusion run as a refiner of forecasts that others made: paths of each item, moved by gradient steps.

A domain lays base forecasts out as states of samples, with what these are held to as the condition's `observed_NAME`;
see `core.guidance.refine` for what happens to them. The representative time comes from examples that the domain takes
from what is known, so that the run needs its training data no more.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

from scorefield.core.completion import Items, Task, open_items
from scorefield.core.diffusion import Diffusion, warn_of_rounding
from scorefield.core.errors import InputError
from scorefield.core.generation import CHUNK_SIZE
from scorefield.core.guidance.levels import LEVEL, quantile_levels
from scorefield.core.guidance.refine import (
    HELD_BY,
    Refinement,
    Regularisation,
    refine,
    regularisation,
    representative_time,
)
from scorefield.core.interpolants.system import Bridge
from scorefield.core.item_paths import ItemPaths, Tell
from scorefield.core.names import unknown
from scorefield.core.noise import Seeded
from scorefield.core.state import State

if TYPE_CHECKING:
    from scorefield.core.model import Model

__all__ = ["Refiner", "RefiningItems", "refiner_of"]

_NO_CHUNK = -1  # chunks count from 0


@runtime_checkable
class RefiningItems(Items, Protocol):
    """Items whose states hold base forecasts to start from."""

    def examples(self, seed: int) -> State:
        """Clean samples of what is known, some hundred rows; where too little is, with base forecasts in them."""
        ...


class Refiner(ItemPaths):
    """Refines base forecasts.

    Args:
        diffusion: the run; its solver is not used.
        items: the base forecasts.
        paths: of each item.
        settings: how to refine.
        potential: what holds samples: `quantile`, or `gaussian`.
        chunk_size: paths in a chunk, about.

    Raises:
        InputError: a number that cannot be, guides, or a run that cannot refine.
    """

    def __init__(
        self,
        diffusion: Diffusion,
        items: RefiningItems,
        paths: int,
        settings: Refinement | None = None,
        potential: Regularisation = "quantile",
        chunk_size: int = CHUNK_SIZE,
    ) -> None:
        super().__init__(diffusion, items, paths, chunk_size)
        if any(isinstance(component.path, Bridge) for component in diffusion.system.components.values()):
            what = "a run that carries one set of data to another has no denoising energy to refine by"
            raise InputError(what, mend="take a run that starts from noise")
        if diffusion.guides or diffusion.search is not None or diffusion.teleport is not None:
            raise InputError("refinement takes no guides", mend="leave them out")
        if diffusion.settings.precision == "bf16-mixed":
            warn_of_rounding(diffusion.system)
        self.settings, self.potential = settings or Refinement(), potential
        self._examples = items.examples
        self._time = self.settings.time

    def request(self) -> dict[str, Any]:
        """See `Generator`."""
        asked = {**self.diffusion.request(), **self.items.request(), "paths": self.paths}
        return {**_without_solver(asked), "refinement": dataclasses.asdict(self.settings), "potential": self.potential}

    def facts(self) -> dict[str, Any]:
        """See `Generator`; `time` is the representative one, `num` counts the paths of one item."""
        parameter = next(self.diffusion.system.parameters())
        used = {**dataclasses.asdict(self.settings), "time": self._found(parameter.device), "potential": self.potential}
        return {"num": self.paths, **self.items.facts(), **_without_solver(self.diffusion.facts()), **used}

    def sampled(self, frame: State, device: torch.device, noise: Seeded, tell: Tell | None) -> tuple[State, float]:
        """See `ItemPaths.sampled`."""
        system = self.diffusion.system.requires_grad_(False).eval()
        frame = frame.to(device, self.diffusion.dtype)
        settings = dataclasses.replace(self.settings, time=self._found(device))
        found = refine(system, frame, noise, regularisation(system, frame, self.potential), settings, tell)
        return found.state, found.evaluations

    def prepared(self, frame: State, generator: torch.Generator) -> State:
        """With the level of each path, in order, as the domain lays paths out."""
        levels = quantile_levels(len(frame) // self.paths, self.paths)
        return State(frame.components, frame.masks, {**frame.condition, LEVEL: levels})

    @torch.no_grad()
    def _found(self, device: torch.device) -> float:
        """The time that is asked for, or the representative one, which is looked for once."""
        if self._time is None:
            seed = self.diffusion.settings.seed
            clean = self._examples(seed).to(device, self.diffusion.dtype)
            self._time = representative_time(self.diffusion.system, clean, Seeded(seed, _NO_CHUNK, device))
        return self._time


def refiner_of(
    model: Model,
    task: Task,
    paths: int = 100,
    settings: Refinement | None = None,
    potential: Regularisation = "quantile",
    *,
    chunk_size: int = CHUNK_SIZE,
    **generator: Any,
) -> Refiner:
    """What refines the base forecasts of a task; `.completed(device)` gives the domain's results.

    Args:
        model: the run.
        task: named `refine`; its options are the domain's (`base`, `held`, `holdout`).
        paths: of each item.
        settings: see `Refiner`.
        potential: see `Refiner`; a domain's option `held` says what samples are held to, by default as published.
        chunk_size: see `Refiner`.
        generator: `seed`, `weights`, `precision`, `tile_size`; see `Model.generator`.

    Raises:
        InputError: the run cannot refine, or a file, an option or a setting does not fit.
    """
    if potential not in HELD_BY:
        raise unknown("potential of refinement", potential, HELD_BY)
    task = dataclasses.replace(task, options={"held": HELD_BY[potential], **task.options})
    items = open_items(model.domain, task, model.record)
    if not isinstance(items, RefiningItems):
        raise InputError(f"the domain {model.domain.name} does not lay base forecasts out")
    return Refiner(model.generator(**generator), items, paths, settings, potential, chunk_size)


def _without_solver(facts: dict[str, Any]) -> dict[str, Any]:
    """What is said of a run that samples, without what refinement does not use."""
    return {name: value for name, value in facts.items() if name not in ("solver", "steps", "arguments")}
