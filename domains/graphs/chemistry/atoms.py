"""Which elements a model knows, and in which order.

The one-hot columns of a molecule's node features follow the table; there is no column for "no atom". This
module does not need RDKit, so that encoded molecules can be used on a machine without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.domains.graphs.packed import NO_NODE, PackedGraphs

__all__ = ["SYMBOLS", "AtomTable", "apply_table"]

_PERIODIC_TABLE = """
* H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm
Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No
Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""

SYMBOLS: tuple[str, ...] = tuple(_PERIODIC_TABLE.split())
"""Element symbols by atomic number; number 0 is RDKit's wildcard atom."""


@dataclass(frozen=True)
class AtomTable:
    """An ordered list of elements.

    Args:
        symbols: element symbols such as `("C", "N", "O", "F")`; column k of the node features is symbol k.

    Raises:
        InputError: an unknown symbol, a symbol twice, or no symbol.
    """

    symbols: tuple[str, ...]

    def __post_init__(self) -> None:
        unknown = [symbol for symbol in self.symbols if symbol not in SYMBOLS]
        if unknown:
            raise InputError(
                f"the atom table names {unknown[0]!r}, which is no element", mend="use symbols such as C, Cl"
            )
        if not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise InputError(f"the atom table {list(self.symbols)} must name each element once and at least one")

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Atomic numbers in the table's order."""
        return tuple(SYMBOLS.index(symbol) for symbol in self.symbols)

    @classmethod
    def from_numbers(cls, numbers: NDArray[np.uint8]) -> AtomTable:
        """The table of all atomic numbers that occur, sorted by atomic number."""
        return cls(tuple(SYMBOLS[number] for number in np.unique(numbers)))

    @classmethod
    def infer(cls, smiles: Sequence[str]) -> AtomTable:
        """The table of all elements of some SMILES, sorted by atomic number (no implicit hydrogen).

        Raises:
            InputError: a SMILES that cannot be read.
        """
        from scorefield.domains.graphs.chemistry.encode import encode_numbers

        return cls.from_numbers(encode_numbers(smiles).nodes)

    def index(self, numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Columns of atomic numbers; `NO_NODE` for an element outside the table."""
        lookup = np.full(256, NO_NODE, dtype=np.uint8)
        lookup[list(self.numbers)] = np.arange(len(self.symbols), dtype=np.uint8)
        return lookup[numbers]


def apply_table(
    packed: PackedGraphs,
    atoms: AtomTable,
    max_nodes: int | None = None,
    *,
    file: str | Path | None = None,
    rows: NDArray[np.int64] | None = None,
) -> PackedGraphs:
    """Replace atomic numbers by columns of the table, and check the sizes.

    Args:
        packed: molecules whose node types are atomic numbers.
        atoms: the table.
        max_nodes: the largest number of atoms allowed; None: any.
        file: the file the molecules came from, for messages.
        rows: the row of each molecule in that file, `(n,)`; by default 1, 2, ...

    Raises:
        InputError: an element outside the table, or too many atoms; it names the first such row.
    """
    rows = np.arange(1, len(packed) + 1) if rows is None else rows
    index = atoms.index(packed.nodes)
    outside = np.flatnonzero(index == NO_NODE)
    if len(outside):
        graph = int(np.searchsorted(packed.node_ptr, outside[0], side="right")) - 1
        symbol, known = SYMBOLS[int(packed.nodes[outside[0]])], " ".join(atoms.symbols)
        raise InputError(
            f"atom {symbol} is not in the atom table ({known})",
            file=file, place=f"row {rows[graph]}", mend="remove the molecule or let the table be inferred",
        )  # fmt: skip
    large = np.flatnonzero(packed.num_nodes > max_nodes) if max_nodes is not None else np.zeros(0, np.int64)
    if len(large):
        count = int(packed.num_nodes[large[0]])
        raise InputError(
            f"{count} atoms, more than the maximum of {max_nodes}",
            file=file, place=f"row {rows[large[0]]}", mend="raise max_nodes or remove the molecule",
        )  # fmt: skip
    return packed.with_nodes(index)
