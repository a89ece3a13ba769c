"""Potentials: what guidance pulls a run towards, whatever the way in which it is used.

A potential is an energy E(x_t, x0_hat, t) of each sample, in nats: low is wanted, and the ideal target is
p(x) exp(-E(x)). Potentials add up, `edges + 2 * atoms`; a list of them means their sum.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.guide import Run
from scorefield.core.state import State
from scorefield.core.system import Values

__all__ = ["Potential", "Sum", "Weighted", "energies", "parts", "together"]


class Potential(ABC):
    """An energy of samples.

    Attributes:
        differentiable: whether gradients flow from the energy to what it looks at.
        needs_state: whether it looks at x_t (and t) rather than only at the data prediction.
        valued: whether the energy's value means something, not only its gradient.
        calls: network calls that one energy takes.
        name: what messages call it.
    """

    differentiable: bool = True
    needs_state: bool = False
    valued: bool = True
    calls: int = 0

    @property
    def name(self) -> str:
        """See the class."""
        return type(self).__name__

    def begin(self, run: Run) -> Potential:
        """A copy for one run, on its device and checked against it.

        Raises:
            InputError: the potential does not fit the run's components, shapes or masks.
        """
        return self

    @abstractmethod
    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """E of each sample, `[B]`.

        Args:
            state: x_t with masks and condition; components that have an origin are seen with it (u + origin).
            data: the data predictions by component, `[B, ...]`, seen with their origins as well.
            t: times, `[B]`.
        """

    def __add__(self, other: Potential) -> Potential:
        return Sum([self, other])

    def __mul__(self, weight: float) -> Potential:
        return Weighted(self, weight)

    __rmul__ = __mul__


class Weighted(Potential):
    """weight * E; a negative weight pushes away.

    Args:
        potential: E.
        weight: its factor.

    Raises:
        InputError: the weight is not finite.
    """

    def __init__(self, potential: Potential, weight: float) -> None:
        if not math.isfinite(weight):
            raise InputError(f"weight {weight:g} of {potential.name}", mend="give a finite number")
        self.potential, self.weight = potential, weight
        self.differentiable, self.needs_state = potential.differentiable, potential.needs_state
        self.valued, self.calls = potential.valued, potential.calls

    @property
    def name(self) -> str:
        """The potential's own."""
        return self.potential.name

    def begin(self, run: Run) -> Potential:
        """See `Potential.begin`."""
        return Weighted(self.potential.begin(run), self.weight)

    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """See `Potential.energy`."""
        return self.weight * self.potential.energy(state, data, t)


class Sum(Potential):
    """The sum of several energies: differentiable and valued where all are, in need of x_t where one is.

    Args:
        parts: the potentials.

    Raises:
        InputError: there is none.
    """

    def __init__(self, parts: Sequence[Potential]) -> None:
        if not parts:
            raise InputError("no potential to guide by", mend="give at least one")
        self.parts = tuple(parts)
        self.differentiable = all(part.differentiable for part in parts)
        self.needs_state = any(part.needs_state for part in parts)
        self.valued = all(part.valued for part in parts)
        self.calls = sum(part.calls for part in parts)

    @property
    def name(self) -> str:
        """Names of all parts."""
        return " + ".join(part.name for part in self.parts)

    def begin(self, run: Run) -> Potential:
        """See `Potential.begin`."""
        return Sum([part.begin(run) for part in self.parts])

    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """See `Potential.energy`."""
        first, *rest = (part.energy(state, data, t) for part in self.parts)
        for energy in rest:
            first = first + energy
        return first


def together(potentials: Potential | Sequence[Potential]) -> Potential:
    """One potential from one or several.

    Raises:
        InputError: there is none.
    """
    if isinstance(potentials, Potential):
        return potentials
    return potentials[0] if len(potentials) == 1 else Sum(potentials)


def parts(potential: Potential, weight: float = 1.0) -> list[tuple[float, Potential]]:
    """What a potential is the weighted sum of: weights, and potentials that are neither `Sum` nor `Weighted`."""
    if isinstance(potential, Weighted):
        return parts(potential.potential, weight * potential.weight)
    if isinstance(potential, Sum):
        return [pair for part in potential.parts for pair in parts(part, weight)]
    return [(weight, potential)]


def energies(potential: Potential, state: State, data: Values, t: Tensor) -> Tensor:
    """`potential.energy` with its shape checked, `[B]`.

    Raises:
        InputError: it gave another shape.
    """
    energy = potential.energy(state, data, t)
    if energy.shape != (len(state),):
        what = f"{potential.name} gave energies of shape {tuple(energy.shape)} for {len(state)} samples"
        raise InputError(what, mend="give one number for each sample")
    return energy
