"""Particles: the rows of a batch follow a target density together, by weights and resampling.

Each row moves by the solver's own kernel. Its log-weight grows by the rate of a target (see `targets`), and by energies
(see `steering`): by -(E' - E) from one evaluation to the next, less log K - log K_0, the gain of the proposal K over
the kernel K_0 that the target alone would move by. This holds for any proposal; where an energy has no gradient it is
K_0. When the effective sample size of a pool falls below a share of its rows, the pool is resampled, and everything
that a run carries is reindexed: rows become copies of others.

Weights suppose that K_0 draws from the target's own reverse SDE; a solver's discretisation, and rates that are taken at
the start of each step, move that by O(1 / steps) (see `kernels`): particles need a few hundred steps. Products and
powers above 1 weigh tails up, beyond what the reverse SDE visits: their estimates scatter little if the solver adds
more noise, as `exponential` with order=1 eta=2 does.

Sources: Skreta et al. 2025 (arXiv 2503.02819) for rates; Wu et al. 2023 (arXiv 2306.17775), Singhal et al. 2025 (arXiv
2501.06848) and Li et al. 2024 (arXiv 2408.08252) for energies, with and without a gradient.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError
from scorefield.core.guidance.kernels import kernels
from scorefield.core.guidance.potentials import Potential, Sum, Weighted, parts
from scorefield.core.guidance.properties import Expert
from scorefield.core.guidance.resampling import Pools
from scorefield.core.guidance.steering import Steering
from scorefield.core.guidance.targets import Kernels, Target, Tempered
from scorefield.core.guide import Guide, Run
from scorefield.core.noise import NoiseSource
from scorefield.core.solvers.solver import Carry
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["Particles"]

Goal = Target | Potential


class Particles(Guide):
    """The rows of one call of `sample` are particles of one target. Needs a stochastic one-step solver.

    Guides before it belong to the model. Noise is asked for after each step's own: one float64 number for each pool.

    Args:
        goal: a target, a potential, or several of them, at most one a target. An `Expert` of weight w multiplies the
            model's density by the expert's to the power w.
        proposal: a guide that moves particles towards low energies; weights make up for whatever it does. `auto` takes
            `Gradient` where the energies have one, `plain` nothing.
        ramp: energies count (1 - t)^ramp; 0 holds that at 1.
        every: energies are evaluated at every so many steps.
        threshold: share of the rows below which an effective sample size leads to resampling.
        clip: largest change of a log-weight by rates over one step, as published. It makes weights wrong.
        islands: parts of each group that are resampled by themselves, until the end: more diverse, less efficient.
        groups: which rows compete: all by default, `sizes` for those with equally many free entries, else the name of
            an entry of the state's condition that is equal for rows of one group (forecasts of one series).
        final: whether a last resampling leaves rows of equal weight; if not, `log_weights` stand.

    Attributes:
        log_weights: of a begun copy: float64 `[B]`; with `final` the logarithm of each group's mean weight.
        lineage: of a begun copy: the first row that each row descends from, `[B]`.

    Raises:
        InputError: a number that cannot be, or goals that do not go together.
    """

    def __init__(
        self,
        goal: Goal | Sequence[Goal],
        proposal: Guide | Literal["auto", "plain"] = "auto",
        ramp: float = 0.0,
        every: int = 1,
        threshold: float = 0.5,
        clip: float | None = None,
        islands: int = 1,
        groups: str | None = None,
        final: bool = True,
    ) -> None:
        if not 0 <= threshold <= 1 or (clip is not None and not clip > 0) or islands < 1:
            what = f"threshold {threshold:g}, clip {clip}, {islands} islands"
            raise InputError(what, mend="need a threshold in [0, 1], clip above 0 and at least 1 island")
        self._target, energy = _sorted(goal)
        self._steering = None if energy is None else Steering(energy, proposal, ramp, every)
        self.gradient = self._steering is not None and self._steering.gradient
        self.threshold, self.clip, self.islands, self.groups, self.final = threshold, clip, islands, groups, final
        self.log_weights: Tensor
        self.lineage: Tensor
        self._length: int
        self._steps: Kernels
        self._origins: Values
        self._pools: Pools
        self._groups: Pools
        self._sizes: list[Tensor]
        self._distinct: list[Tensor]

    @property
    def effective_sizes(self) -> Tensor:
        """Effective sample size of each pool after each step, before resampling, `[steps, pools]`."""
        return torch.stack(self._sizes)

    @property
    def ancestor_counts(self) -> Tensor:
        """From how many of the first rows all rows descend after each step, `[steps]`."""
        return torch.stack(self._distinct)

    def begin(self, run: Run) -> Guide:
        """See `Guide.begin`."""
        mine = copy.copy(self)
        mine._steps, mine._origins, mine._length = kernels(run), run.system.origins(run.state), run.plan.length
        mine._target = self._target.begin(run, mine._steps)
        mine._steering = None if self._steering is None else self._steering.begin(run, mine._steps)
        if mine._target.rated:
            _check_rates(mine._steps)
        labels = _labels(run.state, run.system, self.groups)
        mine._groups, mine._pools = Pools(labels), Pools(_cut(labels, self.islands))
        if int(mine._pools.counts.max()) < 2:
            raise InputError("every particle is alone", mend="sample more at once, or in fewer groups and islands")
        mine.log_weights = torch.zeros(len(labels), dtype=torch.float64, device=run.state.device)
        mine.lineage = torch.arange(len(labels), device=run.state.device)
        mine._sizes, mine._distinct = [], []
        return mine

    def before(self, state: State, index: int, noise: NoiseSource) -> State:
        """See `Guide.before`; the first state is scaled to the target's prior."""
        if index or self._target.mass == 1:
            return state
        return state.replace({n: state[n] * self._target.mass**-0.5 for n in self._steps})

    def predict(self, state: State, data: Values, index: int, t: Tensor) -> Values:
        """See `Guide.predict`."""
        seen = data
        if self._target.rated:
            if index == 0:
                self.log_weights = self.log_weights + self._target.first(state, t, self._origins).detach()
            data, seen, grown = self._aimed(state, data, index, t)
            self.log_weights = self.log_weights + (grown if self.clip is None else grown.clamp(-self.clip, self.clip))
        if self._steering is not None:
            data, gained = self._steering.propose(state, data, seen, index, t, self._origins)
            self.log_weights = self.log_weights + gained
        return data

    def _aimed(self, state: State, data: Values, index: int, t: Tensor) -> tuple[Values, Values, Tensor]:
        """The target's data prediction, what energies see in its place, and how much log-weights grow.

        Noise of a tempered target is narrower than that of the path by the root of its mass, which the second takes
        into account; at mass 1 both are the same.
        """
        scores = {}
        for name, steps in self._steps.items():
            kernel = steps[index]
            scores[name] = torch.sub(data[name] * kernel.alpha, state[name]) / kernel.sigma**2
        scores, grown = self._target.aim(state, scores, index, t, self._origins)
        aimed, seen = {}, {}
        for name, steps in self._steps.items():
            alpha, variance = steps[index].alpha, steps[index].sigma ** 2
            aimed[name] = torch.add(state[name], scores[name], alpha=variance) / alpha
            seen[name] = torch.add(state[name], scores[name], alpha=variance / self._target.mass) / alpha
        return {**data, **aimed}, {**data, **seen}, grown.detach()

    def after(self, carry: Carry, index: int, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """See `Guide.after`."""
        denoise.evaluations += self._target.calls
        if self._steering is not None:
            self.log_weights = self.log_weights + self._steering.moved(carry, index, self._origins)
            denoise.evaluations += self._steering.spent()
        last = index == self._length - 1
        if last and bool(self.log_weights.isnan().any()):
            raise FloatingPointError("weights of particles are NaN: an energy, or the network, was")
        weights = self._pools.weights(self.log_weights)
        sizes = 1 / weights.square().sum(1)
        self._sizes.append(sizes)
        pools, chosen = self._pools, sizes < self.threshold * self._pools.counts
        if last and self.final:
            pools, chosen = self._groups, torch.ones_like(self._groups.counts, dtype=torch.bool)
            weights = pools.weights(self.log_weights)
        carry = self._resampled(carry, pools, weights, chosen, denoise, noise)
        first = torch.zeros(len(self.lineage), device=self.lineage.device)
        self._distinct.append(first.index_fill_(0, self.lineage, 1.0).sum())
        return carry

    def _resampled(
        self, carry: Carry, pools: Pools, weights: Tensor, chosen: Tensor, denoise: Denoiser, noise: NoiseSource
    ) -> Carry:
        shifts = pools.shifts(noise)
        if chosen.device.type == "cpu" and not bool(chosen.any()):
            return carry  # where looking costs nothing, spare the copies
        ancestors = pools.ancestors(weights, chosen, shifts)
        means = pools.spread(pools.means(self.log_weights))
        self.log_weights = torch.where(pools.spread(chosen), means, self.log_weights)
        self.lineage = self.lineage[ancestors]
        self._origins = {n: o[ancestors] for n, o in self._origins.items()}
        denoise.origins = {n: o[ancestors] for n, o in denoise.origins.items()}
        self._target.select(ancestors)
        if self._steering is not None:
            self._steering.select(ancestors)
        for guide in denoise.guides.all:
            if guide is not self:
                guide.select(ancestors)
        return _rows(carry, ancestors)


def _rows(carry: Carry, index: Tensor) -> Carry:
    """The carry of other rows."""
    anchor = None if carry.anchor is None else {n: v[index] for n, v in carry.anchor.items()}
    history = tuple({n: v[index] for n, v in values.items()} for values in carry.history)
    return Carry(carry.state.rows(index), anchor, history)


def _sorted(goal: Goal | Sequence[Goal]) -> tuple[Target, Potential | None]:
    """The target, experts among the potentials included, and the sum of the energies that are left."""
    goals = [goal] if isinstance(goal, Target | Potential) else list(goal)
    targets = [g for g in goals if isinstance(g, Target)]
    pieces = [pair for g in goals if isinstance(g, Potential) for pair in parts(g)]
    experts = [(weight, part.system) for weight, part in pieces if isinstance(part, Expert)]
    left = [Weighted(part, weight) for weight, part in pieces if not isinstance(part, Expert)]
    if not goals or len(targets) > 1:
        what = f"{len(targets)} targets" if goals else "no target and no potential"
        raise InputError(f"{what} for particles", mend="give potentials, at most one target, or both")
    target = targets[0] if targets else Tempered()
    if experts:
        if not isinstance(target, Tempered):
            raise InputError(f"experts beside {type(target).__name__}", mend="tilt a product: give it as `base`")
        target = Tempered(target.exponent, [*target.experts, *experts])
    return target, Sum(left) if left else None


def _labels(state: State, system: System, groups: str | None) -> Tensor:
    """The group of each row, `[B]`."""
    if groups is None:
        return torch.zeros(len(state), dtype=torch.long, device=state.device)
    if groups == "sizes":
        sizes = [c.space.dimension(state[n], state.masks) for n, c in system.components.items()]
        keys = torch.stack(sizes, 1)
    elif isinstance(state.condition.get(groups), Tensor):
        keys = (
            state.condition[groups].flatten(1) if state.condition[groups].ndim > 1 else state.condition[groups][:, None]
        )
    else:
        given = ", ".join(["sizes", *state.condition])
        raise InputError(f"no condition {groups!r} to group particles by", mend=f"there are {given}")
    labels: Tensor = torch.unique(keys, dim=0, return_inverse=True)[1]
    return labels


def _cut(labels: Tensor, islands: int) -> Tensor:
    """Each group in so many nearly equal parts."""
    pools = Pools(labels)
    places = torch.arange(pools.rows.shape[1], device=labels.device).expand(pools.rows.shape)
    parts_of = pools.spread(places * islands // pools.counts[:, None])
    found: Tensor = torch.unique(labels * islands + parts_of, return_inverse=True)[1]
    return found


def _check_rates(steps: Kernels) -> None:
    for name, row in steps.items():
        if not all(abs(kernel.growth) + kernel.gain < float("inf") for kernel in row):  # so that NaN is found too
            mend = "start the run later and end it earlier, as with the solver's arguments start=0.999 end=0.001"
            raise InputError(
                f"signal or noise of {name} vanishes at an end of the run: weights have no bound", mend=mend
            )
