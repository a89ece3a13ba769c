"""Every solver at equal numbers of network calls on one molecule run.

    python benchmarks/graphs/solvers.py runs/qm9 --test qm9_test.smi --num 1000 --out solvers.json [--only ddim ...]
        [--teleport start.safetensors]

Each solver has its defaults, ends at 1e-4 in a denoising call where it can, and takes as many steps as stay within the
calls; solvers that choose their steps are given tolerances instead. Rows are kept in the output file, so that a stopped
run goes on.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

import torch
from quality import Kept, cell, quality

import scorefield as sf
from scorefield.core.arguments import parameters
from scorefield.core.errors import InputError
from scorefield.core.solvers.registry import SOLVERS
from scorefield.domains.graphs.formats import read_molecules
from scorefield.domains.graphs.molecules import Molecules
from scorefield.domains.graphs.statistics.population import MoleculePopulation

STATISTICS = ("valid_ref", "valid_strict", "unique", "nspdk")
CALLS = (13, 26, 51)
LATER = (0.9, 0.8, 0.7)
TOLERANCES = (1e-1, 1e-2, 1e-3)
COMMON: dict[str, Any] = {"end": 1e-4, "final": "denoise"}


def settings(name: str) -> list[dict[str, Any]]:
    """Arguments that are tried in turn: solvers that do not know one of them refuse it."""
    own: dict[str, Any] = {"grid": "logsnr"} if name == "pc" else {}
    return [{**COMMON, **own}, {"end": 1e-4, **own}, own]


def evaluations(model: sf.Model, name: str, steps: int, arguments: dict[str, Any]) -> float:
    generator = model.generator(name, steps, 0, weights="raw", arguments=arguments)
    return generator.chunk(0, 1, torch.device("cpu")).evaluations


def accepted(model: sf.Model, name: str) -> dict[str, Any]:
    """The first arguments that the solver takes."""
    for arguments in settings(name):
        try:
            model.generator(name, 10, 0, weights="raw", arguments=arguments)
        except InputError as error:
            if "has no argument" not in str(error):
                raise
        else:
            return arguments
    raise InputError(f"solver {name} takes none of the arguments")


def plans(model: sf.Model, name: str) -> list[tuple[str, int, dict[str, Any]]]:
    """Row name, steps and arguments of a solver at each budget."""
    arguments = accepted(model, name)
    if any(parameter.name == "rtol" for parameter in parameters(SOLVERS[name].make)):
        return [(f"{name}, rtol {tol:g}", 1, {**arguments, "rtol": tol, "atol": tol}) for tol in TOLERANCES]
    found = []
    for calls in CALLS:
        steps = calls
        while steps > 1 and evaluations(model, name, steps, arguments) > calls:
            steps -= 1
        found.append((f"{name}, {steps} steps", steps, arguments))
    return found


def teleported(file: str) -> list[tuple[str, str, int, dict[str, Any]]]:
    """Rows that begin later."""
    return [
        (
            f"{name}, {steps} steps from {time:g}",
            name,
            steps,
            {**COMMON, "grid": "logsnr", "teleport": f"{file}:{time}"},
        )
        for name in ("ddim", "dpmpp-2m", "pc")
        for time in LATER
        for steps in (6, 12, 25)
    ]


def measure(
    model: sf.Model, name: str, steps: int, arguments: dict[str, Any], num: int, test: MoleculePopulation
) -> dict[str, Any]:
    """One row."""

    def make() -> Molecules:
        return model.sample(num, name, steps=steps, weights="raw", device="cpu", **arguments)

    own = {key: value for key, value in arguments.items() if key != "teleport"}
    return {"calls": evaluations(model, name, steps, own), **quality(make, test, STATISTICS)}


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("solvers.json"))
    parser.add_argument("--only", nargs="*", default=list(SOLVERS))
    parser.add_argument("--teleport", metavar="FILE", help="statistics that core.teleport.Teleport has saved")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, test, kept = sf.load(options.run), MoleculePopulation(read_molecules(options.test)), Kept(options.out)
    print("| solver | calls | CPU s | " + " | ".join(STATISTICS) + " |", flush=True)
    print("|---|---|---|" + "---|" * len(STATISTICS), flush=True)
    rows = [(row, name, steps, more) for name in options.only for row, steps, more in plans(model, name)]
    for title, name, steps, more in rows + (teleported(options.teleport) if options.teleport else []):
        row = kept.row(title, functools.partial(measure, model, name, steps, more, options.num, test))
        cells = [cell(row[statistic]) for statistic in STATISTICS]
        print(f"| {title} | {row['calls']:.0f} | {row['seconds']:.0f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
