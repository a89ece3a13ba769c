"""Energies as weights of particles, and the moves that these weights make up for.

Between two evaluations a particle's log-weight grows by -(B' E' - B E), with E at the data prediction (or the state)
and B(t) how much it counts; from the prior by -B E. Where a proposal K = N(m + d, c^2) has replaced the kernel
K_0 = N(m, c^2), it grows by log K_0 - log K = -(2 <x' - m - d, d> + |d|^2) / (2 c^2) as well, exactly, for any d.

Sources: Wu et al. 2023, twisted diffusion samplers (arXiv 2306.17775); Singhal et al. 2025 (arXiv 2501.06848) and Li et
al. 2024 (arXiv 2408.08252) without gradients.
"""

from __future__ import annotations

import copy
from typing import Literal, Self

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.guidance.gradient import Gradient
from scorefield.core.guidance.potentials import Potential, energies
from scorefield.core.guidance.targets import Kernels, inner
from scorefield.core.guide import Guide, Run
from scorefield.core.solvers.solver import Carry
from scorefield.core.solvers.table import combine
from scorefield.core.spaces import Space
from scorefield.core.state import State
from scorefield.core.system import Values, placed

__all__ = ["Steering"]


_LIMIT = 0.5  # longer moves towards an observation spread the weights (measured: effective sizes halve without it)


class Steering:
    """One potential's part in particles.

    Args:
        potential: the energy.
        proposal: see `Particles`.
        ramp: B(t) = (1 - t)^ramp.
        every: steps from one evaluation of the energy to the next.

    Attributes:
        gradient: whether gradients go through the network.
        proposal: what moves particles, if anything does.
        potential: the energy.
        calls: network calls since it was last asked by `spent`.

    Raises:
        InputError: the potential has no value, or a number that cannot be.
    """

    def __init__(
        self, potential: Potential, proposal: Guide | Literal["auto", "plain"], ramp: float, every: int
    ) -> None:
        if not potential.valued:
            raise InputError(f"particles cannot weigh {potential.name}: it has no value", mend="use gradient")
        if not ramp >= 0 or every < 1:
            raise InputError(f"ramp {ramp:g}, every {every}", mend="need ramp 0 or more, every 1 or more")
        self.potential, self._ramp, self._every, self.calls = potential, ramp, every, 0
        self.proposal: Guide | None = proposal if isinstance(proposal, Guide) else None
        if proposal == "auto" and potential.differentiable:
            self.proposal = Gradient(potential, limit=_LIMIT)
        self.gradient = self.proposal is not None and self.proposal.gradient
        self._times: list[tuple[float, float]]
        self._steps: Kernels
        self._spaces: dict[str, Space]
        self._counted: Tensor | float = 0.0
        self._left: tuple[State, Values] | None = None

    def begin(self, run: Run, steps: Kernels) -> Self:
        """A copy for one run."""
        mine = copy.copy(self)
        mine.potential = self.potential.begin(run)
        mine.proposal = None if self.proposal is None else self.proposal.begin(run)
        mine._times, mine._steps = list(zip(run.plan.times, run.plan.ends, strict=True)), steps
        mine._spaces = {n: c.space for n, c in run.system.components.items()}
        return mine

    def propose(
        self, state: State, data: Values, seen: Values, index: int, t: Tensor, origins: Values
    ) -> tuple[Values, Tensor | float]:
        """The data prediction to move by in place of `data`, and how much log-weights grow; energies look at `seen`."""
        self._left = None
        if index % self._every:
            return data, 0.0
        grown = self._grown(state, seen, self._times[index][0], t, origins)
        if self.proposal is None or not any(steps[index].noise for steps in self._steps.values()):
            return data, grown
        pushed = self.proposal.predict(state, seen, index, t)
        self.calls += self.proposal.calls
        self._left = state.map(Tensor.detach), {n: v.detach() for n, v in data.items()}
        strength = (1 - self._times[index][0]) ** self._ramp
        moved = {n: torch.add(v, pushed[n] - seen[n], alpha=strength) for n, v in data.items()}
        return moved, grown

    def moved(self, carry: Carry, index: int, origins: Values) -> Tensor | float:
        """How much log-weights grow once the step has been made; after the last step, by the energy of the result."""
        grown: Tensor | float = 0.0
        if self._left is not None:
            state, data = self._left
            for name, steps in self._steps.items():
                if steps[index].noise:
                    grown = grown + self._ratio(name, index, state, data[name], carry)
        if index == len(self._times) - 1:
            time = max(self._times[index][1], 0.0)
            t = torch.full((len(carry.state),), time, dtype=carry.state.dtype, device=carry.state.device)
            grown = grown + self._grown(carry.state, carry.state.components, time, t, origins)
        return grown

    def _ratio(self, name: str, index: int, state: State, data: Tensor, carry: Carry) -> Tensor:
        """log K_0 - log K of the step that led to the carry's state."""
        kernel, space = self._steps[name][index], self._spaces[name]
        mean = combine(kernel.move, state[name], None, [carry.history[0][name]])
        shift = mean - torch.add(state[name] * kernel.state, data, alpha=kernel.data)
        drawn = carry.state[name] - mean
        return -(inner(space, drawn, shift) + 0.5 * inner(space, shift, shift)) / kernel.noise**2

    def _grown(self, state: State, data: Values, time: float, t: Tensor, origins: Values) -> Tensor:
        self.calls += self.potential.calls
        with torch.no_grad():
            seen = state.replace(placed(state.components, origins))
            energy = energies(self.potential, seen, placed(data, origins), t).double()
        counted = energy * (1 - time) ** self._ramp
        grown: Tensor = self._counted - counted
        self._counted = counted
        return grown

    def spent(self) -> int:
        """Network calls since this was last asked."""
        calls, self.calls = self.calls, 0
        return calls

    def select(self, ancestors: Tensor) -> None:
        """Take over what belongs to rows from their ancestors, `[B]`."""
        if isinstance(self._counted, Tensor):
            self._counted = self._counted[ancestors]
        if self.proposal is not None:
            self.proposal.select(ancestors)
