"""GDSS's score networks against a plain transcription: time and memory of an evaluation and a training step.

    OMP_NUM_THREADS=1 python benchmarks/graphs/networks.py [--repeats 30]

One thread, CPU time, medians, both sides in turn within one run. Batches have the node counts of the published
training splits, in random order, padded to the data set's maximum, as the plain side needs them; both sides get
the same batch and the same weights. An evaluation is one call of both networks without derivatives, as a sampler
makes them: what the package derives from the mask is kept from call to call. A training step is a call with a
new mask tensor, the sum of squares, its derivative and an Adam step. `fewest` is the ratio of the two smallest
times. Memory is the growth of the peak resident size in a process of its own.

The plain side is no slower than the published code: it normalises a channel once, not for Q, K and V each, and
copies less. Both in turn in one process, same weights, outputs equal to the last bit, one core with a 1024 x 1024
matrix product of 13.5 ms, median CPU ms of the published code and of the plain side:

    QM9        evaluation   40 and  34 (1.17 times)    training step  118 and  99 (1.20 times)
    ZINC250k   evaluation  227 and 192 (1.18 times)    training step  530 and 450 (1.18 times)

Below each evaluation stands the published code's time on another core (45 and 250 ms, matrix product 23 ms), scaled by
the matrix product. For the core above that gives 26 and 147 ms, less than the published code took: most of its work is
element by element and does not follow the matrix product from core to core. It is the harder comparison.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import plain
import torch
from torch import Tensor, nn

from scorefield.core.state import State
from scorefield.domains.graphs.gdss_tables import gdss_tables
from scorefield.domains.graphs.networks import GDSSNetwork, ScoreNetworkA, ScoreNetworkX

# Data set: graphs in the batch, layers of the edge network, and the published code's milliseconds on a core on which
# one thread multiplies two 1024 x 1024 float32 matrices in 23 ms; then the ratios wanted.
CASES = {"QM9": (250, 3, 45.0, 1.5, 1.5), "ZINC250k": (50, 6, 250.0, 3.5, 3.0)}
REFERENCE_MATMUL = 23.0
SIDES = ("package", "plain")
Work = Callable[[], object]


class PlainNetwork(nn.Module):
    """The plain networks side by side, called as the package's."""

    def __init__(self, features: int, layers: int) -> None:
        super().__init__()
        self.x = plain.PlainX(features, 2, 16)
        self.adj = plain.PlainA(features, layers, 16, 3, (2, 8, 4), 16)

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        mask = state.masks["mask"].float()
        return {
            "x": self.x(state["x"], state["adj"], mask),
            "adj": self.adj(state["x"], state["adj"], mask),
        }


def make_networks(name: str) -> dict[str, nn.Module]:
    """Both sides with the same weights."""
    _, layers, *_ = CASES[name]
    features = gdss_tables(name)["sizes"]["features"]
    torch.manual_seed(0)
    package = GDSSNetwork(ScoreNetworkX(features, 2, 16), ScoreNetworkA(features, layers, 16))
    reference = PlainNetwork(features, layers)
    reference.load_state_dict(package.state_dict())
    return {"package": package, "plain": reference}


def make_state(name: str) -> State:
    """A noisy batch with node counts drawn from the data set, padded to its maximum."""
    generator = torch.Generator().manual_seed(1)
    entry = gdss_tables(name)
    nodes, features = entry["sizes"]["max_nodes"], entry["sizes"]["features"]
    histogram = entry["tables"]["node_counts"]
    weights = torch.tensor([float(value) for value in histogram.values()])
    counts = torch.tensor([int(size) for size in histogram])
    drawn = counts[torch.multinomial(weights, CASES[name][0], replacement=True, generator=generator)]
    mask = torch.arange(nodes) < drawn[:, None]
    both = mask[:, :, None] & mask[:, None, :]
    x = torch.randn(len(drawn), nodes, features, generator=generator) * mask[:, :, None]
    adj = torch.randn(len(drawn), nodes, nodes, generator=generator).triu(1)
    return State({"x": x, "adj": (adj + adj.transpose(1, 2)) * both}, {"mask": mask})


