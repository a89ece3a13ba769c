"""What a system is trained on: denoising score matching.

With x_t = alpha x_0 + sigma eps and a network that amounts to a noise prediction eps_hat(x_t, t), the loss of a
component is

    E_t E_x0 E_eps  w(t) |eps_hat(x_t, t) - eps|^2

with one t a sample, shared by all components. w = 1 is (sigma s + eps)^2 for a score s; w = (g / sigma)^2 gives the
likelihood weighting g^2 |s + eps / sigma|^2; w = (sigma / alpha)^2 is the squared error of x_0, and computed as that;
w = 1 + sigma^2 / (alpha s)^2 balances the levels of noise for data of root mean square s, and is computed likewise.

Beside the mean over samples there may be terms that compare populations (`core.population`): features of the whole
batch's data predictions against those of its clean samples, at times that all samples share.

Sources: Song et al. 2021 (arXiv 2011.13456, 2101.09258); Hang et al. 2023 (min-SNR, arXiv 2303.09556);
Jo et al. 2022 (GDSS, arXiv 2202.02514) for the reductions `half_sum` and `mean`; Li et al. 2025 (PaD-TS, arXiv
2501.00910) for shared times and the population term.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.arguments import check_positive
from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.core.path_ends import log_snr_ends
from scorefield.core.paths import DiscreteChain, GaussianPath
from scorefield.core.population import PopulationTerm
from scorefield.core.predictions import Kind, convert
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, System, centred

__all__ = [
    "DenoisingScoreMatching",
    "Draws",
    "Objective",
    "Reduction",
    "Times",
    "Weighting",
    "named_terms",
    "unit_times",
    "weighted_sum",
]

Reduction = Literal["free_mean", "entry_mean", "first_mean", "half_sum", "mean"]
Weighting = Literal["noise", "likelihood", "data", "min_snr", "balanced"]
Times = Literal["uniform", "even", "log_snr", "shared"]


@dataclass(frozen=True)
class Draws:
    """What is random in one training step.

    Attributes:
        t: times, `[B]`.
        noise: standard normal noise of each component in its space, shaped like the component.
        source: where interpolants between two sets of samples start, by component.
        condition: what the network itself draws (`Network.draws`), such as dropout masks.
    """

    t: Tensor
    noise: dict[str, Tensor]
    source: dict[str, Tensor] = field(default_factory=dict)
    condition: dict[str, Tensor] = field(default_factory=dict)


class Objective(ABC):
    """A loss of a system, by component; a mean over samples, or the same number in every process."""

    @abstractmethod
    def draw(self, system: System, state: State, streams: SampleStreams) -> Draws:
        """The random numbers of one step: first the times, then noise in the components' order, then the network's."""

    @abstractmethod
    def losses(self, system: System, state: State, draws: Draws) -> dict[str, Tensor]:
        """The loss of each component (scalars) at clean samples."""

    @abstractmethod
    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the components' losses."""


