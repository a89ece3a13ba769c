"""Data that domains can simulate.

A domain that has simulations offers `simulations()`, a mapping of names to what `Simulation` lists. Each makes a
`core.generation.Generator`, so a simulated file comes in chunks: restartable, on several processes, whole or not at
all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from scorefield.core.domains import find_domains
from scorefield.core.errors import InputError
from scorefield.core.names import unknown

if TYPE_CHECKING:
    from scorefield.core.generation import Generator

__all__ = ["Option", "Simulating", "Simulation", "chosen", "find_simulation", "simulations"]

Value = bool | int | float | str


@dataclass(frozen=True)
class Option:
    """A setting of a simulation.

    Args:
        name: as in Python; `warm_up` is `--warm-up` on the command line.
        default: its value where nobody says anything; its type is the setting's type, and False makes a switch.
        help: one line.
        least: smallest number that is allowed.
        above: numbers have to be larger than this.
    """

    name: str
    default: Value
    help: str
    least: float | None = None
    above: float | None = None

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    def check(self, value: Value) -> Value:
        """The value, if it is allowed.

        Raises:
            InputError: it is of another type, not finite, or too small.
        """
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise InputError(f"{value!r}", place=self.flag, mend=f"give a value of type {kind.__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{value:g}", place=self.flag, mend="give a finite number")
        if self.least is not None and not isinstance(value, str) and value < self.least:
            raise InputError(f"{value:g} is too small", place=self.flag, mend=f"give at least {self.least:g}")
        if self.above is not None and not isinstance(value, str) and value <= self.above:
            raise InputError(f"{value:g} is too small", place=self.flag, mend=f"give more than {self.above:g}")
        return value


class Simulation(Protocol):
    """Something that can be simulated; making the object imports nothing heavy."""

    @property
    def description(self) -> str:
        """One line."""
        ...

    @property
    def options(self) -> tuple[Option, ...]:
        """What can be set."""
        ...

    @property
    def chunk_size(self) -> int:
        """Samples that are made and stored together."""
        ...

    @property
    def suffixes(self) -> tuple[str, ...]:
        """File suffixes that samples can be saved with."""
        ...

    def generator(self, seed: int, values: Mapping[str, Value]) -> Generator:
        """What makes the samples in chunks of `chunk_size`; the values are those of `options`, every one.

        Raises:
            InputError: the values do not go together.
        """
        ...


class Simulating(Protocol):
    """A domain with simulations."""

    def simulations(self) -> Mapping[str, Simulation]:
        """Simulations by name."""
        ...


def simulations() -> dict[str, Simulation]:
    """Simulations of all domains by name; where two domains have one of the same name, `DOMAIN/NAME`."""
    found: list[tuple[str, str, Simulation]] = []
    for domain, entry in find_domains().items():
        loaded = entry.load()
        if hasattr(loaded, "simulations"):
            found += [(domain, name, made) for name, made in cast("Simulating", loaded).simulations().items()]
    names = [name for _, name, _ in found]
    return {name if names.count(name) == 1 else f"{domain}/{name}": made for domain, name, made in found}


def find_simulation(name: str) -> Simulation:
    """A simulation by name.

    Raises:
        InputError: no domain has it.
    """
    known = simulations()
    if name not in known:
        raise unknown("simulation", name, known)
    return known[name]


def chosen(simulation: Simulation, values: Mapping[str, Any]) -> dict[str, Value]:
    """A checked value for every option.

    Raises:
        InputError: a name is unknown, or a value is not allowed.
    """
    known = {option.name: option for option in simulation.options}
    for name in values:
        if name not in known:
            raise unknown("option", name, known)
    return {name: option.check(values.get(name, option.default)) for name, option in known.items()}
