"""A diffusion run as a generator of chunks.

Chunk k of a request alone fixes what is drawn: its sizes come from the stream (seed, k), its rows are sorted by size
and cut into tiles of a fixed number of rows, each padded to its own largest row, and the tiles are sampled one after
the other from the noise stream (seed, k). The results go back to the order in which the sizes were drawn.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

import scorefield
from scorefield.core.checkpoints import ModelRecord, Which
from scorefield.core.domain import Domain, Samples
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.guidance.classifier_free import ClassifierFree
from scorefield.core.guidance.naming import make_guides
from scorefield.core.guidance.potentials import Potential
from scorefield.core.guidance.search import RolloverSearch
from scorefield.core.guide import Guide
from scorefield.core.names import unknown
from scorefield.core.noise import Seeded, stream_seed
from scorefield.core.sampling import Sampled, sample
from scorefield.core.shards import Shard
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.core.system import Network, System
from scorefield.core.teleport import open_teleport

__all__ = ["PRECISIONS", "Diffusion", "Precision", "Settings", "join", "warn_of_rounding"]

Precision = Literal["32-true", "bf16-mixed", "64-true"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

_BFLOAT_BITS = 8

_OPTIONAL = ("guide", "way", "way_arguments", "teleport")

_NO_CHUNK = -1  # chunks count from 0

Report = Callable[[float], None]
"""Told the share of a chunk that is done."""


@dataclass(frozen=True)
class Settings:
    """How to sample; everything here changes the samples.

    Attributes:
        solver: name in the registry.
        steps: number of steps.
        arguments: further arguments of the solver.
        seed: the user's seed.
        weights: which weights.
        precision: number format of the network; the solver's arithmetic stays in float32 under `bf16-mixed`.
        tile_size: rows of one network call.
        conditions: what the domain would draw and the user fixes (`num_nodes`), the same for all samples.
        guide: what to guide by, as `core.guidance.naming` reads it.
        way: how to use these potentials; by default each as it can best.
        way_arguments: arguments of the way.
        teleport: `FILE:TIME`: start there, by the statistics in the file (see `core.teleport`).
    """

    solver: str
    steps: int
    arguments: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    weights: Which = "raw"
    precision: Precision = "32-true"
    tile_size: int = 256
    conditions: dict[str, Any] = field(default_factory=dict)
    guide: tuple[str, ...] = ()
    way: str | None = None
    way_arguments: dict[str, Any] = field(default_factory=dict)
    teleport: str | None = None


class Diffusion:
    """Samples a system chunk by chunk.

    Args:
        system: the system with its weights.
        domain: where its states belong.
        record: the run's record.
        settings: how to sample.
        guides: guides and potentials beside those that the settings name.

    Raises:
        InputError: a setting is not possible for this run.
    """

    def __init__(
        self,
        system: System,
        domain: Domain,
        record: ModelRecord,
        settings: Settings,
        guides: Sequence[Guide | Potential] = (),
    ) -> None:
        if settings.tile_size < 1:
            raise InputError(f"tiles of {settings.tile_size} rows", mend="give at least 1")
        # One row is drawn to find out whether the domain takes the conditions.
        domain.draw(1, record.tables, torch.Generator().manual_seed(0), settings.conditions)
        self.domain, self.record, self.settings = domain, record, settings
        self.teleport = None if settings.teleport is None else open_teleport(settings.teleport)
        begin = {} if self.teleport is None else {"start": self.teleport[1]}
        if begin.keys() & settings.arguments.keys():
            raise InputError("both teleportation and start say where to begin", mend="leave one of them out")
        self.solver = make_solver(settings.solver, settings.steps, **settings.arguments, **begin)
        wanted, tables = [*guides, *settings.guide], record.tables
        self.guides = make_guides(wanted, domain, tables, settings.way, settings.way_arguments)
        self._unnamed = bool(guides)
        self.search = next((guide for guide in self.guides if isinstance(guide, RolloverSearch)), None)
        acting = [guide for guide in self.guides if not isinstance(guide, ClassifierFree)]
        if self.search is not None and (len(acting) > 1 or self.teleport is not None):
            raise InputError("search makes its own steps", mend="leave other guides and teleportation out")
        for guide in self.guides:
            system = guide.wrap(system) if isinstance(guide, ClassifierFree) else system
        if settings.precision == "bf16-mixed" and any(guide.gradient for guide in self.guides):
            warn_of_rounding(system)
        self.system = _in_precision(system, settings.precision)
        self.dtype = torch.float64 if settings.precision == "64-true" else torch.float32

    def facts(self) -> dict[str, Any]:
        """What the summary of a file says of the generator."""
        settings = self.settings
        return {
            "solver": settings.solver,
            "steps": settings.steps,
            "seed": settings.seed,
            "weights": settings.weights,
            "weights_hash": self.record.weights_hash,
            **self._guidance(),
            **({} if self.teleport is None else {"teleport": settings.teleport}),
        }

    def _guidance(self) -> dict[str, Any]:
        """What the settings say of guidance; nothing without any."""
        settings = self.settings
        if not settings.guide:
            return {}
        return {"guide": list(settings.guide), "way": settings.way, "way_arguments": settings.way_arguments}

    def request(self) -> dict[str, Any]:
        """Everything that samples depend on, JSON-able.

        Raises:
            InputError: guides were given as objects.
        """
        if self._unnamed:
            raise InputError("guides given as objects cannot be recorded with a file", mend="give them by name")
        own = {name: value for name, value in asdict(self.settings).items() if name not in _OPTIONAL}
        model = {"domain": self.record.domain, "system": self.record.system}
        model |= {"sizes": self.record.sizes, "tables": self.record.tables}
        text = json.dumps(model, sort_keys=True)
        return {
            **own,
            **self._guidance(),
            **({} if self.teleport is None else {"teleport": [self.teleport[0].digest(), self.teleport[1]]}),
            "model": hashlib.sha256(text.encode()).hexdigest(),
            "weights_hash": self.record.weights_hash,
            "scorefield": scorefield.__version__,
            "torch": torch.__version__,
            **getattr(self.domain, "versions", lambda tables: {})(self.record.tables),
        }

    def samples_type(self) -> type[Samples]:
        """Class of the samples."""
        return self.domain.samples_type(self.record.tables)

    def chunk(self, number: int, size: int, device: torch.device, report: Report | None = None) -> Shard:
        """The decoded samples of one chunk.

        Args:
            number: the chunk's number.
            size: its number of samples.
            device: where to sample.
            report: told the share that is done.
        """
        start = time.perf_counter()
        state, evaluations = self.states(number, size, device, report)
        samples = self.decode(state)
        return Shard(samples, evaluations, time.perf_counter() - start)

    def decode(self, state: State) -> Samples:
        """Domain objects of final states."""
        return self.domain.decode(state, self.record.tables)

    @torch.no_grad()
    def states(self, number: int, size: int, device: torch.device, report: Report | None = None) -> tuple[State, float]:
        """The final states of one chunk on the CPU, padded to the run's sizes, and network calls per sample.

        Arguments as in `chunk`.
        """
        self.make_ready(device)
        noise = Seeded(self.settings.seed, number, device)
        order, tiles = self._tiles(number, size)
        done, calls = [], 0.0
        for index, frame in enumerate(tiles):
            tell = _share_of(report, index, -(-size // self.settings.tile_size))
            sampled = self._sampled(frame.to(device, self.dtype), noise, tell)
            done.append(self.domain.pad(sampled.state.to("cpu"), self.record.sizes))
            calls += sampled.evaluations * len(frame)
        return join(done).rows(torch.argsort(order)), calls / size

    def make_ready(self, device: torch.device) -> None:
        """Move there, and measure what the solver has to know of the model, with draws that belong to no chunk."""
        self.system.to(device)
        if self.solver.measures:
            _, tiles = self._tiles(_NO_CHUNK, self.settings.tile_size)
            noise = Seeded(self.settings.seed, _NO_CHUNK, device)
            self.solver = self.solver.prepared(self.system, next(tiles).to(device, self.dtype), noise)

    def _sampled(self, empty: State, noise: Seeded, tell: Callable[[int, int], None] | None) -> Sampled:
        """One tile."""
        if self.search is not None:
            return self.search.run(self.system, empty, self.solver, noise, tell)
        start = None
        if self.teleport is not None:
            start = self.teleport[0].start(self.system, self.system.prior(empty, noise), self.teleport[1])
        return sample(self.system, empty, self.solver, noise, start=start, guides=self.guides, progress=tell)

    def _tiles(self, number: int, size: int) -> tuple[Tensor, Iterator[State]]:
        """Rows of the drawn sizes in the order of the tiles, and the tiles' empty states."""
        tables, sizes, rows = self.record.tables, self.record.sizes, self.settings.tile_size
        generator = torch.Generator().manual_seed(stream_seed("draw", self.settings.seed, number))
        drawn = self.domain.draw(size, tables, generator, self.settings.conditions)
        order = self.domain.order(drawn)
        frames = (
            self.domain.frame({name: value[part] for name, value in drawn.items()}, sizes, tables)
            for part in torch.split(order, rows)
        )
        return order, frames


