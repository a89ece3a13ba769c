"""Proper scores of forecasts by samples: smaller is better, and in the mean smallest for the law that truth follows.

For samples x_1 ... x_S of a number and its true value y

    CRPS = 1/S sum_i |x_i - y| - 1/(2 S^2) sum_ij |x_i - x_j|,

the energy score is the same of vectors with Euclidean distances; it sees how the parts of a vector go together. Fair
forms divide the second sum by S (S - 1) in place of S^2, and are then what an infinite sample would give in the mean
(Ferro 2014); of one sample both are its distance to the truth.

Sources: Gneiting and Raftery 2007; Ferro 2014; Czado, Gneiting and Held 2009 for the randomised transform.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["crps", "energy_score", "probability_transform"]

Array = npt.NDArray[np.float64]


def _pairs(samples: int, fair: bool) -> float:
    """What the sum over ordered pairs is divided by, twice."""
    return 2.0 * samples * max(samples - 1 if fair else samples, 1)


def crps(samples: npt.NDArray[np.floating], truth: npt.NDArray[np.floating], *, fair: bool = True) -> Array:
    """The continuous ranked probability score of every number, `(...)`.

    Args:
        samples: `(..., S)`.
        truth: `(...)`; NaN gives NaN.
        fair: see above.
    """
    ordered = np.sort(np.asarray(samples, dtype=np.float64), axis=-1)
    number = ordered.shape[-1]
    ranks = 2.0 * np.arange(1, number + 1) - number - 1
    spread = 2.0 * (ordered @ ranks) / _pairs(number, fair)
    return np.asarray(np.abs(ordered - np.asarray(truth)[..., None]).mean(-1) - spread)


def energy_score(samples: npt.NDArray[np.floating], truth: npt.NDArray[np.floating], *, fair: bool = True) -> float:
    """The energy score of one vector.

    Args:
        samples: `(S, d)`.
        truth: `(d,)`; entries that are NaN are left out of all vectors.
        fair: see above.

    Returns:
        The score, NaN where nothing of the truth is known.
    """
    known = ~np.isnan(truth)
    if not known.any():
        return float("nan")
    x = np.asarray(samples, dtype=np.float64)[:, known]
    to_truth = np.linalg.norm(x - truth[known], axis=1).mean()
    centred = x - x.mean(0)
    sizes = (centred**2).sum(1)
    squared = sizes[:, None] + sizes[None] - 2 * centred @ centred.T
    np.fill_diagonal(squared, 0.0)
    return float(to_truth - np.sqrt(np.maximum(squared, 0.0)).sum() / _pairs(len(x), fair))


def probability_transform(
    samples: npt.NDArray[np.floating], truth: npt.NDArray[np.floating], generator: np.random.Generator
) -> Array:
    """Where truth lies among the samples, `(...)` in (0, 1): uniform if both follow the same law.

    With r samples below and e equal, (r + u (e + 1)) / (S + 1) with u uniform: uniform whatever S, and for ties too.

    Args:
        samples: `(..., S)`.
        truth: `(...)`; NaN gives NaN.
        generator: of u.
    """
    y = np.asarray(truth, dtype=np.float64)
    below, equal = ((compare(samples, y[..., None])).sum(-1) for compare in (np.less, np.equal))
    share = (below + generator.uniform(size=y.shape) * (equal + 1)) / (samples.shape[-1] + 1)
    return np.asarray(np.where(np.isnan(y), np.nan, share))
