"""What may act on a sampling run from outside: on predictions, on states before an evaluation, on carries after a step.

Clamping, guidance, inpainting and particles are guides. A run asks each guide for a copy of its own (`begin`), so that
one guide serves any number of runs; what it measured on the way (effective sample sizes, say) stays on that copy.
A guide that replaces rows by copies of others (`Particles`) tells the others so (`select`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.noise import NoiseSource
from scorefield.core.state import State
from scorefield.core.system import System, Values

if TYPE_CHECKING:
    from scorefield.core.denoiser import Denoiser
    from scorefield.core.solvers.solver import Carry, Plan, Solver

__all__ = ["ClampData", "Guide", "Guides", "Run"]


@dataclass(frozen=True)
class Run:
    """A run that is about to begin.

    Attributes:
        system: what generates.
        state: masks, condition, device and number type of the batch.
        solver: the solver's settings.
        plan: its tables; `plan.times` are the evaluation times, `plan.ends` the times of the states after each step.
    """

    system: System
    state: State
    solver: Solver
    plan: Plan


class Guide:
    """Acts on a run; a subclass overrides what it needs.

    Attributes:
        gradient: whether `predict` differentiates through the network; states then carry gradients there.
        calls: network calls that `predict` makes at each evaluation.
    """

    gradient: bool = False
    calls: int = 0

    def begin(self, run: Run) -> Guide:
        """A copy for one run, with its tables.

        Raises:
            InputError: this guide cannot act on such a run; the message names what can.
        """
        return self

    def predict(self, state: State, data: Values, index: int, t: Tensor) -> Values:
        """New data predictions in place of `data` at x_t = `state`, evaluation `index`, times `t` `[B]`."""
        return data

    def before(self, state: State, index: int, noise: NoiseSource) -> State:
        """The state to evaluate at `plan.times[index]` in place of `state`."""
        return state

    def after(self, carry: Carry, index: int, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """What the run goes on with after step `index`; its state stands at `plan.ends[index]`."""
        return carry

    def select(self, ancestors: Tensor) -> None:
        """Rows have become copies of the rows `ancestors` `[B]`: take over what is kept for each row."""


class Guides:
    """The guides of one run, sorted by what they override."""

    def __init__(self, guides: Sequence[Guide] = ()) -> None:
        self.all = tuple(guides)
        self.predicting = self._overriding("predict")
        self.before = self._overriding("before")
        self.after = self._overriding("after")
        self.gradient = any(guide.gradient for guide in self.predicting)
        self.calls = sum(guide.calls for guide in self.predicting)

    def _overriding(self, method: str) -> tuple[Guide, ...]:
        return tuple(guide for guide in self.all if getattr(type(guide), method) is not getattr(Guide, method))


class ClampData(Guide):
    """Clamp the data prediction of components to the range of the data.

    Args:
        ranges: lowest and highest value, by component.
    """

    def __init__(self, **ranges: tuple[float, float]) -> None:
        for name, (low, high) in ranges.items():
            if low >= high:
                raise InputError(f"range {low:g} to {high:g} of {name} is empty")
        self.ranges = ranges

    def begin(self, run: Run) -> Guide:
        """See `Guide.begin`."""
        missing = self.ranges.keys() - run.system.components.keys()
        if missing:
            raise InputError(
                f"no component {min(missing)!r} to clamp", mend=f"there are {', '.join(run.system.components)}"
            )
        return self

    def predict(self, state: State, data: Values, index: int, t: Tensor) -> Values:
        """See `Guide.predict`."""
        return {n: v.clamp(*self.ranges[n]) if n in self.ranges else v for n, v in data.items()}
