"""Guidance of one molecule run: how far each way moves a property, and what it costs in validity and network calls.

    PYTHONPATH=benchmarks python benchmarks/graphs/guidance.py runs/qm9 --test qm9_test.smi
        --num 500 --out guidance.json [--only PART ...]

Tasks: `share`, a third of nitrogen among the atoms (an energy with a gradient); `logp`, Crippen's log P of 1 (none);
`infill`, the atoms of test molecules with the type of every second one given (an observation). Every way runs with
several numbers of steps; the first rows of a task have no guide. `wanted` is the mean distance from the wanted value,
of the decoded molecules; for `infill` the share of given atoms that came out otherwise. Particles follow one target
together, so `infill`, where every row has an observation of its own, is not for them. Rows are kept in the output file,
so that a stopped run goes on.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from quality import Kept, cell, quality
from rdkit import Chem
from torch import Tensor

import scorefield as sf
from scorefield.core.diffusion import join
from scorefield.core.guidance.naming import make_guides
from scorefield.core.guidance.observations import GaussianObservation
from scorefield.core.guidance.search import RolloverSearch
from scorefield.core.guide import Guide
from scorefield.core.noise import Seeded
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.domains.graphs.chemistry.atoms import AtomTable
from scorefield.domains.graphs.chemistry.encode import encode
from scorefield.domains.graphs.domain import GraphDomain
from scorefield.domains.graphs.formats import read_molecules
from scorefield.domains.graphs.molecules import Molecules
from scorefield.domains.graphs.statistics.population import MoleculePopulation
from scorefield.domains.graphs.statistics.properties import PROPERTIES

STATISTICS = ("valid_ref", "unique", "nspdk")
TILE = 250
SHARE, LOGP, ERROR = 1 / 3, 1.0, 0.1
STEPS = (13, 25, 50, 100)
STOCHASTIC = ("ddpm", {"end": 1e-4, "final": "denoise"})
ODE = {name: (name, {"end": 1e-4, "final": "denoise"}) for name in ("ddim", "dpmpp-2m")}
DEFAULT = ("pc", {"snr": 0.33, "scale": 0.5, "grid": "power:0.5", "end": 1e-4})

Solver = tuple[str, dict[str, Any]]
Way = tuple[str, str | None, dict[str, Any], Solver]


def gradients(way: str, weights: tuple[float, ...]) -> list[Way]:
    """A way by gradients with several weights; with the default sampler, and with two others for one weight."""
    rows: list[Way] = [(f"{way}, weight {w:g}", way, {"weight": w}, DEFAULT) for w in weights]
    others = {**ODE, "ddpm": STOCHASTIC}
    return rows + [(f"{way}, weight {weights[1]:g}, {n}", way, {"weight": weights[1]}, s) for n, s in others.items()]


UNGUIDED: list[Way] = [(f"none, {s[0]}", None, {}, s) for s in (DEFAULT, STOCHASTIC, *ODE.values())]
TASKS: dict[str, list[Way]] = {
    "share": [
        *UNGUIDED,
        *gradients("gradient", (100.0, 1000.0)),
        *(
            (f"{way}, weight {w:g}", way, {"weight": w}, STOCHASTIC)
            for way in ("particles", "afdps")
            for w in (30, 100)
        ),
        ("rbf, 5 calls a step", "rbf", {}, STOCHASTIC),
        *((f"refine, weight {w:g}", "refine", {"weight": w, "step_size": 1e-3}, DEFAULT) for w in (100.0, 1000.0)),
    ],
    "logp": [
        *UNGUIDED[:2],
        *((f"particles, weight {w:g}", "particles", {"weight": w}, STOCHASTIC) for w in (1, 10)),
        ("rbf, 5 calls a step", "rbf", {}, STOCHASTIC),
    ],
    "infill": [
        *UNGUIDED[:2],
        ("gradient", "gradient", {}, DEFAULT),
        ("dps", "dps", {}, DEFAULT),
        ("replacement, pc", "replacement", {}, DEFAULT),
        ("replacement, ddpm", "replacement", {}, STOCHASTIC),
        ("replacement, ddim", "replacement", {}, ODE["ddim"]),
    ],
}


class Bench:
    """A run, real molecules, and tasks on them."""

    def __init__(self, run: str, test: Path, num: int) -> None:
        self.model, self.num = sf.load(run), num
        self.system, self.tables = self.model.system("raw"), self.model.record.tables
        self.smiles = read_molecules(test)
        self.test = MoleculePopulation(self.smiles)
        table = AtomTable(tuple(self.tables["atoms"]))
        chosen = torch.randperm(len(self.smiles), generator=torch.Generator().manual_seed(0))[:num]
        most = self.model.record.sizes["max_nodes"]
        real = encode([str(self.smiles.smiles[i]) for i in chosen.tolist()], table, most)
        self.atoms = torch.full((num, most), 255)
        self.atoms[:, : real.atoms.shape[1]] = torch.tensor(real.atoms).long()
        self.nodes = torch.tensor(real.num_nodes)
        self.elements = list(self.tables["atoms"])

    def frames(self) -> list[State]:
        """Empty states with the node counts of the real molecules, a tile each."""
        parts = torch.arange(self.num).split(TILE)
        domain, sizes = self.model.domain, self.model.record.sizes
        return [domain.frame({"num_nodes": self.nodes[p]}, sizes, self.tables) for p in parts]

    def given(self, part: Tensor, nodes: int) -> Tensor:
        """One-hot types of every second atom of real molecules, NaN elsewhere, `[B, N, F]`."""
        atoms = self.atoms[part, :nodes]
        known = (atoms < len(self.elements)) & (torch.arange(nodes) % 2 == 0)
        values = torch.nn.functional.one_hot(atoms.clamp(max=len(self.elements) - 1), len(self.elements)).float()
        return values.masked_fill(~known[..., None], torch.nan)

    def guides(self, task: str, way: str | None, arguments: dict[str, Any]) -> list[Guide]:
        """The guides of one row."""
        if way is None:
            return []
        arguments = dict(arguments)
        weight = f":{arguments.pop('weight')}" if "weight" in arguments else ""
        goal: Any = {"share": f"atoms.N={SHARE}{weight}", "logp": f"logp={LOGP}{weight}"}.get(task)
        if goal is None:
            goal = GaussianObservation("x", "given", ERROR)
        return make_guides([goal], self.model.domain, self.tables, way, arguments)

    def make(self, task: str, row: Way, steps: int) -> tuple[Molecules, State, float]:
        """Molecules, their states, and network calls of a sample."""
        _, way, arguments, (name, settings) = row
        solver, states, calls = make_solver(name, steps, **settings), [], 0.0
        for number, frame in enumerate(self.frames()):
            part = torch.arange(number * TILE, number * TILE + len(frame))
            given = self.given(part, frame["x"].shape[1])
            frame = State(frame.components, frame.masks, {**frame.condition, "given": given})
            guides, noise = self.guides(task, way, {**arguments, **_budget(way, steps)}), Seeded(0, number)
            if guides and isinstance(guides[0], RolloverSearch):
                done = guides[0].run(self.system, frame, solver, noise, None)
            else:
                done = sample(self.system, frame, solver, noise, guides=guides)
            states.append(self.model.domain.pad(done.state, self.model.record.sizes))
            calls += done.evaluations * len(frame) / self.num
        state = join(states)
        return self.model.domain.decode(state, self.tables), state, calls

    def distance(self, task: str, molecules: Molecules, state: State) -> list[float | None]:
        """See the top of the file: value and interval over molecules."""
        if task == "infill":
            given = self.given(torch.arange(self.num), state["x"].shape[1])
            known = ~given[..., 0].isnan()
            found = state["x"].round().clamp(0, 1)
            missed = (found != given.nan_to_num()).any(-1) & known
            return _interval((missed.sum(1) / known.sum(1).clamp(min=1)).tolist())
        parsed = [Chem.MolFromSmiles(str(text)) for text in molecules.smiles if text]
        return _interval([DISTANCES[task](molecule) for molecule in parsed if molecule is not None])


def _interval(values: list[float]) -> list[float | None]:
    """Mean and 95 % interval."""
    mean, half = statistics.fmean(values), 1.96 * statistics.stdev(values) / len(values) ** 0.5
    return [mean, mean - half, mean + half, None]


def _budget(way: str | None, steps: int) -> dict[str, Any]:
    """Search spends its calls on steps and on tries alike."""
    return {"budget": 5 * steps, "initial": 5} if way == "rbf" else {}


def _share(molecule: Chem.Mol) -> float:
    atoms = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    return abs(atoms.count("N") / len(atoms) - SHARE)


DISTANCES: dict[str, Callable[[Chem.Mol], float]] = {
    "share": _share,
    "logp": lambda molecule: abs(PROPERTIES["logp"][1](molecule) - LOGP),
}


def measure(bench: Bench, task: str, row: Way, steps: int) -> dict[str, Any]:
    """One row of the table."""
    seen: dict[str, Any] = {}

    def make() -> Molecules:
        molecules, state, calls = bench.make(task, row, steps)
        seen.update(calls=calls, wanted=bench.distance(task, molecules, state))
        return molecules

    found = quality(GraphDomain(), make, bench.test, STATISTICS)
    return {**seen, **found}


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--num", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("guidance.json"))
    parser.add_argument("--only", nargs="*", default=list(TASKS), help="tasks, or parts of row names")
    parser.add_argument("--steps", nargs="*", type=int, default=list(STEPS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench, kept = Bench(options.run, options.test, options.num), Kept(options.out)
    print("| task, way | steps | calls | CPU s | wanted | " + " | ".join(STATISTICS) + " |", flush=True)
    print("|---|---|---|---|---|" + "---|" * len(STATISTICS), flush=True)
    for task, rows in TASKS.items():
        for row in rows:
            name = f"{task}, {row[0]}"
            if not any(word in name for word in options.only):
                continue
            for steps in options.steps:
                found = kept.row(f"{name}, {steps}", lambda row=row, n=steps, t=task: measure(bench, t, row, n))
                cells = [cell(found[statistic]) for statistic in STATISTICS]
                numbers = f"{found['calls']:.0f} | {found['seconds']:.0f} | {cell(found['wanted'])}"
                print(f"| {name} | {steps} | {numbers} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
