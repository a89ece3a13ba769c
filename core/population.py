"""What a batch of windows is as a population: features of windows, and how far two populations are apart in them.

A feature maps windows x [B, L, D] to numbers [N, K]: K columns, each a sample of N numbers. The distance is the mean
over columns of the squared maximum mean discrepancy (V-statistic, diagonal included)

    MMD^2 = mean_ab [k(x_a, x_b) + k(y_a, y_b) - 2 k(x_a, y_b)],   k(u, v) = sum_w exp(-(u - v)^2 / (2 w))

by the cosine series of the kernel (`core.cosine_kernel`), so that a step costs O(N) a column. Its expectation for
equal laws depends on N: never compare values across batch sizes.

Source: Li et al. 2025 (PaD-TS, arXiv 2501.00910); there the feature is the correlations within a window.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
import torch.distributed as dist
from torch import Tensor

from scorefield.core.cosine_kernel import TRAINING_BANDWIDTHS, CosineExpansion, cosine_expansion
from scorefield.core.errors import InputError, InputWarning

__all__ = [
    "Autocorrelations",
    "LaggedCorrelations",
    "PopulationTerm",
    "ValueQuantiles",
    "Values",
    "WindowCorrelations",
    "WindowFeature",
    "brute_force_mmd",
    "population_mmd",
    "window_correlations",
]

_CONSTANT = 1e-6  # a channel whose deviation is at most this share of max(1, |mean|) is constant up to rounding
_ACCURACY = {torch.float64: 1e-12, torch.float32: 1e-8}


def _standardised(x: Tensor, mask: Tensor | None) -> Tensor:
    """Windows [B, L, D] with mean 0 and sum of squares 1 over time; constant channels and masked steps are 0."""
    valid = None if mask is None else mask.to(x.dtype)[..., None]
    number = x.shape[1] if valid is None else valid.sum(1, keepdim=True).clamp(min=1)
    mean = (x if valid is None else x * valid).sum(1, keepdim=True) / number
    centred = x - mean if valid is None else (x - mean) * valid
    squares = centred.square().sum(1, keepdim=True)
    constant = squares <= _CONSTANT**2 * mean.square().clamp(min=1) * number
    # Replaced before the root: its infinite slope at 0 would make the gradient NaN, whatever is chosen afterwards.
    return torch.where(constant, 0.0, centred) / torch.where(constant, 1.0, squares).sqrt()


def window_correlations(x: Tensor, mask: Tensor | None = None, lag: int = 0) -> Tensor:
    """Correlations over time between all features of each window.

    Args:
        x: windows, `[B, L, D]`.
        mask: the steps that exist, boolean `[B, L]`.
        lag: by how many steps the second feature is taken later; mean and variance are those of the whole window.

    Returns:
        `[B, D, D]` in [-1, 1]: entry (i, j) of x_i(t) and x_j(t + lag); 0 for channels that are constant.
    """
    z = _standardised(x, mask)
    steps = x.shape[1]
    early, late = (z, z) if lag == 0 else (z[:, : steps - lag], z[:, lag:])
    return (early.transpose(1, 2) @ late).clamp(-1, 1)


class WindowFeature(ABC):
    """Numbers of windows whose distribution over a population matters.

    Attributes:
        bound: they lie in [-bound, bound]; those beyond count as at the bound.
    """

    bound: float = 1.0

    @abstractmethod
    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The numbers `[N, K]` of windows `[B, L, D]` with the mask `[B, L]` of steps that exist."""


