"""Every solver at equal numbers of network calls on one run of any domain, as a table and a figure.

    python benchmarks/solvers.py runs/qm9 qm9_test.smi --statistics valid_ref valid_strict unique nspdk --end 1e-4
        --weights raw --calls 13 26 51 [--teleport start.safetensors]
    python benchmarks/solvers.py runs/stocks stock_data.csv --statistics fdds vds_exact --grid karras --calls 6 11 21
        --baseline ddpm:249 --num 3662 --plot solvers.svg

Each solver has its defaults but those named, ends in a denoising call where it can, and takes as many steps as stay
within the calls; solvers that choose their steps are given tolerances instead. Rows are kept in the output file, so
that a stopped run goes on. One thread, CPU seconds.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any, cast

import torch
from quality import Kept, cell, quality

import scorefield as sf
from scorefield.core.arguments import parameters
from scorefield.core.comparison import Comparing
from scorefield.core.errors import InputError
from scorefield.core.solver_registry import SOLVERS

LATER = (0.9, 0.8, 0.7)
TOLERANCES = (1e-1, 1e-2, 1e-3)
SHOWN = ("ddim", "dpmpp-2m", "unipc", "deis", "heun", "ddpm", "dpmpp-2m-sde", "dpmpp-3m-sde", "pc")

Plan = tuple[str, str, int, dict[str, Any]]


class Bench:
    """A run, its real population and what all solvers are given."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.model, self.num, self.statistics = sf.load(options.run), options.num, tuple(options.statistics)
        self.domain = cast(Comparing, self.model.domain)
        self.real = self.domain.population(self.domain.read(options.real))
        given = {"grid": options.grid, "end": options.end}
        self.common = {name: value for name, value in given.items() if value is not None}
        self.weights, self.calls = options.weights, options.calls

    def evaluations(self, name: str, steps: int, arguments: dict[str, Any]) -> float:
        """Network calls of a sample."""
        generator = self.model.generator(name, steps, 0, weights=self.weights, arguments=arguments)
        return generator.chunk(0, 1, torch.device("cpu")).evaluations

    def arguments(self, name: str) -> dict[str, Any]:
        """What of the common arguments, and of a last denoising call, a solver takes."""
        known = {p.name for p in parameters(SOLVERS[name].make)}
        common = {"grid": "logsnr", **self.common} if name == "pc" else self.common
        return {key: value for key, value in {**common, "final": "denoise"}.items() if key in known}

    def plans(self, name: str) -> list[Plan]:
        """Row name, solver, steps and arguments of a solver at each budget; none where it cannot be used."""
        arguments = self.arguments(name)
        if any(parameter.name == "rtol" for parameter in parameters(SOLVERS[name].make)):
            arguments.pop("grid", None)
            return [(f"{name}, rtol {tol:g}", name, 1, {**arguments, "rtol": tol, "atol": tol}) for tol in TOLERANCES]
        found = []
        for calls in self.calls:
            steps = calls
            try:
                while steps > 1 and self.evaluations(name, steps, arguments) > calls:
                    steps -= 1
            except InputError as error:
                print(f"<!-- {name}: {error} -->", flush=True)
                return []
            found.append((f"{name}, {steps} steps", name, steps, arguments))
        return found

    def teleported(self, file: str) -> list[Plan]:
        """Rows that begin later."""
        plans = []
        for name in ("ddim", "dpmpp-2m", "pc"):
            for time in LATER:
                for calls in self.calls:
                    more = {**self.arguments(name), "teleport": f"{file}:{time}"}
                    plans.append((f"{name}, {calls // 2} steps from {time:g}", name, calls // 2, more))
        return plans

    def measure(self, name: str, steps: int, arguments: dict[str, Any]) -> dict[str, Any]:
        """One row."""

        def make() -> Any:
            return self.model.sample(self.num, name, steps=steps, weights=self.weights, device="cpu", **arguments)

        own = {key: value for key, value in arguments.items() if key != "teleport"}
        found = quality(self.domain, make, self.real, self.statistics)
        return {"solver": name, "calls": self.evaluations(name, steps, own), **found}


def labelled(ticks: list[int]) -> list[str]:
    """Labels of rising ticks on a logarithmic axis, left out where they would overlap that of the next."""
    labels, last = [""] * len(ticks), float("inf")
    for place in reversed(range(len(ticks))):
        if last > 1.1 * ticks[place]:
            labels[place], last = str(ticks[place]), ticks[place]
    return labels


def draw(rows: dict[str, Any], statistics: list[str], baseline: str | None, file: Path) -> None:
    """Each statistic against network calls, with intervals for some solvers and the baseline as a band."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "scorefield", "font.size": 9})
    figure, axes = plt.subplots(1, len(statistics), figsize=(5.2 * len(statistics), 4.8), squeeze=False)
    solvers = list(dict.fromkeys(row["solver"] for title, row in rows.items() if title != baseline))
    for axis, statistic in zip(axes[0], statistics, strict=True):
        for solver in solvers:
            points = [r for title, r in rows.items() if r["solver"] == solver and title != baseline]
            points = [row for row in points if row[statistic][0] is not None]
            calls, values = [row["calls"] for row in points], [row[statistic][0] for row in points]
            if solver not in SHOWN:
                axis.plot(calls, values, color="0.8", linewidth=0.8, zorder=0)
                continue
            bars = [[v - r[statistic][1], r[statistic][2] - v] for r, v in zip(points, values, strict=True)]
            spread = torch.tensor(bars).T.clamp(min=0).tolist()
            color = f"C{SHOWN.index(solver)}"
            axis.errorbar(calls, values, spread, marker="o", markersize=3, capsize=2, color=color, label=solver)
        if baseline is not None:
            value, low, high, _ = rows[baseline][statistic]
            axis.axhspan(low, high, color="k", alpha=0.12, label=f"{baseline} ({rows[baseline]['calls']:.0f} calls)")
            axis.axhline(value, color="k", linewidth=0.8)
        known = [row for row in rows.values() if row[statistic][0]]
        values, ticks = [row[statistic][0] for row in known], sorted({round(row["calls"]) for row in known})
        axis.set(xlabel="network calls for a sample", ylabel=statistic, xscale="log", yscale="log")
        axis.set_ylim(0.5 * min(values), 1.5 * max(values))
        axis.set_xticks(ticks, labelled(ticks))
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    figure.tight_layout(rect=(0, 0.12, 1, 1))
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="lower center", ncol=5, fontsize=8)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def main() -> None:
    """Run what is missing, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("real", type=Path)
    parser.add_argument("--statistics", nargs="+", required=True)
    parser.add_argument("--calls", nargs="+", type=int, default=[13, 26, 51])
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--grid")
    parser.add_argument("--end", type=float)
    parser.add_argument("--weights", choices=("raw", "ema"))
    parser.add_argument("--baseline", metavar="SOLVER:STEPS", help="a long run to stand beside")
    parser.add_argument("--teleport", metavar="FILE", help="statistics that core.teleport.Teleport has saved")
    parser.add_argument("--only", nargs="*", default=list(SOLVERS))
    parser.add_argument("--out", type=Path, default=Path("solvers.json"))
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench, kept, baseline = Bench(options), Kept(options.out), None
    plans = [plan for name in options.only for plan in bench.plans(name)]
    if options.baseline:
        name, steps = options.baseline.split(":")
        baseline = f"{name}, {steps} steps"
        plans.insert(0, (baseline, name, int(steps), bench.arguments(name)))
    if options.teleport:
        plans += bench.teleported(options.teleport)
    print("| solver | calls | CPU s | " + " | ".join(options.statistics) + " |", flush=True)
    print("|---|---|---|" + "---|" * len(options.statistics), flush=True)
    shown = {}
    for title, name, steps, more in plans:
        row = shown[title] = kept.row(title, functools.partial(bench.measure, name, steps, more))
        cells = [cell(row[statistic]) for statistic in options.statistics]
        print(f"| {title} | {row['calls']:.0f} | {row['seconds']:.0f} | " + " | ".join(cells) + " |", flush=True)
    if options.plot:
        draw(shown, options.statistics, baseline, options.plot)


if __name__ == "__main__":
    main()
