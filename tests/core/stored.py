"""The stored tensors of published solvers: their mixture, their start, and runs from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield.core.noise import Replayed
from scorefield.core.paths import VP, GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.sampling import Sampled, sample
from scorefield.core.solvers.solver import Solver
from scorefield.core.state import State
from scorefield.core.system import System
from tests.core.mixture import mixture_system

Stored = dict[str, np.ndarray]


def load(shared_dir: Path, name: str) -> Stored:
    """All arrays of one file; the mixture's parameters come along where the file leaves them to another one."""
    folder = shared_dir / "fixtures" / "core"
    stored = dict(np.load(folder / f"{name}.npz"))
    if "weights" not in stored:
        other = np.load(folder / "ode_solvers_vp.npz")
        stored |= {k: other[k] for k in ("weights", "means", "covs")}
    return stored


def mixture(stored: Stored, path: GaussianPath | None = None, kind: Kind = "noise") -> System:
    """The mixture on a path, VP by default."""
    parameters = (torch.tensor(stored[k]).double() for k in ("weights", "means", "covs"))
    return mixture_system(path or VP(), *parameters, kind)


def run(system: System, solver: Solver, start: np.ndarray | Tensor, noise: Iterable[Tensor] = ()) -> Sampled:
    """A run from given values of x, with given noise."""
    state = State({"x": torch.as_tensor(start).double()})
    return sample(system, state, solver, Replayed(noise), start=state)


def rmse(system: System, solver: Solver, start: np.ndarray, exact: np.ndarray) -> float:
    """Root of the mean squared distance of a run's ends from the exact ones."""
    return float((run(system, solver, start).state["x"] - torch.tensor(exact)).square().sum(1).mean().sqrt())
