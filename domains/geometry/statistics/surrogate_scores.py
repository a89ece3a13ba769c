"""The classification and the prediction score: what a small trained network makes of generated trajectories.

Both follow GeoTDM (Han et al. 2024): EqMotion with Adam at 5e-3, batches of 128, 100 epochs; velocities zero; the
node's feature at each frame if it has one number, else zero.

Classification: real (0) and generated (1) trajectories, as many of either, shuffled and split 80/20; score = mean
binary cross-entropy of the test part after the last epoch. Higher is better; ln 2 = 0.693 is chance, and a network that
learns its training part by heart goes beyond it. Prediction: half of the frames from the other half, trained on
generated and tested on real trajectories; score = mean squared error of a coordinate. Lower is better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import trange

from scorefield.core.threads import one_thread
from scorefield.domains.geometry.statistics.surrogate import Surrogate

__all__ = ["Classified", "Motions", "SurrogateTraining", "classification_score", "prediction_score"]

Rows = NDArray[np.int64]
_TRAIN_SHARE = 0.8


@dataclass(frozen=True)
class Motions:
    """Trajectories as the network takes them; the nodes of each that exist come first.

    Args:
        nodes: a number of each node at each frame, `[n, N, T]`.
        x: positions `[n, N, T, D]`.
        sizes: nodes of each, `[n]`.
    """

    nodes: Tensor
    x: Tensor
    sizes: Rows

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, rows: Rows, size: int, generator: np.random.Generator | None) -> Iterator[tuple[Rows, int]]:
        """Rows of one number of nodes, and that number; in random order where a generator is given."""
        order = rows if generator is None else generator.permutation(rows)
        groups = [order[self.sizes[order] == nodes] for nodes in np.unique(self.sizes[rows])]
        parts = [group[start : start + size] for group in groups for start in range(0, len(group), size)]
        if generator is not None and len(groups) > 1:
            parts = [parts[k] for k in generator.permutation(len(parts))]
        return ((part, int(self.sizes[part[0]])) for part in parts)


@dataclass(frozen=True)
class SurrogateTraining:
    """How the network is trained.

    Args:
        epochs: through the training part.
        batch: trajectories of a step.
        rate: of Adam.
    """

    epochs: int = 100
    batch: int = 128
    rate: float = 5e-3


@dataclass(frozen=True)
class Classified:
    """What one classifier found on its test part.

    Attributes:
        score: mean binary cross-entropy.
        accuracy: share that was taken for what it is.
    """

    score: float
    accuracy: float


def classification_score(
    motions: Motions,
    real: Rows,
    generated: Rows,
    generator: np.random.Generator,
    training: SurrogateTraining | None = None,
    *,
    progress: bool = False,
) -> Classified:
    """Train a classifier and test it.

    Args:
        motions: real and generated trajectories.
        real: rows of those that count as real.
        generated: rows of the others; of the larger side as many as of the smaller one take part.
        generator: of split, weights and batches.
        training: how.
        progress: show a bar.
    """
    number = min(len(real), len(generated))
    rows = np.concatenate([generator.permutation(part)[:number] for part in (real, generated)])
    label = torch.zeros(len(motions))
    label[torch.from_numpy(rows[number:])] = 1.0
    rows = generator.permutation(rows)
    cut = int(_TRAIN_SHARE * len(rows))

    def loss(network: Surrogate, chosen: Rows, nodes: int) -> Tensor:
        logits = network.logits(motions.nodes[chosen, :nodes], motions.x[chosen, :nodes])
        return binary_cross_entropy_with_logits(logits, label[chosen], reduction="none")

    network = _trained(motions, rows[:cut], motions.x.shape[2], 1, loss, generator, training, progress)
    found, right = 0.0, 0
    with torch.no_grad(), one_thread():
        for chosen, nodes in motions.batches(rows[cut:], 1024, None):
            logits = network.logits(motions.nodes[chosen, :nodes], motions.x[chosen, :nodes])
            found += float(binary_cross_entropy_with_logits(logits, label[chosen], reduction="sum"))
            right += int(((logits > 0) == (label[chosen] > 0)).sum())
    return Classified(found / (len(rows) - cut), right / (len(rows) - cut))


def prediction_score(
    motions: Motions,
    train: Rows,
    test: Rows,
    generator: np.random.Generator,
    training: SurrogateTraining | None = None,
    *,
    progress: bool = False,
) -> float:
    """Train on some trajectories to predict their second half from their first, and test on others.

    Args:
        motions: all of them.
        train: rows to train on.
        test: rows to test on.
        generator: of weights and batches.
        training: how.
        progress: show a bar.
    """
    frames = motions.x.shape[2]
    given = frames // 2

    def errors(network: Surrogate, chosen: Rows, nodes: int) -> Tensor:
        x = motions.x[chosen, :nodes]
        predicted, _ = network(motions.nodes[chosen, :nodes, :given], x[:, :, :given])
        found: Tensor = ((predicted - x[:, :, given:]) ** 2).mean((1, 2, 3))
        return found

    network = _trained(motions, train, given, frames - given, errors, generator, training, progress)
    with torch.no_grad(), one_thread():
        found = sum(float(errors(network, *part).sum()) for part in motions.batches(test, 1024, None))
    return found / len(test)


def _trained(
    motions: Motions,
    rows: Rows,
    frames: int,
    steps: int,
    losses: Callable[[Surrogate, Rows, int], Tensor],
    generator: np.random.Generator,
    training: SurrogateTraining | None,
    progress: bool,
) -> Surrogate:
    """A network from random weights, trained on the mean of the losses of each batch."""
    settings = SurrogateTraining() if training is None else training
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(int(generator.integers(2**63)))
        network = Surrogate(frames, steps)
        optimiser = torch.optim.Adam(network.parameters(), lr=settings.rate)
        for _ in trange(settings.epochs, desc="surrogate", leave=False, disable=not progress):
            for chosen, nodes in motions.batches(rows, settings.batch, generator):
                optimiser.zero_grad()
                losses(network, chosen, nodes).mean().backward()
                optimiser.step()
    return network.eval()
