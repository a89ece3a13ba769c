"""A guided forecast of TSDiff against the published procedure with the same weights: time, memory, CRPS.

    PYTHONPATH=benchmarks OMP_NUM_THREADS=1 python benchmarks/series_tsdiff/forecasting.py RUN FILE
        [--entries 40] [--keep kept.json]

RUN is an unconditional run of a panel, FILE its data. The published procedure is 100 steps of DDPM with quantile
self-guidance at the stepped state. It is timed as a plain transcription (kernels anew at every call, two evaluations a
step, 100 paths of one entry); its CRPS comes from the package's own chain, which is first shown to take the same steps
from the same noise. The package forecasts as `scorefield forecast` does by default. One thread, CPU time. The published
code took 112 CPU-s for 100 paths on a core on which one thread multiplies two 1024 x 1024 float32 matrices in 23 ms.

Memory (on Linux) is what a guided step of 100 paths adds to the peak of a process that has made one before, so that
kernels kept from then (4 HL^2 bytes a layer) are not in it. CRPS is paired: entries drawn by a seed, the interval of
the ratio by resampling them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plain
import torch
from numpy.typing import NDArray
from quality import Kept
from timing import REFERENCE_MATMUL, matmul, measured

from scorefield.core.guidance.levels import LEVEL, quantile_levels
from scorefield.core.guidance.observations import QuantileObservation
from scorefield.core.guidance.registry import make_guide
from scorefield.core.model import Model
from scorefield.core.noise import NoiseSource, Replayed, Seeded
from scorefield.core.paths import DiscreteChain
from scorefield.core.preconditioning import Preconditioned
from scorefield.core.reparametrise import reparametrised
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.core.system import System
from scorefield.domains.series.statistics.forecasting import score_forecasts
from scorefield.domains.series.tsdiff.encoding import Encoded, WindowPlan, encode
from scorefield.domains.series.tsdiff.network import TSDiffNetwork
from scorefield.domains.series.tsdiff.panels import Entries
from scorefield.domains.series.tsdiff.published import PublishedPanelData
from scorefield.domains.series.tsdiff.recipe import BETAS

ORIGINAL = 112.0
PATHS, STEPS = 100, 100
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}  # what is freed, to the system
WEIGHTS = {"m4_hourly": 2.0, "exchange_rate_nips": 8.0}
"""Published weights of the guidance."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A run and entries of its test set."""

    model: Model
    plan: WindowPlan
    entries: Entries
    weight: float

    @classmethod
    def of(cls, run: str, file: str, number: int, seed: int = 0) -> Case:
        """Entries drawn by the seed, in their order."""
        model = Model(run)
        tables, name = model.record.tables, str(model.record.data["provenance"]["name"])
        plan = WindowPlan(tables["context"], tables["prediction"], tuple(tables["lags"]))
        lags = list(plan.lags) or "none"
        data = PublishedPanelData(name, file, context=plan.context, prediction=plan.prediction, lags=lags)  # type: ignore[arg-type]
        data.setup()
        assert data.test is not None
        chosen = np.sort(np.random.default_rng(seed).permutation(len(data.test))[:number])
        return cls(model, plan, data.test[chosen], WEIGHTS[name])

    def histories(self) -> Array:
        """What a forecast looks back on, `(n, history + context)`."""
        return self.entries.recent(self.plan.total - self.plan.prediction)

    def encoded(self) -> Encoded:
        """Windows with nothing known of the forecast."""
        ahead = np.full((len(self.entries), self.plan.prediction), np.nan)
        return encode(
            np.concatenate([self.histories(), ahead], 1), self.plan, self.model.record.tables["fallback_scale"]
        )

    def system(self) -> System:
        """Frozen, for evaluation."""
        system = self.model.system(self.model.record.sampling["weights"])
        return system.requires_grad_(False).eval()


