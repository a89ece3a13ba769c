"""Few steps of GeoTDM's sampling against its whole chain: time at full size, errors of a trained run.

    PYTHONPATH=benchmarks OMP_NUM_THREADS=1 python benchmarks/geometry_geotdm/sampling.py [RUN]
        [--systems 200] [--samples 5] [--block 20] [--chain 1000] [--batch 8] [--keep geometry_geotdm.json]

Time is CPU time on one thread at the sizes published for particles (20 frames from 10 given ones, 1.9 million
parameters), of one batch. The plain transcription runs its prior and some steps of its chain, which are multiplied; so
are evaluations of the package's own chain; the package's default sampler runs whole. The origins and the first noise
estimates of both chains are shown to agree. The published code took 53 CPU-s for a trajectory of 1000 steps on a core
on which one thread multiplies two 1024 x 1024 float32 matrices in 23 ms.

RUN is a run with given frames. Of drawn systems of its test part, so many samples each, ADE and FDE of its default
sampler stand beside those of the chain of `--chain` ancestral steps with the same weights (a preconditioned run is
carried over to the published chain, which changes nothing of the model). The ratio's interval is a paired bootstrap
over systems and samples. Blocks of systems that are done are kept in a file: a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plain
import torch
from quality import Kept
from timing import REFERENCE_MATMUL, matmul, measured

from scorefield.core.checkpoints import instantiate
from scorefield.core.configs import packaged_configs
from scorefield.core.downloads import file_digest
from scorefield.core.experiment import Experiment, build, read_experiment
from scorefield.core.model import Model
from scorefield.core.noise import Seeded
from scorefield.core.paths import DiscreteChain
from scorefield.core.reparametrise import reparametrised
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.solvers.solver import Solver
from scorefield.core.state import State
from scorefield.core.system import System
from scorefield.domains.geometry.data import NBodyData
from scorefield.domains.geometry.statistics.errors import DisplacementScores, paired_ratio, score_displacements

ORIGINAL = 53.0
COUNTED = 3
"""Steps of the plain chain that are timed."""


def recipe_of(config: str) -> Any:
    """The recipe of a packaged configuration."""
    experiment = Experiment.from_dict(read_experiment(packaged_configs()[f"geometry/{config}"]))
    return build({"class_path": "scorefield.core.module.ScoreModule", "init_args": experiment.model}).recipe


def default_solver(sampling: Any) -> Solver:
    """The solver of a recipe or a run."""
    told = sampling if isinstance(sampling, dict) else vars(sampling)
    return make_solver(told["solver"], told["steps"], **told["arguments"])


def chain_solver(steps: int) -> Solver:
    """The published ancestral sampling, one evaluation less than there are."""
    return make_solver("ddpm", steps - 1, grid="uniform", variance="upper", final="denoise")


class PlainSampler:
    """The transcription with the weights of a system, on the same batch."""

    def __init__(self, system: System, state: State) -> None:
        masks, condition = state.masks, state.condition
        self.given, self.nodes = masks["given_frames"][0], state["x"].shape[1]
        self.known = condition["given_x"].flatten(0, 1)
        self.h = condition["features"].flatten(0, 1)
        self.edges = plain.flat(condition["edges"], self.nodes)
        self.told = condition["edge_features"].flatten(0, 1)
        hidden = system.network.input_linear.out_features
        self.network = plain.PlainEGTN(self.h.shape[-1], self.told.shape[-1], int((~self.given).sum()), hidden)
        inner, prior = "network.", "origin_networks.x."
        own = {k.removeprefix(inner).removeprefix(prior): v for k, v in system.state_dict().items()}
        self.network.load_state_dict(own)
        self.chain = plain.Chain(1000)

    @torch.no_grad()
    def prior(self) -> torch.Tensor:
        """x_ref of the generated frames, `[n, T_f, D]`."""
        found: torch.Tensor = self.network.prior(self.known[:, self.given], self.h, self.edges, self.told)
        return found

    @torch.no_grad()
    def estimate(self, u: torch.Tensor, reference: torch.Tensor, index: int) -> torch.Tensor:
        """The noise in u, `[n, T_f, D]`."""
        x = self.known.clone()
        x[:, ~self.given] = u + reference
        found: torch.Tensor = self.network(x, self.h, self.edges, self.told, torch.full((len(x),), float(index)))
        return found[:, ~self.given]

    def steps(self, u: torch.Tensor, reference: torch.Tensor, number: int) -> torch.Tensor:
        """The first steps of the chain, from its end down."""
        for index in range(999, 999 - number, -1):
            u = self.chain.reverse(u, self.estimate(u, reference, index), index)
        return u


def full_batch(batch: int) -> tuple[State, dict[str, int]]:
    """Charged particles."""
    data = NBodyData("charged", given="0:10", train=batch, validation=1, test=1)
    data.setup()
    state = State.from_dict(data.windows("train").__getitems__(range(batch)), ["x"])
    return state.replace({"x": torch.zeros_like(state["x"])}), data.sizes


def cpu_seconds(work: Callable[[], Any], repeats: int = 1) -> float:
    """The median."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return statistics.median(found)


