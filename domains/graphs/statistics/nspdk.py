"""NSPDK features: pairs of rooted neighbourhoods of a molecule (Costa and De Raedt 2010; EDeN, complexity 4).

Every bond becomes a node that carries the bond's label; atoms i, j at graph distance k are 2k apart in this
expanded graph, and a bond (i, j) is 2 min(d(v, i), d(v, j)) + 1 away from atom v. Level l of v is the multiset of
(label, expanded degree) at distance l; H_v[r] hashes levels 0..r. Each ordered pair of atoms (v, u) at expanded
distance delta in {0, 2, 4, 6, 8} and each radius r in {0, 2, 4, 6, 8} that both reach counts one pair feature
(min(H_v[r], H_u[r]), max, r, delta) and one half feature (H_u[r], r, delta). Counts are L2-normalised within each
(r, delta) block and then as a whole; the kernel is linear.

Hashes are 64-bit (splitmix64's finaliser; multisets by wrapping sums of mixed entries), equal on every machine and in
every run. Molecules are processed in padded batches: arrays (B, N, N), never a loop over atoms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from tqdm import tqdm

from scorefield.core.statistics.features import TokenCounts

__all__ = ["nspdk_features"]

_Hash = npt.NDArray[np.uint64]
_Int = npt.NDArray[np.int64]
_STEPS = 4  # largest radius and distance, in bonds
_LEVELS = 2 * _STEPS + 1
_BATCH_ENTRIES = 60_000  # B * N * N of a batch


def _mix(values: npt.ArrayLike) -> _Hash:
    """splitmix64's finaliser, elementwise."""
    z = np.asarray(values, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def _chain(first: _Hash, second: npt.ArrayLike) -> _Hash:
    """Hash of an ordered pair."""
    return _mix(_mix(first) * np.uint64(3) + np.asarray(second, dtype=np.uint64))


@dataclass(frozen=True)
class _Batch:
    """B molecules padded to N atoms: atom hashes, graph distances, and the E bonds of all, in molecule order."""

    atoms: _Hash  # (B, N)
    present: npt.NDArray[np.bool_]  # (B, N)
    distance: npt.NDArray[np.int16]  # (B, N, N), beyond _STEPS anything larger
    owner: _Int  # (E,)
    ends: _Int  # (E, 2)
    bonds: _Hash  # (E,)


def _batch(molecules: Sequence[Chem.Mol], size: int) -> _Batch:
    number = len(molecules)
    atoms, degrees = np.zeros((number, size), dtype=np.uint64), np.zeros((number, size), dtype=np.uint64)
    present = np.zeros((number, size), dtype=bool)
    distance = np.full((number, size, size), 99, dtype=np.int16)
    owner, ends, labels = [], [], []
    for row, molecule in enumerate(molecules):
        count = molecule.GetNumAtoms()
        present[row, :count] = True
        atoms[row, :count] = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
        degrees[row, :count] = [atom.GetDegree() for atom in molecule.GetAtoms()]
        distance[row, :count, :count] = np.minimum(Chem.GetDistanceMatrix(molecule), 99)
        for bond in molecule.GetBonds():
            owner.append(row)
            ends.append((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
            labels.append(1000 + int(bond.GetBondTypeAsDouble()))
    return _Batch(
        _chain(_mix(atoms), degrees),
        present,
        distance,
        np.array(owner, dtype=np.int64),
        np.array(ends, dtype=np.int64).reshape(-1, 2),
        _chain(_mix(np.array(labels, dtype=np.uint64)), np.uint64(2)),  # a bond node has degree two
    )


def _sum_by_molecule(entries: _Hash, owner: _Int, number: int) -> _Hash:
    """Wrapping sums (B, N) of (E, N) entries whose owners are sorted."""
    running = np.concatenate([np.zeros((1, entries.shape[1]), np.uint64), np.cumsum(entries, axis=0, dtype=np.uint64)])
    edges = np.searchsorted(owner, np.arange(number + 1))
    return np.asarray(running[edges[1:]] - running[edges[:-1]])


def _neighbourhoods(batch: _Batch) -> tuple[_Hash, npt.NDArray[np.int16]]:
    """H (B, N, radii 0..8) and how many levels each atom has (B, N)."""
    number, size = batch.present.shape
    hashes = np.zeros((number, size, _LEVELS), dtype=np.uint64)
    levels = np.zeros((number, size), dtype=np.int16)
    to_bond = batch.distance[batch.owner[:, None], np.arange(size)[None, :], batch.ends.min(axis=1)[:, None]]
    other_end = batch.distance[batch.owner[:, None], np.arange(size)[None, :], batch.ends.max(axis=1)[:, None]]
    to_bond = np.minimum(to_bond, other_end)  # (E, N)
    running = np.zeros((number, size), dtype=np.uint64)
    for level in range(_LEVELS):
        if level % 2 == 0:
            at_level = batch.distance == level // 2
            content = (at_level * batch.atoms[:, None, :]).sum(axis=2, dtype=np.uint64)
            reached = at_level.any(axis=2)
        else:
            at_level = to_bond == level // 2
            content = _sum_by_molecule(at_level * batch.bonds[:, None], batch.owner, number)
            reached = _sum_by_molecule(at_level.astype(np.uint64), batch.owner, number) > 0
        running = _chain(running, _mix(content))
        hashes[:, :, level] = running
        levels += reached & (levels == level)
    return hashes, levels


def _count_by_block(molecule: _Int, tokens: _Hash, block: _Int, number: int) -> TokenCounts:
    """Normalised counts per molecule; a token belongs to one block only, which is part of its hash."""
    vocabulary, place = np.unique(tokens, return_inverse=True)
    keys, first, counts = np.unique(molecule * len(vocabulary) + place, return_index=True, return_counts=True)
    owner = keys // len(vocabulary)
    blocks = _LEVELS * _LEVELS
    slot = owner * blocks + block[first]
    norms = np.sqrt(np.bincount(slot, weights=counts.astype(float) ** 2, minlength=number * blocks))
    filled = (norms.reshape(number, blocks) > 0).sum(axis=1)
    values = counts / norms[slot] / np.sqrt(filled[owner])
    indptr = np.searchsorted(owner, np.arange(number + 1)).astype(np.int64)
    return TokenCounts(indptr, vocabulary[keys % len(vocabulary)], values)


def _batch_features(batch: _Batch) -> TokenCounts:
    hashes, levels = _neighbourhoods(batch)
    molecules, tokens, blocks = [], [], []
    for steps in range(_STEPS + 1):
        row, v, u = np.nonzero(batch.distance == steps)
        for radius in range(0, _LEVELS, 2):
            both = (levels[row, v] > radius) & (levels[row, u] > radius)
            r, hash_v, hash_u = row[both], hashes[row[both], v[both], radius], hashes[row[both], u[both], radius]
            block = radius * _LEVELS + 2 * steps
            pair = _chain(_chain(np.minimum(hash_v, hash_u), np.maximum(hash_v, hash_u)), np.uint64(block))
            half = _chain(hash_u, np.uint64(1000 + block))
            molecules += [r, r]
            tokens += [pair, half]
            blocks += [np.full(2 * len(r), block, dtype=np.int64)]
    parts = np.concatenate(molecules), np.concatenate(tokens), np.concatenate(blocks)
    return _count_by_block(*parts, len(batch.present))


def _batches(sizes: _Int) -> Iterator[_Int]:
    """Row numbers of batches of similar size, about _BATCH_ENTRIES pairs each."""
    order = np.argsort(sizes, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * int(sizes[order[stop]]) ** 2 <= _BATCH_ENTRIES:
            stop += 1
        yield order[start:stop]
        start = stop


def nspdk_features(molecules: Sequence[Chem.Mol], *, progress: bool = False) -> TokenCounts:
    """Normalised NSPDK counts of sanitised (aromatised) molecules, one row each.

    Args:
        molecules: molecules with implicit hydrogens, each with at least one atom.
        progress: show a progress bar.
    """
    sizes = np.array([molecule.GetNumAtoms() for molecule in molecules], dtype=np.int64)
    parts, rows = [], []
    with tqdm(total=len(molecules), desc="nspdk", unit="mol", disable=not progress) as bar:
        for chosen in _batches(sizes):
            parts.append(_batch_features(_batch([molecules[i] for i in chosen], int(sizes[chosen[-1]]))))
            rows.append(chosen)
            bar.update(len(chosen))
    if not parts:
        return TokenCounts.from_lists([])
    return _reorder(TokenCounts.concatenate(parts), np.argsort(np.concatenate(rows), kind="stable"))


def _reorder(features: TokenCounts, order: npt.NDArray[np.intp]) -> TokenCounts:
    lengths = np.diff(features.indptr)[order]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    entries = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - features.indptr[order], lengths)
    return TokenCounts(indptr, features.tokens[entries], features.values[entries])
