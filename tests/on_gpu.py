"""What tests on a GPU have in common: draws that can be replayed there, and how far results may differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from scorefield.core.guide import Guide
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.sampling import sample
from scorefield.core.solvers.solver import Solver
from scorefield.core.state import State
from scorefield.core.system import System

__all__ = ["DEVICE", "GPU", "agree", "agree_in_a_chain", "full_single_precision"]

DEVICE = "cuda"
GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


class Recorded:
    """Draws on the CPU and keeps what was drawn."""

    def __init__(self) -> None:
        self.source, self.tensors = Seeded(1), []

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        self.tensors.append(self.source.normal(like))
        return self.tensors[-1]

    def replayed(self, first: int) -> Replayed:
        """What was drawn from number `first` on, on the device."""
        return Replayed([drawn.to(DEVICE) for drawn in self.tensors[first:]])


@contextmanager
def full_single_precision() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def agree(there: State, here: State) -> None:
    """To 1e-4 of the largest value of each component."""
    for name, wanted in here.components.items():
        error = float((there[name].cpu() - wanted).abs().max() / wanted.abs().max())
        assert error <= 1e-4, f"{name}: {error:.1e}"


def agree_in_a_chain(system: System, frame: State, solver: Solver, guides: Callable[[], list[Guide]] = list) -> None:
    """One evaluation, and a whole run with the same noise, on both machines; moves the system."""
    noise = Recorded()
    start = system.prior(frame, noise)
    drawn, t = len(noise.tensors), torch.full((len(frame),), 0.5)
    with torch.no_grad():
        here = start.replace(system(start, t))
    chain = sample(system, frame, solver, noise, start=start, guides=guides()).state
    moved = system.to(DEVICE)
    with torch.no_grad():
        agree(start.to(DEVICE).replace(moved(start.to(DEVICE), t.to(DEVICE))), here)
    begun, source = start.to(DEVICE), noise.replayed(drawn)
    agree(sample(moved, frame.to(DEVICE), solver, source, start=begun, guides=guides()).state, chain)
