"""What molecules and graphs can be guided by, by name.

Edges and atoms are decided by a threshold of 0.5, which has no gradient; here each counts by the sigmoid
1 / (1 + exp(-(value - 0.5) / 0.1)), within 0.01 of the decision at the values 0 and 1 that data have. Properties of
molecules are RDKit's, of the decoded and corrected molecule; one that cannot be read counts as one without atoms.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.core.domain import Tables
from scorefield.core.errors import InputError
from scorefield.core.guidance.naming import Asked, PotentialEntry
from scorefield.core.guidance.potentials import Potential
from scorefield.core.guidance.properties import Aim, Property, aimed, read_aim
from scorefield.core.state import State
from scorefield.core.system import Values

__all__ = ["POTENTIALS", "AtomShare", "EdgeCount", "soft_decision"]

_WIDTH = 0.1


def soft_decision(value: Tensor) -> Tensor:
    """About 1 above the threshold of 0.5, about 0 below."""
    return torch.sigmoid((value - 0.5) / _WIDTH)


def _nodes(state: State) -> Tensor:
    """Which nodes there are, `[B, N]`, in the components' number type."""
    x = state["x"]
    return state.masks["mask"].to(x.dtype) if "mask" in state.masks else torch.ones_like(x[..., 0])


class EdgeCount(Potential):
    """The number of edges, or the mean degree.

    Args:
        aim: the number wanted, `max` or `min`.
        mean_degree: whether the number is twice the edges divided by the nodes.
    """

    def __init__(self, aim: Aim, mean_degree: bool = False) -> None:
        self.aim, self.mean_degree = aim, mean_degree

    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """See `Potential.energy`."""
        nodes = _nodes(state)
        pairs = (nodes[:, :, None] * nodes[:, None, :]).triu(1)
        edges = (soft_decision(data["adj"]) * pairs).flatten(1).sum(1)
        return aimed(2 * edges / nodes.sum(1).clamp(min=1) if self.mean_degree else edges, self.aim)


class AtomShare(Potential):
    """The share of an element among a molecule's atoms.

    Args:
        column: the element's column of the node features.
        aim: the share wanted, `max` or `min`.
    """

    def __init__(self, column: int, aim: Aim) -> None:
        self.column, self.aim = column, aim

    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """See `Potential.energy`."""
        nodes = _nodes(state)
        atoms = soft_decision(data["x"][..., self.column]) * nodes
        return aimed(atoms.sum(1) / nodes.sum(1).clamp(min=1), self.aim)


def _edges(mean_degree: bool) -> Callable[[Asked, Tables], Potential]:
    def make(asked: Asked, tables: Tables) -> Potential:
        return EdgeCount(_aim(asked), mean_degree)

    return make


def _aim(asked: Asked, default: Aim | None = None) -> Aim:
    if asked.target is None:
        if default is None:
            raise InputError(f"guide {asked.name} has no target", mend=f"write {asked.name}=NUMBER, =max or =min")
        return default
    return read_aim(asked.target, asked.name)


def _atoms(asked: Asked, tables: Tables) -> Potential:
    elements = _elements(asked, tables)
    if asked.detail not in elements:
        what = f"element {asked.detail!r}" if asked.detail else "no element"
        raise InputError(f"guide atoms: {what}", mend=f"write atoms.ELEMENT=SHARE; the run knows {', '.join(elements)}")
    aim = _aim(asked)
    if not isinstance(aim, str) and not 0 <= aim <= 1:
        raise InputError(f"atoms.{asked.detail}={asked.target}", mend="a share lies between 0 and 1")
    return AtomShare(elements.index(asked.detail), aim)


def _elements(asked: Asked, tables: Tables) -> list[str]:
    if tables.get("kind") != "molecules":
        raise InputError(f"{asked.name} is of molecules, this run makes graphs", mend="guide by edges or degree")
    return list(tables["atoms"])


# Property -> which way is up, and the value of a molecule without atoms.
_PROPERTIES: dict[str, tuple[Aim | None, float, str]] = {
    "qed": ("max", 0.0, "quantitative estimate of drug-likeness, 0 to 1"),
    "logp": (None, 0.0, "octanol-water partition (Crippen)"),
    "sa": ("min", 10.0, "synthetic accessibility, 1 easy to 10 hard"),
    "weight": (None, 0.0, "molecular weight / Da"),
    "rings": (None, 0.0, "number of rings"),
}


def _property(asked: Asked, tables: Tables) -> Potential:
    from rdkit import Chem

    from scorefield.domains.graphs.chemistry.atoms import AtomTable
    from scorefield.domains.graphs.chemistry.decode import decode_tensors
    from scorefield.domains.graphs.molecules import Molecules
    from scorefield.domains.graphs.statistics.properties import PROPERTIES

    table, compute = AtomTable(tuple(_elements(asked, tables))), PROPERTIES[asked.name][1]
    default, without, _ = _PROPERTIES[asked.name]

    def decode(state: State) -> Molecules:
        return decode_tensors(state["x"], state["adj"], state.masks["mask"], table)

    def values(molecules: Molecules) -> list[float]:
        return [compute(Chem.MolFromSmiles(str(text))) if text else without for text in molecules.smiles]

    return Property(values, _aim(asked, default), decode, asked.name)


POTENTIALS: dict[str, PotentialEntry] = {
    "edges": PotentialEntry(_edges(mean_degree=False), EdgeCount, "=NUMBER|max|min", "number of bonds or edges"),
    "degree": PotentialEntry(_edges(mean_degree=True), EdgeCount, "=NUMBER|max|min", "mean number of neighbours"),
    "atoms": PotentialEntry(_atoms, AtomShare, ".ELEMENT=SHARE|max|min", "share of an element among the atoms"),
    **{
        name: PotentialEntry(_property, Property, "[=NUMBER|max|min]" if aim else "=NUMBER|max|min", text)
        for name, (aim, _, text) in _PROPERTIES.items()
    },
}
"""By name; what gives molecules its properties is imported when one is asked for."""
