"""Couplings: which source sample x_0 an interpolant joins to which target sample x_1 in training.

The laws that an interpolant carries into each other are the coupling's two sides; the coupling itself decides how its
paths run, and how straight they are. Under masks only samples of equal masks are joined.

Sources: Albergo et al. 2023 (arXiv 2310.03725) for couplings that depend on the data; Tong et al. 2023 (arXiv
2302.00482) and Pooladian et al. 2023 (arXiv 2304.14772) for optimal transport within a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.extras import optional
from scorefield.core.interpolants.system import SOURCE, InterpolantSystem, given_source
from scorefield.core.names import unknown
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["Coupling", "DataDependent", "Independent", "OptimalTransport", "Origin", "Paired"]

Origin = Literal["given", "normal"]
"""Source samples in the batch (`source_x` beside `x`), else those of the system's base; or standard normal noise."""


class Coupling(ABC):
    """Draws source samples for a batch of target samples."""

    @abstractmethod
    def source(self, system: System, state: State, names: Sequence[str], streams: SampleStreams) -> Values:
        """Source samples of the components `names`, shaped like them, in their spaces.

        Raises:
            InputError: the batch lacks what is needed.
        """


class Paired(Coupling):
    """Row by row: the batch holds the source sample of every target sample."""

    def source(self, system: System, state: State, names: Sequence[str], streams: SampleStreams) -> Values:
        """See `Coupling.source`."""
        return given_source(system, state, names)


class Independent(Coupling):
    """Source and target drawn independently of each other.

    Args:
        origin: `given` shuffles the batch's source samples, or draws from the system's base where the batch has none;
            `normal` draws noise.
    """

    def __init__(self, origin: Origin = "given") -> None:
        self.origin = _checked(origin)

    def source(self, system: System, state: State, names: Sequence[str], streams: SampleStreams) -> Values:
        """See `Coupling.source`."""
        if self.origin == "normal":
            return _normal(system, state, names, streams)
        found = _given(system, state, names, streams)
        given = [name for name in found if SOURCE + name in state.condition]
        if given:
            kinds, shuffled = _mask_kinds(state), torch.argsort(streams.uniform())
            shuffled = shuffled[torch.argsort(kinds[shuffled], stable=True)]
            index = torch.empty_like(shuffled)
            index[torch.argsort(kinds, stable=True)] = shuffled
            found |= {name: found[name][index] for name in given}
        return found


class DataDependent(Coupling):
    """x_0 = m(x_1) + std noise.

    Args:
        mean: m, from a state of target samples to source samples by component (a blurred, masked or coarse version).
        std: standard deviation of the noise.
    """

    def __init__(self, mean: Callable[[State], Mapping[str, Tensor]], std: float) -> None:
        if not std >= 0:
            raise InputError(f"std {std:g} of a coupling", mend="give 0 or more")
        self.mean, self.std = mean, std

    def source(self, system: System, state: State, names: Sequence[str], streams: SampleStreams) -> Values:
        """See `Coupling.source`."""
        means, noise = self.mean(state), _normal(system, state, names, streams)
        missing = [name for name in names if name not in means]
        if missing:
            raise InputError(f"the coupling's mean lacks {', '.join(missing)}", mend=f"return {', '.join(names)}")
        projected = {n: system.components[n].space.project(means[n], state.masks) for n in names}
        return {name: value + self.std * noise[name] for name, value in projected.items()}


class OptimalTransport(Coupling):
    """Optimal transport within the batch for the squared distance over all components together.

    Each target sample gets a source sample drawn from its column of the plan; the exact plan is a permutation.

    Args:
        origin: where source samples come from, as in `Independent`.
        regularisation: entropic regularisation in units of the mean cost (needs POT); 0 for the exact plan.
    """

    def __init__(self, origin: Origin = "given", regularisation: float = 0.0) -> None:
        if not regularisation >= 0:
            raise InputError(f"regularisation {regularisation:g}", mend="give 0 or more")
        self.origin, self.regularisation = _checked(origin), regularisation

    def source(self, system: System, state: State, names: Sequence[str], streams: SampleStreams) -> Values:
        """See `Coupling.source`."""
        drawn = (
            _normal(system, state, names, streams) if self.origin == "normal" else _given(system, state, names, streams)
        )
        plan = self._plan(_cost(system, state, drawn).cpu().numpy())
        columns = torch.from_numpy(plan).cumsum(0)
        mark = streams.uniform().cpu() * columns[-1]
        index = (columns <= mark).sum(0).clamp(max=len(state) - 1).to(state.device)
        return {name: value[index] for name, value in drawn.items()}

    def _plan(self, cost: NDArray[np.float64]) -> NDArray[np.float64]:
        """The plan `[B, B]` between uniform weights: rows are source samples, columns target samples."""
        if not self.regularisation:
            from scipy.optimize import linear_sum_assignment

            plan = np.zeros_like(cost)
            plan[linear_sum_assignment(cost)] = 1 / len(cost)
            return plan
        ot = optional("ot", "entropic transport needs POT, unlike regularisation 0", "ot")
        even = np.full(len(cost), 1 / len(cost))
        settings = {"method": "sinkhorn_log", "numItermax": 10_000}
        return np.asarray(ot.sinkhorn(even, even, cost, self.regularisation, **settings))


def _checked(origin: Origin) -> Origin:
    if origin not in get_args(Origin):
        raise unknown("origin", origin, get_args(Origin))
    return origin


def _given(system: System, state: State, names: Sequence[str], streams: SampleStreams) -> Values:
    if isinstance(system, InterpolantSystem):
        return system.source(state, names, streams)
    return given_source(system, state, names)


def _normal(system: System, state: State, names: Sequence[str], streams: SampleStreams) -> Values:
    spaces = {name: system.components[name].space for name in names}
    return {name: space.noise(state[name], state.masks, streams) for name, space in spaces.items()}


def _mask_kinds(state: State) -> Tensor:
    """A number for each sample `[B]`, equal where all masks are."""
    if not state.masks:
        return torch.zeros(len(state), dtype=torch.int64, device=state.device)
    masks = torch.cat([mask.flatten(1) for mask in state.masks.values()], 1)
    kinds: Tensor = torch.unique(masks, dim=0, return_inverse=True)[1]
    return kinds


def _cost(system: System, state: State, source: Values) -> Tensor:
    """Squared distances `[B, B]` over free entries in units of their mean; prohibitive between unequal masks."""
    total = torch.zeros(len(state), len(state), dtype=torch.float64, device=state.device)
    for name, value in source.items():
        space = system.components[name].space
        target = space.project(state[name], state.masks)
        total += torch.cdist(value.double().flatten(1), target.double().flatten(1)).square() / space.copies
    kinds = _mask_kinds(state)
    joinable = kinds[:, None] == kinds
    total /= total[joinable].mean().clamp(min=torch.finfo(total.dtype).tiny)
    return total.masked_fill(~joinable, 1 + float(total.max()) * len(state))
