"""A diffusion run as a refiner of samples that others made: noised to a time, and denoised from there (SDEdit).

A domain lays base samples out as states; where a component has an origin, u = x - origin is noised. The less noise, the
nearer to the base results stay.

Sources: Meng et al. 2022 (arXiv 2108.01073, SDEdit); Han et al. 2024 (arXiv 2410.13027), who optimise trajectories so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

from scorefield.core.completion import Items, Task, open_items
from scorefield.core.diffusion import Diffusion
from scorefield.core.errors import InputError
from scorefield.core.generation import CHUNK_SIZE
from scorefield.core.interpolants.system import Bridge
from scorefield.core.item_paths import ItemPaths, Tell
from scorefield.core.noise import NoiseSource, Seeded
from scorefield.core.paths import DiscreteChain
from scorefield.core.sampling import sample
from scorefield.core.state import State
from scorefield.core.system import System, centred

if TYPE_CHECKING:
    from scorefield.core.model import Model

__all__ = ["Renoiser", "RenoisingItems", "noised", "renoiser_of"]


@runtime_checkable
class RenoisingItems(Items, Protocol):
    """Items whose states hold base samples."""

    def time(self, system: System) -> float:
        """The time to noise to, where nobody says it."""
        ...


def noised(system: System, state: State, time: float, noise: NoiseSource) -> State:
    """The solver's variable u = x - origin of clean samples at a time, in the components' spaces.

    Args:
        system: the model.
        state: clean samples with masks and condition.
        time: the time.
        noise: asked once for each component.
    """
    clean = centred(state.components, system.origins(state))
    free = {n: c.space.project(clean[n], state.masks) for n, c in system.components.items()}
    t = torch.full((len(state),), time, dtype=torch.float64, device=state.device)
    found = system.perturb(state.replace(free), t, system.noise(state, noise))
    return found.to(dtype=state.dtype)


class Renoiser(ItemPaths):
    """Noises base samples and denoises them.

    Args:
        diffusion: the run; its solver starts at `time`.
        items: the base samples.
        paths: of each.
        time: how far they are noised.
        chunk_size: paths in a chunk, about.

    Raises:
        InputError: a number that cannot be, guides, or a run that does not start from noise.
    """

    def __init__(
        self, diffusion: Diffusion, items: RenoisingItems, paths: int, time: float, chunk_size: int = CHUNK_SIZE
    ) -> None:
        super().__init__(diffusion, items, paths, chunk_size)
        if any(isinstance(component.path, Bridge) for component in diffusion.system.components.values()):
            what = "a run that carries one set of data to another has no noise to start from"
            raise InputError(what, mend="take a run that starts from noise")
        if diffusion.guides or diffusion.search is not None or diffusion.teleport is not None:
            raise InputError("refinement takes no guides", mend="leave them out")
        self.time = time

    def request(self) -> dict[str, Any]:
        """See `Generator`."""
        return {**self.diffusion.request(), **self.items.request(), "paths": self.paths, "time": self.time}

    def facts(self) -> dict[str, Any]:
        """See `Generator`; `num` counts the paths of one item."""
        own = {"method": "sdedit", "time": self.time}
        return {"num": self.paths, **self.items.facts(), **self.diffusion.facts(), **own}

    def sampled(self, frame: State, device: torch.device, noise: Seeded, tell: Tell | None) -> tuple[State, float]:
        """See `ItemPaths.sampled`."""
        system = self.diffusion.system
        frame = frame.to(device, self.diffusion.dtype)
        start = noised(system, frame, self.time, noise)
        found = sample(system, frame, self.diffusion.solver, noise, start=start, progress=tell)
        return found.state, found.evaluations


def renoiser_of(
    model: Model,
    task: Task,
    paths: int = 5,
    time: float | None = None,
    *,
    solver: str | None = None,
    steps: int | None = None,
    chunk_size: int = CHUNK_SIZE,
    **generator: Any,
) -> Renoiser:
    """What refines the base samples of a task; `.completed(device)` gives the domain's results.

    Args:
        model: the run.
        task: named `refine`.
        paths: of each item.
        time: see `Renoiser`; by default what the domain finds best.
        solver: the run's own by default.
        steps: of the solver from `time` on; by default those of a chain from there, else the run's own number.
        chunk_size: see `Renoiser`.
        generator: `seed`, `weights`, `precision`, `tile_size`; see `Model.generator`.

    Raises:
        InputError: the run cannot refine, or a file, an option or a setting does not fit.
    """
    items = open_items(model.domain, task, model.record)
    if not isinstance(items, RenoisingItems):
        raise InputError(f"the domain {model.domain.name} does not lay base samples out")
    system = model.system(generator.get("weights"))
    chosen = items.time(system) if time is None else time
    path = next(iter(system.components.values())).path
    if not path.t_min < chosen <= path.t_max:
        raise InputError(f"time {chosen:g}", mend=f"give more than {path.t_min:g}, up to {path.t_max:g}")
    if isinstance(path, DiscreteChain):
        chosen = max(round(chosen * path.num_steps), 2) / path.num_steps
        steps = max(round(chosen * path.num_steps) - 1, 1) if steps is None else steps
    diffusion = model.generator(solver, steps, arguments={"start": chosen}, **generator)
    return Renoiser(diffusion, items, paths, chosen, chunk_size)
