"""Completion of what is partly known: forecasts, imputation, interpolation, with the model that samples.

A domain reads a file and says what is observed of every item (a series, a trajectory) in states that the model can
sample; the core samples many paths of what is missing, chunk by chunk, and the domain writes them down. An item may
need several states one after the other, where later ones see what earlier ones filled in: rounds.

A state observes through its condition: `observed_NAME` `[B, ...]` holds what is known of the component NAME, and NaN
where nothing is; `item` `[B]` is equal for paths that compete as particles. A domain whose network itself takes what
is given leaves `observed_NAME` out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.files import atomic
from scorefield.core.names import unknown

if TYPE_CHECKING:
    import torch

    from scorefield.core.checkpoints import ModelRecord
    from scorefield.core.domain import Domain
    from scorefield.core.guidance.levels import Levels
    from scorefield.core.state import State

__all__ = [
    "ITEM", "OBSERVED", "TASKS", "Completing", "Filled", "Items", "Observing", "Outputs", "PotentialName", "Task",
    "TaskName", "Work", "open_items",
]  # fmt: skip

TaskName = Literal["forecast", "impute", "interpolate", "refine"]
TASKS: tuple[TaskName, ...] = get_args(TaskName)

PotentialName = Literal["gaussian", "quantile"]
"""What an observation says of a value; see `core.observing`."""

OBSERVED, ITEM = "observed_", "item"
"""Entries of a state's condition; the first is followed by the name of a component."""


@dataclass(frozen=True)
class Task:
    """What is to be completed.

    Attributes:
        name: which of `TASKS`.
        data: a file, or arrays as the domain takes them.
        options: those of the task (`horizon`, `given`, `holdout`, ...); None for what the user left open.
        reading: how to read the file, in the domain's words.
    """

    name: TaskName
    data: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Observing:
    """How a domain's models are best held to observations, measured; users may choose otherwise.

    Attributes:
        way: a key of `core.guidance.registry.WAYS`.
        arguments: of the way.
        std: standard deviation of a Gaussian observation's error, on the scale of the states.
        prior_std: see `GaussianObservation`; for the ways that take x0_hat as uncertain.
        solver: name of the solver; None takes the run's own, with its steps and arguments.
        steps: its steps.
        solver_arguments: its arguments.
        potential: the potential that goes with the way.
        scale: of quantile observations, on the scale of the states.
        levels: order of their levels, see `core.guidance.levels`.
        hard: whether observed entries are replaced besides.
    """

    way: str
    arguments: Mapping[str, Any]
    std: float
    prior_std: float
    solver: str | None
    steps: int | None
    solver_arguments: Mapping[str, Any]
    potential: PotentialName = "gaussian"
    scale: float = 1.0
    levels: Levels = "ordered"
    hard: bool = False


@dataclass(frozen=True)
class Outputs:
    """Where results go.

    Attributes:
        file: the file that was asked for.
        plot: a picture beside it, or None.
        paths: whether all sample paths are written too.
    """

    file: Path
    plot: Path | None = None
    paths: bool = False


@dataclass(frozen=True)
class Filled:
    """What was sampled for some items: `Samples` that `generate` can keep in shards.

    Args:
        cells: of every item the missing entries of all paths, float64 `[paths, cells]`.
    """

    cells: tuple[NDArray[np.float64], ...]

    def __len__(self) -> int:
        """Paths of all items together."""
        return sum(len(block) for block in self.cells)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as two arrays."""
        shapes = np.array([block.shape for block in self.cells], dtype=np.int64).reshape(-1, 2)
        flat = [block.ravel() for block in self.cells]
        return {"shapes": shapes, "values": np.concatenate(flat) if flat else np.zeros(0)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of `arrays`."""
        shapes = arrays["shapes"]
        parts = np.split(arrays["values"], np.cumsum(shapes.prod(1))[:-1]) if len(shapes) else []
        return cls(tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)))

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Items of all parts in order."""
        return cls(tuple(block for part in parts for block in part.cells))

    def save(self, path: Path) -> None:
        """The arrays as `.npz`; domains write files for users."""
        with atomic(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **self.arrays())

    def counts(self) -> dict[str, int | float]:
        """Items, and missing entries of all of them."""
        return {"items": len(self.cells), "filled": sum(block.shape[1] for block in self.cells)}


class Work(Protocol):
    """Some items on the way to completion.

    Attributes:
        rounds: how many states `next` gives.
    """

    rounds: int

    def next(self) -> State | None:
        """The next state to sample on the CPU, paths of one item in consecutive rows; None when all is done."""
        ...

    def take(self, state: State) -> None:
        """What was sampled of the last state."""
        ...

    def result(self) -> Filled:
        """All items, once all is done."""
        ...


class Items(Protocol):
    """Observed items of one task.

    Items may have more: `system(system)`, the run's system as they need it.

    Attributes:
        noun: what messages call several of them.
        observes: whether states observe; False where the network itself takes what is given.
    """

    noun: str
    observes: bool

    def __len__(self) -> int: ...

    def request(self) -> dict[str, Any]:
        """Everything of file and task that results depend on, JSON-able."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the summary of a result says of the task."""
        ...

    def observing(self) -> Observing:
        """How observations are best used."""
        ...

    def begin(
        self, items: range, paths: int, generator: torch.Generator, conditions: Mapping[str, Any] | None = None
    ) -> Work:
        """Start on some items.

        Args:
            items: their numbers.
            paths: of each.
            generator: for what the domain draws before sampling.
            conditions: what the user fixes of that.

        Raises:
            InputError: an unknown condition.
        """
        ...

    def check(self, outputs: Outputs) -> None:
        """Find out before long work whether results can be written.

        Raises:
            InputError: an unknown suffix, or a place that is an input or cannot be written.
        """
        ...

    def write(self, filled: Filled, outputs: Outputs) -> dict[str, Any]:
        """Write the results, the file itself last, and say what the summary shall hold (scores, if truth is known)."""
        ...

    def told(self, summary: Mapping[str, Any]) -> list[str]:
        """Lines for the user about what `write` said of scores."""
        ...

    def present(self, filled: Filled) -> Any:
        """The results as a user of Python wants them."""
        ...


class Completing(Protocol):
    """What a domain has more if its runs can complete things."""

    def tasks(self, record: ModelRecord) -> tuple[TaskName, ...]:
        """What this run can do."""
        ...

    def open_items(self, task: Task, record: ModelRecord) -> Items:
        """Read what is observed, and check it against the run.

        Raises:
            InputError: a file, an option, or an argument of reading that does not fit.
        """
        ...


def open_items(domain: Domain, task: Task, record: ModelRecord) -> Items:
    """The items of a task in a run's domain.

    Raises:
        InputError: the domain, or the run, cannot do this; or what `Completing.open_items` raises.
    """
    able: tuple[TaskName, ...] = domain.tasks(record) if hasattr(domain, "tasks") else ()
    if task.name not in TASKS:
        raise unknown("task", task.name, TASKS)
    if task.name not in able:
        what = f"a run of the domain {domain.name} cannot {task.name}"
        raise InputError(what, mend=f"it can {', '.join(able)}" if able else "it samples and compares only")
    opened: Items = domain.open_items(task, record)  # type: ignore[attr-defined]
    return opened
