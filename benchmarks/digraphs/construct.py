"""Directed graphs from degree matrices: this project against NetworkX, in one run, on one thread.

    SCOREFIELD_SHARED=... OMP_NUM_THREADS=1 python benchmarks/digraphs/construct.py [--repeats 5]

Prints medians of CPU time, everything compiled before: NetworkX's `directed_joint_degree_graph` and `construct` (cyclic
start) on the same matrices, wiki-Vote rescaled by 0.5 and soc-Slashdot0902 as it is; then a whole sample of wiki-Vote
with mixing, and the multiplication of two 1024 x 1024 float32 matrices as a measure of the core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import networkx
import numpy as np

from scorefield.domains.digraphs import DegreeMatrices, Recipe, construct, draw, measure, read_digraph, rescale


def cpu(work: Callable[[], object], repeats: int) -> float:
    """Median CPU seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def by_networkx(matrices: DegreeMatrices) -> Callable[[], object]:
    """A call of NetworkX for these matrices."""
    nodes = np.repeat(matrices.jdm[:, :2], matrices.jdm[:, 2], axis=0)
    ins, outs = nodes[:, 0].tolist(), nodes[:, 1].tolist()
    cells: dict[int, dict[int, int]] = {}
    for k, i, edges in matrices.dcm.tolist():
        cells.setdefault(k, {})[i] = edges
    return lambda: networkx.directed_joint_degree_graph(ins, outs, cells, seed=1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    folder = Path(os.environ["SCOREFIELD_SHARED"]) / "data" / "digraphs"
    votes = measure(read_digraph(folder / "wiki-Vote.npz").graph)
    cases = {
        "wiki-Vote x 0.5": rescale(votes, 0.5).matrices,
        "soc-Slashdot0902 x 1": measure(read_digraph(folder / "soc-Slashdot0902.npz").graph),
    }
    construct(cases["wiki-Vote x 0.5"])
    draw(votes, Recipe(0.5))
    print(f"{'graph':22} {'edges':>8} {'networkx s':>11} {'construct s':>12} {'ratio':>7}")
    for name, matrices in cases.items():
        own = cpu(lambda matrices=matrices: construct(matrices), repeats)
        other = cpu(by_networkx(matrices), 1)
        print(f"{name:22} {matrices.m:8d} {other:11.3f} {own:12.4f} {other / own:7.0f}")
    whole = cpu(lambda: draw(votes, Recipe(0.5)), repeats)
    square = np.ones((1024, 1024), np.float32)
    print(f"wiki-Vote x 0.5, 10 steps an edge, all together: {whole:.3f} s")
    print(f"two 1024 x 1024 float32 matrices multiplied: {1000 * cpu(lambda: square @ square, repeats):.0f} ms")


if __name__ == "__main__":
    main()