class WindowCorrelations(WindowFeature):
    """Correlation of each pair of features, in the order (1, 0), (2, 0), (2, 1), (3, 0), ...: `[B, D (D - 1) / 2]`."""

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `WindowFeature`."""
        rows, columns = torch.tril_indices(x.shape[-1], x.shape[-1], -1, device=x.device)
        return window_correlations(x, mask)[:, rows, columns]


def _checked_lags(lags: Sequence[int]) -> tuple[int, ...]:
    if not lags or min(lags) < 1:
        raise InputError(f"lags {list(lags)}", mend="give one or several numbers of steps, from 1")
    return tuple(lags)


class LaggedCorrelations(WindowFeature):
    """Correlation of each ordered pair of different features at lags: `[B, lags D (D - 1)]`; lags beyond L count none.

    Args:
        lags: numbers of steps.
    """

    def __init__(self, lags: Sequence[int] = (1,)) -> None:
        self.lags = _checked_lags(lags)

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `WindowFeature`."""
        apart = ~torch.eye(x.shape[-1], dtype=torch.bool, device=x.device)
        parts = [window_correlations(x, mask, lag)[:, apart] for lag in self.lags if lag < x.shape[1]]
        return torch.cat(parts, 1) if parts else x.new_zeros(len(x), 0)


class Autocorrelations(WindowFeature):
    """Correlation of each feature with itself at lags: `[B, lags D]`; lags beyond L count none.

    Args:
        lags: numbers of steps.
    """

    def __init__(self, lags: Sequence[int] = (1, 2, 4, 8)) -> None:
        self.lags = _checked_lags(lags)

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `WindowFeature`."""
        z = _standardised(x, mask)
        steps = x.shape[1]
        parts = [(z[:, : steps - lag] * z[:, lag:]).sum(1) for lag in self.lags if lag < steps]
        return torch.cat(parts, 1).clamp(-1, 1) if parts else x.new_zeros(len(x), 0)


class Values(WindowFeature):
    """The values themselves, all steps of all windows a sample of each feature: `[B L, D]`.

    Args:
        bound: values beyond count as at the bound.
    """

    def __init__(self, bound: float = 2.0) -> None:
        self.bound = bound

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `WindowFeature`."""
        return x.flatten(0, 1) if mask is None else x[mask.bool()]


