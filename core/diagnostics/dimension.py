"""Local intrinsic dimension of the data near each sample, as a score field sees it.

FLIPD: D + sigma^2 (tr grad s(alpha x) + |s(alpha x)|^2), from how a density changes with the width of its noise.
Normal space: scores around a point span the directions that lead back to the data; D less their number. Directions
count in which the data vary less than the noise.

Sources: Kamkari et al. 2024 (FLIPD, arXiv 2406.03537); Stanczuk et al. 2024 (normal space, arXiv 2212.12611).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.core.calculus import divergences, free_bases, inner, leaves, total_dimension
from scorefield.core.diagnostics.points import Points
from scorefield.core.noise import Seeded, stream_seed
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["flipd", "normal_space", "time_of_noise"]

_ROWS = 1024  # of one network call


def time_of_noise(system: System, noise: float) -> float:
    """The time at which sigma / alpha of the first component is `noise`, inside the range of evaluations."""
    path = next(iter(system.components.values())).path
    paths = [c.path for c in system.components.values()]
    t = float(path.time_of(torch.tensor(-math.log(noise), dtype=torch.float64)))
    return min(max(t, *(p.t_min for p in paths)), *(p.t_max for p in paths))


def _scaled(points: Points, t: float) -> State:
    """alpha u_0: the noised samples' means."""
    time = points.times(t)
    nothing = {n: torch.zeros_like(v) for n, v in points.data.components.items()}
    return points.system.perturb(points.centred(), time, nothing)


def _sigma(system: System, name: str, t: float) -> float:
    return float(system.components[name].path.sigma(torch.tensor(t, dtype=torch.float64)))


def flipd(points: Points, t: float, exact_up_to: int = 64, probes: int = 32) -> Tensor:
    """FLIPD of every sample, `[B]`.

    Args:
        points: clean samples.
        t: time of the noise; small, yet where the network is good.
        exact_up_to: most free entries for which the trace is exact.
        probes: probes of its estimate otherwise.
    """
    system, state = points.system, leaves(_scaled(points, t))
    free = total_dimension(system, state)
    exact = float(free.max()) <= exact_up_to
    along = free_bases(system, state) if exact else points.probes(t, probes)
    with torch.enable_grad():
        score = system.predict(state, points.times(t), "score", points.origins())
        weighted = {n: v * _sigma(system, n, t) ** 2 for n, v in score.items()}
        traces = divergences(system, weighted, state, along)
    trace = traces.sum(0) if exact else traces.mean(0)
    return (free + trace + inner(system, weighted, score)).detach()


@torch.no_grad()
def normal_space(points: Points, t: float, per_dimension: int = 8) -> Tensor:
    """D less the number of normal directions, `[B]`.

    Args:
        points: clean samples.
        t: time of the noise.
        per_dimension: scores taken at each sample for each of its free entries.
    """
    system, state, origins = points.system, _scaled(points, t), points.origins()
    free = total_dimension(system, state).long().tolist()
    found = []
    for row, count in enumerate(free):
        source = Seeded(stream_seed("normal", points.seed, row), device=state.device)
        rows = torch.full((max(per_dimension * count, 1),), row, device=state.device)
        pieces = [
            _around(points, state.rows(part), {n: o[part] for n, o in origins.items()}, t, source)
            for part in rows.split(_ROWS)
        ]
        scores = torch.cat(pieces)
        values = torch.linalg.svdvals((scores - scores.mean(0)) / math.sqrt(len(scores)))
        found.append(count - int((values > 0.5).sum()))
    return torch.tensor(found, device=state.device)


def _around(points: Points, state: State, origins: Values, t: float, source: Seeded) -> Tensor:
    """Scores times sigma at noised copies of one point, as vectors in free coordinates: of size one where normal."""
    system = points.system
    noise = system.noise(state, source)
    moved = state.replace({n: state[n] + _sigma(system, n, t) * noise[n] for n in noise})
    times = torch.full((len(state),), t, dtype=state.dtype, device=state.device)
    score = system.predict(moved, times, "score", origins)
    scales = {n: _sigma(system, n, t) / math.sqrt(system.components[n].space.copies) for n in score}
    return torch.cat([v.flatten(1) * scales[n] for n, v in score.items()], 1)
