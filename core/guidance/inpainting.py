"""Inpainting by replacement: observed entries follow their own noised path, whatever the network says.

Before each evaluation x <- x + A^T m (alpha y + sigma z - A x), with A the identity for observed entries, or a matrix
of orthonormal rows for observed combinations of entries (colourisation, means of a window); the run ends with y itself.
This is biased: what is not observed is drawn as if the noised observation, not y, were given. Repeating steps (RePaint)
lessens the bias.

Sources: Song et al. 2021 (arXiv 2011.13456, appendix I.2); Lugmayr et al. 2022 (arXiv 2201.09865) for the repeats.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError
from scorefield.core.guidance.observations import Matrix, Observation
from scorefield.core.guidance.potentials import Potential, parts, together
from scorefield.core.guide import Guide, Run
from scorefield.core.noise import NoiseSource, Seeded
from scorefield.core.solvers.solver import Carry, LinearPlan, Plan
from scorefield.core.spaces import Space
from scorefield.core.state import State

__all__ = ["Replacement", "is_one_step"]


class Replacement(Guide):
    """Replace what is observed.

    Args:
        potential: an observation, or several of different entries; their errors count as zero.
        redraw: whether each replacement draws new noise z, as published; by default it does with solvers that draw
            noise themselves, while solvers of the ODE keep one z for the run.
        jump: steps that a repeat goes back.
        repeat: how often each `jump` steps are made; 1 makes them once. More need a one-step solver.

    Raises:
        InputError: a potential is no observation or carries a weight, or a number that cannot be.
    """

    def __init__(
        self,
        potential: Potential | Sequence[Potential],
        redraw: bool | None = None,
        jump: int = 1,
        repeat: int = 1,
    ) -> None:
        from scorefield.core.guidance.registry import suit

        whole = together(potential)
        suit("replacement", whole)
        if any(weight != 1 for weight, _ in parts(whole)):
            raise InputError("replacement is exact and takes no weight", mend="leave it out, or use gradient")
        if jump < 1 or repeat < 1:
            raise InputError(f"jumps of {jump} steps, {repeat} times", mend="give at least 1 of each")
        self.observations = [part for _, part in parts(whole) if isinstance(part, Observation)]
        self.redraw, self.jump, self.repeat = redraw, jump, repeat
        self._pieces: list[_Piece]
        self._plan: Plan
        self._back: list[dict[str, tuple[float, float]]]

    def begin(self, run: Run) -> Guide:
        """See `Guide.begin`."""
        if self.repeat > 1 and not is_one_step(run.plan):
            mend = "take ddpm, pc or euler-maruyama, or leave the repeats out"
            raise InputError("repeated steps need a solver that remembers nothing", mend=mend)
        mine = copy.copy(self)
        redraw = run.solver.stochastic if self.redraw is None else self.redraw
        mine._pieces = [_Piece(observation.begin(run), run, redraw) for observation in self.observations]
        mine._plan = run.plan
        mine._back = _back(run, self.jump) if self.repeat > 1 else []
        return mine

    def before(self, state: State, index: int, noise: NoiseSource) -> State:
        """See `Guide.before`."""
        for piece in self._pieces:
            state = piece.replaced(state, index, noise)
        return state

    def after(self, carry: Carry, index: int, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """See `Guide.after`; what is observed is y itself after the last step."""
        if index == self._plan.length - 1:
            state = carry.state
            for piece in self._pieces:
                state = piece.ended(state)
            return Carry(state)
        if (index + 1) % self.jump == 0:
            for _ in range(self.repeat - 1):
                carry = Carry(self._renoised(carry.state, index, denoise, noise))
                for again in range(index + 1 - self.jump, index + 1):
                    carry = self._plan.step(again, carry, denoise, noise)
        return carry

    def select(self, ancestors: Tensor) -> None:
        """See `Guide.select`."""
        for piece in self._pieces:
            piece.select(ancestors)

    def _renoised(self, state: State, index: int, denoise: Denoiser, noise: NoiseSource) -> State:
        """Back to where the last `jump` steps began."""
        draws = denoise.system.noise(state, noise)
        return state.replace({n: a * state[n] + b * draws[n] for n, (a, b) in self._back[index].items()})


class _Piece:
    """One observation in one run, with alpha and sigma of its component at every evaluation."""

    def __init__(self, observation: Observation, run: Run, redraw: bool) -> None:
        self.observation, self.name, self.redraw = observation, observation.component, redraw
        component = run.system.components[self.name]
        self.space: Space = component.space
        self.origin = run.system.origins(run.state).get(self.name)
        times = torch.tensor(run.plan.times, dtype=torch.float64)
        self.scales = list(zip(component.path.alpha(times).tolist(), component.path.sigma(times).tolist(), strict=True))
        self.draw: Tensor | None = None
        self._check(run.state)

    def _check(self, state: State) -> None:
        """Replaced states must stay in the component's space."""
        operator = self.observation.operator
        if isinstance(operator, Matrix) and not operator.is_orthonormal():
            raise InputError("replacement needs a matrix with orthonormal rows", mend="use gradient with this operator")
        probe, source = state[self.name].double(), Seeded(0, 0, state.device)
        x, other = (self.space.noise(probe, state.masks, source).to(state.dtype) for _ in range(2))
        known = state.replace({self.name: x})
        for result in (self._inserted(known, self._measured(other)), self.ended(known)[self.name]):
            if not torch.allclose(self.space.project(result, state.masks), result, rtol=1e-3, atol=1e-4):
                what = f"replacing what is observed of {self.name} leaves its space"
                raise InputError(what, mend="observe symmetric entries that exist, or use gradient")

    def _measured(self, x: Tensor) -> Tensor:
        operator = self.observation.operator
        return x if operator is None else operator(x)

    def _inserted(self, state: State, target: Tensor) -> Tensor:
        """The component with its observed part set to `target`."""
        x, operator = state[self.name], self.observation.operator
        _, given = self.observation.known(state)
        if not isinstance(operator, Matrix):
            return torch.where(given, target, x)
        return x + operator.adjoint(torch.where(given, target - operator(x), 0.0), x.shape)

    def _value(self, state: State) -> Tensor:
        """y in the solver's variable."""
        value, _ = self.observation.known(state)
        return value if self.origin is None else value - self._measured(self.origin)

    def replaced(self, state: State, index: int, noise: NoiseSource) -> State:
        """The state at evaluation `index` with its observed part on the path from y."""
        draw = self.draw
        if draw is None or self.redraw:
            draw = self.space.noise(state[self.name], state.masks, noise)
            self.draw = draw
        alpha, sigma = self.scales[index]
        target = alpha * self._value(state) + sigma * self._measured(draw)
        return state.replace({self.name: self._inserted(state, target)})

    def select(self, ancestors: Tensor) -> None:
        """Take over draw and origin from other rows."""
        self.draw = None if self.draw is None else self.draw[ancestors]
        self.origin = None if self.origin is None else self.origin[ancestors]

    def ended(self, state: State) -> State:
        """The state with its observed part equal to y."""
        return state.replace({self.name: self._inserted(state, self._value(state))})


def is_one_step(plan: Plan) -> bool:
    """Whether each step leads on from the current state only: no anchors, one prediction and no earlier ones.

    A run can then go on from any state; particles may be replaced and steps repeated.
    """
    if not isinstance(plan, LinearPlan):
        return False
    moves = [move for row in plan.moves.values() for move in row]
    return all(m.anchor is None and m.point.anchor == 0 and len(m.point.values) == 1 for m in moves)


def _back(run: Run, jump: int) -> list[dict[str, tuple[float, float]]]:
    """Of every step i that ends a jump: scale and noise of the forward transition to the start of step i + 1 - jump."""
    plan = run.plan
    table: list[dict[str, tuple[float, float]]] = []
    for index in range(plan.length):
        if (index + 1) % jump:
            table.append({})
            continue
        s, t = (torch.tensor(v, dtype=torch.float64) for v in (plan.ends[index], plan.times[index + 1 - jump]))
        row = {}
        for name, component in run.system.components.items():
            scale, std = component.path.transition(t, s)
            row[name] = 1 / float(scale), float(std)
        table.append(row)
    return table
