"""Evaluations against quality for one molecule run: which sampler gives what for how many network calls.

    PYTHONPATH=benchmarks python benchmarks/graphs/samplers.py runs/qm9 --test qm9_test.smi
        --num 2000 --out samplers.json [--only pc-25 ...]

Prints a table with 95 % intervals; finished rows are kept in the output file, so that a stopped run continues.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from quality import Kept, cell, quality

import scorefield as sf
from scorefield.domains.graphs.domain import GraphDomain
from scorefield.domains.graphs.formats import read_molecules
from scorefield.domains.graphs.molecules import Molecules
from scorefield.domains.graphs.statistics.population import MoleculePopulation

STATISTICS = ("valid_ref", "valid_strict", "unique", "nspdk", "fcd")

Entry = tuple[str, int, dict[str, Any]]


def _pc(steps: int, snr: float, scale: float, grid: str | None = "logsnr", **more: Any) -> Entry:
    # The grid is always said, or the run's own would be taken.
    return ("pc", steps, {"snr": snr, "scale": scale, "grid": grid, "end": 1e-4, **more})


def _published(steps: int) -> Entry:
    return _pc(steps, 0.2, 0.7, None, predictor="reverse", published=True, norms="batch", final="none")


SAMPLERS: dict[str, Entry] = {
    "published": _published(1000),
    "published-100": _published(100),
    "published-25": _published(25),
    "s4-1000": ("s4", 1000, {"snr": 0.2, "scale": 0.7, "norms": "batch"}),
    "s4-51": ("s4", 51, {"snr": 0.4, "scale": 0.7}),
    "default": _pc(25, 0.33, 0.5, "power:0.5"),
    "default-50": _pc(50, 0.25, 0.5, "power:0.5"),
    "default-12": _pc(12, 0.4, 0.5, "power:0.5"),
    "pc-25-snr0.35": _pc(25, 0.35, 0.6),
    "pc-100": _pc(100, 0.3, 0.7),
    "pc-50": _pc(50, 0.3, 0.7),
    "pc-25": _pc(25, 0.4, 0.7),
    "pc-25-ancestral": _pc(25, 0.4, 0.7, predictor="ancestral"),
    "pc-25-batch": _pc(25, 0.4, 0.7, norms="batch"),
    "pc-25-snr0.5": _pc(25, 0.5, 0.6),
    "pc-25-snr0.5-scale0.7": _pc(25, 0.5, 0.7),
    "pc-25-snr0.45-scale0.8": _pc(25, 0.45, 0.8),
    "pc-17-two-corrections": _pc(17, 0.3, 0.7, corrector_steps=2),
    "pc-12": _pc(12, 0.5, 0.7),
    "pc-6": _pc(6, 0.6, 0.7),
    "ddim-51": ("ddim", 50, {"end": 1e-4, "final": "denoise"}),
    "dpmpp-2m-51": ("dpmpp-2m", 50, {"end": 1e-4, "final": "denoise"}),
    "unipc-51": ("unipc", 50, {"end": 1e-4, "final": "denoise"}),
    "heun-51": ("heun", 25, {"end": 1e-4, "final": "denoise"}),
    "dpmpp-2m-sde-51": ("dpmpp-2m-sde", 50, {"end": 1e-4, "final": "denoise"}),
    "dpmpp-2m-sde-201": ("dpmpp-2m-sde", 200, {"end": 1e-4, "final": "denoise"}),
}


def measure(model: sf.Model, entry: Entry, num: int, seed: int, test: MoleculePopulation) -> dict[str, Any]:
    """Sample and compare; CPU seconds and evaluations are of the sampling."""
    solver, steps, arguments = entry
    generator = model.generator(solver, steps, seed, weights="raw", arguments=arguments)
    evaluations = generator.chunk(0, 1, torch.device("cpu")).evaluations

    def make() -> Molecules:
        return model.sample(num, solver, steps=steps, seed=seed, weights="raw", device="cpu", **arguments)

    return {"evaluations": evaluations, **quality(GraphDomain(), make, test, STATISTICS, seed)}


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--num", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("samplers.json"))
    parser.add_argument("--only", nargs="*", default=list(SAMPLERS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = Kept(options.out)
    model, test = sf.load(options.run), MoleculePopulation(read_molecules(options.test))
    print("| sampler | evaluations | CPU s | " + " | ".join(STATISTICS) + " |", flush=True)
    print("|---|---|---|" + "---|" * len(STATISTICS), flush=True)
    for name in options.only:
        entry = SAMPLERS[name]
        row = kept.row(name, lambda entry=entry: measure(model, entry, options.num, options.seed, test))
        cells = [cell(row[statistic]) for statistic in STATISTICS]
        print(f"| {name} | {row['evaluations']} | {row['seconds']:.0f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