def timing(batch: int) -> dict[str, float]:
    """CPU seconds of a trajectory by each way, at full size."""
    before = measured({"matmul": matmul()}, 15)["matmul"]
    state, sizes = full_batch(batch)
    torch.manual_seed(0)
    published = recipe_of("charged_geotdm_paper").build(sizes).eval().requires_grad_(False)
    own = recipe_of("charged_geotdm")
    fast, solver = own.build(sizes).eval().requires_grad_(False), default_solver(own.sampling)
    slow = PlainSampler(published, state)
    reference = slow.prior()
    u = torch.randn_like(reference)
    apart = _apart(published, state, slow, u, reference)
    slow.steps(u, reference, 1)  # warm
    plain_step = cpu_seconds(lambda: slow.steps(u, reference, COUNTED)) / COUNTED
    plain_prior = cpu_seconds(slow.prior)
    sample(fast, state, make_solver("dpmpp-2m", 2, grid="karras"), Seeded(0))  # warm
    done = sample(fast, state, solver, Seeded(0))
    whole = cpu_seconds(lambda: sample(fast, state, solver, Seeded(0)), 2)
    prior = cpu_seconds(lambda: published.origins(state), 3)
    origins, t = published.origins(state), torch.full((batch,), 0.5)
    chain_step = cpu_seconds(lambda: published(state, t, origins), 3)
    after = measured({"matmul": matmul()}, 15)["matmul"]
    return {
        "plain_1000": (plain_prior + 1000 * plain_step) / batch, "plain_100": (plain_prior + 100 * plain_step) / batch,
        "chain_1000": (prior + 1000 * chain_step) / batch, "chain_100": (prior + 100 * chain_step) / batch,
        "fast": whole / batch, "evaluations": float(done.evaluations), "apart": apart, "matmul": (before + after) / 2,
    }  # fmt: skip


def _apart(published: System, state: State, slow: PlainSampler, u: torch.Tensor, reference: torch.Tensor) -> float:
    """How far the origins and the first noise estimates of both differ, of the largest value."""
    origin = published.origins(state)["x"]
    start = torch.zeros_like(state["x"]).flatten(0, 1)
    start[:, ~slow.given] = u
    t = torch.ones(len(state))
    with torch.no_grad():
        found = published(state.replace({"x": start.unflatten(0, state["x"].shape[:2])}), t)["x"]
    pairs = ((origin, reference), (found, slow.estimate(u, reference, 999)))
    return max(float((a.flatten(0, 1)[:, ~slow.given] - b).abs().max() / b.abs().max()) for a, b in pairs)


