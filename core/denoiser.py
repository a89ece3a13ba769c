"""The network as a solver sees it: evaluations numbered, predictions of the kind asked for, guides applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from scorefield.core.guide import Guides
from scorefield.core.noise import NoiseSource
from scorefield.core.predictions import Kind, conversion
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["Denoiser"]

Coefficients = dict[str, tuple[float, float]]
"""By component: of the state and of the network's output."""


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
        self.evaluations = self._calls = 0
        precise = torch.float64 if state.dtype == torch.float64 else torch.float32
        table = torch.tensor(self.times, dtype=precise, device=state.device)
        self._times = [t.expand(len(state)) for t in table.unbind()]
        self._kinds: dict[str, Kind] = {name: c.prediction for name, c in system.components.items()}
        self._data: dict[str, Kind] = dict.fromkeys(self._kinds, "data")
        self._cost = getattr(system.network, "calls", 1) + self.guides.calls
        self._tables: dict[tuple[bool, Kind], list[Coefficients]] = {}
        self._sums: list[tuple[str, int, int, Tensor]] = []

    def __call__(self, state: State, index: int, kind: Kind) -> Values:
        """Predictions of one kind at evaluation time `index`, by component."""
        if self.guides.predicting:
            return _converted(state, self._guided(state, index), self._table(True, kind)[index])
        return _converted(state, self._outputs(state, index), self._table(False, kind)[index])

    def before(self, state: State, index: int, noise: NoiseSource) -> State:
        """The state to evaluate at time `index`: what the guides make of `state`."""
        for guide in self.guides.before:
            state = guide.before(state, index, noise)
        return state

    def _outputs(self, state: State, index: int) -> Values:
        outputs = self.system.forward(state, self._times[index], self.origins)
        self.watch(outputs, index)
        return outputs

    def time(self, index: int) -> Tensor:
        """Evaluation time `index`, `[B]`, for a solver that calls the network itself."""
        return self._times[index]

    def watch(self, outputs: Mapping[str, Tensor], index: int) -> None:
        """Count one evaluation of the network, and remember whether it was finite."""
        self.evaluations += self._cost
        self._calls += 1
        self._remember("the network", outputs, index)

    def _remember(self, who: str, outputs: Mapping[str, Tensor], index: int) -> None:
        for value in outputs.values():
            total = value.detach().sum() if value.requires_grad else value.sum()
            self._sums.append((who, self._calls, index, total))

    def _guided(self, state: State, index: int) -> Values:
        """Data predictions after the guides."""
        gradient = self.guides.gradient
        with torch.set_grad_enabled(gradient):
            if gradient:
                state = state.replace({n: state[n].detach().requires_grad_() for n in self._kinds})
            data = _converted(state, self._outputs(state, index), self._table(False, "data")[index])
            for guide in self.guides.predicting:
                data = guide.predict(state, data, index, self._times[index])
        self._remember("a guide", data, index)
        return {n: v.detach() for n, v in data.items()} if gradient else data

    def _table(self, guided: bool, kind: Kind) -> list[Coefficients]:
        """Of every evaluation: what turns the network's outputs (or guided data predictions) into `kind`."""
        key = guided, kind
        if key not in self._tables:
            columns = {}
            for name, source in (self._data if guided else self._kinds).items():
                path = self.system.components[name].path
                a, b = conversion(path, torch.tensor(self.times, dtype=torch.float64), source, kind)
                columns[name] = list(zip(a.tolist(), b.tolist(), strict=True))
            self._tables[key] = [{n: c[i] for n, c in columns.items()} for i in range(len(self.times))]
        return self._tables[key]

    def check(self) -> None:
        """Raise if any evaluation so far was not finite.

        Raises:
            FloatingPointError: naming the first such evaluation and its time.
        """
        sums = torch.stack([total for *_, total in self._sums]) if self._sums else torch.zeros(0)
        bad = torch.nonzero(~torch.isfinite(sums))
        if len(bad):
            who, number, index, _ = self._sums[int(bad[0])]
            what = f"{who} returned NaN or infinity at evaluation {number}, t = {self.times[index]:g}"
            raise FloatingPointError(what)


def _converted(state: State, values: Values, table: Coefficients) -> Values:
    converted = {}
    for name, (a, b) in table.items():
        value, x = values[name], state.components[name]
        if b != 1.0:
            converted[name] = value * b if a == 0.0 else (value * b).add_(x, alpha=a)
        else:
            converted[name] = value if a == 0.0 else torch.add(value, x, alpha=a)
    return converted
