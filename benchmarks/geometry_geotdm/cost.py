"""What a training step and an evaluation of GeoTDM cost against the numbers of nodes and of frames.

    PYTHONPATH=benchmarks OMP_NUM_THREADS=1 python benchmarks/geometry_geotdm/cost.py
        [--hidden 64] [--layers 2] [--batch 1] [--repeats 3] [--keep geometry_cost.json] [--plot geometry_cost.png]

CPU seconds of one thread, medians, of a batch of graphs in which all nodes are joined, half of the frames given.
Exponents are slopes of least squares in logarithms, over all sizes and over the upper half of them: edges grow with the
square of the nodes and attention with that of the frames, the rest in proportion. Sizes that are done are kept in a
file: a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality import Kept

from scorefield.core.draws import SampleStreams
from scorefield.core.files import atomic
from scorefield.core.objectives import DenoisingScoreMatching
from scorefield.core.optimisation import make_optimiser
from scorefield.core.paths import EDM
from scorefield.core.state import State
from scorefield.domains.geometry.geotdm import GeoTDM

NODES, FRAMES = (5, 10, 20, 40, 70, 100), (10, 20, 40, 80, 140, 200)
FIXED = {"nodes": 20, "frames": 5}
"""Frames where nodes vary, nodes where frames vary."""
KINDS = {"training": "training step", "evaluation": "evaluation"}


def state_of(batch: int, nodes: int, frames: int) -> State:
    """Random walks, the first half of them given."""
    draws = torch.Generator().manual_seed(0)
    x = 0.1 * torch.randn(batch, nodes, frames, 3, generator=draws).cumsum(2)
    x = x + torch.randn(batch, nodes, 1, 3, generator=draws)
    given = (torch.arange(frames) < frames // 2).expand(batch, -1).contiguous()
    condition = {
        "given_x": torch.where(given[:, None, :, None], x, 0.0),
        "features": torch.randn(batch, nodes, 1, generator=draws).sign(),
    }
    return State({"x": x}, {"given_frames": given}, condition)


def cost(nodes: int, frames: int, batch: int, hidden: int, layers: int, repeats: int) -> dict[str, float]:
    """CPU seconds of a training step and of an evaluation."""
    torch.manual_seed(0)
    sizes = {"nodes": nodes, "frames": frames, "space": 3, "features": 1, "edge_features": 0, "given": frames // 2}
    system = GeoTDM(hidden=hidden, layers=layers, path=EDM(0.0005, 20.0), data_std=0.5).build(sizes).train()
    objective = DenoisingScoreMatching("free_mean", "balanced", "log_snr", t_min=1e-4)
    optimiser = make_optimiser("adam", system.parameter_groups(), {}, lr=1e-4, weight_decay=0.0)
    state, t = state_of(batch, nodes, frames), torch.full((1,), 0.5).expand(batch)
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for repeat in range(repeats + 1):
        start = time.process_time()
        draws = objective.draw(system, state, SampleStreams(batch, "train", repeat))
        optimiser.zero_grad()
        objective.total(objective.losses(system, state, draws)).backward()
        optimiser.step()
        middle = time.process_time()
        with torch.no_grad():
            system(state, t)
        took["training"].append(middle - start)
        took["evaluation"].append(time.process_time() - middle)
    return {kind: statistics.median(values[1:]) for kind, values in took.items()}


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def draw(found: dict[str, dict[int, dict[str, float]]], file: Path, title: str) -> None:
    """Seconds against sizes, with the slopes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, (name, rows) in zip(axes, found.items(), strict=True):
        for kind, told in KINDS.items():
            seconds = [row[kind] for row in rows.values()]
            slope = exponent(list(rows), seconds)
            axis.plot(list(rows), seconds, "o-", label=f"{told}, exponent {slope:.2f}")
        other = "frames" if name == "nodes" else "nodes"
        axis.set(xscale="log", yscale="log", xlabel=f"{name} ({FIXED[name]} {other})")
        axis.set_xticks(list(rows), [str(size) for size in rows])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    axes[0].set_ylabel("CPU seconds, one thread")
    figure.suptitle(title, fontsize=10)
    with atomic(file) as temporary:
        figure.savefig(temporary, format=file.suffix[1:], dpi=150)
    plt.close(figure)


def main() -> None:
    """Print the table and draw the plot."""
    parser = argparse.ArgumentParser()
    for name, value in (("hidden", 64), ("layers", 2), ("batch", 1), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES)
    parser.add_argument("--frames", type=int, nargs="+", default=FRAMES)
    parser.add_argument("--keep", type=Path, default=Path("geometry_cost.json"))
    parser.add_argument("--plot", type=Path, default=Path("geometry_cost.png"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept, shape = Kept(arguments.keep), {name: getattr(arguments, name) for name in ("batch", "hidden", "layers")}
    label = ", ".join(f"{name} {value}" for name, value in shape.items())
    found: dict[str, dict[int, dict[str, float]]] = {"nodes": {}, "frames": {}}
    for name, rows in found.items():
        for size in getattr(arguments, name):
            counts = (size, FIXED[name]) if name == "nodes" else (FIXED[name], size)

            def measure(counts: tuple[int, int] = counts) -> dict[str, Any]:
                return cost(*counts, **shape, repeats=arguments.repeats)

            rows[size] = kept.row(f"{label}, {counts[0]} nodes, {counts[1]} frames", measure)
            told = ", ".join(f"{kind} {rows[size][key]:.4f}" for key, kind in KINDS.items())
            print(f"{counts[0]:4d} nodes, {counts[1]:4d} frames: CPU-s {told}", flush=True)
    for name, rows in found.items():
        for key, kind in KINDS.items():
            sizes, seconds = list(rows), [row[key] for row in rows.values()]
            half = len(sizes) // 2
            upper = exponent(sizes[half:], seconds[half:])
            print(f"{kind} grows with {name} to the power {exponent(sizes, seconds):.2f}; upper half {upper:.2f}")
    draw(found, arguments.plot, f"GeoTDM: {label}")


if __name__ == "__main__":
    main()
