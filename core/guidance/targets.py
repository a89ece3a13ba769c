"""Targets of Feynman-Kac correctors: densities h_t that particles follow by weights, where guidance alone would not.

With tau = 1 - t and a run that moves by dx = (-f x + g^2 s) dtau + g dW along the target's score s = grad log h_t, the
log-weight of a particle grows at the rate

    h = prod_i q_i^c_i:      g^2/2 (|s|^2 - sum_i c_i |s_i|^2) + (sum_i c_i - 1) f d,      s = sum_i c_i s_i
    h = h_0 exp(B(t) r(x)):  the rate of h_0, plus dB/dtau r + B grad r . (-f x + g^2/2 s_0), along s_0 + B/2 grad r

f d is the divergence of the drift on the d free entries of a sample: it cancels only between samples of one size. The
gradient of a reward counts half in the drift, so that no Laplacian remains in the weight. Both rates hold for any noise
in the drift's stead, (1 + z)/2 g^2 s with sqrt(z) g dW; the reward's share of the drift is then z/2 g^2 B grad r.

Sources: Skreta et al. 2025, "Feynman-Kac correctors in diffusion" (arXiv 2503.02819), for the idea and the products;
Chen et al. 2025, "AFDPS" (arXiv 2506.03979), for rewards that are observations of the state, here in a form derived
without the Laplacian.
"""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from scorefield.core.errors import InputError, InputWarning
from scorefield.core.guidance.classifier_free import Null, null_tokens
from scorefield.core.guidance.kernels import Kernel
from scorefield.core.guidance.potentials import Potential, energies, together
from scorefield.core.guidance.properties import check_alike
from scorefield.core.guide import Run
from scorefield.core.predictions import conversion
from scorefield.core.spaces import Space
from scorefield.core.state import State
from scorefield.core.system import Network, System, Values, centred, placed

__all__ = ["AFDPS", "Target", "Tempered", "annealed", "classifier_free", "inner", "product"]

_SIGNAL = 0.1

Kernels = Mapping[str, Sequence[Kernel]]
"""The steps of a run, by component."""

Experts = Sequence[tuple[float, "System | Callable[[System], System]"]]
"""Exponents and the models that carry them, or what makes such a model of the run's own."""


def inner(space: Space, left: Tensor, right: Tensor) -> Tensor:
    """The inner product over the free entries of each sample, `[B]`, summed in float64."""
    return (left.double() * right.double()).flatten(1).sum(1) / space.copies


class Target(ABC):
    """A density to follow.

    Attributes:
        calls: network calls of each evaluation beyond the run's own.
        rated: whether weights use the steps' integrals, so that these must be finite.
        mass: factor on the precision of the prior: the target starts from N(0, prior_std^2 / mass).
    """

    calls: int = 0
    rated: bool = True
    mass: float = 1.0

    @abstractmethod
    def begin(self, run: Run, steps: Kernels) -> Self:
        """A copy for one run.

        Raises:
            InputError: the target does not fit the run's system.
        """

    @abstractmethod
    def aim(self, state: State, scores: Values, index: int, t: Tensor, origins: Values) -> tuple[Values, Tensor]:
        """The score to follow over step `index`, and by how much log-weights `[B]` (float64) grow over it.

        Args:
            state: x_t in the solver's variable.
            scores: of the run's own system.
            index: number of the evaluation.
            t: times, `[B]`.
            origins: of the run's system.
        """

    def first(self, state: State, t: Tensor, origins: Values) -> Tensor:
        """Log-weights of particles of the prior, `[B]`, float64."""
        return torch.zeros(len(state), dtype=torch.float64, device=state.device)

    @abstractmethod
    def select(self, ancestors: Tensor) -> None:
        """Take over what belongs to rows from their ancestors, `[B]`."""


