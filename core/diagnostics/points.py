"""Where a score field is looked at: clean samples, noised to a time by noise that the time alone decides."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core.calculus import rademacher
from scorefield.core.noise import Seeded, stream_seed
from scorefield.core.state import State
from scorefield.core.system import System, Values, centred

__all__ = ["Points", "spread_times"]


@dataclass(frozen=True)
class Points:
    """Clean samples of a system.

    Args:
        system: the model.
        data: samples with masks and condition, in the number type to compute in.
        seed: fixes noise and probes.
    """

    system: System
    data: State
    seed: int = 0

    def __len__(self) -> int:
        return len(self.data)

    def origins(self) -> Values:
        """See `System.origins`."""
        return self.system.origins(self.data)

    def times(self, t: float) -> Tensor:
        """One time for all samples, `[B]`."""
        return torch.full((len(self.data),), t, dtype=self.data.dtype, device=self.data.device)

    def centred(self) -> State:
        """The samples in the solver's variable u = x - origin."""
        return self.data.replace(centred(self.data.components, self.origins()))

    def noised(self, t: float) -> State:
        """The samples at time `t`, as u."""
        state = self.centred()
        return self.system.perturb(state, self.times(t), self.system.noise(state, self._source("noise", t)))

    def probes(self, t: float, count: int) -> list[Values]:
        """Random directions of mean square one, `count` of them."""
        source = self._source("probes", t)
        return [rademacher(self.system, self.data, source) for _ in range(count)]

    def _source(self, what: str, t: float) -> Seeded:
        return Seeded(stream_seed(what, repr(t), self.seed), device=self.data.device)


def spread_times(system: System, count: int) -> list[float]:
    """Times spread evenly over the range in which solvers evaluate the system, ends included."""
    paths = [c.path for c in system.components.values()]
    first, last = max(p.t_min for p in paths), min(p.t_max for p in paths)
    return torch.linspace(first, last, count, dtype=torch.float64).tolist()