class Case:
    """A trained run, systems of its test part, and two ways to sample.

    Args:
        run: its folder.
        systems: how many, drawn by a seed.
        samples: of each.
        steps: of the chain.
    """

    def __init__(self, run: str, systems: int, samples: int, steps: int) -> None:
        model = Model(run)
        record = model.record
        data = instantiate({key: record.data[key] for key in ("class_path", "init_args") if key in record.data})
        data.setup("fit")
        self.windows, self.samples = data.windows("test"), samples
        self.chosen = np.sort(np.random.default_rng(0).permutation(len(self.windows))[:systems])
        own = model.system(record.sampling["weights"]).requires_grad_(False).eval()
        chain = DiscreteChain("linear", steps)
        same = isinstance(own.components["x"].path, DiscreteChain)
        self.ways = {
            "chain": (own if same else reparametrised(own, chain), chain_solver(steps)),
            "fast": (own, default_solver(record.sampling)),
        }

    def errors(self, first: int, last: int) -> dict[str, Any]:
        """Errors of all samples of some systems by both ways, and CPU seconds."""
        state = State.from_dict(self.windows.__getitems__(self.chosen[first:last].tolist()), ["x"])
        truth, mask = state["x"].numpy(), state.masks.get("mask")
        frame = state.replace({"x": torch.zeros_like(state["x"])})
        frame = frame.rows(torch.arange(len(state)).repeat(self.samples))
        found: dict[str, Any] = {}
        for name, (system, solver) in self.ways.items():
            start = time.process_time()
            x = sample(system, frame, solver, Seeded(0, first)).state["x"]
            seconds = time.process_time() - start
            paths = x.unflatten(0, (self.samples, len(state))).numpy()
            nodes = None if mask is None else mask.numpy()
            scores = score_displacements(paths, truth, mask=nodes, frames=~state.masks["given_frames"].numpy())
            found[name] = {"ade": scores.ade.tolist(), "fde": scores.fde.tolist(), "seconds": seconds}
        return found


def scores(case: Case, kept: Kept, block: int, label: str) -> tuple[dict[str, DisplacementScores], dict[str, float]]:
    """Of all systems, and CPU seconds."""
    rows = []
    for first in range(0, len(case.chosen), block):
        last = min(first + block, len(case.chosen))

        def errors(first: int = first, last: int = last) -> dict[str, Any]:
            return case.errors(first, last)

        rows.append(kept.row(f"{label}, systems {first} to {last - 1}", errors))
    found = {}
    for name in case.ways:
        ade, fde = (np.concatenate([np.array(row[name][kind]) for row in rows], 1) for kind in ("ade", "fde"))
        number = ade.shape[1]
        found[name] = DisplacementScores(ade, fde, np.zeros(number), None, np.zeros((2, 0)), np.arange(number))
    return found, {name: sum(row[name]["seconds"] for row in rows) for name in case.ways}


def tell_times(took: dict[str, float], batch: int) -> None:
    """Print the first table."""
    scaled = ORIGINAL * took["matmul"] / REFERENCE_MATMUL
    print(f"CPU-s of a trajectory, batch {batch}: {took['evaluations']:.0f} evaluations {took['fast']:.3f};")
    for steps in (1000, 100):
        slow, chain = took[f"plain_{steps}"], took[f"chain_{steps}"]
        ratios = f"{slow / took['fast']:.0f} and {chain / took['fast']:.0f} times more"
        print(f"{steps:5d} steps: plain {slow:.1f}, the package's chain {chain:.1f}: {ratios}")
    print(f"published code, scaled: {scaled:.1f}; origins and noise of both agree to {took['apart']:.1e}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?")
    for name, value in (("systems", 200), ("samples", 5), ("block", 20), ("chain", 1000), ("batch", 8)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--keep", type=Path, default=Path("geometry_geotdm.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = Kept(arguments.keep)
    batch = arguments.batch
    tell_times(kept.row(f"timing, batch {batch}", lambda: timing(batch)), batch)
    if arguments.run is None:
        return
    case = Case(arguments.run, arguments.systems, arguments.samples, arguments.chain)
    weights = file_digest(Path(arguments.run) / "model.safetensors")[:8]
    label = f"{arguments.run} {weights}, {arguments.chain} steps, {arguments.samples} samples"
    found, seconds = scores(case, kept, arguments.block, label)
    print(f"{len(case.chosen)} systems x {arguments.samples}: CPU-s {seconds['chain']:.0f} and {seconds['fast']:.0f}")
    for name in ("ade", "fde"):
        ratio, interval = paired_ratio(found["fast"], found["chain"], name)
        both = f"chain {found['chain'][name]:.5f}, fast {found['fast'][name]:.5f}"
        print(f"{name.upper()}: {both}, ratio {ratio:.3f} [{interval.low:.3f}, {interval.high:.3f}]")


if __name__ == "__main__":
    main()
