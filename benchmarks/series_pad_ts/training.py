"""A training step of PaD-TS against a plain transcription, and what the population term costs of it.

    PYTHONPATH=benchmarks OMP_NUM_THREADS=1 python benchmarks/series_pad_ts/training.py [--repeats 20] [--case stocks]

One thread, CPU time, medians, all sides in turn within one run, batches of 64 windows of 24 steps. A step is what
training makes: draws, noising, the network, squared error and population term, gradients, AdamW; the package's side is
its own objective and optimiser as `fit` sets them up, less Lightning, with the recipe of the configurations
`stocks_pad_ts` and `energy_pad_ts` (`own`) and with that of their `_paper` forms (`paper`), which is what the plain
side transcribes. The ratios are over the plain side, of which 0.8 is wanted; the published code took 268 CPU-ms for
stocks on a core on which one thread multiplies two 1024 x 1024 float32 matrices in 23 ms, which stands scaled to this
core in the last column.
"""

from __future__ import annotations

import argparse

import plain
import torch
from timing import REFERENCE_MATMUL, Work, matmul, measured

from scorefield.core.draws import SampleStreams
from scorefield.core.objectives import DenoisingScoreMatching
from scorefield.core.optimisation import make_optimiser
from scorefield.core.paths import EDM, DiscreteChain
from scorefield.core.population import PopulationTerm, WindowCorrelations
from scorefield.core.state import State
from scorefield.domains.series.pad_ts.recipe import PaDTS

# Features, width, steps of the chain, weight of the term, and the published code's CPU-ms.
CASES = {"stocks": (6, 128, 250, 0.0008, 268.0), "energy": (28, 256, 500, 0.0005, 1340.0)}
BATCH, LENGTH = 64, 24


def windows(features: int) -> torch.Tensor:
    """Random walks in [-1, 1]."""
    steps = torch.randn(BATCH, LENGTH, features, generator=torch.Generator().manual_seed(0))
    return torch.tanh(0.3 * steps.cumsum(1))


def package_step(case: str, own: bool = True, population: bool = True) -> Work:
    """The package's side, with its own recipe or the published one; without the population term where told so."""
    features, width, chain, weight, _ = CASES[case]
    torch.manual_seed(0)
    terms = [PopulationTerm(WindowCorrelations(), weight)] if population else []
    if own:
        recipe = PaDTS(width, num_steps=chain, gelu="exact", dropout=0.0, path=EDM(0.002, 20.0), data_std=0.5)
        objective = DenoisingScoreMatching("mean", "balanced", "log_snr", t_min=1e-4, population=terms)
    else:
        recipe = PaDTS(width, num_steps=chain)
        objective = DenoisingScoreMatching("mean", "data", "shared", population=terms)
    system = recipe.build({"length": LENGTH, "features": features}).train()
    optimiser = make_optimiser("adamw", system.parameter_groups(), {}, lr=1e-4, weight_decay=0.0)
    state, count = State({"x": windows(features)}), iter(range(10**9))

    def step() -> None:
        draws = objective.draw(system, state, SampleStreams(BATCH, "train", 0, next(count)))
        optimiser.zero_grad()
        objective.total(objective.losses(system, state, draws)).backward()
        optimiser.step()

    return step


def plain_step(case: str) -> Work:
    """The transcription's side."""
    features, width, chain, weight, _ = CASES[case]
    torch.manual_seed(0)
    system = PaDTS(width=width, num_steps=chain).build({"length": LENGTH, "features": features})
    network = plain.PlainPaDTS(LENGTH, features, width)
    network.load_state_dict(system.network.state_dict())
    path = DiscreteChain("cosine", chain)
    alphas = path.alpha(torch.arange(1, chain + 1, dtype=torch.float64) / chain).square()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.0)
    x = windows(features)

    def step() -> None:
        t = torch.randint(chain, (1,)).expand(BATCH)
        signal = alphas[t].float().sqrt()[:, None, None]
        noised = signal * x + (1 - alphas[t]).float().sqrt()[:, None, None] * torch.randn_like(x)
        output = network(noised, t)
        loss = (output - x).square().mean() + weight * plain.population_loss(x, output)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--case", action="append", choices=CASES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = ("case", "own", "paper", "no term", "plain", "own/plain", "paper/plain", "term", "original")
    print("  ".join(f"{name:>8}" for name in names))
    for case in arguments.case or CASES:
        works = {
            "own": package_step(case),
            "alone": package_step(case, population=False),
            "paper": package_step(case, own=False),
            "plain": plain_step(case),
        }
        found = measured({**works, "matmul": matmul()}, arguments.repeats)
        scaled = CASES[case][4] * found["matmul"] / REFERENCE_MATMUL
        own, alone, paper, reference = (found[name] for name in works)
        numbers = (f"{own:.1f}", f"{paper:.1f}", f"{alone:.1f}", f"{reference:.1f}", f"{own / reference:.2f}")
        shares = (f"{paper / reference:.2f}", f"{1 - alone / own:.1%}", f"{scaled:.1f}")
        print("  ".join(f"{cell:>8}" for cell in (case, *numbers, *shares)), f" (product {found['matmul']:.1f} ms)")


if __name__ == "__main__":
    main()
