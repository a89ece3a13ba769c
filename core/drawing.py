"""Samples in this process: all chunks of a generator, one after the other, with no file."""

from __future__ import annotations

import dataclasses

import torch

from scorefield.core.diffusion import Diffusion, join
from scorefield.core.domain import Samples
from scorefield.core.errors import InputError
from scorefield.core.generation import Generator, choose_device, chunk_sizes
from scorefield.core.progress import SampleBar
from scorefield.core.state import State

__all__ = ["drawn"]


def drawn(
    generator: Generator, num: int, chunk_size: int, device: str | None, decode: bool, progress: bool
) -> Samples | State:
    """The samples that the command `sample` would make.

    Args:
        generator: makes chunks.
        num: samples.
        chunk_size: samples of a chunk.
        device: `cpu` or `cuda`; a GPU where there is one, by default.
        decode: whether to build the domain's objects; else the state of a diffusion is returned.
        progress: whether to show a bar on a terminal.

    Raises:
        InputError: states are asked of what is no diffusion.
    """
    if not isinstance(generator, Diffusion):
        if not decode:
            raise InputError("this run is no diffusion: it has no states", mend="leave decode out")
        return _made(generator, num, chunk_size, progress)
    parts = _chunks(generator, num, chunk_size, choose_device(device), decode, progress)
    return _joined(generator, parts) if decode else join([state for state, _ in parts])


def _chunks(
    generator: Diffusion, num: int, chunk_size: int, device: str, decode: bool, progress: bool
) -> list[tuple[State, Samples | None]]:
    """State and objects of every chunk; decoded chunk by chunk, as the command does."""
    parts: list[tuple[State, Samples | None]] = []
    with SampleBar(progress) as bar:
        bar.start(num)
        for number, size in chunk_sizes(num, chunk_size).items():
            state, _ = generator.states(number, size, torch.device(device), bar.within(size))
            parts.append((state, generator.decode(state) if decode else None))
    return parts


def _made(generator: Generator, num: int, chunk_size: int, progress: bool) -> Samples:
    """The samples of all chunks of what is no diffusion."""
    parts, device = [], torch.device(getattr(generator, "device", "cpu"))
    with SampleBar(progress) as bar:
        bar.start(num)
        for number, size in chunk_sizes(num, chunk_size).items():
            parts.append(generator.chunk(number, size, device, bar.within(size)).samples)
    return generator.samples_type().concatenate(parts)


def _joined(generator: Diffusion, parts: list[tuple[State, Samples | None]]) -> Samples:
    """The objects of all chunks, with the tensors where their class has a field for them."""
    samples = generator.samples_type().concatenate([samples for _, samples in parts if samples is not None])
    if dataclasses.is_dataclass(samples) and any(f.name == "state" for f in dataclasses.fields(samples)):
        return dataclasses.replace(samples, state=join([state for state, _ in parts]))
    return samples