class Tempered(Target):
    """A product of powers of models: q^c prod_i q_i^c_i on the same components.

    Args:
        exponent: c of the run's own system.
        experts: exponents and further systems.

    Raises:
        InputError: exponents that do not sum to more than 0: there is no such density to start from.
    """

    def __init__(self, exponent: float = 1.0, experts: Experts = ()) -> None:
        self.exponent, self.experts = exponent, tuple(experts)
        self.mass = exponent + sum(c for c, _ in experts)
        self.rated = self.mass != 1 or bool(experts)
        if not self.mass > 0:
            raise InputError(f"exponents that sum to {self.mass:g}", mend="need more than 0")
        self._experts: list[_Expert]
        self._steps: Kernels
        self._spaces: dict[str, Space]

    def begin(self, run: Run, steps: Kernels) -> Self:
        """See `Target.begin`."""
        mine = copy.copy(self)
        systems = [(c, e if isinstance(e, System) else e(run.system)) for c, e in self.experts]
        mine._experts = [_Expert(c, system, run) for c, system in systems]
        mine._steps, mine._spaces = steps, {n: c.space for n, c in run.system.components.items()}
        mine.calls = sum(expert.calls for expert in mine._experts)
        if self.rated:
            _check_signal(steps)
        return mine

    def aim(self, state: State, scores: Values, index: int, t: Tensor, origins: Values) -> tuple[Values, Tensor]:
        """See `Target.aim`."""
        grown = self.first(state, t, origins)
        if not self.rated:
            return scores, grown
        others = [expert.scores(state, index, t, origins) for expert in self._experts]
        exponents = [self.exponent, *(expert.exponent for expert in self._experts)]
        target = {}
        for name, own in scores.items():
            kernel, space = self._steps[name][index], self._spaces[name]
            all_scores = [own, *(values[name] for values in others)]
            total = sum((c * s for c, s in zip(exponents, all_scores, strict=True)), torch.zeros_like(own))
            squares = [c * inner(space, s, s) for c, s in zip(exponents, all_scores, strict=True)]
            excess = inner(space, total, total) - torch.stack(squares).sum(0)
            free = space.dimension(own, state.masks).double()
            grown = grown + 0.5 * kernel.gain * excess - (self.mass - 1) * kernel.growth * free
            target[name] = total
        return target, grown

    def select(self, ancestors: Tensor) -> None:
        """See `Target.select`."""
        for expert in self._experts:
            expert.origins = {n: o[ancestors] for n, o in expert.origins.items()}


class _Expert:
    """A further system in one run."""

    def __init__(self, exponent: float, system: System, run: Run) -> None:
        self.exponent, self.system = exponent, system.to(run.state.device)
        self.calls = int(getattr(system.network, "calls", 1))
        check_alike(run, system)
        self.origins = system.origins(run.state)
        times = torch.tensor(run.plan.times, dtype=torch.float64)
        self._tables: dict[str, list[tuple[float, float]]] = {}
        for name, component in system.components.items():
            a, b = conversion(component.path, times, component.prediction, "score")
            self._tables[name] = list(zip(a.tolist(), b.tolist(), strict=True))

    def scores(self, state: State, index: int, t: Tensor, origins: Values) -> Values:
        """Its scores at a state in the run's own variable."""
        if origins or self.origins:
            seen = placed(state.components, origins)
            state = state.replace(centred(seen, self.origins))
        outputs = self.system.forward(state, t, self.origins)
        scores = {}
        for name, value in outputs.items():
            a, b = self._tables[name][index]
            scores[name] = torch.add(value * b, state[name], alpha=a)
        return scores


def _check_signal(steps: Kernels) -> None:
    for name, row in steps.items():
        signal = row[0].alpha / row[0].sigma
        if signal > _SIGNAL:
            what = f"{name} keeps a signal of {signal:.2g} of the noise at the start of the run"
            why = "powers and products of the prior are then not what the target starts from, so that weights are off"
            warnings.warn(f"{what}: {why}", InputWarning, stacklevel=2)


def annealed(power: float) -> Tempered:
    """q^power: above 1 samples gather at the modes."""
    return Tempered(power)


def product(*experts: System) -> Tempered:
    """q times the densities of further systems on the same components and paths."""
    return Tempered(1.0, [(1.0, expert) for expert in experts])


def classifier_free(weight: float, unconditional: System | Null | None = None) -> Tempered:
    """q(x | y)^w q(x)^(1 - w), what classifier-free guidance is meant to draw from; the run's own system is q(x | y).

    Args:
        weight: w.
        unconditional: the system q(x), or null tokens of the run's own conditions, each a number or a tensor like one
            sample's; by default the network's attribute `null_condition`.
    """
    if isinstance(unconditional, System):
        return Tempered(weight, [(1 - weight, unconditional)])
    return Tempered(weight, [(1 - weight, lambda system: _without_condition(system, unconditional))])


def _without_condition(system: System, null: Null | None) -> System:
    return System(system.components, _Fixed(system.network, null_tokens(system, null)))


