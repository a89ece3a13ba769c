"""The discriminative score: how well a small recurrent network tells generated windows from real ones.

Each set is split 80/20; 2000 steps of Adam on 128 windows of either training part with the sum of the two mean
cross-entropies; score = |accuracy - 1/2| on the test parts together. Yoon et al. 2019 (TimeGAN), with the network
width of Yuan and Qiao 2024 (Diffusion-TS) and Li et al. 2025 (PaD-TS). The absolute value makes the score positive
under equality too, about 0.4 / sqrt(test windows): read it beside its floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import trange

from scorefield.core.threads import one_thread
from scorefield.domains.series.statistics.recurrent import Adam, StackedGRU, side_by_side

__all__ = ["Discriminated", "Discriminator", "Rows", "Task"]

Rows: TypeAlias = npt.NDArray[np.int64]
Task: TypeAlias = tuple[Rows, Rows]
"""Rows of a pool of windows: the real ones (or those to train on), the generated ones (or those to test on)."""
_TRAIN_SHARE = 0.8
_TEST_BLOCK = 4000  # windows of one evaluation, over all repeats


@dataclass(frozen=True)
class Discriminated:
    """What one repeat found on its test windows.

    Attributes:
        score: |accuracy - 1/2|.
        area: under the ROC curve; 1/2 where nothing is told apart.
        real_accuracy: share of the real windows taken for real.
        generated_accuracy: share of the generated windows taken for generated.
    """

    score: float
    area: float
    real_accuracy: float
    generated_accuracy: float


@dataclass(frozen=True)
class _Split:
    train: tuple[Rows, Rows]
    test: tuple[Rows, Rows]

    @classmethod
    def of(cls, task: Task, generator: np.random.Generator) -> _Split:
        orders = [generator.permutation(rows) for rows in task]
        cuts = [max(1, int(_TRAIN_SHARE * len(rows))) for rows in task]
        parts = [(order[:cut], order[cut:]) for order, cut in zip(orders, cuts, strict=True)]
        return cls((parts[0][0], parts[1][0]), (parts[0][1], parts[1][1]))


@dataclass(frozen=True)
class Discriminator:
    """A classifier and how it is trained.

    Args:
        hidden: width; by default half the features, at least 1, as published.
        layers: recurrent layers.
        steps: of Adam.
        batch: windows of either kind in a step.
    """

    hidden: int | None = None
    layers: int = 1
    steps: int = 2000
    batch: int = 128

    def __call__(
        self,
        pool: Tensor,
        tasks: Sequence[Task],
        generators: list[np.random.Generator],
        *,
        name: str = "ds",
        progress: bool = False,
    ) -> list[Discriminated]:
        """One result per task; tasks are trained side by side.

        Args:
            pool: windows in [0, 1], `[N, L, D]`.
            tasks: rows of real and of generated windows, at least five of each.
            generators: one a task, for split, weights and batches.
            name: of the progress bar.
            progress: show it.
        """
        splits = [_Split.of(task, generator) for task, generator in zip(tasks, generators, strict=True)]
        sizes = [tuple(min(self.batch, len(rows)) for rows in split.train) for split in splits]

        def train(places: list[int], size: tuple[int, ...]) -> list[Discriminated]:
            parts = [splits[place] for place in places], [generators[place] for place in places]
            return self._train(pool, *parts, size, name, progress)

        return side_by_side(sizes, train)

    def _train(
        self,
        pool: Tensor,
        splits: list[_Split],
        generators: list[np.random.Generator],
        size: tuple[int, ...],
        name: str,
        progress: bool,
    ) -> list[Discriminated]:
        features = pool.shape[2]
        network = StackedGRU(features, self.hidden or max(1, features // 2), 1, generators, self.layers)
        optimiser = Adam(network)
        labels = torch.cat([torch.ones(size[0]), torch.zeros(size[1])])[:, None].expand(len(splits), -1, 1)
        weights = torch.cat([torch.full((size[0],), 1 / size[0]), torch.full((size[1],), 1 / size[1])])[:, None]
        with one_thread():
            for _ in trange(self.steps, desc=name, leave=False, disable=not progress):
                rows = [
                    np.concatenate(
                        [generator.choice(part, n, False) for part, n in zip(split.train, size, strict=True)]
                    )
                    for split, generator in zip(splits, generators, strict=True)
                ]
                logits = network.last(pool[torch.from_numpy(np.stack(rows))])
                losses = binary_cross_entropy_with_logits(logits, labels, reduction="none")
                optimiser.step((losses * weights).sum())
            return _tested(network, pool, splits)


@torch.no_grad()
def _tested(network: StackedGRU, pool: Tensor, splits: list[_Split]) -> list[Discriminated]:
    rows = [np.concatenate(split.test) for split in splits]
    longest = max(map(len, rows))
    padded = torch.from_numpy(np.stack([np.resize(part, longest) for part in rows]))
    blocks = padded.split(max(1, _TEST_BLOCK // len(splits)), dim=1)
    logits = torch.cat([network.last(pool[block]) for block in blocks], 1)[..., 0].numpy()
    return [_judged(logits[place, : len(part)], len(splits[place].test[0])) for place, part in enumerate(rows)]


def _judged(logits: npt.NDArray[np.float32], number_real: int) -> Discriminated:
    """From the logits of the real windows followed by those of the generated ones."""
    taken_for_real = logits > 0
    right = np.concatenate([taken_for_real[:number_real], ~taken_for_real[number_real:]])
    number_generated = len(logits) - number_real
    ranks = float(rankdata(logits)[:number_real].sum())
    area = (ranks - number_real * (number_real + 1) / 2) / (number_real * number_generated)
    real, generated = (float(part.mean()) for part in (right[:number_real], right[number_real:]))
    return Discriminated(abs(float(right.mean()) - 0.5), area, real, generated)
