"""Windows of a panel before its network, in completions: scaled by their context, with lagged copies.

An unconditional run is held to what is known of all channels; a conditional one is given it, and is held to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from scorefield.core.completion import OBSERVED, Observing
from scorefield.core.errors import InputError
from scorefield.core.state import State
from scorefield.domains.series.encoders import Seen
from scorefield.domains.series.tsdiff.encoding import Encoded, WindowPlan, encode, features
from scorefield.domains.series.tsdiff.network import GIVEN

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord

__all__ = ["PANEL_OBSERVING", "PanelEncoder"]

Array = NDArray[np.float64]

PANEL_OBSERVING = Observing(
    way="moments",
    arguments={"iterations": 1},
    std=0.005,
    prior_std=1.0,
    solver="dpmpp-2m-sde",
    steps=10,
    solver_arguments={},
)
"""How panels are forecast by default; see docs/panels.md."""
_GIVEN_OBSERVING = Observing("self", {}, 1.0, 1.0, None, None, {})  # of it only the sampler counts: the run's own


class PanelEncoder:
    """The windows of one run.

    Args:
        record: of the run.
    """

    def __init__(self, record: ModelRecord) -> None:
        tables = record.tables
        self.plan = WindowPlan(tables["context"], tables["prediction"], tuple(tables["lags"]))
        self.length, self.history = self.plan.length, self.plan.history
        self.fallback: float = tables["fallback_scale"]
        self.observes = GIVEN not in record.sizes
        self.observing = PANEL_OBSERVING if self.observes else _GIVEN_OBSERVING
        self._features: int = record.sizes["features"]

    def frame(self, rows: int, generator: torch.Generator, conditions: Mapping[str, Any] | None) -> State:
        """See `WindowEncoder.frame`.

        Raises:
            InputError: a condition is given.
        """
        if conditions:
            what = f"condition {min(conditions)!r}"
            raise InputError(what, mend="leave it out: a series has the scale of what is known of it")
        return State({"x": torch.zeros(rows, self.length, self._features)})

    def seen(self, stretches: Array) -> Seen:
        """See `WindowEncoder.seen`."""
        values = stretches[..., 0]
        if self.observes:
            seen = encode(values, self.plan, self.fallback)
            condition = {OBSERVED + "x": torch.from_numpy(seen.known()).float()}
        else:
            seen = features(values, self.plan, self.fallback)
            condition = {GIVEN: torch.from_numpy(seen.x).float()}
        return Seen(condition, lambda x: _series(x, seen))


def _series(x: Array, seen: Encoded) -> Array:
    """The series itself of sampled windows `(B, L, C)`, `(B, L, 1)`."""
    return np.asarray(x[..., :1] * seen.scale[:, None, None])
