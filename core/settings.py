"""Default sampler of a run: part of its recipe, stored in `model.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["SamplerSettings"]


@dataclass(frozen=True)
class SamplerSettings:
    """What `sample` uses where the user says nothing.

    Args:
        solver: name of the solver (`scorefield list solvers`).
        steps: steps of the time grid.
        weights: `raw`, or `ema` for the averaged weights.
        arguments: further arguments of the solver.
    """

    solver: str
    steps: int
    weights: Literal["raw", "ema"] = "ema"
    arguments: dict[str, Any] = field(default_factory=dict)