def _share_of(report: Report | None, tile: int, tiles: int) -> Callable[[int, int], None] | None:
    if report is None:
        return None
    return lambda step, steps: report((tile + step / steps) / tiles)


def join(parts: list[State]) -> State:
    """Concatenate states along the batch; values of the condition that are no tensors are those of the first."""

    def joined(values: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            name: torch.cat([value[name] for value in values]) if isinstance(first, Tensor) else first
            for name, first in values[0].items()
        }

    return State(
        joined([part.components for part in parts]),
        joined([dict(part.masks) for part in parts]),
        joined([part.condition for part in parts]),
    )


def warn_of_rounding(system: System) -> None:
    """Tell where gradients of x0_hat magnify the rounding of a bfloat16 network: by (sigma / alpha)^2 at the start."""
    paths = [component.path for component in system.components.values()]
    starts = torch.tensor(min(path.t_max for path in paths), dtype=torch.float64)
    if max(float(path.variance(starts) / path.alpha(starts) ** 2) for path in paths) > 2**_BFLOAT_BITS:
        what = "gradients through a network in bf16-mixed drown in rounding where noise is high"
        warnings.warn(f"{what}; give precision 32-true, or the way's through_network=false", InputWarning, stacklevel=3)


class _Mixed(Network):
    """A network computed in bfloat16 where that is safe; inputs and outputs stay in float32."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.calls = network, int(getattr(network, "calls", 1))

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        """See `Network.forward`."""
        with torch.autocast(state.device.type, dtype=torch.bfloat16):
            outputs: dict[str, Tensor] = self.network(state, t)
        return {name: value.to(state.dtype) for name, value in outputs.items()}


def _in_precision(system: System, precision: str) -> System:
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "64-true":
        return system.double()
    if precision == "bf16-mixed":
        return system.around(_Mixed(system.network)).eval()
    return system
