"""SMILES to atoms and Kekulé bonds.

SMILES → molecule → canonical SMILES without stereo → molecule again (this fixes the order of the atoms) →
Kekulize → atomic numbers and bond orders 1, 2, 3. Hydrogens are implicit. Formal charges and stereo are lost:
[N+] becomes a 4-valent N. Source: the preprocessing of GDSS (arXiv 2202.02514).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from tqdm import tqdm

from scorefield.core.errors import InputError
from scorefield.domains.graphs.chemistry.atoms import AtomTable, apply_table
from scorefield.domains.graphs.packed import PackedGraphs

__all__ = ["EncodedMolecules", "encode", "encode_numbers", "read_molecule"]

Fragment = Literal["all", "largest"]
log = logging.getLogger(__name__)

CHUNK = 2000
POOL_FROM = 20_000
"""Below this many molecules a pool of processes takes longer to start than it saves."""

_ORDERS = {Chem.BondType.SINGLE: 1, Chem.BondType.DOUBLE: 2, Chem.BondType.TRIPLE: 3}


@dataclass(frozen=True)
class EncodedMolecules:
    """Molecules as columns of an atom table and bond orders.

    Args:
        packed: the graphs; node types are indices into `table`.
        table: the atom table.
    """

    packed: PackedGraphs
    table: AtomTable

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def atoms(self) -> NDArray[np.uint8]:
        """Indices into the table, `(n, N)`, 255 where there is no atom."""
        return self.packed.dense()[0]

    @property
    def bonds(self) -> NDArray[np.uint8]:
        """Kekulé bond orders 0..3, `(n, N, N)`."""
        return self.packed.dense()[1]

    @property
    def num_nodes(self) -> NDArray[np.int64]:
        """Atoms of each molecule, `(n,)`."""
        return self.packed.num_nodes


def encode(
    smiles: Sequence[str],
    atoms: AtomTable | None = None,
    max_nodes: int | None = None,
    *,
    fragment: Fragment = "all",
    workers: int | None = None,
    file: str | Path | None = None,
    rows: NDArray[np.int64] | None = None,
) -> EncodedMolecules:
    """Encode SMILES; the arguments are those of `encode_numbers` and `apply_table`.

    Raises:
        InputError: a SMILES that cannot be encoded, an element outside the table, or too many atoms.
    """
    packed = encode_numbers(smiles, fragment=fragment, workers=workers, file=file, rows=rows)
    table = AtomTable.from_numbers(packed.nodes) if atoms is None else atoms
    return EncodedMolecules(apply_table(packed, table, max_nodes, file=file, rows=rows), table)


def encode_numbers(
    smiles: Sequence[str],
    *,
    fragment: Fragment = "all",
    workers: int | None = None,
    file: str | Path | None = None,
    rows: NDArray[np.int64] | None = None,
    progress: bool = True,
) -> PackedGraphs:
    """Encode SMILES with atomic numbers as node types, on several processes when there are many.

    Args:
        smiles: one SMILES per molecule. Molecules of several fragments (salts) are kept whole.
        fragment: "largest" keeps only the fragment with the most heavy atoms, the first of equals.
        workers: processes; by default one per available core for 20,000 molecules and more, else none.
        file: the file the SMILES came from, for messages.
        rows: the row of each SMILES in that file, `(n,)`; by default 1, 2, ...
        progress: show a progress bar when there are many.

    Raises:
        InputError: a SMILES that cannot be encoded; it names the first such row.
    """
    chunks = [list(smiles[start : start + CHUNK]) for start in range(0, len(smiles), CHUNK)]
    many = len(smiles) >= POOL_FROM
    workers = (_cores() if many else 1) if workers is None else workers
    parts: list[PackedGraphs] = []
    with tqdm(total=len(smiles), unit="molecule", desc="encoding", disable=not (progress and many)) as bar:
        for number, result in enumerate(_results(chunks, fragment, workers)):
            if isinstance(result, tuple):
                index = number * CHUNK + result[0]
                row = index + 1 if rows is None else rows[index]
                raise InputError(result[1], file=file, place=f"row {row}", mend="mend or remove this row")
            parts.append(result)
            bar.update(len(result))
    return PackedGraphs.concatenate(parts)


def read_molecule(smiles: str, fragment: Fragment = "all") -> Chem.Mol:
    """The Kekulized molecule in the order of its canonical SMILES without stereo.

    Raises:
        ValueError: why the SMILES cannot be encoded.
    """
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is not a SMILES that RDKit can read")
    if fragment == "largest":
        mol = max(Chem.GetMolFrags(mol, asMols=True), key=lambda part: part.GetNumHeavyAtoms(), default=mol)
    if mol.GetNumAtoms() == 0:
        raise ValueError("a molecule without atoms")
    mol = Chem.MolFromSmiles(Chem.MolToSmiles(mol, isomericSmiles=False))
    if mol is None:
        raise ValueError(f"{smiles!r} cannot be read again from its canonical form")
    Chem.Kekulize(mol, clearAromaticFlags=True)
    return mol


def _edges(mol: Chem.Mol, smiles: str) -> list[tuple[int, int, int]]:
    edges = []
    for bond in mol.GetBonds():
        order = _ORDERS.get(bond.GetBondType())
        if order is None:
            kind = str(bond.GetBondType()).lower()
            raise ValueError(
                f"{smiles!r} holds a bond of type {kind} after Kekulization, only orders 1 to 3 can be kept"
            )
        edges.append((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), order))
    return edges


def _encode_chunk(smiles: list[str], fragment: Fragment) -> PackedGraphs | tuple[int, str]:
    """The packed molecules, or the place in the list and the reason of the first failure."""
    nodes, edges = [], []
    with rdBase.BlockLogs():
        for index, text in enumerate(smiles):
            try:
                mol = read_molecule(text, fragment)
                edges.append(_edges(mol, text))
            except ValueError as error:
                return index, str(error).strip().splitlines()[0]
            nodes.append([atom.GetAtomicNum() for atom in mol.GetAtoms()])
    return PackedGraphs.from_lists(nodes, edges)


def _results(chunks: list[list[str]], fragment: Fragment, workers: int) -> Iterator[PackedGraphs | tuple[int, str]]:
    """Results in the order of the chunks."""
    done = 0
    # A process that was itself spawned must not spawn on: it runs this very line when a script has no main
    # guard.
    if workers > 1 and len(chunks) > 1 and parent_process() is None:
        try:
            with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=get_context("spawn")) as pool:
                for result in pool.map(_encode_chunk, chunks, [fragment] * len(chunks)):
                    done += 1
                    yield result
        except (BrokenProcessPool, OSError) as error:
            log.warning("encoding goes on in one process (%s)", error)
    for chunk in chunks[done:]:
        yield _encode_chunk(chunk, fragment)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
