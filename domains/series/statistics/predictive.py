"""The predictive score: how well a small recurrent network trained on generated windows predicts real ones.

Published form (Yoon et al. 2019): from x[0 : L-1] of all features but the last, predict x[1 : L] of the last, with a
sigmoid; 5000 steps of Adam on 128 windows with the mean absolute error; score = mean absolute error over all real
windows. It is blind where the last feature cannot be predicted, and depends on the order of columns; `all_features`
predicts every feature from all of them instead. With one feature its own past is the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from scorefield.core.threads import one_thread
from scorefield.domains.series.statistics.discriminative import Task
from scorefield.domains.series.statistics.recurrent import Adam, StackedGRU, side_by_side

__all__ = ["Predictor"]

_TEST_BLOCK = 4000
_LEAST_HIDDEN = 8  # of the network that predicts all features


@dataclass(frozen=True)
class Predictor:
    """A predictor and how it is trained.

    Args:
        all_features: predict every feature from all.
        steps: of Adam.
        batch: windows in a step.
    """

    all_features: bool = False
    steps: int = 5000
    batch: int = 128

    def __call__(
        self,
        pool: Tensor,
        tasks: Sequence[Task],
        generators: list[np.random.Generator],
        *,
        name: str = "ps",
        progress: bool = False,
    ) -> list[float]:
        """The score of each task; tasks are trained side by side.

        Args:
            pool: windows in [0, 1], `[N, L, D]`.
            tasks: rows to train on, rows to test on.
            generators: one a task, for weights and batches.
            name: of the progress bar.
            progress: show it.
        """
        sizes = [min(self.batch, len(train)) for train, _ in tasks]

        def train(places: list[int], size: int) -> list[float]:
            parts = [tasks[place] for place in places], [generators[place] for place in places]
            return self._train(pool, *parts, size, name, progress)

        return side_by_side(sizes, train)

    def _parts(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of windows `[..., L, D]`."""
        early, late = windows[..., :-1, :], windows[..., 1:, :]
        if self.all_features or windows.shape[-1] == 1:
            return early, late
        return early[..., :-1], late[..., -1:]

    def _train(
        self,
        pool: Tensor,
        tasks: list[Task],
        generators: list[np.random.Generator],
        size: int,
        name: str,
        progress: bool,
    ) -> list[float]:
        features = pool.shape[2]
        inputs, targets = (part.shape[-1] for part in self._parts(pool[:1]))
        hidden = max(_LEAST_HIDDEN, features) if self.all_features else max(1, features // 2)
        network = StackedGRU(inputs, hidden, targets, generators)
        optimiser = Adam(network)
        with one_thread():
            for _ in trange(self.steps, desc=name, leave=False, disable=not progress):
                rows = [g.choice(train, size, False) for (train, _), g in zip(tasks, generators, strict=True)]
                x, y = self._parts(pool[torch.from_numpy(np.stack(rows))])
                optimiser.step((network.every(x).sigmoid() - y).abs().mean() * len(tasks))
            return self._tested(network, pool, tasks)

    @torch.no_grad()
    def _tested(self, network: StackedGRU, pool: Tensor, tasks: list[Task]) -> list[float]:
        longest = max(len(test) for _, test in tasks)
        padded = torch.from_numpy(np.stack([np.resize(test, longest) for _, test in tasks]))
        errors = []
        for block in padded.split(max(1, _TEST_BLOCK // len(tasks)), dim=1):
            x, y = self._parts(pool[block])
            errors.append((network.every(x).sigmoid() - y).abs().mean((2, 3)))
        every = torch.cat(errors, 1).double()
        return [float(every[place, : len(test)].mean()) for place, (_, test) in enumerate(tasks)]