def evaluation(network: nn.Module, state: State) -> Work:
    """One call without derivatives."""
    t = torch.zeros(len(state))

    def call() -> object:
        with torch.no_grad():
            return network(state, t)

    return call


def training_step(network: nn.Module, state: State) -> Work:
    """One call, its derivative and one step of Adam; the mask is a new tensor each time, as a loader's is."""
    t = torch.zeros(len(state))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-5, weight_decay=1e-4)

    def call() -> object:
        optimiser.zero_grad()
        out = network(State(state.components, {"mask": state.masks["mask"].clone()}), t)
        (out["x"].square().sum() + out["adj"].square().sum()).backward()
        return optimiser.step()

    return call


WORK = {"evaluation": evaluation, "training step": training_step}


def times(works: list[Work], repeats: int) -> list[list[float]]:
    """CPU milliseconds of each work, in turn."""
    taken: list[list[float]] = [[] for _ in works]
    for repeat in range(repeats + 2):
        for work, found in zip(works, taken, strict=True):
            start = time.process_time()
            work()
            if repeat > 1:
                found.append(1e3 * (time.process_time() - start))
    return taken


def resident(field: str) -> float:
    """A size of this process in MB: `VmRSS` now, `VmHWM` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def measure_memory(name: str, kind: str, side: str) -> float:
    """Growth of the peak resident size in MB, in this process."""
    network, state = make_networks(name)[side], make_state(name)
    small = state.rows(slice(0, 2))
    WORK[kind](network, small)()  # what the libraries allocate once
    before = resident("VmRSS")
    work = WORK[kind](network, state)
    for _ in range(3):
        work()
    return resident("VmHWM") - before


def memory(name: str, kind: str, side: str) -> float:
    """The same in a process of its own; not a number where the system does not tell."""
    if not Path("/proc/self/status").exists():
        return float("nan")
    command = [sys.executable, __file__, "--memory", name, kind, side]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(found.stdout))


def report(name: str, repeats: int, matmul: float) -> None:
    """Print the rows of one data set."""
    graphs, _, reference, *wanted = CASES[name]
    networks, state = make_networks(name), make_state(name)
    outputs = [evaluation(networks[side], state)() for side in SIDES]
    deviation = max(_relative(outputs[0][key], outputs[1][key]) for key in ("x", "adj"))  # type: ignore[index]
    for (kind, work), least in zip(WORK.items(), wanted, strict=True):
        count = repeats if kind == "evaluation" else max(repeats // 3, 5)
        ours, theirs = times([work(networks[side], state) for side in SIDES], count)
        held = [memory(name, kind, side) for side in SIDES]
        median, other = statistics.median(ours), statistics.median(theirs)
        print(
            f"{name:9s} {graphs:4d}  {kind:14s} {other:9.1f} {median:9.1f} {other / median:7.2f} "
            f"{min(theirs) / min(ours):7.2f} {least:7.1f} {held[1]:9.1f} {held[0]:9.1f}",
            flush=True,
        )
        if kind == "evaluation":
            scaled = reference * matmul / REFERENCE_MATMUL
            times_ours = scaled / min(ours)
            print(f"{'':16s}outputs differ by {deviation:.1e} of the largest value")
            print(f"{'':16s}published code elsewhere {reference:.0f} ms, by the matrix product {scaled:.1f} ms here:")
            print(f"{'':16s}{times_ours:.2f} times the package's fewest")


def _relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="GDSS networks against a plain transcription")
    parser.add_argument("--repeats", type=int, default=30, help="timed calls of an evaluation")
    parser.add_argument("--memory", nargs=3, metavar=("DATA", "WORK", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.memory:
        print(json.dumps(measure_memory(*arguments.memory)))
        return
    square = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))
    matmul = statistics.median(times([lambda: square @ square], 15)[0])
    print(f"torch {torch.__version__}, one thread; product of two 1024 x 1024 matrices {matmul:.1f} ms")
    print("data    graphs  work            plain ms  package   ratio  fewest  wanted  plain MB   package")
    for name in CASES:
        report(name, arguments.repeats, matmul)


if __name__ == "__main__":
    main()
