"""Generation at any scale: numbered chunks, run by Lightning, stored as shards, put together into one file.

A request is cut into chunks; a data set of the numbers of those still missing is shared among the processes, and a
prediction writer stores every chunk as it is finished. A chunk depends on nothing but the request and its number, so
the bytes of the file are the same for any number of processes and after any interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.strategies import DDPStrategy
from torch.multiprocessing.spawn import ProcessRaisedException
from torch.utils.data import DataLoader, Subset

from scorefield.core.domain import Samples
from scorefield.core.errors import InputError
from scorefield.core.launching import Mortal, choose_start, end_copies, original_error
from scorefield.core.progress import SampleBar
from scorefield.core.quiet import quiet_predicting
from scorefield.core.shards import Shard, Shards, Write

__all__ = [
    "CHUNK_SIZE",
    "Generated",
    "Generator",
    "Machine",
    "choose_chunk_size",
    "choose_device",
    "chunk_sizes",
    "generate",
]

CHUNK_SIZE = 256

Chunk = tuple[int, int]  # number, samples
Report = Callable[[float], None]


class Generator(Protocol):
    """What generates: a diffusion run, or anything else that makes samples chunk by chunk.

    One that cannot do with any number of samples in a chunk, or on any device, says which by its attributes
    `chunk_size` and `device` (`choose_chunk_size` and the commands ask for them).
    """

    def request(self) -> dict[str, Any]:
        """Everything that samples depend on, JSON-able."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the summary of a file says of the generator."""
        ...

    def samples_type(self) -> type[Samples]:
        """Class of the samples."""
        ...

    def chunk(self, number: int, size: int, device: torch.device, report: Report | None = None) -> Shard:
        """The samples of one chunk, from its number alone; `report` is told the share that is done."""
        ...