class _Fixed(Network):
    """A network that sees fixed values in place of some conditions."""

    def __init__(self, network: Network, tokens: Null) -> None:
        super().__init__()
        self.network, self.names, self.calls = network, tuple(tokens), int(getattr(network, "calls", 1))
        for name, token in tokens.items():
            self.register_buffer(f"null_{name}", torch.as_tensor(token), persistent=False)

    def forward(self, state: State, t: Tensor) -> Values:
        """See `Network.forward`."""
        missing = set(self.names) - state.condition.keys()
        if missing:
            raise InputError(f"the state lacks the condition {min(missing)!r}", mend="give it, or leave guidance out")
        given = {name: state.condition[name] for name in self.names}
        fixed = {n: self.get_buffer(f"null_{n}").to(v).expand_as(v) for n, v in given.items()}
        outputs: Values = self.network(replace(state, condition={**state.condition, **fixed}), t)
        return outputs


class AFDPS(Target):
    """A tilted density q exp(-B(t) E(x_t)): the energy is that of the noised state in place of the data.

    Weights of particles make up for what the energy says of noise, so that at the end samples follow
    q exp(-E). This is AFDPS for observations, and the reward of Feynman-Kac correctors for r = -E.

    Args:
        potential: the energy, or several; it must have a gradient.
        ramp: B(t) = (1 - t)^ramp; 0 holds B at 1.
        base: what is tilted; the run's own density by default.

    Raises:
        InputError: the energy has no gradient, or a number that cannot be.
    """

    def __init__(
        self, potential: Potential | Sequence[Potential], ramp: float = 0.0, base: Target | None = None
    ) -> None:
        self.potential = together(potential)
        if not (self.potential.differentiable and self.potential.valued):
            mend = "give the potential itself to particles"
            raise InputError(f"{self.potential.name} has no gradient to tilt by", mend=mend)
        if not ramp >= 0:
            raise InputError(f"ramp {ramp:g}", mend="give 0 or more")
        self.base, self.ramp = Tempered() if base is None else base, ramp
        self.mass = self.base.mass
        self._steps: Kernels
        self._spaces: dict[str, Space]
        self._strengths: list[tuple[float, float]]

    def begin(self, run: Run, steps: Kernels) -> Self:
        """See `Target.begin`."""
        mine = copy.copy(self)
        mine.base, mine.potential = self.base.begin(run, steps), self.potential.begin(run)
        mine.calls = mine.base.calls + mine.potential.calls
        mine._steps, mine._spaces = steps, {n: c.space for n, c in run.system.components.items()}
        now, after = ([(1 - t) ** self.ramp for t in times] for times in (run.plan.times, run.plan.ends))
        mine._strengths = list(zip(now, after, strict=True))
        return mine

    def aim(self, state: State, scores: Values, index: int, t: Tensor, origins: Values) -> tuple[Values, Tensor]:
        """See `Target.aim`."""
        scores, grown = self.base.aim(state, scores, index, t, origins)
        energy, gradients = self._energy(state, t, origins)
        strength, later = self._strengths[index]
        grown = grown - (later - strength) * energy
        target = dict(scores)
        for name, gradient in gradients.items():
            kernel, space = self._steps[name][index], self._spaces[name]
            push = inner(space, gradient, kernel.growth * state[name] + 0.5 * kernel.gain * scores[name])
            grown = grown - strength * push
            if kernel.noise:
                moved = kernel.data * kernel.sigma**2 / kernel.alpha  # by the step, for a score of 1
                half = 0.5 * strength * kernel.noise**2 / moved
                target[name] = torch.add(scores[name], gradient, alpha=-half)
        return target, grown

    def first(self, state: State, t: Tensor, origins: Values) -> Tensor:
        """See `Target.first`."""
        energy, _ = self._energy(state, t, origins)
        return self.base.first(state, t, origins) - self._strengths[0][0] * energy

    def _energy(self, state: State, t: Tensor, origins: Values) -> tuple[Tensor, Values]:
        """E `[B]`, and its gradient on the free entries of each component."""
        with torch.enable_grad():
            leaves = {n: state[n].detach().requires_grad_() for n in self._spaces}
            seen = placed(leaves, origins)
            energy = energies(self.potential, state.replace(seen), seen, t)
            found = torch.autograd.grad(energy.sum(), list(leaves.values()), allow_unused=True)
        gradients = {}
        for (name, space), gradient in zip(self._spaces.items(), found, strict=True):
            if gradient is not None:
                gradients[name] = space.project(gradient, state.masks) * space.copies
        return energy.detach().double(), gradients

    def select(self, ancestors: Tensor) -> None:
        """See `Target.select`."""
        self.base.select(ancestors)
