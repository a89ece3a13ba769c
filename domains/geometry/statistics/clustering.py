"""k-means of a few points for each of many systems at once.

The published scores of pedestrians draw 60 futures, put 20 centres among their end points and keep, for each centre,
the future that ends nearest to it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest_to_centres"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
_BLOCK = 2000  # systems at a time
_ROUNDS = 100


def nearest_to_centres(points: Array, centres: int, generator: np.random.Generator) -> Rows:
    """The point nearest to each of the centres of k-means, `[systems, centres]`; one may be nearest to several.

    Args:
        points: `[systems, K, D]`.
        centres: how many, at most K.
        generator: of the starts (k-means++).
    """
    blocks = [points[start : start + _BLOCK] for start in range(0, len(points), _BLOCK)]
    return np.concatenate([_nearest(block, centres, generator) for block in blocks])


def _nearest(points: Array, centres: int, generator: np.random.Generator) -> Rows:
    middles = _spread_out(points, centres, generator)
    before = np.full(points.shape[:2], -1)
    for _ in range(_ROUNDS):
        nearest = _squares(points, middles).argmin(2)
        if (nearest == before).all():
            break
        before = nearest
        belongs = (nearest[:, :, None] == np.arange(centres)).astype(np.float64)
        sizes = belongs.sum(1)[..., None]
        means = belongs.transpose(0, 2, 1) @ points / np.maximum(sizes, 1)
        middles = np.where(sizes > 0, means, middles)  # a centre that lost all its points stays
    return np.asarray(_squares(points, middles).argmin(1))


def _squares(points: Array, middles: Array) -> Array:
    """Squared distances `[systems, K, centres]`."""
    found: Array = ((points[:, :, None] - middles[:, None]) ** 2).sum(-1)
    return found


def _spread_out(points: Array, centres: int, generator: np.random.Generator) -> Array:
    """k-means++: each next centre is a point drawn in proportion to its squared distance to those before it."""
    systems, number, _ = points.shape
    rows = np.arange(systems)
    chosen = [points[rows, generator.integers(number, size=systems)]]
    least = np.full((systems, number), np.inf)
    for _ in range(centres - 1):
        least = np.minimum(least, ((points - chosen[-1][:, None]) ** 2).sum(-1))
        running = np.cumsum(least, axis=1)
        drawn = generator.random(systems) * running[:, -1]
        place = np.minimum((running <= drawn[:, None]).sum(1), number - 1)
        chosen.append(points[rows, place])
    return np.stack(chosen, 1)
