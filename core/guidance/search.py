"""Rollover-budget search: every sample spends a fixed number of network calls on successors of a better reward.

A sample begins from the best of some priors. Then, step by step, noisy successors of the current state are drawn and
evaluated one by one, until the data prediction of one has a better reward than any so far; the calls that are left of
the step's share roll over to the next step. A step whose share is used up goes on with the best it has seen. The last
step spends all that is left, and its best data prediction is the sample. Samples go through the steps each at their own
pace, so that one batched call serves all of them.

Noise makes successors differ, so the solver has to be a stochastic one-step solver; a flow is sampled as the diffusion
that it is on a variance-preserving path (see `core.reparametrise`).

Source: Kim et al. 2025 (arXiv 2503.19385).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.guidance.kernels import Kernel, kernels
from scorefield.core.guidance.potentials import Potential, energies, together
from scorefield.core.guide import Guide, Run
from scorefield.core.noise import NoiseSource
from scorefield.core.paths import VP
from scorefield.core.predictions import conversion
from scorefield.core.reparametrise import reparametrised
from scorefield.core.sampling import Sampled
from scorefield.core.solvers.solver import Solver
from scorefield.core.state import State
from scorefield.core.system import System, Values, placed

__all__ = ["RolloverSearch"]


class RolloverSearch(Guide):
    """Search for samples of low energy within a budget of network calls.

    It makes its own steps: `run` takes the place of `scorefield.core.sampling.sample`. Noise is asked for once a call,
    for all components.

    Args:
        potential: the energy, or several; the reward is its negative.
        budget: network calls for each sample, those of the potential included.
        initial: how many priors to begin with.
        path: `vp` samples the system on `VP()`, `own` on its own path; `auto` takes `vp` for networks that predict
            velocities.

    Attributes:
        rewards: of the copy that a run returns: the reward with which each step ended, `[steps, B]`.
        exhausted: of that copy: steps that ended with their share used up, bool `[steps, B]`.

    Raises:
        InputError: a potential without a value, or a number that cannot be.
    """

    def __init__(
        self,
        potential: Potential | Sequence[Potential],
        budget: int = 500,
        initial: int = 25,
        path: Literal["auto", "own", "vp"] = "auto",
    ) -> None:
        self.potential = together(potential)
        if not self.potential.valued:
            raise InputError(f"search cannot compare by {self.potential.name}: it has no value", mend="use gradient")
        if initial < 1 or budget < 1:
            raise InputError(f"a budget of {budget} calls, {initial} priors", mend="give at least 1 of each")
        if path not in ("auto", "own", "vp"):
            raise InputError(f"path {path!r}", mend="give auto, own or vp")
        self.budget, self.initial, self.path = budget, initial, path
        self.rewards: Tensor
        self.exhausted: Tensor

    def begin(self, run: Run) -> Guide:
        """Search cannot act on a run of other steps.

        Raises:
            InputError: always.
        """
        raise InputError("search makes its own steps", mend="call its method run, and leave other guides out")

    @torch.no_grad()
    def run(
        self,
        system: System,
        state: State,
        solver: Solver,
        noise: NoiseSource,
        progress: Callable[[int, int], None] | None = None,
    ) -> Sampled:
        """Generate one batch; arguments as of `scorefield.core.sampling.sample`.

        Raises:
            InputError: the solver cannot draw successors, or the budget is too small for its steps.
            FloatingPointError: the network returned something not finite.
        """
        system = reparametrised(system, VP()) if self._converts(system) else system
        run = Run(system, state, solver, solver.plan(system))
        mine = copy.copy(self)
        mine.potential = self.potential.begin(run)
        each = int(getattr(system.network, "calls", 1)) + mine.potential.calls
        rounds = self.budget // each
        steps = {n: row[:-1] for n, row in kernels(run).items()}  # the last move needs no evaluation at its end
        moves = len(next(iter(steps.values())))
        least = self.initial + moves
        if rounds < least:
            what = f"a budget of {self.budget} calls for {moves + 1} steps from {self.initial} priors"
            raise InputError(what, mend=f"give at least {least * each}")
        share = (rounds - self.initial) // max(moves, 1)
        search = _Search(run, mine.potential, steps, self.initial, share)
        for done in range(rounds):
            search.round(noise)
            if progress is not None:
                progress(done + 1, rounds)
        mine.rewards, mine.exhausted = search.ended()
        result = state.replace(placed(search.best, search.origins))
        if not all(bool(torch.isfinite(value).all()) for value in result.components.values()):
            raise FloatingPointError("the network returned NaN or infinity in a search")
        return Sampled(result, rounds * each, (mine,))

    def _converts(self, system: System) -> bool:
        velocities = next(iter(system.components.values())).prediction == "velocity"
        return self.path == "vp" or (self.path == "auto" and velocities)


class _Search:
    """All samples of a batch, each at its own step.

    `now` and `data` are the state and data prediction from which successors are drawn; `found` and `best` those of the
    best candidate of the current step.
    """

    def __init__(
        self, run: Run, potential: Potential, steps: dict[str, list[Kernel]], initial: int, share: int
    ) -> None:
        self.run, self.potential, self.share = run, potential, share
        self.origins = run.system.origins(run.state)
        self.last = len(next(iter(steps.values())))
        device, like = run.state.device, run.state
        self.rows = torch.arange(len(like), device=device)
        self.times = torch.tensor(run.plan.times[: self.last + 1], dtype=like.dtype, device=device)
        self.moves = {n: _table(row, run.system.components[n].path.prior_std, like) for n, row in steps.items()}
        self.conversions = {n: self._conversion(n) for n in steps}
        zeros = {n: torch.zeros_like(like[n]) for n in steps}
        self.now, self.data, self.found, self.best = zeros, zeros, zeros, zeros
        self.step = torch.zeros_like(self.rows)
        self.tries, self.quota = torch.zeros_like(self.rows), torch.full_like(self.rows, initial)
        self.record = torch.full((len(like),), -torch.inf, dtype=like.dtype, device=device)
        self.top = self.record.clone()
        self.rewards = self.record.expand(self.last + 1, -1).clone()
        self.exhausted = torch.zeros_like(self.rewards, dtype=torch.bool)

    def _conversion(self, name: str) -> Tensor:
        component, times = self.run.system.components[name], self.run.plan.times[: self.last + 1]
        t = torch.tensor(times, dtype=torch.float64)
        a, b = conversion(component.path, t, component.prediction, "data")
        return torch.stack([a, b]).to(self.times)

    def round(self, noise: NoiseSource) -> None:
        """One candidate of every sample."""
        candidate = self._drawn(noise)
        outputs = self.run.system.forward(candidate, self.times[self.step], self.origins)
        data = {}
        for name, value in outputs.items():
            a, b = (self._of_rows(c, value) for c in self.conversions[name][:, self.step])
            data[name] = a * candidate[name] + b * value
        seen = candidate.replace(placed(candidate.components, self.origins))
        energy = energies(self.potential, seen, placed(data, self.origins), self.times[self.step])
        self._judge(candidate.components, data, -energy.to(self.top.dtype))

    def _drawn(self, noise: NoiseSource) -> State:
        draws = self.run.system.noise(self.run.state, noise)
        drawn = {}
        for name, draw in draws.items():
            a, b, c = (self._of_rows(v, draw) for v in self.moves[name][:, self.step])
            drawn[name] = a * self.now[name] + b * self.data[name] + c * draw
        return self.run.state.replace(drawn)

    def _judge(self, candidate: Values, data: Values, reward: Tensor) -> None:
        """Keep the candidate if it is the step's best, and go on where the step is over."""
        reward = reward.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        better = (reward > self.top) | (self.tries == 0)
        self.found, self.best = self._where(better, candidate, self.found), self._where(better, data, self.best)
        self.top = torch.where(better, reward, self.top)
        self.tries = self.tries + 1
        spent = self.tries >= self.quota
        accepted = (reward > self.record) & (self.step > 0)
        at_end = self.step == self.last
        over = (spent | accepted) & ~at_end
        self._note(over, spent & ~accepted)
        self.record = torch.where(over, torch.maximum(self.record, self.top), self.record)
        self.now, self.data = self._where(over, self.found, self.now), self._where(over, self.best, self.data)
        left = torch.where(accepted, self.quota - self.tries, 0)
        self.quota = torch.where(over, self.share + left, self.quota)
        self.tries = torch.where(over, 0, self.tries)
        self.step = self.step + over

    def _note(self, over: Tensor, exhausted: Tensor) -> None:
        place = (self.step, self.rows)
        self.rewards[place] = torch.where(over, self.top, self.rewards[place])
        self.exhausted[place] = torch.where(over, exhausted & (self.step > 0), self.exhausted[place])

    def ended(self) -> tuple[Tensor, Tensor]:
        """Rewards with which steps ended, and which had used up their share; the last one always has."""
        self._note(torch.ones_like(self.rows, dtype=torch.bool), self.top <= self.record)
        return self.rewards, self.exhausted

    def _of_rows(self, values: Tensor, like: Tensor) -> Tensor:
        return values.reshape(-1, *[1] * (like.ndim - 1))

    def _where(self, chosen: Tensor, new: Values, old: Values) -> Values:
        return {n: torch.where(self._of_rows(chosen, v), new[n], v) for n, v in old.items()}


def _table(steps: Sequence[Kernel], prior_std: float, like: State) -> Tensor:
    """What draws a candidate: factors of state, data prediction and noise, `[3, steps + 1]`; the first is the prior."""
    rows = [(0.0, 0.0, prior_std), *((k.state, k.data, k.noise) for k in steps)]
    return torch.tensor(rows, dtype=like.dtype, device=like.device).T