class ValueQuantiles(WindowFeature):
    """Quantiles of each feature over the steps of a window: `[B, levels D]`.

    Args:
        levels: in [0, 1].
        bound: values beyond count as at the bound.
    """

    def __init__(self, levels: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0), bound: float = 2.0) -> None:
        if not levels or not all(0 <= level <= 1 for level in levels):
            raise InputError(f"quantile levels {list(levels)}", mend="give numbers from 0 to 1")
        self.levels, self.bound = tuple(levels), bound

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `WindowFeature`."""
        beyond = x if mask is None else torch.where(mask.bool()[..., None], x, torch.inf)
        number = x.new_full((len(x),), x.shape[1]) if mask is None else mask.sum(1).to(x.dtype)
        ordered = beyond.sort(1).values
        parts = []
        for level in self.levels:
            place = level * (number - 1).clamp(min=0)
            below, above = (
                edge.long()[:, None, None].expand(-1, 1, x.shape[2]) for edge in (place.floor(), place.ceil())
            )
            share = (place - place.floor())[:, None]
            parts.append(torch.lerp(ordered.gather(1, below)[:, 0], ordered.gather(1, above)[:, 0], share))
        return torch.cat(parts, 1)


def _characteristic(values: Tensor, expansion: CosineExpansion) -> tuple[Tensor, Tensor]:
    """Real and imaginary part [K, Q, R] of mean_n exp(i m f x_n), m = q R + r, of values [N, K].

    The table of all modes is the outer product of two short ones, summed over n by one batched product.
    """
    outer, inner = expansion.split
    angle = values.T[..., None] * expansion.frequency
    fine = angle * torch.arange(inner, device=values.device, dtype=values.dtype)
    coarse = angle * (inner * torch.arange(outer, device=values.device, dtype=values.dtype))
    left = torch.cat([coarse.cos(), coarse.sin()], -1).transpose(1, 2)
    product = left @ torch.cat([fine.cos(), fine.sin()], -1) / len(values)
    top, bottom = product[:, :outer], product[:, outer:]
    return top[..., :inner] - bottom[..., inner:], bottom[..., :inner] + top[..., inner:]


def population_mmd(real: Tensor, generated: Tensor, expansion: CosineExpansion) -> Tensor:
    """Squared maximum mean discrepancy of each column, `[K]`, of `[N, K]` against `[M, K]`, by the cosine series."""
    weights = torch.tensor(expansion.table, dtype=real.dtype, device=real.device)
    cosines_real, sines_real = _characteristic(real, expansion)
    cosines, sines = _characteristic(generated, expansion)
    return (weights * ((cosines - cosines_real).square() + (sines - sines_real).square())).sum((1, 2))


def brute_force_mmd(
    real: Tensor, generated: Tensor, bandwidths: Sequence[float], *, inverse_multiquadric: bool = False
) -> Tensor:
    """The same by all pairs, O(N^2): for checks.

    Args:
        real: `[N, K]`.
        generated: `[M, K]`.
        bandwidths: variances w, or scales a of the kernel sum_a a^2 / (a^2 + d^2).
        inverse_multiquadric: use that kernel.
    """

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        squared = (x[:, None] - y[None]).square()
        if inverse_multiquadric:
            return torch.stack([a**2 / (a**2 + squared) for a in bandwidths]).sum(0)
        return torch.stack([(-squared / (2 * w)).exp() for w in bandwidths]).sum(0)

    within = kernel(real, real).mean((0, 1)) + kernel(generated, generated).mean((0, 1))
    return within - 2 * kernel(real, generated).mean((0, 1))


class PopulationTerm:
    """A term of an objective: how far a batch of predictions is from the batch of data as a population.

    Args:
        feature: the numbers of windows that are compared.
        weight: the term's weight in an objective's total; what a call returns is without it.
        bandwidths: variances of the kernel's Gaussians.

    Raises:
        InputError: the weight is negative, or a bandwidth is not positive.
    """

    def __init__(
        self, feature: WindowFeature, weight: float = 1.0, bandwidths: Sequence[float] = TRAINING_BANDWIDTHS
    ) -> None:
        if not 0 <= weight < float("inf"):
            raise InputError(f"the weight of a population term is {weight}", mend="give a number from 0")
        if not bandwidths or not min(bandwidths) > 0:
            raise InputError(f"bandwidths {list(bandwidths)}", mend="give one or several numbers above 0")
        self.feature, self.weight, self.bandwidths = feature, weight, tuple(bandwidths)

    @cached_property
    def _expansions(self) -> dict[torch.dtype, CosineExpansion]:
        reach = 2 * self.feature.bound
        return {dtype: cosine_expansion(self.bandwidths, reach, acc) for dtype, acc in _ACCURACY.items()}

    def columns(self, real: Tensor, generated: Tensor, masks: Mapping[str, Tensor] | None = None) -> Tensor:
        """The discrepancy of each column of the feature, `[K]`; arguments as for a call."""
        mask = None if masks is None else masks.get("mask")
        dtype = torch.float64 if real.dtype == torch.float64 else torch.float32
        with torch.autocast(real.device.type, enabled=False):
            parts = [self.feature(windows.to(dtype), mask) for windows in (real, generated)]
            bound = self.feature.bound
            first, second = (_gathered(part.clamp(-bound, bound)) for part in parts)
            return population_mmd(first, second, self._expansions[dtype])

    def __call__(self, real: Tensor, generated: Tensor, masks: Mapping[str, Tensor] | None = None) -> Tensor:
        """The mean over columns, a scalar with gradient; 0 where the feature has no columns (one feature, no pair).

        Several training processes compare the populations of all of them: every process returns the same value, and
        averaging its gradients over the processes gives those of one process with the whole batch.

        Args:
            real: data windows, `[B, L, D]`.
            generated: predictions for them, `[B, L, D]`.
            masks: `mask [B, L]` says which steps exist.
        """
        columns = self.columns(real, generated, masks)
        if columns.numel() == 0:
            what = f"{type(self.feature).__name__} has nothing to compare in {real.shape[2]} feature(s): the term is 0"
            warnings.warn(what, InputWarning, stacklevel=2)
            return generated.sum() * 0.0
        return columns.mean()


def _gathered(values: Tensor) -> Tensor:
    """The rows of all processes, with gradient; every process must have as many."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return values
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(values.contiguous()))
