"""A trained system on another path, exactly.

Two Gaussian paths with the same signal-to-noise ratio differ by a scale: where path q at time t has the ratio of path p
at time tau, x_q = c x_p with c = alpha_q(t) / alpha_p(tau), and what a network says of data and noise at (x_p, tau)
holds at (x_q, t). So a flow model may be sampled as a variance-preserving diffusion, with noise, and so on. In terms of
velocities, u_q = (c' / c) x_q + c tau' u_p(x_q / c, tau).

The components of a system share their network's time. One of them sets the clock tau(t); others given a path must have
the same clock, and those given none keep their path, run by that clock.

Source: Karras et al. 2022 (arXiv 2206.00364, section 2); Kim et al. 2025 (arXiv 2503.19385) for flows with noise.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.core.paths import GaussianPath
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System, Values, centred, placed

__all__ = ["Clock", "Retimed", "reparametrised"]


class Clock:
    """tau(t), the time at which the old path has the signal-to-noise ratio of the new one at t; differentiable.

    Args:
        old: the path that a network was trained on.
        new: the path to use it on.
    """

    def __init__(self, old: GaussianPath, new: GaussianPath) -> None:
        self.old, self.new = old, new

    def __call__(self, t: Tensor) -> Tensor:
        """tau at times of any shape, float64."""
        target = self.new.log_snr(t.double())
        with torch.no_grad():
            found = self.old.time_of(target).clamp(0, 1)
            slope = -(self.old.diffusion(found) ** 2) / (2 * self.old.variance(found))
            reached = self.old.log_snr(found)
            settled = torch.isfinite(reached) & torch.isfinite(target) & torch.isfinite(slope) & (slope < 0)
        # A step of Newton's method: it changes nothing but the last digits, and carries the derivative.
        miss = torch.where(settled, target - reached, 0.0)
        return (found + miss / torch.where(settled, slope, -1.0)).clamp(0, 1)


class Retimed(GaussianPath):
    """A path run by a clock: at time t where it was at tau(t).

    Args:
        path: the path.
        clock: tau.
    """

    def __init__(self, path: GaussianPath, clock: Clock) -> None:
        self.path, self.clock = path, clock
        last = torch.ones((), dtype=torch.float64)
        self.prior_std = path.prior_std * float(path.sigma(clock(last)) / path.sigma(last))

    def log_alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        return self.path.log_alpha(self.clock(t)).to(t.dtype)

    def variance(self, t: Tensor) -> Tensor:
        """See the class."""
        return self.path.variance(self.clock(t)).to(t.dtype)


class _Rescaled(Network):
    """The old network, seen from the new paths."""

    def __init__(self, system: System, components: Mapping[str, Component], clock: Clock) -> None:
        super().__init__()
        self.network, self.clock = system.network, clock
        self.calls = int(getattr(system.network, "calls", 1))
        if hasattr(system.network, "null_condition"):
            self.null_condition = system.network.null_condition
        self.old, self.new = dict(system.components), dict(components)

    def forward(self, state: State, t: Tensor) -> Values:
        """See `Network.forward`."""
        times = t[:1] if t.stride() == (0,) else t  # one time for all rows, which runs have, is converted once
        tau = self.clock(times)
        origins = {n: c.origin(state) for n, c in self.old.items() if c.origin is not None}
        own = centred({n: state[n] for n in self.old}, origins)
        scales = {n: _like(_scale(self.old[n].path, tau) / _scale(self.new[n].path, times), x) for n, x in own.items()}
        moved = {n: x * scales[n] for n, x in own.items()}
        outputs: Values = self.network(state.replace(placed(moved, origins)), tau.to(t.dtype).expand(len(state)))
        for name, value in outputs.items():
            if self.old[name].prediction == "score":
                ratio = self.old[name].path.sigma(tau) / self.new[name].path.sigma(times.double())
                outputs[name] = value * _like(ratio, value)
            elif self.old[name].prediction == "velocity":
                outputs[name] = self._velocity(name, moved[name], value, tau, times.double())
        return outputs

    def _velocity(self, name: str, x: Tensor, velocity: Tensor, tau: Tensor, t: Tensor) -> Tensor:
        """Data and noise of the old velocity, put together as the new one."""
        old, new = self.old[name].path, self.new[name].path
        alpha, sigma, up, out = old.alpha(tau), old.sigma(tau), old.alpha_derivative(tau), old.sigma_derivative(tau)
        both = alpha * out - sigma * up
        new_up, new_out = new.alpha_derivative(t), new.sigma_derivative(t)
        of_x, of_velocity = (new_up * out - new_out * up) / both, (new_out * alpha - new_up * sigma) / both
        return x * _like(of_x, x) + velocity * _like(of_velocity, x)


def _scale(path: GaussianPath, t: Tensor) -> Tensor:
    """What a path's states are divided by to compare paths; neither end of a path makes it vanish."""
    return (path.alpha(t.double()) ** 2 + path.variance(t.double())).sqrt()


def _like(coefficient: Tensor, x: Tensor) -> Tensor:
    """`[B]` or `[1]` coefficients in the number type and with the axes of `x`."""
    return coefficient.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def reparametrised(system: System, paths: GaussianPath | Mapping[str, GaussianPath]) -> System:
    """The same model on other paths.

    Args:
        system: a trained system; it is shared, not copied.
        paths: the new path of the first component, or of components by name; the first named sets the clock.

    Returns:
        A system with the same spaces, kinds of prediction and origins. Times at which the old paths could not be
        evaluated are outside the new paths' range.

    Raises:
        InputError: an unknown component, or named paths whose clocks differ.
    """
    named = {next(iter(system.components)): paths} if isinstance(paths, GaussianPath) else dict(paths)
    if not named:
        raise InputError("no path to convert to", mend="name one component's path at least")
    for name in named:
        if name not in system.components:
            raise unknown("component", name, system.components)
    first = next(iter(named))
    clock = Clock(system.components[first].path, named[first])
    _check_clocks(system, named, clock, first)
    components = {}
    for name, component in system.components.items():
        path = copy.copy(named[name]) if name in named else Retimed(component.path, clock)
        _limit(path, component.path)
        components[name] = replace(component, path=path)
    return System(components, _Rescaled(system, components, clock))


def _limit(path: GaussianPath, old: GaussianPath) -> None:
    """Keep the new path's times to those of the old one."""
    ends = old.log_snr(torch.tensor([old.t_min, old.t_max], dtype=torch.float64))
    first, last = (float(path.time_of(end)) if bool(torch.isfinite(end)) else None for end in ends)
    path.t_min = path.t_min if first is None else max(path.t_min, first)
    path.t_max = path.t_max if last is None else min(path.t_max, last)


def _check_clocks(system: System, named: Mapping[str, GaussianPath], clock: Clock, first: str) -> None:
    t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    for name, path in named.items():
        apart = (Clock(system.components[name].path, path)(t) - clock(t)).abs()
        if float(apart.max()) > 1e-6:
            what = f"at t = {float(t[apart.argmax()]):g} the paths of {first} and {name} need the network at two times"
            raise InputError(what, mend=f"leave {name} out: its path is then run by the clock of {first}")
