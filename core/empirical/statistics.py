"""What DPM-Solver-v3 knows of a model: statistics l, s, b of its predictions along the log signal-to-noise ratio.

With y = x / alpha, rho = sigma / alpha and r = rho eps(x_t, t), l is the mean diagonal of sigma d eps / dx, so that
f = r - l y is as flat as can be, and s, b are the regression of its derivative f' along the probability-flow ODE on f:

    s = cov(f, f') / var(f),   b = E f' - s E f,   f' = r' + l r - (dl / dlambda) y     (as y' = -r)

All are means over the data. Entries that a symmetry exchanges share their statistics: nodes, steps of time and frames,
the pairs of an adjacency, the coordinates of a space without centre of mass; the last axis of others keeps its own.

Source: Zheng et al. 2023 (arXiv 2310.13268).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from scorefield.core.calculus import rademacher
from scorefield.core.errors import InputError
from scorefield.core.files import atomic
from scorefield.core.noise import NoiseSource
from scorefield.core.sampling import sample
from scorefield.core.solvers.exponential import UniPC
from scorefield.core.solvers.solver import LinearSolver
from scorefield.core.solvers.steps import Steps
from scorefield.core.spaces import Masked, Space, ZeroCentreOfMass
from scorefield.core.state import State
from scorefield.core.system import System, Values, centred

__all__ = ["ComponentStatistics", "EmpiricalModelStatistics"]

_FORMAT = "scorefield-model-statistics-1"
_PARTS = ("log_snr", "l", "s", "b")
_FINE = 10  # points of the stored table for each measured one: its integrals are trapezoids
_STEP = {torch.float64: 1e-4, torch.float32: 1e-2}  # of log_snr, for differences along the ODE


@dataclass(frozen=True)
class ComponentStatistics:
    """Tables of one component, float64.

    Attributes:
        log_snr: rising, `[M]`.
        l: `[M, ...]` with what broadcasts over a sample's entries after the first axis, like the others.
        s: slope of the regression.
        b: its intercept.
    """

    log_snr: np.ndarray
    l: np.ndarray  # noqa: E741
    s: np.ndarray
    b: np.ndarray

    def at(self, log_snr: np.ndarray) -> ComponentStatistics:
        """Linearly interpolated."""
        place = np.clip(np.searchsorted(self.log_snr, log_snr) - 1, 0, len(self.log_snr) - 2)
        low, high = self.log_snr[place], self.log_snr[place + 1]
        share = np.clip((log_snr - low) / (high - low), 0, 1)

        def read(table: np.ndarray) -> np.ndarray:
            weight = share.reshape(-1, *[1] * (table.ndim - 1))
            return np.asarray((1 - weight) * table[place] + weight * table[place + 1])

        return ComponentStatistics(log_snr, read(self.l), read(self.s), read(self.b))


class EmpiricalModelStatistics:
    """Statistics of a model's components.

        statistics = EmpiricalModelStatistics.measure(system, data, Seeded(0))
        statistics.save("model.v3.safetensors")        # then: --solver dpm-v3 --solver-arg statistics=...

    Args:
        components: the tables of each.

    Raises:
        InputError: a table's log_snr do not rise, or shapes do not fit.
    """

    def __init__(self, components: Mapping[str, ComponentStatistics]) -> None:
        self.components = dict(components)
        for name, c in self.components.items():
            tables = (c.l, c.s, c.b)
            if c.log_snr.ndim != 1 or any(t.shape[:1] != c.log_snr.shape or t.shape != c.l.shape for t in tables):
                raise InputError(f"the tables of {name} do not fit", mend="give l, s, b of one shape [M, ...]")
            if len(c.log_snr) < 2 or not bool((np.diff(c.log_snr) > 0).all()):
                raise InputError(f"the log_snr of {name} do not rise")
            if not all(bool(np.isfinite(t).all()) for t in tables):
                raise InputError(f"the tables of {name} are not finite")

    @classmethod
    def measure(
        cls,
        system: System,
        data: State,
        noise: NoiseSource,
        points: int = 25,
        start: float | None = None,
        end: float | None = None,
    ) -> EmpiricalModelStatistics:
        """Measure them: three network calls and one derivative for each component at every point.

        Args:
            system: the model.
            data: clean samples (u = x - origin) with masks and condition; some hundred serve.
            noise: noises the data and draws probes.
            points: times at which to measure, even in the log_snr of the first component; the tables are finer.
            start: latest time, by default the smallest `t_max` of the paths.
            end: earliest time, by default the largest `t_min`.

        Raises:
            InputError: a path has no signal or no noise at an end.
        """
        paths = [c.path for c in system.components.values()]
        start = min(p.t_max for p in paths) if start is None else start
        end = max(p.t_min for p in paths) if end is None else end
        ends = paths[0].log_snr(torch.tensor([start, end], dtype=torch.float64))
        if points < 3 or not bool(torch.isfinite(ends).all()):
            raise InputError(f"no statistics at {points} points from t = {start:g} to {end:g}", mend="narrow the range")
        log_snr = torch.linspace(ends[0].item(), ends[1].item(), points, dtype=torch.float64)
        times = paths[0].time_of(log_snr)
        times[0], times[-1] = start, end
        # The same draws at all times, so that what is measured is smooth in time.
        draws, probes, origins = system.noise(data, noise), rademacher(system, data, noise), system.origins(data)
        measured = [_Moments.at(system, data, t, draws, probes, origins) for t in times.tolist()]
        return cls({name: _regress(name, system, times, measured) for name in system.components})

    @classmethod
    def of_samples(
        cls,
        system: System,
        frame: State,
        noise: NoiseSource,
        start: float | None = None,
        end: float | None = None,
    ) -> EmpiricalModelStatistics:
        """Measure them on samples of the model itself: twenty network calls more than `measure`.

        Args:
            system: the model.
            frame: masks, condition and shapes of the samples; some hundred serve.
            noise: makes and noises the samples.
            start: as of `measure`.
            end: as of `measure`.
        """
        made = sample(system, frame, LinearSolver(UniPC(), 20, end=end), noise).state
        data = made.replace(centred(made.components, system.origins(frame)))
        return cls.measure(system, data, noise, start=start, end=end)

    def save(self, path: str | Path) -> None:
        """Write them to a safetensors file."""
        parts = {f"{n}.{p}": torch.from_numpy(getattr(c, p).copy()) for n, c in self.components.items() for p in _PARTS}
        with atomic(path) as temporary:
            safetensors.torch.save_file(parts, temporary, metadata={"format": _FORMAT})

    @classmethod
    def load(cls, path: str | Path) -> EmpiricalModelStatistics:
        """Read them.

        Raises:
            InputError: the file is missing or holds something else.
        """
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                known = (file.metadata() or {}).get("format") == _FORMAT
                tensors = {key: file.get_tensor(key).double().numpy() for key in file.keys()} if known else {}  # noqa: SIM118
        except FileNotFoundError:
            raise InputError("there is no such file", file=path) from None
        except (OSError, safetensors.SafetensorError) as error:
            raise InputError("not a safetensors file", file=path) from error
        names = list(dict.fromkeys(key.rpartition(".")[0] for key in tensors))
        if not known or tensors.keys() != {f"{n}.{p}" for n in names for p in _PARTS}:
            mend = "write one with EmpiricalModelStatistics.measure(...).save(...)"
            raise InputError("holds no model statistics", file=path, mend=mend)
        return cls({n: ComponentStatistics(*(tensors[f"{n}.{p}"] for p in _PARTS)) for n in names})


def _shared_axes(space: Space, value: Tensor) -> tuple[int, ...]:
    """Axes over which entries share their statistics."""
    last = value.ndim - 1 if isinstance(space, Masked) else value.ndim
    return tuple(range(last))


def _entries(space: Space, value: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
    """1 where an entry exists."""
    exists = Masked() if isinstance(space, ZeroCentreOfMass) else space
    return exists.project(torch.ones_like(value), masks)


@dataclass(frozen=True)
class _Moments:
    """Means of one time: l of each component, and of (r, y, r') first and second moments."""

    l: dict[str, np.ndarray]  # noqa: E741
    first: dict[str, np.ndarray]
    second: dict[str, np.ndarray]

    @classmethod
    def at(cls, system: System, data: State, t: float, draws: Values, probes: Values, origins: Values) -> _Moments:
        times = torch.full((len(data),), t, dtype=data.dtype, device=data.device)
        state = system.perturb(data, times, draws)
        with torch.enable_grad():
            leaves = state.replace({n: v.detach().requires_grad_() for n, v in state.components.items()})
            eps = system.predict(leaves, times, "noise", origins)
            pulled = {n: _pulled(eps[n], leaves[n], probes[n]) for n in eps}
        eps = {n: v.detach() for n, v in eps.items()}
        change = _along_the_ode(system, state, t, eps, origins)
        l, first, second = {}, {}, {}  # noqa: E741
        for name, c in system.components.items():
            alpha, sigma = (float(v) for v in (c.path.alpha(times[:1]), c.path.sigma(times[:1])))
            axes, exists = _shared_axes(c.space, data[name]), _entries(c.space, data[name], data.masks)
            values = torch.stack([eps[name] * (sigma / alpha), state[name] / alpha, change[name]]).double()
            count = exists.double().sum(axes).clamp(min=1)
            shifted = tuple(a + 1 for a in axes)
            first[name] = _numpy((values * exists).sum(shifted) / count)
            pairs = torch.stack([values * v for v in values])
            second[name] = _numpy((pairs * exists).sum(tuple(a + 2 for a in axes)) / count)
            squared = (probes[name] ** 2).double().sum(axes).clamp(min=1e-12)
            l[name] = _numpy(sigma * (probes[name] * pulled[name]).double().sum(axes) / squared)
        return cls(l, first, second)


def _numpy(value: Tensor) -> np.ndarray:
    array: np.ndarray = value.detach().cpu().numpy()
    return array


def _pulled(output: Tensor, leaf: Tensor, probe: Tensor) -> Tensor:
    if not output.requires_grad:
        return torch.zeros_like(leaf)
    (pulled,) = torch.autograd.grad(output, leaf, probe, retain_graph=True, allow_unused=True)
    return torch.zeros_like(leaf) if pulled is None else pulled


@torch.no_grad()
def _along_the_ode(system: System, state: State, t: float, eps: Values, origins: Values) -> Values:
    """dr / dlambda of each component along the ODE, by a central difference between two times around t."""
    reference = next(iter(system.components.values())).path
    here = reference.log_snr(torch.tensor(t, dtype=torch.float64))
    step = _STEP.get(state.dtype, _STEP[torch.float32])
    ends = reference.time_of(torch.stack([here - step, here + step])).clamp(0, reference.t_max)
    found = []
    for end in ends.tolist():
        times = torch.full((len(state),), end, dtype=state.dtype, device=state.device)
        moved = {}
        for name, c in system.components.items():
            both = torch.tensor([t, end], dtype=torch.float64)
            scale, gain, _ = Steps.of(c.path, both, "noise").move(0, "noise")
            moved[name] = scale * state[name] + gain * eps[name]
        found.append(system.predict(state.replace(moved), times, "noise", origins))
    change = {}
    for name, c in system.components.items():
        low, high = c.path.log_snr(ends).tolist()
        before, after = (values[name] * math.exp(-at) for values, at in zip(found, (low, high), strict=True))
        change[name] = (after - before) / (high - low)
    return change


def _regress(name: str, system: System, times: Tensor, measured: list[_Moments]) -> ComponentStatistics:
    """s and b of one component from the moments, on a finer grid."""
    log_snr = system.components[name].path.log_snr(times).numpy()
    l = np.stack([m.l[name] for m in measured])  # noqa: E741
    slope = np.gradient(l, log_snr, axis=0, edge_order=2)
    r, y, rate = np.moveaxis(np.stack([m.first[name] for m in measured]), 1, 0)
    rr, ry, r_rate = np.moveaxis(np.stack([m.second[name][0] for m in measured]), 1, 0)
    yy, y_rate = np.moveaxis(np.stack([m.second[name][1, 1:] for m in measured]), 1, 0)
    f, change = r - l * y, rate + l * r - slope * y
    square = rr - 2 * l * ry + l**2 * yy
    product = r_rate + l * rr - slope * ry - l * y_rate - l**2 * ry + l * slope * yy
    variance = square - f**2
    least = 1e-12 + 1e-10 * (rr + l**2 * yy)  # below it, f hardly varies and what does is rounding
    s = np.where(variance > least, (product - f * change) / np.maximum(variance, least), 0.0)
    fine = np.interp(np.arange(_FINE * (len(l) - 1) + 1) / _FINE, np.arange(len(l)), log_snr)
    return ComponentStatistics(log_snr, l, s, change - s * f).at(fine)