def predictor(system: System) -> plain.Predict:
    """The plain network's noise prediction on the published chain, whatever the run was trained as."""
    whole = system.network
    inner = whole.network if isinstance(whole, Preconditioned) else whole
    assert isinstance(inner, TSDiffNetwork)
    network, chain = plain.PlainTSDiff(inner.state_dict(), inner.length, inner.skip), plain.Chain(STEPS)
    if not isinstance(whole, Preconditioned):
        return lambda x, t: network(x, torch.full((len(x),), float(t)))
    path = system.components["x"].path
    ends = path.log_snr(torch.tensor([path.t_min, path.t_max], dtype=torch.float64)).tolist()

    def predict(x: torch.Tensor, t: int) -> torch.Tensor:
        signal = float(chain.signal[t])
        sigma, y = ((1 - signal) / signal) ** 0.5, x / signal**0.5
        variance = whole.data_std**2 + sigma**2
        place = (ends[0] + float(np.log(sigma))) / (ends[0] - ends[1])
        output = network(y / variance**0.5, torch.full((len(x),), place * inner.num_steps - 1))
        data = whole.data_std**2 / variance * y + sigma * whole.data_std / variance**0.5 * output
        return (y - data) / sigma

    return predict


def plain_forecast(case: Case, number: int, noise: list[torch.Tensor], steps: int | None = None) -> torch.Tensor:
    """Scaled windows of one entry by the transcription."""
    seen = case.encoded()
    known, given = (torch.from_numpy(part[number]).float().expand(PATHS, -1, -1) for part in (seen.x, seen.observed))
    chain, levels = plain.Chain(STEPS), quantile_levels(1, PATHS).float()
    return plain.guided_forecast(predictor(case.system()), chain, known, given, levels, case.weight, noise, steps)


def chain_forecast(case: Case, number: int, source: NoiseSource) -> torch.Tensor:
    """The same by the package's chain."""
    system, seen = case.system(), case.encoded()
    if isinstance(system.network, Preconditioned):
        system = reparametrised(system, DiscreteChain("linear", STEPS, BETAS))
    known = torch.from_numpy(seen.known()[number]).float().expand(PATHS, -1, -1)
    condition = {"observed_x": known, LEVEL: quantile_levels(1, PATHS)}
    frame = State({"x": torch.zeros(known.shape)}, {}, condition)
    solver = make_solver("ddpm", STEPS - 1, grid="uniform", final="denoise")
    potential = QuantileObservation("x", "observed_x", LEVEL)
    guide = make_guide("self", potential, {"weight": case.weight, "point": "stepped"})
    return sample(system, frame, solver, source, guides=[guide]).state["x"]


def drawn(case: Case) -> list[torch.Tensor]:
    """The noise of one forecast."""
    generator = torch.Generator().manual_seed(0)
    shape = (PATHS, case.plan.length, case.plan.channels)
    return [torch.randn(shape, generator=generator) for _ in range(STEPS)]


def package_forecast(case: Case, first: int, last: int, seed: int = 0) -> Array:
    """Paths `(n, S, steps)` of some entries, as the command makes them."""
    found = case.model.forecast(case.histories()[first:last], num=PATHS, seed=seed)
    return np.asarray(found.paths[..., 0])


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def timing(case: Case) -> dict[str, Any]:
    """One forecast each way."""
    noise, before = drawn(case), measured({"matmul": matmul()}, 15)["matmul"]
    package_forecast(case, 0, 1)  # warm
    slow, reference = seconds(lambda: plain_forecast(case, 0, noise))
    fast = float(np.median([seconds(lambda: package_forecast(case, 0, 1))[0] for _ in range(3)]))
    chain, same = seconds(lambda: chain_forecast(case, 0, Replayed(noise)))
    apart = float((same - reference).abs().max() / reference.abs().max())
    after = measured({"matmul": matmul()}, 15)["matmul"]
    return {"plain": slow, "chain": chain, "package": fast, "apart": apart, "matmul": (before + after) / 2}


