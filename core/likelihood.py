"""Log-densities by the probability-flow ODE.

Along dx/dt = u(x, t) the density changes by d log p_t(x_t) / dt = -div u, so with z the point that x flows to at t = 1,

    log p(x) = log prior(z) + int_0^1 div u(x_t, t) dt.

Divergence, prior and error control live on the components' spaces: padding, the second triangle of an adjacency and a
fixed centre of mass count for nothing. The divergence is exact where a sample has few free entries, else Hutchinson's
estimate with probes that are fixed along the trajectory. The integral starts at `t_min`: what is measured is the
density of data with that much noise. It is one of continuous states: a molecule's is that of its encoding.

Sources: Chen et al. 2018 (arXiv 1806.07366), Grathwohl et al. 2019 (arXiv 1810.01367), Song et al. 2021 (arXiv
2011.13456, appendix D.2; unlike there no offset for 8-bit images is added).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core.calculus import (
    dimensions,
    divergences,
    free_bases,
    inner,
    leaves,
    mask_patterns,
    rademacher,
    stacked,
    total_dimension,
)
from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.extras import optional
from scorefield.core.interpolants.system import Bridge
from scorefield.core.state import State
from scorefield.core.system import System, Values, centred

__all__ = ["Likelihood", "Settings", "gaussian_log_prior", "log_likelihood"]

_ROWS = 512  # of one network call, samples times directions
_STEPS = 20_000  # of one integration

LogPrior = Callable[[System, State], Tensor]


@dataclass(frozen=True)
class Likelihood:
    """Log-densities of a batch.

    Attributes:
        nats: log p, `[B]`.
        std_error: standard error of `nats` from the probes, `[B]`; 0 where the divergence was exact, NaN for one probe.
        dimension: free entries, `[B]`.
        evaluations: network calls of the sample's integration (each followed by as many derivatives as there are
            probes, or free entries), `[B]`.
        latent: what each component flows to, as u = z - origin.
    """

    nats: Tensor
    std_error: Tensor
    dimension: Tensor
    evaluations: Tensor
    latent: Values

    @property
    def bits_per_dimension(self) -> Tensor:
        """-log2 p for each free entry, `[B]`; NaN where a sample has none."""
        return -self.nats / (math.log(2) * self.dimension)


@dataclass(frozen=True)
class Settings:
    """How a density is integrated.

    Attributes:
        t_min: where the ODE begins; by default the largest `t_least` of the paths.
        t_max: where it ends; by default the smallest `t_max` of the paths.
        exact_up_to: most free entries for which the divergence is exact.
        probes: probes of Hutchinson's estimate beyond that; 1 tells no standard error.
        seed: fixes the probes; those of a row do not depend on the others or on padding.
        rtol: relative tolerance of the integration.
        atol: absolute tolerance.
        tile_size: samples of one size integrated together under one step size; 1 makes every number independent of the
            rest of the batch to the last digit, not only to the tolerance.
    """

    t_min: float | None = None
    t_max: float | None = None
    exact_up_to: int = 64
    probes: int = 8
    seed: int = 0
    rtol: float = 1e-5
    atol: float = 1e-5
    tile_size: int = 256

    def __post_init__(self) -> None:
        least = {"probes": 1, "tile_size": 1, "exact_up_to": 0}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise InputError(f"{name} is {getattr(self, name)}", mend=f"give at least {lowest}")
        for name in ("rtol", "atol"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name):g}", mend="give more than 0")

    def times(self, system: System) -> tuple[float, float]:
        """Both ends of the integral.

        Raises:
            InputError: they are not ordered inside [0, 1].
        """
        paths = [c.path for c in system.components.values()]
        first = max(p.t_least for p in paths) if self.t_min is None else self.t_min
        last = min(p.t_max for p in paths) if self.t_max is None else self.t_max
        if not 0 <= first < last <= 1:
            raise InputError(f"t_min = {first:g}, t_max = {last:g}", mend="need 0 <= t_min < t_max <= 1")
        return first, last


def gaussian_log_prior(system: System, latent: State) -> Tensor:
    """Log-density of each component's N(0, prior_std^2) on its free entries, `[B]`."""
    total = torch.zeros(len(latent), dtype=latent.dtype, device=latent.device)
    for name, free in dimensions(system, latent).items():
        std = system.components[name].path.prior_std
        squared = inner(system, {name: latent[name]}, {name: latent[name]}) / std**2
        total = total - 0.5 * (squared + free * math.log(2 * math.pi * std**2))
    return total


