"""Whether a score field is a gradient: the Jacobian of a gradient is symmetric.

The share |J - J'| / |J| (Frobenius norms over free entries) is 0 for every gradient, and sqrt(2) for a random matrix.
Norms come from probes v: E |J v - J' v|^2 = |J - J'|^2 and E |J v|^2 = |J|^2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from scorefield.core.calculus import inner, leaves, products
from scorefield.core.diagnostics.points import Points
from scorefield.core.system import Values

__all__ = ["Asymmetry", "asymmetry"]


@dataclass(frozen=True)
class Asymmetry:
    """|J - J'| / |J| over time.

    Attributes:
        times: where it was measured.
        whole: of the Jacobian of all components together.
        blocks: of each component's own block.
    """

    times: list[float]
    whole: list[float]
    blocks: dict[str, list[float]]


def asymmetry(
    points: Points, times: list[float], probes: int = 2, progress: Callable[[float], None] | None = None
) -> Asymmetry:
    """The asymmetry of the score's Jacobian at noised samples.

    Args:
        points: clean samples.
        times: where to look.
        probes: probes for each component.
        progress: told the share that is done.
    """
    whole: list[float] = []
    blocks: dict[str, list[float]] = {name: [] for name in points.system.components}
    for done, t in enumerate(times, start=1):
        total, parts = _at(points, t, probes)
        whole.append(total)
        for name, share in parts.items():
            blocks[name].append(share)
        if progress is not None:
            progress(done / len(times))
    return Asymmetry(list(times), whole, blocks)


def _at(points: Points, t: float, probes: int) -> tuple[float, dict[str, float]]:
    system, state = points.system, leaves(points.noised(t))
    with torch.enable_grad():
        score = system.predict(state, points.times(t), "score", points.origins())
    uneven, size, parts = 0.0, 0.0, {}
    for name in system.components:
        own_uneven = own_size = 0.0
        for probe in points.probes(t, probes):
            forward, transposed = products(system, score, state, {name: probe[name]})
            difference = {n: v - transposed[n] for n, v in forward.items()}
            uneven, size = uneven + _squared(points, difference), size + _squared(points, forward)
            own_uneven += _squared(points, {name: difference[name]})
            own_size += _squared(points, {name: forward[name]})
        parts[name] = _share(own_uneven, own_size)
    return _share(uneven, size), parts


def _squared(points: Points, values: Values) -> float:
    return float(inner(points.system, values, values).sum())


def _share(uneven: float, size: float) -> float:
    return (uneven / size) ** 0.5 if size else 0.0
