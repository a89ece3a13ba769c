"""A penalty on the Fokker-Planck residual of the score, added to another objective.

With R the residual of `core.fokker_planck` at the training points and D the free entries of a sample, the penalty is
the mean over samples of |R| / D, or of |sigma R| / D, which weighs times evenly. The divergence is estimated by probes,
the time derivative by differences, so that a step costs about five evaluations more.

Source: Lai et al. 2023, "FP-Diffusion" (arXiv 2210.04296, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.calculus import inner, rademacher, total_dimension
from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.fokker_planck import sides
from scorefield.core.names import unknown
from scorefield.core.objectives import DenoisingScoreMatching, Draws, Objective
from scorefield.core.state import State
from scorefield.core.system import System, Values, centred

__all__ = ["FokkerPlanckRegularised", "ProbedDraws", "Scale"]

Scale = Literal["noise", "none"]
NAME = "fokker_planck"
"""Under which the penalty is logged."""


@dataclass(frozen=True)
class ProbedDraws(Draws):
    """Draws with probes.

    Attributes:
        probes: directions of the divergence's estimate.
    """

    probes: list[Values] = field(default_factory=list)


class FokkerPlanckRegularised(Objective):
    """Another objective and a penalty on the Fokker-Planck residual.

    Args:
        objective: the objective; denoising score matching by default.
        weight: factor of the penalty in the total.
        probes: probes of the divergence's estimate.
        time_step: width of the differences in time.
        scale: `noise` multiplies each component's residual by its sigma, `none` does not.
        stop_gradient: take the equation's right side (the flux) as given, which needs no third derivatives.

    Raises:
        InputError: a number that cannot be.
    """

    def __init__(
        self,
        objective: Objective | None = None,
        weight: float = 1e-3,
        probes: int = 1,
        time_step: float = 1e-3,
        scale: Scale = "noise",
        stop_gradient: bool = False,
    ) -> None:
        if not weight >= 0:
            raise InputError(f"weight is {weight:g}", mend="give 0 or more")
        if probes < 1:
            raise InputError(f"probes is {probes}", mend="give at least 1")
        if not 0 < time_step < 1:
            raise InputError(f"time_step is {time_step:g}", mend="give a number between 0 and 1")
        if scale not in get_args(Scale):
            raise unknown("scale", scale, get_args(Scale))
        self.objective = objective if objective is not None else DenoisingScoreMatching()
        self.weight, self.probes, self.time_step = weight, probes, time_step
        self.scale, self.stop_gradient = scale, stop_gradient

    def draw(self, system: System, state: State, streams: SampleStreams) -> ProbedDraws:
        """See `Objective.draw`; the probes come last."""
        own = self.objective.draw(system, state, streams)
        probes = [rademacher(system, state, streams) for _ in range(self.probes)]
        return ProbedDraws(**{f.name: getattr(own, f.name) for f in fields(Draws)}, probes=probes)

    def losses(self, system: System, state: State, draws: Draws) -> dict[str, Tensor]:
        """See `Objective.losses`; the penalty comes last, as `fokker_planck`."""
        if not isinstance(draws, ProbedDraws):
            raise TypeError("draws of another objective")
        found = self.objective.losses(system, state, draws)
        return {**found, NAME: self.penalty(system, state, draws)}

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """See `Objective.total`."""
        rest = {name: loss for name, loss in losses.items() if name != NAME}
        return self.objective.total(rest) + self.weight * losses[NAME]

    def penalty(self, system: System, state: State, draws: ProbedDraws) -> Tensor:
        """The penalty without its weight, a scalar."""
        # A validation keeps no graphs, yet derivatives are needed: tensors of inference mode can have none.
        learning = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            state, t = state.map(torch.clone), draws.t.clone()
            noise, *probes = ({n: v.clone() for n, v in one.items()} for one in (draws.noise, *draws.probes))
            if draws.condition:
                given = {n: v.clone() for n, v in draws.condition.items()}
                state = State(state.components, state.masks, {**state.condition, **given})
            origins = system.origins(state)
            clean = state.replace(centred(state.components, origins))
            both = sides(
                system,
                system.perturb(clean, t, noise),
                t,
                probes,
                exact=False,
                origins=origins,
                time_step=self.time_step,
                create_graph=learning and not self.stop_gradient,
            )
            flux = {n: v.detach() for n, v in both.flux.items()} if self.stop_gradient else both.flux
            residual = {n: (v - flux[n]) * self._factor(system, n, t, v) for n, v in both.change.items()}
            size = inner(system, residual, residual).clamp(min=1e-30).sqrt()
            result = (size / total_dimension(system, state).clamp(min=1)).mean()
        return result if learning else result.detach()

    def _factor(self, system: System, name: str, t: Tensor, like: Tensor) -> Tensor | float:
        if self.scale == "none":
            return 1.0
        sigma = system.components[name].path.sigma(t.double()).to(like.dtype)
        return sigma.reshape(-1, *[1] * (like.ndim - 1))