def log_likelihood(
    system: System,
    state: State,
    settings: Settings | None = None,
    log_prior: LogPrior = gaussian_log_prior,
    progress: Callable[[int, int], None] | None = None,
) -> Likelihood:
    """Log-densities of samples under a model.

    Args:
        system: the model.
        state: samples, masks and condition; the components lie in their spaces.
        settings: how to integrate.
        log_prior: log-density at the last time of u = z - origin, `[B]`.
        progress: called with the samples done and their number.

    Raises:
        InputError: a sample does not lie in its space, torchdiffeq is not installed, or the tolerance cannot be met.
        FloatingPointError: the network returned something not finite; the time is named.
    """
    settings = settings or Settings()
    settings.times(system)
    if log_prior is gaussian_log_prior:
        _check_prior(system)
    _check_spaces(system, state)
    if max(settings.rtol, settings.atol) < 4 * torch.finfo(state.dtype).eps:
        what = f"rtol {settings.rtol:g}, atol {settings.atol:g} cannot be met in {state.dtype}"
        raise InputError(what.replace("torch.", ""), mend="give larger ones, or compute in float64")
    origins = system.origins(state)
    state = state.replace(centred(state.components, origins))
    probes = _probes(system, state, settings)
    done: list[tuple[Tensor, Likelihood]] = []
    for pattern in mask_patterns(state):
        for rows in pattern.split(settings.tile_size):
            flow = _Flow(system, state.rows(rows), {n: o[rows] for n, o in origins.items()}, settings)
            done.append((rows, flow.integrate([_rows(p, rows) for p in probes], log_prior)))
            if progress is not None:
                progress(sum(len(r) for r, _ in done), len(state))
    return _joined(done)


def _check_prior(system: System) -> None:
    """Refuse interpolants that do not begin with noise."""
    for name, component in system.components.items():
        if isinstance(component.path, Bridge) and component.path.interpolant.begins != "noise":
            what = f"{name} is an interpolant from samples whose density is not known"
            raise InputError(what, mend="give log_prior, the log-density of its source")


def _check_spaces(system: System, state: State) -> None:
    for name, component in system.components.items():
        value = state[name]
        scale = float(value.abs().max()) if value.numel() else 0.0
        if not torch.allclose(component.space.project(value, state.masks), value, atol=1e-5 * max(scale, 1.0)):
            what = f"{name} does not lie in its space, {type(component.space).__name__}"
            raise InputError(what, mend="a density exists only there: mask, symmetrise or centre it first")


def _probes(system: System, state: State, settings: Settings) -> list[Values]:
    """Probes for the whole batch, where a row needs them: a row's must not depend on how rows are put together."""
    if float(total_dimension(system, state).max()) <= settings.exact_up_to:
        return []
    source = SampleStreams(len(state), "likelihood", settings.seed, device=state.device)
    return [rademacher(system, state, source) for _ in range(settings.probes)]


def _rows(values: Values, rows: Tensor) -> Values:
    return {name: value[rows] for name, value in values.items()}


def _joined(done: list[tuple[Tensor, Likelihood]]) -> Likelihood:
    """The parts in the order of the batch."""
    order = torch.cat([rows for rows, _ in done]).argsort()
    parts = [part for _, part in done]

    def join(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])[order]

    latent = {n: torch.cat([part.latent[n] for part in parts])[order] for n in parts[0].latent}
    return Likelihood(join("nats"), join("std_error"), join("dimension"), join("evaluations"), latent)


