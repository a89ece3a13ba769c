"""The network as a solver sees it: evaluations numbered, predictions of the kind asked for, transforms applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.predictions import Kind, conversion
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["ClampData", "Denoiser", "Transform"]


class Transform(Protocol):
    """Changes the data prediction of every component before a solver uses it."""

    def __call__(self, state: State, data: Values, t: Tensor) -> Values:
        """New data predictions; `state` is x_t, `t` is `[B]`."""
        ...


class ClampData:
    """Clamp the data prediction of components to the range of the data.

    Args:
        ranges: lowest and highest value, by component.
    """

    def __init__(self, **ranges: tuple[float, float]) -> None:
        for name, (low, high) in ranges.items():
            if low >= high:
                raise InputError(f"range {low:g} to {high:g} of {name} is empty")
        self.ranges = ranges

    def __call__(self, state: State, data: Values, t: Tensor) -> Values:
        """See `Transform`."""
        missing = self.ranges.keys() - data.keys()
        if missing:
            raise InputError(f"no component {min(missing)!r} to clamp", mend=f"there are {', '.join(data)}")
        return {n: v.clamp(*self.ranges[n]) if n in self.ranges else v for n, v in data.items()}


class Denoiser:
    """Evaluates a system at the times of one run.

    All conversions between kinds of prediction are computed once, in float64; nothing waits for the device. Sums of
    the outputs are kept so that `check` can tell at the end where a network first returned something not finite.

    Args:
        system: the system.
        state: a state of the run, for its device, number type, condition and masks.
        times: the evaluation times, in order.
        transforms: applied to data predictions, in order.
    """

    def __init__(
        self, system: System, state: State, times: Sequence[float], transforms: Sequence[Transform] = ()
    ) -> None:
        self.system, self.times, self.transforms = system, list(times), tuple(transforms)
        self.origins = system.origins(state)
        self.evaluations = 0
        precise = torch.float64 if state.dtype == torch.float64 else torch.float32
        self._times = torch.tensor(self.times, dtype=precise, device=state.device)
        self._batch = len(state)
        self._conversions: dict[tuple[str, Kind, Kind], list[tuple[float, float]]] = {}
        self._sums: list[tuple[int, Tensor]] = []

    def __call__(self, state: State, index: int, kind: Kind) -> Values:
        """Predictions of one kind at evaluation time `index`, by component."""
        t = self._times[index].expand(self._batch)
        outputs = self.system(state, t, self.origins)
        self.evaluations += 1
        self._sums.append((index, sum((v.sum() for v in outputs.values()), torch.zeros((), device=state.device))))
        kinds = {name: component.prediction for name, component in self.system.components.items()}
        if self.transforms:
            outputs = {n: self._convert(n, state[n], v, index, kinds[n], "data") for n, v in outputs.items()}
            for transform in self.transforms:
                outputs = transform(state, outputs, t)
            kinds = dict.fromkeys(kinds, "data")
        return {n: self._convert(n, state[n], v, index, kinds[n], kind) for n, v in outputs.items()}

    def _convert(self, name: str, x: Tensor, value: Tensor, index: int, source: Kind, target: Kind) -> Tensor:
        if source == target:
            return value
        key = (name, source, target)
        if key not in self._conversions:
            path = self.system.components[name].path
            a, b = conversion(path, torch.tensor(self.times, dtype=torch.float64), source, target)
            self._conversions[key] = list(zip(a.tolist(), b.tolist(), strict=True))
        a_t, b_t = self._conversions[key][index]
        return value * b_t if a_t == 0.0 else torch.add(value * b_t, x, alpha=a_t)

    def check(self) -> None:
        """Raise if any evaluation so far was not finite.

        Raises:
            FloatingPointError: naming the first such evaluation and its time.
        """
        sums = torch.stack([total for _, total in self._sums]) if self._sums else torch.zeros(0)
        bad = torch.nonzero(~torch.isfinite(sums))
        if len(bad):
            first = int(bad[0])
            time = self.times[self._sums[first][0]]
            raise FloatingPointError(f"the network returned NaN or infinity at evaluation {first + 1}, t = {time:g}")