def peak(part: str, run: str, file: str) -> None:
    """In a process of its own: print what one guided step adds to the peak, in MB."""
    case = Case.of(run, file, 1)
    noise = drawn(case)

    def step() -> None:
        if part == "plain":
            plain_forecast(case, 0, noise, steps=1)
        else:
            case.model.forecast(case.histories(), num=PATHS, steps=3)

    step()
    with Path("/proc/self/clear_refs").open("w") as file_of_peaks:
        file_of_peaks.write("5")  # the peak counts from here
    before = _kilobytes("VmRSS")
    step()
    print(json.dumps((_kilobytes("VmHWM") - before) / 1e3))


def _kilobytes(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return float(found[1])


def memory(run: str, file: str) -> dict[str, float]:
    """MB of one step of both."""
    found = {}
    for part in ("plain", "package"):
        command = [sys.executable, __file__, run, file, "--peak", part]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **RETURNED})
        found[part] = float(json.loads(done.stdout.splitlines()[-1]))
    return found


def scores(case: Case, kept: Kept) -> dict[str, Array]:
    """Of every entry: quantile loss of the chain and of the package, and the size of the truth."""
    truth, scale = case.entries.truth(), case.encoded().scale
    losses: dict[str, list[float]] = {"chain": [], "package": [], "size": []}
    for number in range(len(case.entries)):

        def forecast(number: int = number) -> dict[str, Any]:
            window = chain_forecast(case, number, Seeded(0, number))[:, -case.plan.prediction :, 0]
            paths = {
                "chain": window.double().numpy()[None] * scale[number],
                "package": package_forecast(case, number, number + 1),
            }
            return {name: _crps(values, truth[number]) for name, values in paths.items()}

        row = kept.row(f"entry {number} {case.entries.name(number)} {case.entries.ends[number]}", forecast)
        size = float(np.nansum(np.abs(truth[number])))
        for name, value in (*row.items(), ("size", 1.0)):
            losses[name].append(value * size)
    return {name: np.array(values) for name, values in losses.items()}


def _crps(paths: Array, truth: Array) -> float:
    return score_forecasts(paths, truth[None], np.ones(1))["crps"]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("file")
    parser.add_argument("--entries", type=int, default=40)
    parser.add_argument("--keep", type=Path, default=Path("series_tsdiff.json"))
    parser.add_argument("--peak", choices=("plain", "package"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak:
        peak(arguments.peak, arguments.run, arguments.file)
        return
    kept, case = Kept(arguments.keep), Case.of(arguments.run, arguments.file, arguments.entries)
    took = kept.row("timing", lambda: timing(case))
    scaled, faster = ORIGINAL * took["matmul"] / REFERENCE_MATMUL, took["plain"] / took["package"]
    print(f"CPU-s of 100 paths: plain {took['plain']:.1f} (published code, scaled: {scaled:.1f}), package's chain")
    print(f"{took['chain']:.1f}, package {took['package']:.2f}: {faster:.1f} times less than plain")
    print(f"chain and plain differ by {took['apart']:.1e} of the largest value after {STEPS} steps with the same noise")
    added = kept.row("memory", lambda: memory(arguments.run, arguments.file))
    share = added["package"] / added["plain"]
    print(f"a guided step adds {added['package']:.0f} MB where the plain one adds {added['plain']:.0f}: {share:.2f}")
    found = scores(case, kept)
    chain, package = (found[name].sum() / found["size"].sum() for name in ("chain", "package"))
    draws = np.random.default_rng(0).integers(len(found["size"]), size=(2000, len(found["size"])))
    ratios = found["package"][draws].sum(1) / found["chain"][draws].sum(1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    ratio = f"{package / chain:.3f} [{low:.3f}, {high:.3f}]"
    print(f"CRPS of {len(draws[0])} entries: chain {chain:.4f}, package {package:.4f}, ratio {ratio}")


if __name__ == "__main__":
    main()
