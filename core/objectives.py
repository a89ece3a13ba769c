"""What a system is trained on: denoising score matching.

With x_t = alpha x_0 + sigma eps and a network that amounts to a noise prediction eps_hat(x_t, t), the loss of a
component is

    E_t E_x0 E_eps  w(t) |eps_hat(x_t, t) - eps|^2

with one t a sample, shared by all components. w = 1 is (sigma s + eps)^2 for a score s; w = (g / sigma)^2 gives the
likelihood weighting g^2 |s + eps / sigma|^2; w = (sigma / alpha)^2 is the squared error of x_0.

Sources: Song et al. 2021 (arXiv 2011.13456, 2101.09258); Hang et al. 2023 (min-SNR, arXiv 2303.09556);
Jo et al. 2022 (GDSS, arXiv 2202.02514) for the reductions `half_sum` and `mean`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.core.paths import GaussianPath
from scorefield.core.state import State
from scorefield.core.system import Component, System

__all__ = ["DenoisingScoreMatching", "Draws", "Objective", "Reduction", "Times", "Weighting"]

Reduction = Literal["free_mean", "half_sum", "mean"]
Weighting = Literal["noise", "likelihood", "data", "min_snr"]
Times = Literal["uniform", "even", "log_snr"]


@dataclass(frozen=True)
class Draws:
    """What is random in one training step.

    Attributes:
        t: times, `[B]`.
        noise: standard normal noise of each component in its space, shaped like the component.
        source: where interpolants between two sets of samples start, by component.
    """

    t: Tensor
    noise: dict[str, Tensor]
    source: dict[str, Tensor] = field(default_factory=dict)


class Objective(ABC):
    """A loss of a system, by component; a mean over samples."""

    @abstractmethod
    def draw(self, system: System, state: State, streams: SampleStreams) -> Draws:
        """The random numbers of one step: first the times, then noise in the components' order."""

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
            component's space, the same for every padding; `half_sum`: half the sum over all entries, both triangles
            of an adjacency included (GDSS); `mean`: mean over all entries, padding included (GDSS `reduce_mean`).
        weighting: w(t): `noise` 1, `likelihood` (g / sigma)^2, `data` (sigma / alpha)^2, `min_snr`
            min(1, gamma / SNR).
        times: `uniform` on [t_min, t_max]; `even`: the same with the batch spread evenly; `log_snr`: uniform in the
            log signal-to-noise ratio of the first component, which with weighting `noise` samples the likelihood
            weighting by importance (up to a constant factor).
        t_min: smallest time.
        t_max: largest time.
        weights: weight of each component's loss in the total, 1 where not named.
        min_snr_gamma: gamma of the weighting `min_snr`.
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
        self.min_snr_gamma = min_snr_gamma

    def draw(self, system: System, state: State, streams: SampleStreams) -> Draws:
        """See `Objective.draw`."""
        unit = streams.even() if self.times == "even" else streams.uniform()
        if self.times == "log_snr":
            t = self._spread_log_snr(next(iter(system.components.values())).path, unit)
        else:
            t = unit * (self.t_max - self.t_min) + self.t_min
        return Draws(t.to(state.dtype), system.noise(state, streams))

    def _spread_log_snr(self, path: GaussianPath, unit: Tensor) -> Tensor:
        # The integral of g^2 / sigma^2 is -2 log_snr on every Gaussian path.
        ends = path.log_snr(torch.tensor([self.t_min, self.t_max], dtype=torch.float64, device=unit.device))
        return path.time_of(ends[0] + unit * (ends[1] - ends[0])).clamp(self.t_min, self.t_max)

    def losses(self, system: System, state: State, draws: Draws) -> dict[str, Tensor]:
        """See `Objective.losses`.

        Raises:
            InputError: a weight names a component that the system lacks.
        """
        for name in self.weights:
            if name not in system.components:
                raise unknown("component", name, system.components, place="weights")
        origins = system.origins(state)
        centred = state.replace({name: state[name] - origin for name, origin in origins.items()})
        noised = system.perturb(centred, draws.t, draws.noise)
        predicted = system.predict(noised, draws.t, "noise", origins)
        result = {}
        for name, component in system.components.items():
            squared = (predicted[name] - draws.noise[name]).square()
            reduced = self._reduce(squared, component, state)
            result[name] = (reduced * self._weight(component.path, draws.t)).mean()
        return result

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """See `Objective.total`."""
        return torch.stack([self.weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()

    def _reduce(self, squared: Tensor, component: Component, state: State) -> Tensor:
        """One number a sample, `[B]`."""
        if self.reduction == "mean":
            return squared.flatten(1).mean(1)
        total = squared.flatten(1).sum(1)
        if self.reduction == "half_sum":
            return 0.5 * total
        free = component.space.dimension(squared, state.masks).clamp(min=1)
        return total / (component.space.copies * free)

    def _weight(self, path: GaussianPath, t: Tensor) -> Tensor:
        """w(t), `[B]`, computed in float64."""
        time = t.double()
        if self.weighting == "noise":
            return torch.ones_like(t)
        if self.weighting == "likelihood":
            weight = (path.diffusion(time) / path.sigma(time)).square()
        elif self.weighting == "data":
            weight = (-2 * path.log_snr(time)).exp()
        else:
            weight = (self.min_snr_gamma * (-2 * path.log_snr(time)).exp()).clamp(max=1)
        return weight.to(t.dtype)
