"""NSPDK kernel values against a slow literal transcription of the definition, in plain Python."""

from __future__ import annotations

import gzip
import math
from collections import Counter, deque
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from scorefield.domains.graphs.statistics.nspdk import nspdk_features

SIZES = range(0, 9, 2)  # distances and radii in the expanded graph
Feature = tuple[object, ...]


def expand(molecule: Chem.Mol) -> tuple[list[str], list[list[int]]]:
    """Labels and neighbours of the graph in which every bond is a node too; atoms come first."""
    labels = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    neighbours: list[list[int]] = [[] for _ in labels]
    for bond in molecule.GetBonds():
        node, ends = len(labels), (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        labels.append(f"bond {int(bond.GetBondTypeAsDouble())}")
        neighbours.append(list(ends))
        for end in ends:
            neighbours[end].append(node)
    return labels, neighbours


def search(neighbours: list[list[int]], start: int, depth: int) -> dict[int, int]:
    """Distances from a node, breadth first, up to a depth."""
    found, queue = {start: 0}, deque([start])
    while queue:
        node = queue.popleft()
        if found[node] < depth:
            for other in neighbours[node]:
                if other not in found:
                    found[other] = found[node] + 1
                    queue.append(other)
    return found


def neighbourhoods(labels: list[str], neighbours: list[list[int]], start: int) -> list[str]:
    """What stands for the hashes H[0..]: the sorted contents of all levels so far, one entry a level that exists."""
    levels: dict[int, list[str]] = {}
    for node, distance in search(neighbours, start, 8).items():
        levels.setdefault(distance, []).append(f"{labels[node]} of degree {len(neighbours[node])}")
    texts = ["; ".join(sorted(levels[level])) for level in sorted(levels)]
    return [" | ".join(texts[: level + 1]) for level in range(len(texts))]


def plain_features(molecule: Chem.Mol) -> dict[Feature, float]:
    """Counts, normalised within each block of radius and distance, then as a whole."""
    labels, neighbours = expand(molecule)
    atoms = range(molecule.GetNumAtoms())
    around = [neighbourhoods(labels, neighbours, atom) for atom in atoms]
    counts: Counter[Feature] = Counter()
    for v in atoms:
        for u, distance in search(neighbours, v, 8).items():
            for radius in SIZES:
                if u in atoms and distance in SIZES and radius < min(len(around[v]), len(around[u])):
                    low, high = sorted((around[v][radius], around[u][radius]))
                    counts[radius, distance, low, high] += 1
                    counts[radius, distance, around[u][radius]] += 1
    blocks: Counter[Feature] = Counter()
    for feature, count in counts.items():
        blocks[feature[:2]] += count**2
    values = {feature: count / math.sqrt(blocks[feature[:2]]) for feature, count in counts.items()}
    whole = math.sqrt(sum(value**2 for value in values.values()))
    return {feature: value / whole for feature, value in values.items()}


def product(first: dict[Feature, float], second: dict[Feature, float]) -> float:
    return sum(value * second.get(feature, 0.0) for feature, value in first.items())


def read(path: Path, step: int, number: int) -> list[Chem.Mol]:
    rows = gzip.decompress(path.read_bytes()).decode().split()
    return [Chem.MolFromSmiles(row) for row in rows[::step][:number]]


def test_kernel_values_of_real_molecules(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "graphs"
    molecules = read(folder / "zinc250k_smiles.txt.gz", 6007, 20) + read(folder / "qm9_smiles.txt.gz", 6007, 17)
    molecules += [Chem.MolFromSmiles(text) for text in ("C", "CO.c1ccccc1", "[O-][N+](=O)C#N")]
    plain = [plain_features(molecule) for molecule in molecules]
    ours = nspdk_features(molecules)
    rows = [slice(*ours.indptr[i : i + 2]) for i in range(len(molecules))]
    values = [dict(zip(ours.tokens[row].tolist(), ours.values[row].tolist(), strict=True)) for row in rows]
    kernel = np.array([[product(a, b) for b in values] for a in values])
    expected = np.array([[product(a, b) for b in plain] for a in plain])
    assert len(molecules) == 40
    assert [len(row) for row in values] == [len(row) for row in plain]
    assert kernel == pytest.approx(expected, abs=1e-9)
    assert np.unique(expected.round(6)).size > 500
