"""How far a score field is from obeying the Fokker-Planck equation of its noise (see `core.fokker_planck`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scorefield.core.calculus import free_bases, inner, total_dimension
from scorefield.core.diagnostics.points import Points
from scorefield.core.fokker_planck import sides
from scorefield.core.system import Values

__all__ = ["Residual", "fokker_planck"]


@dataclass(frozen=True)
class Residual:
    """The equation's residual over time.

    Attributes:
        times: where it was measured.
        size: root mean square of R for each free entry.
        relative: the same over the sum of those of both sides: 0 is a true score; 1 one that does not change with
            time as it should at all.
        change: root mean square of d s / d t; 0 where the network does not see the time.
    """

    times: list[float]
    size: list[float]
    relative: list[float]
    change: list[float]

    @property
    def integral(self) -> float:
        """Integral of `size` over time, by trapezoids."""
        pairs = zip(self.times[1:], self.times[:-1], self.size[1:], self.size[:-1], strict=True)
        return sum(0.5 * (b - a) * (q + p) for b, a, q, p in pairs)


def fokker_planck(
    points: Points,
    times: list[float],
    probes: int = 4,
    exact_up_to: int = 8,
    progress: Callable[[float], None] | None = None,
) -> Residual:
    """The residual at noised samples.

    Probes come in two independent halves whose product estimates the square without their noise.

    Args:
        points: clean samples.
        times: where to look, rising.
        probes: probes of the divergence's estimate, at least 2.
        exact_up_to: most free entries for which the divergence is exact.
        progress: told the share that is done.
    """
    exact = float(total_dimension(points.system, points.data).max()) <= exact_up_to
    rows = []
    for done, t in enumerate(times, start=1):
        rows.append(_at(points, t, max(probes // 2, 1), exact))
        if progress is not None:
            progress(done / len(times))
    size, relative, change = (list(column) for column in zip(*rows, strict=True))
    return Residual(list(times), size, relative, change)


def _at(points: Points, t: float, half: int, exact: bool) -> tuple[float, float, float]:
    system, state, origins = points.system, points.noised(t), points.origins()
    if exact:
        halves = [free_bases(system, state)] * 2
    else:
        drawn = points.probes(t, 2 * half)
        halves = [drawn[:half], drawn[half:]]
    one = sides(system, state, points.times(t), halves[0], exact=exact, origins=origins)
    two = one if exact else sides(system, state, points.times(t), halves[1], exact=exact, origins=origins)
    free = total_dimension(system, state).clamp(min=1)

    def size(a: Values, b: Values) -> float:
        return float((inner(system, a, b) / free).mean().clamp(min=0).sqrt())

    residual, change = size(one.residual, two.residual), size(one.change, two.change)
    scale = change + size(one.flux, two.flux)
    return residual, residual / scale if scale else 0.0, change
