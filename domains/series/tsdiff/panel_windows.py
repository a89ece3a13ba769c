"""Training windows of a panel.

Every place at which a whole stretch (history for lags, context, forecast) fits into a series is a window. The published
sampler passes over the series in order and takes each place with the same probability; here batches are drawn from all
places at once, which has the same law and mixes series within a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.loading import Batch
from scorefield.core.noise import stream_seed
from scorefield.domains.series.tsdiff.encoding import LEAST_SCALE, Missing, WindowPlan, encode, features, hidden_steps
from scorefield.domains.series.tsdiff.panels import Panel
from scorefield.domains.series.windows import window_starts

__all__ = ["PanelWindows", "last_places", "places", "silent_contexts"]

Rows = NDArray[np.int64]


def places(panel: Panel, total: int) -> Rows:
    """Rows of the panel at which stretches of `total` steps start, none of which reaches into another series."""
    ends = zip(panel.bounds[:-1], panel.bounds[1:], strict=True)
    parts = [window_starts(int(first), int(last), total, 1) for first, last in ends]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def last_places(panel: Panel, total: int) -> Rows:
    """The last of these of each series that is long enough."""
    return np.asarray((panel.bounds[1:] - total)[panel.lengths >= total])


def silent_contexts(panel: Panel, starts: Rows, plan: WindowPlan) -> int:
    """How many contexts hold nothing above the least scale, so that a scale of their own says nothing."""
    loud = np.concatenate([[0], np.cumsum(np.abs(np.nan_to_num(panel.values)) > LEAST_SCALE)])
    first = starts + plan.history
    return int((loud[first + plan.context] == loud[first]).sum())


class PanelWindows:
    """Windows as batches.

    `x` `[B, L, C]` is the scaled series with its lagged copies. For a conditional model `x` `[B, L, 1]` is the series
    alone, and `given` `[B, L, lags + 2]` what is known of it (`encoding.features`).

    Args:
        panel: the series.
        starts: where stretches start, `(n,)`.
        plan: their lengths.
        fallback: scale of contexts that have none.
        conditional: whether a model is to be given what is known.
        missing: scenario of missing values in what is given.
        missing_count: hidden steps of the context; by default half of them.
        seed: of the steps that `RM` hides, drawn for each window and epoch: row r + e n, of n, is r in epoch e.
    """

    def __init__(
        self,
        panel: Panel,
        starts: Rows,
        plan: WindowPlan,
        fallback: float,
        *,
        conditional: bool = False,
        missing: Missing = "none",
        missing_count: int | None = None,
        seed: int = 0,
    ) -> None:
        self.values, self.starts, self.plan, self.fallback = panel.values, starts, plan, fallback
        self.conditional, self.missing, self.missing_count, self.seed = conditional, missing, missing_count, seed
        self._steps = np.arange(plan.total)

    def __len__(self) -> int:
        return len(self.starts)

    def stretches(self, indices: Sequence[int] | Rows) -> NDArray[np.float64]:
        """Stretches in the units of the data, `(B, total)`, NaN where a value is missing."""
        starts = self.starts[np.asarray(indices, dtype=np.int64)]
        return np.asarray(self.values[starts[:, None] + self._steps])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        epochs, rows = np.divmod(np.asarray(indices, dtype=np.int64), len(self))
        values = self.stretches(rows)
        if not self.conditional:
            return {"x": torch.from_numpy(encode(values, self.plan, self.fallback).x).float()}
        draws = zip(epochs.tolist(), rows.tolist(), strict=True) if self.missing == "RM" else ()
        generators = [np.random.default_rng(stream_seed("hidden", self.seed, epoch, row)) for epoch, row in draws]
        hidden = hidden_steps(self.missing, len(values), self.plan.context, self.missing_count, generators)
        given = features(values, self.plan, self.fallback, hidden)
        x = np.nan_to_num(values[:, self.plan.history :] / given.scale[:, None])[..., None]
        return {"x": torch.from_numpy(x).float(), "given": torch.from_numpy(given.x).float()}
