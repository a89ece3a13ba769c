"""What `scorefield simulate` offers of geometry; importing this file imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scorefield.core.simulation import Option

if TYPE_CHECKING:
    from scorefield.core.generation import Generator

__all__ = ["SIMULATIONS", "MoleculeSimulation", "ParticleSimulation"]

_SUFFIXES = (".npz", ".xyz", ".extxyz")


@dataclass(frozen=True)
class ParticleSimulation:
    """One of the systems of particles.

    Args:
        system: its name.
        description: one line.
        nodes: particles by default.
    """

    system: str
    description: str
    nodes: int
    chunk_size: int = 256
    suffixes: tuple[str, ...] = _SUFFIXES

    @property
    def options(self) -> tuple[Option, ...]:
        """Size, length, and the published draws."""
        return (
            Option("nodes", self.nodes, "particles", least=2),
            Option("steps", 5000, "steps", least=2),
            Option("every", 100, "steps between frames", least=1),
            Option("dt", 1e-3, "length of a step", above=0),
            Option("legacy", False, "draw starts as the published generator does, one after the other"),
        )

    def generator(self, seed: int, values: Mapping[str, bool | int | float | str]) -> Generator:
        """See `core.simulation.Simulation`."""
        from scorefield.domains.geometry.simulators.generators import ParticleGenerator

        return ParticleGenerator(self.system, seed, values, self.chunk_size)


@dataclass(frozen=True)
class MoleculeSimulation:
    """Molecular dynamics of one molecule.

    Args:
        molecule: its name.
        description: one line.
    """

    molecule: str
    description: str
    chunk_size: int = 1
    suffixes: tuple[str, ...] = _SUFFIXES

    @property
    def options(self) -> tuple[Option, ...]:
        """Length, temperature and thermostat."""
        return (
            Option("steps", 200_000, "recorded steps of each trajectory", least=1),
            Option("every", 10, "steps between frames", least=1),
            Option("timestep", 0.5, "length of a step, fs", above=0),
            Option("temperature", 500.0, "kelvin", above=0),
            Option("friction", 0.0, "of a Langevin thermostat, 1/ps; 0 conserves energy (velocity Verlet)", least=0),
            Option("warm_up", 4000, "steps with a thermostat before the recording", least=0),
        )

    def generator(self, seed: int, values: Mapping[str, bool | int | float | str]) -> Generator:
        """See `core.simulation.Simulation`."""
        from scorefield.domains.geometry.simulators.generators import MoleculeGenerator

        return MoleculeGenerator(self.molecule, seed, values, self.chunk_size)


_MOLECULES = {
    "aspirin": 21,
    "benzene": 12,
    "ethanol": 9,
    "malonaldehyde": 9,
    "naphthalene": 18,
    "salicylic_acid": 16,
    "toluene": 15,
    "uracil": 12,
}

SIMULATIONS: dict[str, ParticleSimulation | MoleculeSimulation] = {
    "charged": ParticleSimulation("charged", "charges of +1 and -1 that attract and repel", 5),
    "springs": ParticleSimulation("springs", "particles of which every second pair is joined by a spring", 5),
    "gravity": ParticleSimulation("gravity", "masses that attract each other", 10),
    **{
        name: MoleculeSimulation(name, f"molecular dynamics with the MMFF94 force field, {atoms} atoms")
        for name, atoms in _MOLECULES.items()
    },
}
"""The simulations by name."""
