"""The network as a solver sees it: evaluations numbered, predictions of the kind asked for, guides applied."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.core.guide import Guides
from scorefield.core.noise import NoiseSource
from scorefield.core.predictions import Kind, conversion
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["Denoiser"]


class Denoiser:
    """Evaluates a system at the times of one run.

    All conversions between kinds of prediction are computed once, in float64; nothing waits for the device. Sums of
    the outputs are kept so that `check` can tell at the end where a network first returned something not finite.

    Args:
        system: the system.
        state: a state of the run, for its device, number type, condition and masks.
        times: the evaluation times, in order.
        guides: what acts on predictions and states.

    Attributes:
        evaluations: network calls so far, those of guides included.
    """

    def __init__(self, system: System, state: State, times: Sequence[float], guides: Guides | None = None) -> None:
        self.system, self.times, self.guides = system, list(times), Guides() if guides is None else guides
        self.origins = system.origins(state)
        self.evaluations = 0
        precise = torch.float64 if state.dtype == torch.float64 else torch.float32
        table = torch.tensor(self.times, dtype=precise, device=state.device)
        self._times = [t.expand(len(state)) for t in table.unbind()]
        self._kinds: dict[str, Kind] = {name: c.prediction for name, c in system.components.items()}
        self._cost = getattr(system.network, "calls", 1) + self.guides.calls
        self._conversions: dict[tuple[str, Kind, Kind], list[tuple[float, float]]] = {}
        self._sums: list[tuple[int, Tensor]] = []

    def __call__(self, state: State, index: int, kind: Kind) -> Values:
        """Predictions of one kind at evaluation time `index`, by component."""
        self.evaluations += self._cost
        if self.guides.predicting:
            data = self._guided(state, index)
            return {n: self._convert(n, state[n], v, index, "data", kind) for n, v in data.items()}
        outputs = self.system(state, self._times[index], self.origins)
        self._watch(outputs, index)
        return {n: self._convert(n, state[n], v, index, self._kinds[n], kind) for n, v in outputs.items()}

    def before(self, state: State, index: int, noise: NoiseSource) -> State:
        """The state to evaluate at time `index`: what the guides make of `state`."""
        for guide in self.guides.before:
            state = guide.before(state, index, noise)
        return state

    def _guided(self, state: State, index: int) -> Values:
        t = self._times[index]
        with torch.set_grad_enabled(self.guides.gradient):
            if self.guides.gradient:
                state = state.replace({n: state[n].detach().requires_grad_() for n in self._kinds})
            outputs = self.system(state, t, self.origins)
            self._watch(outputs, index)
            data = {n: self._convert(n, state[n], v, index, self._kinds[n], "data") for n, v in outputs.items()}
            for guide in self.guides.predicting:
                data = guide.predict(state, data, index, t)
        return {n: v.detach() for n, v in data.items()} if self.guides.gradient else data

    def _watch(self, outputs: Values, index: int) -> None:
        for value in outputs.values():
            self._sums.append((index, value.detach().sum()))

    def _convert(self, name: str, x: Tensor, value: Tensor, index: int, source: Kind, target: Kind) -> Tensor:
        if source == target:
            return value
        a_t, b_t = self._table(name, source, target)[index]
        return value * b_t if a_t == 0.0 else torch.add(value * b_t, x, alpha=a_t)

    def _table(self, name: str, source: Kind, target: Kind) -> list[tuple[float, float]]:
        key = (name, source, target)
        if key not in self._conversions:
            path = self.system.components[name].path
            a, b = conversion(path, torch.tensor(self.times, dtype=torch.float64), source, target)
            self._conversions[key] = list(zip(a.tolist(), b.tolist(), strict=True))
        return self._conversions[key]

    def check(self) -> None:
        """Raise if any evaluation so far was not finite.

        Raises:
            FloatingPointError: naming the first such evaluation and its time.
        """
        sums = torch.stack([total for _, total in self._sums]) if self._sums else torch.zeros(0)
        bad = torch.nonzero(~torch.isfinite(sums))
        if len(bad):
            first = int(bad[0])
            index = self._sums[first][0]
            number = first // len(self._kinds) + 1
            raise FloatingPointError(
                f"the network returned NaN or infinity at evaluation {number}, t = {self.times[index]:g}"
            )
