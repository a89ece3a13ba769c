"""Refinement of given samples: gradient steps on the model's denoising energy plus a potential.

    E(y) = |eps - eps_hat(alpha y + sigma eps, tau)|^2 + lambda U(y),        eps fresh at every step

at one representative time tau, with Langevin steps y <- y - eta grad E + c sqrt(2 eta) xi, or without noise (maximum
likelihood). Squares are summed over the free entries of a sample; gradients go through the network. Samples may come
from anywhere: another forecaster's, or the model's own.

tau is the time whose loss is nearest to the mean over times. Times are those of a chain of 100 steps with beta from
1e-4 to 0.1, as published, by their signal-to-noise ratio; on other paths, where equal steps of time mean something
else, the times with the same ratios.

Source: Kollovieh et al. 2023 (arXiv 2307.11494, section 3.3).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.completion import OBSERVED
from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError
from scorefield.core.guidance.levels import LEVEL
from scorefield.core.guidance.observations import GaussianObservation, Observation, QuantileObservation
from scorefield.core.guidance.potentials import Potential, energies, together
from scorefield.core.guidance.targets import inner
from scorefield.core.guide import Guide, Run
from scorefield.core.names import unknown
from scorefield.core.noise import NoiseSource
from scorefield.core.paths import DiscreteChain
from scorefield.core.predictions import conversion
from scorefield.core.solvers.solver import Carry
from scorefield.core.state import State
from scorefield.core.system import System, Values, centred, placed

__all__ = [
    "HELD_BY", "Held", "Refine", "Refined", "Refinement", "Regularisation", "denoising_energy", "refine",
    "regularisation", "representative_time",
]  # fmt: skip

Regularisation = Literal["quantile", "gaussian"]
Held = Literal["observed", "all"]
HELD_BY: Mapping[str, Held] = {"quantile": "all", "gaussian": "observed"}
"""Whether samples are held to what is observed or to the base besides, as published."""
_MOST = 1e6  # of any number that is asked for
_TIMES = 25  # how many the search for a representative one looks at
_CHAIN = (100, (1e-4, 0.1))  # steps and betas of the chain whose times these are


@dataclass(frozen=True)
class Refinement:
    """How samples are refined.

    Args:
        time: tau; by default the representative time of the samples that are given (`representative_time`), which
            costs 25 network calls.
        steps: number of steps.
        step_size: eta.
        method: `langevin`, or `likelihood` for steps without noise.
        noise_scale: c of Langevin steps; 1 samples from exp(-E), the published 0.1 stays near its modes.
        weight: lambda.

    Raises:
        InputError: a number that cannot be.
    """

    time: float | None = None
    steps: int = 20
    step_size: float = 0.1
    method: Literal["langevin", "likelihood"] = "langevin"
    noise_scale: float = 0.1
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.time is not None and not 0 < self.time <= 1:
            raise InputError(f"refinement at t = {self.time:g}", mend="give a time above 0, at most 1")
        sound = 0 < self.step_size <= _MOST and 0 <= self.noise_scale <= _MOST
        if self.steps < 1 or not sound:
            what = f"{self.steps} steps of {self.step_size:g}, noise {self.noise_scale:g}"
            raise InputError(
                what, mend="need at least 1 step of a positive size, and noise of 0 or more, not above 1e6"
            )
        if not 0 <= self.weight <= _MOST:
            raise InputError(f"weight {self.weight:g} of what samples are held to", mend="give 0 to 1e6")
        if self.method not in ("langevin", "likelihood"):
            raise InputError(f"method {self.method!r}", mend="give langevin or likelihood")


@dataclass(frozen=True)
class Refined:
    """Refined samples.

    Attributes:
        state: the samples.
        evaluations: network calls for each.
        time: tau.
    """

    state: State
    evaluations: int
    time: float


def refine(
    system: System,
    state: State,
    noise: NoiseSource,
    potential: Potential | Sequence[Potential] | None = None,
    settings: Refinement | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Refined:
    """Refine samples.

    Args:
        system: the model.
        state: the samples, `[B, ...]` per component, with masks and condition.
        noise: asked at each step for eps of all components, then, by Langevin steps, for xi of all components.
        potential: U, begun or not in need of it: energies see the samples as data prediction and state, and t = 0.
        settings: how.
        progress: called with the steps done and their number.

    Raises:
        InputError: the potential has no gradient.
        FloatingPointError: the samples left the numbers.
    """
    settings = Refinement() if settings is None else settings
    whole = None if potential is None else together(potential)
    if whole is not None and not whole.differentiable:
        raise InputError(f"refinement cannot use {whole.name}: it has no gradient", mend="use particles")
    origins, calls = system.origins(state), int(getattr(system.network, "calls", 1))
    time = representative_time(system, state, noise) if settings.time is None else settings.time
    spent = 0 if settings.time is not None else _TIMES * calls
    for index in range(settings.steps):
        gradients = _gradients(system, state, noise, whole, settings, time, origins)
        moved = {n: torch.add(state[n], g, alpha=-settings.step_size) for n, g in gradients.items()}
        if settings.method == "langevin":
            scale = settings.noise_scale * (2 * settings.step_size) ** 0.5
            draws = system.noise(state, noise)
            moved = {n: torch.add(v, draws[n], alpha=scale) for n, v in moved.items()}
        state = state.replace(moved)
        if progress is not None:
            progress(index + 1, settings.steps)
    if not all(bool(torch.isfinite(value).all()) for value in state.components.values()):
        raise FloatingPointError("refined samples are no numbers any more: take smaller steps or a lower weight")
    spent += settings.steps * (calls + (0 if whole is None else whole.calls))
    return Refined(state, spent, time)


def _gradients(
    system: System,
    state: State,
    noise: NoiseSource,
    potential: Potential | None,
    settings: Refinement,
    time: float,
    origins: Values,
) -> Values:
    """Of E, on the free entries of each component."""
    with torch.enable_grad():
        leaves = {n: state[n].detach().requires_grad_() for n in system.components}
        seen = state.replace(leaves)
        energy = denoising_energy(system, seen, time, system.noise(state, noise), origins)
        if potential is not None:
            t = torch.zeros(len(state), dtype=state.dtype, device=state.device)
            energy = energy + settings.weight * energies(potential, seen, leaves, t)
        found = torch.autograd.grad(energy.sum(), list(leaves.values()))
    spaces = {n: c.space for n, c in system.components.items()}
    return {n: s.project(g, state.masks) * s.copies for (n, s), g in zip(spaces.items(), found, strict=True)}


def denoising_energy(system: System, state: State, time: float, noise: Values, origins: Values | None = None) -> Tensor:
    """|eps - eps_hat|^2 of each sample, `[B]`, summed over free entries in float64; differentiable.

    Args:
        system: the model.
        state: clean samples.
        time: the time to noise them to.
        noise: eps by component.
        origins: what `system.origins` returned, where it is already known.

    Raises:
        InputError: the paths have no noise prediction at this time.
    """
    origins = system.origins(state) if origins is None else origins
    at = torch.tensor([time], dtype=torch.float64)
    clean, noised = centred(state.components, origins), {}
    for name, component in system.components.items():
        noised[name] = clean[name] * float(component.path.alpha(at)) + noise[name] * float(component.path.sigma(at))
    t = torch.full((len(state),), time, dtype=state.dtype, device=state.device)
    outputs = system.forward(state.replace(noised), t, origins)
    energy = torch.zeros(len(state), dtype=torch.float64, device=state.device)
    for name, component in system.components.items():
        a, b = (float(c) for c in conversion(component.path, at, component.prediction, "noise"))
        miss = noise[name] - (noised[name] * a + outputs[name] * b)
        energy = energy + inner(component.space, miss, miss)
    return energy


@torch.no_grad()
def representative_time(
    system: System, state: State, noise: NoiseSource, times: Sequence[float] | None = None
) -> float:
    """The time whose denoising loss is nearest to the mean over times.

    Args:
        system: the model.
        state: clean samples, some hundred.
        noise: asked once a time.
        times: where to look; by default 25 times evenly over the published chain.
    """
    times = _chain_times(system) if times is None else times
    origins = system.origins(state)
    losses = torch.stack(
        [denoising_energy(system, state, t, system.noise(state, noise), origins).mean() for t in times]
    )
    return float(times[int((losses - losses.mean()).square().argmin())])


def _chain_times(system: System) -> list[float]:
    """The published chain's times, as the first component's path tells time, within the range of all paths."""
    number, betas = _CHAIN
    paths = [component.path for component in system.components.values()]
    first, last = max(p.t_min for p in paths), min(p.t_max for p in paths)
    even = torch.linspace(1, number, _TIMES, dtype=torch.float64).round() / number
    times: list[float] = paths[0].time_of(DiscreteChain("linear", number, betas).log_snr(even)).tolist()
    return [min(max(time, first), last) for time in times]


def regularisation(system: System, state: State, kind: Regularisation) -> Potential | None:
    """U, which holds each component NAME to the condition's `observed_NAME` where that is not NaN; begun.

    Args:
        system: the model.
        state: the samples that are to be refined.
        kind: `gaussian` for the sum of squares, `quantile` for the pinball loss at the condition's `level` of a sample.

    Returns:
        None where nothing is observed.

    Raises:
        InputError: an unknown kind.
    """
    from scorefield.core.solver_registry import make_solver

    if kind not in get_args(Regularisation):
        raise unknown("potential of refinement", kind, get_args(Regularisation))
    seen = [name for name in system.components if OBSERVED + name in state.condition]
    seen = [name for name in seen if not bool(state.condition[OBSERVED + name].isnan().all())]
    if not seen:
        return None
    found: list[Observation] = [
        QuantileObservation(name, OBSERVED + name, LEVEL)
        if kind == "quantile"
        else GaussianObservation(name, OBSERVED + name, math.sqrt(0.5))
        for name in seen
    ]
    solver = make_solver("ddim", 1)  # observations look at the system and the state alone
    return together(found).begin(Run(system, state, solver, solver.plan(system)))


class Refine(Guide):
    """Refine the samples of a run at its end.

    Args:
        potential: U, or several.
        settings: how.

    Attributes:
        time: tau, of a copy that has run.

    Raises:
        InputError: the potential has no gradient.
    """

    def __init__(self, potential: Potential | Sequence[Potential], settings: Refinement | None = None) -> None:
        from scorefield.core.guidance.registry import suit

        self.potential = together(potential)
        suit("refine", self.potential)
        self.settings = Refinement() if settings is None else settings
        self.time = self.settings.time
        self._last: int

    def begin(self, run: Run) -> Guide:
        """See `Guide.begin`."""
        mine = copy.copy(self)
        mine.potential, mine._last = self.potential.begin(run), run.plan.length - 1
        return mine

    def after(self, carry: Carry, index: int, denoise: Denoiser, noise: NoiseSource) -> Carry:
        """See `Guide.after`."""
        if index < self._last:
            return carry
        state = carry.state.replace(placed(carry.state.components, denoise.origins))
        refined = refine(denoise.system, state, noise, self.potential, self.settings)
        self.time = refined.time
        denoise.evaluations += refined.evaluations
        return Carry(refined.state.replace(centred(refined.state.components, denoise.origins)))