class DenoisingScoreMatching(Objective):
    """Denoising score matching of all components at one common time a sample.

    Args:
        reduction: how a sample's squared errors become one number. `free_mean`: mean over the free entries of the
            component's space, the same for every padding; `entry_mean`: mean over the entries that exist and are not
            given, which is more than there are free ones where a space is narrower than its masks; `first_mean`: the
            same over the entries of the first node; `half_sum`: half the sum over all entries, both triangles
            of an adjacency included (GDSS); `mean`: mean over all entries, padding included (GDSS `reduce_mean`).
        weighting: w(t): `noise` 1, `likelihood` (g / sigma)^2, `data` (sigma / alpha)^2, `min_snr`
            min(1, gamma / SNR), `balanced` 1 + sigma^2 / (alpha s)^2 (see `core.preconditioning`).
        times: `uniform` on [t_min, t_max]; `even`: the same with the batch spread evenly; `log_snr`: uniform in the
            log signal-to-noise ratio of the first component, which with weighting `noise` samples the likelihood
            weighting by importance (up to a constant factor); `shared`: one uniform time for the whole batch, equal in
            all processes. On a `DiscreteChain` times are rounded up to those of the chain.
        t_min: smallest time.
        t_max: largest time.
        weights: weight of each component's loss in the total, 1 where not named.
        min_snr_gamma: gamma of the weighting `min_snr`.
        data_std: root mean square of the clean data, s of the weighting `balanced`.
        population: terms on features of the whole batch, of which those of all processes count as one; each is
            logged, and added to the total with its weight.
        population_of: the component that these terms look at; the first one by default.
    """

    def __init__(
        self,
        reduction: Reduction = "free_mean",
        weighting: Weighting = "noise",
        times: Times = "uniform",
        t_min: float = 1e-5,
        t_max: float = 1.0,
        weights: dict[str, float] | None = None,
        min_snr_gamma: float = 5.0,
        data_std: float = 0.5,
        population: list[PopulationTerm] | None = None,
        population_of: str | None = None,
    ) -> None:
        for kind, name, known in (
            ("reduction", reduction, get_args(Reduction)),
            ("weighting", weighting, get_args(Weighting)),
            ("sampling of times", times, get_args(Times)),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        if not 0 <= t_min < t_max <= 1:
            raise InputError(f"t_min = {t_min}, t_max = {t_max}", mend="need 0 <= t_min < t_max <= 1")
        self.reduction, self.weighting, self.times = reduction, weighting, times
        self.t_min, self.t_max = t_min, t_max
        self.weights = dict(weights or {})
        check_positive("data_std", data_std)
        self.min_snr_gamma, self.data_std = min_snr_gamma, data_std
        self.population, self.population_of = named_terms(population or []), population_of

    def draw(self, system: System, state: State, streams: SampleStreams) -> Draws:
        """See `Objective.draw`.

        Raises:
            InputError: times are to be uniform in a log signal-to-noise ratio that is infinite at an end.
        """
        path = next(iter(system.components.values())).path
        unit = unit_times(self.times, streams)
        if self.times == "log_snr":
            t = self._spread_log_snr(path, unit)
        else:
            t = unit * (self.t_max - self.t_min) + self.t_min
        if isinstance(path, DiscreteChain):
            t = (t * path.num_steps).floor().add(1).clamp(max=path.num_steps) / path.num_steps
        # A network can tell from an expanded tensor that the time is one for all rows, and compute with one.
        t = t.to(state.dtype).expand(len(state))
        return Draws(t, system.noise(state, streams), condition=system.network.draws(state, streams))

    def _spread_log_snr(self, path: GaussianPath, unit: Tensor) -> Tensor:
        # The integral of g^2 / sigma^2 is -2 log_snr on every Gaussian path.
        place, mend = f"t from {self.t_min:g} to {self.t_max:g}", "give a t_min above 0 and a t_max below 1"
        high, low = log_snr_ends(path, self.t_min, self.t_max, place=place, mend=mend)
        return path.time_of(high + unit * (low - high)).clamp(self.t_min, self.t_max)

    def losses(self, system: System, state: State, draws: Draws) -> dict[str, Tensor]:
        """See `Objective.losses`; population terms come after the components, by their names.

        Raises:
            InputError: a weight or `population_of` names a component that the system lacks.
        """
        self._check_names(system)
        if draws.condition:
            state = State(state.components, state.masks, {**state.condition, **draws.condition})
        origins = system.origins(state)
        centres = centred(state.components, origins)
        clean = state.replace({n: system.components[n].space.project(v, state.masks) for n, v in centres.items()})
        noised = system.perturb(clean, draws.t, draws.noise)
        outputs = system(noised, draws.t, origins)

        def predicted(name: str, kind: Kind) -> Tensor:
            component = system.components[name]
            return convert(component.path, draws.t, noised[name], outputs[name], component.prediction, kind)

        result = {}
        for name, component in system.components.items():
            if self.weighting in ("data", "balanced"):
                squared = (predicted(name, "data") - clean[name]).square()
            else:
                squared = (predicted(name, "noise") - draws.noise[name]).square()
            reduced = self._reduce(squared, component, state)
            result[name] = (reduced * self._weight(component.path, draws.t)).mean()
        name = self.population_of or next(iter(system.components))
        for key, term in self.population.items():
            if term.weight:  # with weight 0 the gradient is that of the other terms, to the last bit
                result[key] = term(clean[name], predicted(name, "data"), state.masks)
        return result

    def _check_names(self, system: System) -> None:
        for name in self.weights:
            if name not in system.components:
                raise unknown("component", name, system.components, place="weights")
        if self.population_of is not None and self.population_of not in system.components:
            raise unknown("component", self.population_of, system.components, place="population_of")

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """See `Objective.total`."""
        return weighted_sum(losses, self.weights, self.population)

    def _reduce(self, squared: Tensor, component: Component, state: State) -> Tensor:
        """One number a sample, `[B]`."""
        if self.reduction == "mean":
            return squared.flatten(1).mean(1)
        total = squared.flatten(1).sum(1)
        if self.reduction == "half_sum":
            return 0.5 * total
        if self.reduction == "entry_mean":
            return total / Masked().dimension(squared, state.masks).clamp(min=1)
        if self.reduction == "first_mean":
            first = {name: mask[:, :1] if name == "mask" else mask for name, mask in state.masks.items()}
            entries = Masked().project(squared[:, :1], first)
            return entries.flatten(1).sum(1) / Masked().dimension(entries, first).clamp(min=1)
        free = component.space.dimension(squared, state.masks).clamp(min=1)
        return total / (component.space.copies * free)

    def _weight(self, path: GaussianPath, t: Tensor) -> Tensor:
        """w(t), `[B]`, computed in float64."""
        time = t.double()
        if self.weighting in ("noise", "data"):
            return torch.ones_like(t)
        if self.weighting == "likelihood":
            weight = (path.diffusion(time) / path.sigma(time)).square()
        elif self.weighting == "balanced":  # of the data's squared error
            weight = (path.alpha(time) / path.sigma(time)).square() + self.data_std**-2
        else:
            weight = (self.min_snr_gamma * (-2 * path.log_snr(time)).exp()).clamp(max=1)
        return weight.to(t.dtype)


def unit_times(times: str, streams: SampleStreams) -> Tensor:
    """Numbers in [0, 1), float64 `[B]`: one for all, `[1]`, as `shared`; spread evenly as `even`; else uniform."""
    if times == "shared":
        return torch.full((1,), streams.shared(), dtype=torch.float64, device=streams.rows.device)
    return streams.even() if times == "even" else streams.uniform()


def weighted_sum(
    losses: Mapping[str, Tensor], weights: Mapping[str, float], population: Mapping[str, PopulationTerm]
) -> Tensor:
    """The sum of losses by their weights and by those of the population terms, 1 where there is none."""
    factors = {**weights, **{name: term.weight for name, term in population.items()}}
    return torch.stack([factors.get(name, 1.0) * loss for name, loss in losses.items()]).sum()


def named_terms(terms: Sequence[PopulationTerm]) -> dict[str, PopulationTerm]:
    """Terms by the names under which they are logged; a feature that comes twice is numbered."""
    named: dict[str, PopulationTerm] = {}
    for term in terms:
        feature = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(term.feature).__name__).lower()
        name = f"population_{feature}"
        named[name if name not in named else f"{name}_{len(named) + 1}"] = term
    return named
