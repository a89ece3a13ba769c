"""A training step of TSDiff against a plain transcription.

    PYTHONPATH=benchmarks OMP_NUM_THREADS=1 python benchmarks/series_tsdiff/training.py [--repeats 10]

One thread, CPU time, medians, all sides in turn within one run, batches of 64 windows. A step is what training makes:
draws, noising, the network, squared error, gradients, clipping, Adam; the package's side is its own objective and
optimiser as `fit` sets them up, less Lightning, with the recipe of the `_paper` configurations (`paper`), which is what
the plain side transcribes, with our own (`own`), and with diagonal kernels (`diag`). Ratios are plain over package: how
many times faster. The published code took 1.07 CPU-s on a core on which one thread multiplies two 1024 x 1024 float32
matrices in 23 ms, which stands scaled to this core in the last column.
"""

from __future__ import annotations

import argparse
from typing import Any

import plain
import torch
from timing import REFERENCE_MATMUL, Work, matmul, measured

from scorefield.core.draws import SampleStreams
from scorefield.core.objectives import DenoisingScoreMatching
from scorefield.core.optimisation import make_optimiser
from scorefield.core.paths import EDM
from scorefield.core.state import State
from scorefield.domains.series.tsdiff.recipe import TSDiff

CASES = {"m4_hourly": (360, 1, False), "exchange_rate": (390, 13, True), "hourly, lags": (360, 11, False)}
"""Steps and channels of a window, and whether the input is added to the output."""
ORIGINAL = 1070.0
BATCH = 64


def windows(length: int, channels: int) -> torch.Tensor:
    """Daily waves around 1 with noise."""
    draws = torch.Generator().manual_seed(0)
    phase = 6.3 * torch.rand(BATCH, 1, channels, generator=draws)
    steps = torch.arange(length)[None, :, None] / 24 * 6.3
    return 1 + 0.5 * (steps + phase).sin() + 0.1 * torch.randn(BATCH, length, channels, generator=draws)


def package_step(case: str, own: bool = False, **arguments: Any) -> Work:
    """The package's side."""
    length, channels, skip = CASES[case]
    torch.manual_seed(0)
    if own:
        recipe = TSDiff(path=EDM(0.002, 20.0), data_std=1.0, **arguments)
        objective = DenoisingScoreMatching("mean", "balanced", "log_snr", t_min=1e-4, data_std=1.0)
    else:
        recipe, objective = TSDiff(skip=skip, **arguments), DenoisingScoreMatching("mean")
    system = recipe.build({"length": length, "features": channels}).train()
    optimiser = make_optimiser("adam", system.parameter_groups(), {}, lr=1e-3, weight_decay=0.0)
    state, count = State({"x": windows(length, channels)}), iter(range(10**9))

    def step() -> None:
        draws = objective.draw(system, state, SampleStreams(BATCH, "train", 0, next(count)))
        optimiser.zero_grad()
        objective.total(objective.losses(system, state, draws)).backward()
        torch.nn.utils.clip_grad_norm_(system.parameters(), 0.5)
        optimiser.step()

    return step


def plain_step(case: str) -> Work:
    """The transcription's side."""
    length, channels, skip = CASES[case]
    torch.manual_seed(0)
    weights = TSDiff(skip=skip).network({"length": length, "features": channels}).state_dict()
    network, chain = plain.PlainTSDiff(weights, length, skip), plain.Chain()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    x = windows(length, channels)

    def step() -> None:
        t = torch.randint(len(chain), (BATCH,))
        signal, noise = chain.signal[t].float()[:, None, None], torch.randn_like(x)
        output = network(signal.sqrt() * x + (1 - signal).sqrt() * noise, t)
        optimiser.zero_grad()
        (output - noise).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimiser.step()

    return step


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--case", action="append", choices=CASES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = ("case", "paper", "own", "diag", "plain", "plain/paper", "plain/own", "plain/diag", "original")
    print("  ".join(f"{name:>12}" for name in names))
    for case in arguments.case or CASES:
        works = {
            "paper": package_step(case),
            "own": package_step(case, own=True),
            "diag": package_step(case, kernel="diag"),
            "plain": plain_step(case),
        }
        found = measured({**works, "matmul": matmul()}, arguments.repeats)
        times = [found[name] for name in works]
        ratios = [f"{times[3] / value:.2f}" for value in times[:3]]
        scaled = ORIGINAL * found["matmul"] / REFERENCE_MATMUL
        cells = (case, *(f"{value:.0f}" for value in times), *ratios, f"{scaled:.0f}")
        print("  ".join(f"{cell:>12}" for cell in cells), f" (product {found['matmul']:.1f} ms)", flush=True)


if __name__ == "__main__":
    main()
