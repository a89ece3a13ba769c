"""What the statistics of series cost: time and memory of fdds, and the population term in a training step.

    OMP_NUM_THREADS=2 python benchmarks/series_pad_ts/distribution_shifts.py [--windows 20000] [--features 28]

Windows are random walks with common parts, so that correlations take all values. `fdds` is the value alone, with the
correlations of both sets; `with interval, p and floor` is the statistic's whole row. Memory is the peak resident size
of a process of its own, its libraries (line `start`) included. `all pairs` is the same distance by its definition, on
as many windows as `--pairs` says, scaled by the square of their number. The population term is timed forward and
backward on a batch of 64 windows of 24 steps, beside a 1024 x 1024 matrix product.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from scorefield.core.cosine_kernel import SCORING_BANDWIDTHS
from scorefield.core.population import PopulationTerm, WindowCorrelations, brute_force_mmd
from scorefield.core.statistics.distances import distance_between
from scorefield.core.statistics.spectral import SketchedMMD, SpectralMMD
from scorefield.core.statistics.statistic import Statistic
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.series.statistics.population import ScoredWindows

STEPS = 24


def walks(number: int, features: int, seed: int) -> ScoredWindows:
    """Random walks whose columns share a part of their steps, in [0, 1]."""
    generator = np.random.default_rng(seed)
    steps = generator.standard_normal((number, STEPS, features), dtype=np.float32)
    steps += generator.standard_normal((number, STEPS, 1), dtype=np.float32) * np.linspace(0, 1, features, dtype="f4")
    x = steps.cumsum(axis=1)
    return ScoredWindows((x - x.min()) / (x.max() - x.min()))


def whole_row(real: ScoredWindows, generated: ScoredWindows) -> object:
    """The statistic as `compare` computes it."""
    floors = max(3, 40_000_000 // real.correlations.size)
    statistic = Statistic("fdds", "", lambda w: w.correlations, SpectralMMD(), SketchedMMD(), most_floors=floors)
    return statistic.row(real, generated, Resampling(), 0)


PARTS: dict[str, Callable[[ScoredWindows, ScoredWindows], object]] = {
    "start": lambda real, generated: None,
    "fdds": lambda real, generated: distance_between(SpectralMMD(), real.correlations, generated.correlations),
    "with interval, p and floor": whole_row,
}


def measured(name: str, windows: int, features: int) -> dict[str, float]:
    """Seconds and memory of one part, in this process."""
    real, generated = walks(windows, features, 0), walks(windows, features, 1)
    wall, cpu = time.perf_counter(), time.process_time()
    PARTS[name](real, generated)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak": peak}


def all_pairs(windows: int, features: int, pairs: int) -> float:
    """CPU seconds of the definition, scaled from few windows and four columns."""
    real, generated = (torch.from_numpy(walks(pairs, features, seed).correlations[:, :4]) for seed in (0, 1))
    begin = time.process_time()
    brute_force_mmd(real, generated, SCORING_BANDWIDTHS)
    columns = features * (features - 1) // 2
    return (time.process_time() - begin) * (windows / pairs) ** 2 * columns / 4


def population_term(features: int, repeats: int = 15) -> tuple[float, float]:
    """Median CPU milliseconds of the term, forward and backward, and of the matrix product."""
    term, times, products = PopulationTerm(WindowCorrelations()), [], []
    real = torch.randn(64, STEPS, features).cumsum(1)
    square = torch.randn(1024, 1024)
    for _ in range(repeats):
        generated = torch.randn(64, STEPS, features).cumsum(1).requires_grad_()
        begin = time.process_time()
        term(real, generated).backward()  # type: ignore[no-untyped-call]
        middle = time.process_time()
        square @ square
        times.append(middle - begin)
        products.append(time.process_time() - middle)
    return 1e3 * statistics.median(times), 1e3 * statistics.median(products)


def main() -> None:
    parser = argparse.ArgumentParser(description="cost of the statistics of series")
    parser.add_argument("--windows", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=28)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps(measured(args.part, args.windows, args.features)))
        return
    columns = args.features * (args.features - 1) // 2
    print(f"{args.windows} windows a set, {args.features} features, {columns} pairs; wanted: 30 s, 1 GB")
    print(f"threads {os.environ.get('OMP_NUM_THREADS', 'by default')}, torch {torch.__version__}\n")
    print(f"{'part':28} {'wall s':>8} {'CPU s':>8} {'peak GB':>8}")
    for name in PARTS:
        command = [sys.executable, __file__, "--part", name]
        command += ["--windows", str(args.windows), "--features", str(args.features)]
        done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(f"{name:28} {done['wall']:8.1f} {done['cpu']:8.1f} {done['peak']:8.2f}", flush=True)
    print(f"{'all pairs (scaled)':28} {'':8} {all_pairs(args.windows, args.features, args.pairs):8.0f}")
    torch.set_num_threads(1)
    for features in (6, args.features):
        term, product = population_term(features)
        print(
            f"population term, {features} features: {term:.1f} CPU ms forward and backward (product {product:.1f} ms)"
        )


if __name__ == "__main__":
    main()