@dataclass(frozen=True)
class Machine:
    """Where to generate.

    Attributes:
        device: `cpu` or `cuda`.
        devices: processes (on a GPU machine: GPUs) on each node.
        nodes: machines.
        threads: CPU threads of each process; the default does not depend on the machine, since another number
            may change the last digits.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    devices: int = 1
    nodes: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("devices", "nodes", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}", mend="give at least 1")
        if self.device == "cuda" and self.devices > torch.cuda.device_count():
            raise InputError(f"{self.devices} GPUs asked for, {torch.cuda.device_count()} found")

    @property
    def processes(self) -> int:
        """Processes on all nodes together."""
        return self.devices * self.nodes

    def hardware(self) -> dict[str, str]:
        """What of the hardware the samples' last digits depend on."""
        return {"gpu": torch.cuda.get_device_name()} if self.device == "cuda" else {}

    def trainer(self, callbacks: list[pl.Callback]) -> pl.Trainer:
        """A Lightning trainer that only predicts."""
        # A process that runs out of chunks waits for the others, however long they take.
        start = choose_start(self.device, self.nodes, self.threads)
        strategy = DDPStrategy(timeout=timedelta(days=30), start_method=start) if self.processes > 1 else "auto"
        if self.processes > 1 and start == "fork":
            callbacks = [*callbacks, Mortal()]
        return pl.Trainer(
            accelerator=self.device,
            devices=self.devices,
            num_nodes=self.nodes,
            strategy=strategy,
            callbacks=callbacks,
            use_distributed_sampler=False,
            inference_mode=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


@dataclass(frozen=True)
class Generated:
    """What `generate` did.

    Attributes:
        summary: the content of `FILE.json`.
        new: False where the file had been there already.
    """

    summary: dict[str, Any]
    new: bool


def choose_device(name: str | None = None) -> Literal["cpu", "cuda"]:
    """The device of this name; a GPU where there is one, by default.

    Raises:
        InputError: the name is unknown, or there is no GPU.
    """
    if name in (None, "auto"):
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return "cpu"
    if name not in ("cuda", "gpu"):
        raise InputError(f"unknown device {name!r}", mend="give auto, cpu or cuda")
    if not torch.cuda.is_available():
        raise InputError("there is no GPU that torch can use", mend="give cpu")
    return "cuda"


def choose_chunk_size(generator: Generator, wanted: int | None = None) -> int:
    """Samples of a chunk: what is wanted, else what the generator says, else 256.

    Raises:
        InputError: the generator takes another number only.
    """
    own: int | None = getattr(generator, "chunk_size", None)
    if own is not None and wanted not in (None, own):
        raise InputError(f"chunks of {wanted} samples", mend=f"this run makes chunks of {own}: leave the size out")
    return next(size for size in (own, wanted, CHUNK_SIZE) if size is not None)


def chunk_sizes(num: int, chunk_size: int = CHUNK_SIZE) -> dict[int, int]:
    """Number of samples of every chunk.

    Raises:
        InputError: a number is not positive.
    """
    if num < 1:
        raise InputError(f"{num} samples asked for", mend="give at least 1")
    if chunk_size < 1:
        raise InputError(f"chunks of {chunk_size} samples", mend="give at least 1")
    return {k: min(chunk_size, num - k * chunk_size) for k in range(-(-num // chunk_size))}


def generate(
    generator: Generator,
    file: str | Path,
    num: int,
    chunk_size: int = CHUNK_SIZE,
    machine: Machine | None = None,
    overwrite: bool = False,
    write: Write | None = None,
    form: Mapping[str, Any] | None = None,
) -> Generated | None:
    """Generate a file, or what is missing of it; every process of a distributed run calls this.

    Args:
        generator: makes chunks.
        file: where to; its summary goes to `FILE.json`, finished chunks to `FILE.parts/` meanwhile.
        num: number of samples.
        chunk_size: samples of a chunk; part of what is asked for, as another size gives other samples.
        machine: where to generate; one CPU process by default.
        overwrite: whether what another request made may be replaced.
        write: writes the file in place of the samples themselves, and says what the summary shall hold besides.
        form: what the file depends on beside the generator's request, JSON-able: how `write` lays it out.

    Returns:
        What was done; None in all processes but the first.

    Raises:
        InputError: a number is not positive, another request's file is there, or a file cannot be written.
    """
    machine, sizes = machine or Machine(), chunk_sizes(num, chunk_size)
    facts = {"num": num, "chunk_size": chunk_size, "threads": machine.threads, "device": machine.device}
    request = {**facts, **machine.hardware(), **generator.request(), **(form or {})}
    shards = Shards(file, request, generator.samples_type())
    shards.check(overwrite)
    summary = None if overwrite else shards.finished()
    if summary is not None:
        shards.tidy()
        return Generated(summary, new=False)
    trainer = _predict(generator, shards, sizes, machine, overwrite)
    if not trainer.is_global_zero:
        return None
    return Generated(shards.assemble(sizes, {**facts, **generator.facts()}, write), new=True)


def _predict(
    generator: Generator, shards: Shards, sizes: dict[int, int], machine: Machine, overwrite: bool
) -> pl.Trainer:
    """Make the missing chunks; returns when all processes have made theirs."""
    with quiet_predicting(), SampleBar() as bar:
        trainer = machine.trainer([_Writer(shards), _Threads(machine.threads)])
        missing = _Missing(shards, sizes, overwrite, bar)
        try:
            trainer.predict(_Shell(generator, bar), missing, return_predictions=False)
        except BaseException as error:
            if trainer.is_global_zero:
                end_copies(trainer)
                shards.abandon()
            if isinstance(error, ProcessRaisedException):
                raise original_error(error) from error
            raise
        trainer.strategy.barrier("all chunks")
    return trainer


@dataclass(frozen=True)
class _Failure:
    """What went wrong in the first process, as text: not every exception can be sent."""

    text: str
    input: bool


class _Missing(pl.LightningDataModule):
    """The chunks that this process has to make; the first process looks which ones are missing."""

    def __init__(self, shards: Shards, sizes: dict[int, int], overwrite: bool, bar: SampleBar) -> None:
        super().__init__()
        self._shards, self._sizes, self._overwrite, self._bar = shards, sizes, overwrite, bar
        self._error: Exception | None = None
        # A process has nothing to do where fewer chunks are missing than there are processes.
        self.allow_zero_length_dataloader_with_multiple_devices = True

    def predict_dataloader(self) -> DataLoader[Chunk]:
        """Every n-th missing chunk."""
        trainer = self.trainer
        assert trainer is not None  # Lightning sets it before it asks
        outcome: Any = trainer.strategy.broadcast(self._open() if trainer.is_global_zero else None)
        if isinstance(outcome, _Failure):
            raise (InputError if outcome.input else RuntimeError)(outcome.text) from self._error
        if trainer.is_global_zero:
            total = sum(self._sizes.values())
            self._bar.start(total, total - sum(size for _, size in outcome), trainer.world_size)
        mine: Subset[Chunk] = Subset(outcome, range(trainer.global_rank, len(outcome), trainer.world_size))
        return DataLoader(mine, batch_size=1, collate_fn=_only)

    def _open(self) -> list[Chunk] | _Failure:
        """The missing chunks, or an error for all processes: those not told would wait for ever."""
        try:
            self._shards.open(self._overwrite)
            return [(chunk, self._sizes[chunk]) for chunk in self._shards.missing(self._sizes)]
        except InputError as error:
            return _Failure(str(error), input=True)
        except Exception as error:
            self._error = error
            return _Failure(f"{type(error).__name__}: {error}", input=False)


def _only(batch: list[Chunk]) -> Chunk:
    return batch[0]


class _Shell(pl.LightningModule):
    """Hands chunk numbers to the generator."""

    def __init__(self, generator: Generator, bar: SampleBar) -> None:
        super().__init__()
        self._generator, self._bar = generator, bar

    def predict_step(self, batch: Chunk, batch_idx: int) -> Shard:
        """Make one chunk."""
        number, size = batch
        return self._generator.chunk(number, size, self.device, self._bar.within(size))

    def on_predict_end(self) -> None:
        """Take the bar away, in the process that showed it."""
        self._bar.close()


class _Writer(BasePredictionWriter):
    """Stores every chunk as it is finished."""

    def __init__(self, shards: Shards) -> None:
        super().__init__("batch")
        self._shards = shards

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Chunk,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """See `BasePredictionWriter`."""
        self._shards.write(batch[0], prediction)


class _Threads(pl.Callback):
    """Sets the number of CPU threads in every process, after the launcher has set its own."""

    def __init__(self, threads: int) -> None:
        self._threads, self._before = threads, threads

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """See `Callback`."""
        self._before = torch.get_num_threads()
        torch.set_num_threads(self._threads)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """See `Callback`."""
        torch.set_num_threads(self._before)