class _Flow:
    """The probability-flow ODE of samples of one size, with their log-densities, as torchdiffeq calls it."""

    def __init__(self, system: System, state: State, origins: Values, settings: Settings) -> None:
        self.system, self.state, self.origins, self.settings = system, state, origins, settings
        self.free = total_dimension(system, state)
        self.exact = float(self.free.max()) <= settings.exact_up_to
        self.evaluations = self.columns = 0

    def integrate(self, probes: list[Values], log_prior: LogPrior) -> Likelihood:
        """The densities, with these probes where the divergence is not exact."""
        along = free_bases(self.system, self.state) if self.exact else probes
        columns = 1 if self.exact else len(probes)
        self._stack(along)
        change = torch.zeros(len(self.state), columns, dtype=self.state.dtype, device=self.state.device)
        *ends, change = self._solve((*self.state.components.values(), change))
        latent = dict(zip(self.state.components, ends, strict=True))
        nats = log_prior(self.system, self.state.replace(latent)) + change.mean(1)
        error = torch.full_like(nats, 0.0 if self.exact else math.nan)
        if columns > 1:
            error = change.std(1) / math.sqrt(columns)
        calls = torch.full_like(self.free, self.evaluations, dtype=torch.long)
        return Likelihood(nats, error, self.free.long(), calls, latent)

    def _solve(self, start: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        odeint = optional("torchdiffeq", "likelihoods need torchdiffeq", "ode").odeint
        settings = self.settings
        times = torch.tensor(settings.times(self.system), dtype=torch.float64, device=self.state.device)
        try:
            with torch.no_grad():
                path = odeint(
                    self,
                    start,
                    times,
                    rtol=settings.rtol,
                    atol=settings.atol,
                    method="dopri5",
                    # Paths end at the last time: no step may go beyond.
                    options={"norm": self._norm, "step_t": times[-1:], "max_num_steps": _STEPS},
                )
        except AssertionError as error:  # how torchdiffeq says that its steps are too small or too many
            what = f"rtol {settings.rtol:g}, atol {settings.atol:g} cannot be met ({error})"
            raise InputError(what, mend="give larger ones, or compute in float64") from error
        return tuple(values[-1] for values in path)

    def _stack(self, along: list[Values]) -> None:
        """Lay out several directions in one batch: for few samples a call costs the same for one row as for many."""
        self.columns, size = len(along), min(max(_ROWS // len(self.state), 1), max(len(along), 1))
        index = torch.arange(len(self.state), device=self.state.device).repeat(size)
        self.wide, self.wide_origins = self.state.rows(index), _rows(self.origins, index)
        self.stacks = stacked(along, self.state, size) or stacked([{}], self.state, size)

    def __call__(self, t: Tensor, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Velocities of the components and the divergence along each direction (summed where exact)."""
        self.evaluations += 1
        repeats = len(self.wide) // len(self.state)
        points = {n: torch.cat([v] * repeats) for n, v in zip(self.state.components, values, strict=False)}
        times, changes = t.to(self.state.dtype).expand(len(self.wide)), []
        for vectors in self.stacks:
            state = leaves(self.wide.replace(points))
            with torch.enable_grad():
                velocity = self.system.predict(state, times, "velocity", self.wide_origins)
                changes.append(divergences(self.system, velocity, state, [vectors]).reshape(repeats, -1))
        change = torch.cat(changes)[: self.columns].T
        change = change.sum(1, keepdim=True) if self.exact else change
        found = (*(velocity[n][: len(self.state)].detach() for n in points), change)
        if not all(bool(torch.isfinite(value).all()) for value in found):
            raise FloatingPointError(f"the network returned NaN or infinity at t = {float(t):g}")
        return found

    def _norm(self, values: tuple[Tensor, ...]) -> Tensor:
        """Largest root mean square of a sample over its free entries, or error of its log-density."""
        *parts, change = values
        squared = inner(self.system, *[dict(zip(self.state.components, parts, strict=True))] * 2)
        return torch.maximum((squared / self.free.clamp(min=1)).sqrt(), change.abs().amax(1)).max()
