"""A recurrent forecaster: a GRU over stretches of the context that gives quantiles of all steps of the future at once.

Contexts and futures are divided by the mean size of the context. The context is cut into stretches of w steps, each an
input of the encoder (Cho et al. 2014) together with which of its values are known; from the last hidden state the same
cell makes one step for each stretch of the future, told apart by a learnt vector, so that errors do not pile up (Lin et
al. 2023, arXiv 2308.11200). A layer turns these states into quantiles around the last season, trained by

    mean over levels k and steps of max(k e, (k - 1) e),   e = y - Q_k        (Wen et al. 2017, arXiv 1711.11053).

Paths go through the quantile functions of all steps with ranks that hang together as those of the training windows do:
u = Phi(z), z normal with the correlations of the truth's own ranks (a Gaussian copula). Below the first level and above
the last one a quantile function is flat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor, nn
from tqdm import trange

from scorefield.core.errors import InputError
from scorefield.core.noise import stream_seed
from scorefield.core.threads import one_thread
from scorefield.domains.series.forecasters import RepeatedSeason, sizes

__all__ = ["LEVELS", "RecurrentForecaster", "Training"]

Array = NDArray[np.float64]
LEVELS = (0.01, *(k / 20 for k in range(1, 20)), 0.99)
"""Levels of the quantiles that the network gives."""
_LEAST_STRETCH = 12
_BLOCK = 1024
_RANKED = 2000  # training windows from which correlations of ranks are taken
_SHRINKAGE = 0.02  # of these correlations towards none


@dataclass(frozen=True)
class Training:
    """How it is trained.

    Args:
        steps: of Adam, the rate falling to zero along a cosine.
        batch: windows in a step.
        rate: largest step size.
        width: of hidden states.
    """

    steps: int = 2500
    batch: int = 128
    rate: float = 2e-3
    width: int = 64

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.width) < 1 or not self.rate > 0:
            what = f"{self.steps} steps at {self.rate:g} on {self.batch} windows, width {self.width}"
            raise InputError(what, mend="give numbers above 0")


class _Network(nn.Module):
    """From stretches `[B, K, 2 w]` to quantiles `[B, steps, levels]` around the last season."""

    def __init__(self, stretch: int, steps: int, width: int) -> None:
        super().__init__()
        self.stretch, self.steps = stretch, steps
        self.inputs = nn.Linear(2 * stretch, width)
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.places = nn.Parameter(torch.empty(-(-steps // stretch), width))
        self.outputs = nn.Linear(width, stretch * len(LEVELS))

    def draw(self, generator: torch.Generator) -> None:
        """Weights within 1 / sqrt(inputs), as usual for these layers; the last layer starts near zero."""
        with torch.no_grad():
            for parameter in self.parameters():
                bound = 1 / math.sqrt(parameter.shape[-1] if parameter.ndim > 1 else self.places.shape[1])
                drawn = torch.rand(parameter.shape, generator=generator)
                parameter.copy_((2 * drawn - 1) * bound)
            self.outputs.weight.mul_(0.1)
            self.outputs.bias.zero_()

    def forward(self, stretches: Tensor) -> Tensor:
        rows, ahead = len(stretches), len(self.places)
        _, hidden = self.recurrent(self.inputs(stretches).relu())
        again = self.places.repeat(rows, 1)[:, None]
        states, _ = self.recurrent(again, hidden.repeat_interleave(ahead, 1))
        found: Tensor = self.outputs(states[:, 0]).reshape(rows, ahead * self.stretch, len(LEVELS))
        return found[:, : self.steps]


@dataclass(frozen=True)
class RecurrentForecaster:
    """A trained one.

    Args:
        weights: of the network, by name, on the CPU.
        factor: the triangular root of the correlations of ranks, `[steps, steps]`.
        context: steps that it looks back on.
        season: steps of a season.
    """

    weights: Mapping[str, Tensor]
    factor: Tensor
    context: int
    season: int

    @property
    def steps(self) -> int:
        """Steps that it forecasts."""
        return len(self.factor)

    @classmethod
    def fit(
        cls,
        windows: NDArray[np.floating],
        context: int,
        season: int = 1,
        *,
        seed: int = 0,
        training: Training | None = None,
        device: str | None = None,
        progress: bool = False,
    ) -> Self:
        """Fit to windows in any units.

        Args:
            windows: `(n, context + steps)`, NaN where a value is missing; each is divided by the mean size of its
                context.
            context: steps that are looked back on.
            season: steps of a season.
            seed: of weights and batches; on a CPU it fixes the result.
            training: how.
            device: `cpu` or `cuda`; a GPU where there is one, by default.
            progress: show a bar on a terminal.

        Raises:
            InputError: windows that are no longer than the context, or hold infinite values.
        """
        windows = _checked(windows, context, season)
        training = training or Training()
        generator = torch.Generator().manual_seed(stream_seed("recurrent", seed))
        network = _made(season, windows.shape[1] - context, training.width)
        network.draw(generator)
        with one_thread():
            _train(network.to(_device(device)), windows, context, season, training, generator, progress)
            chosen = torch.randperm(len(windows), generator=generator)[:_RANKED].numpy()
            ranked = windows[np.sort(chosen)]
            levels = _quantiles(network, ranked[:, :context], season)
        size = sizes(ranked[:, :context])
        factor = _rank_factor(levels, ranked[:, context:] / size[:, None])
        weights = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        return cls(weights, torch.from_numpy(factor), context, season)

    def quantiles(self, contexts: NDArray[np.floating], device: str | None = None) -> Array:
        """Quantiles at `LEVELS` in the contexts' units, `(n, steps, levels)`, in order; arguments as of `forecast`.

        Raises:
            InputError: contexts of another length, or with infinite values.
        """
        x = np.asarray(contexts, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.context or np.isinf(x).any():
            raise InputError(f"contexts of shape {x.shape}", mend=f"give finite values, [n, {self.context}]")
        network = _made(self.season, self.steps, self.weights["places"].shape[1])
        network.load_state_dict(dict(self.weights))
        with one_thread():
            found = _quantiles(network.to(_device(device)), x, self.season)
        return found * sizes(x)[:, None, None]

    def forecast(
        self, contexts: NDArray[np.floating], paths: int = 100, seed: int = 0, device: str | None = None
    ) -> Array:
        """Sample paths `(n, paths, steps)`.

        Args:
            contexts: `(n, context)` in any units, NaN where a value is missing.
            paths: of each.
            seed: of the paths; those of a context depend on its place too.
            device: where the network runs; see `fit`.

        Raises:
            InputError: as `quantiles` raises.
        """
        levels = self.quantiles(contexts, device)
        generator = np.random.default_rng(stream_seed("recurrent paths", seed))
        found = np.empty((len(levels), paths, self.steps))
        for row, quantiles in zip(found, levels, strict=True):
            ranks = ndtr(generator.standard_normal((paths, self.steps)) @ self.factor.numpy().T)
            row[:] = _at(quantiles, ranks)
        return found


def _checked(windows: NDArray[np.floating], context: int, season: int) -> Array:
    x = np.asarray(windows, dtype=np.float64)
    if x.ndim != 2 or not len(x) or not 0 < context < x.shape[1] or season < 1:
        what = f"windows of shape {x.shape} with a context of {context} steps and seasons of {season}"
        raise InputError(what, mend="give [windows, context + steps]")
    if np.isinf(x).any():
        row, step = np.argwhere(np.isinf(x))[0]
        raise InputError(f"{x[row, step]} in window {row}, step {step}", mend="give finite windows")
    return x


def _device(name: str | None) -> torch.device:
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def _made(season: int, steps: int, width: int) -> _Network:
    """The network without weights; making it draws nothing."""
    stretch = season * -(-_LEAST_STRETCH // season)
    with torch.device("meta"):
        network = _Network(min(stretch, max(steps, _LEAST_STRETCH)), steps, width)
    return network.to_empty(device="cpu")


def _stretches(contexts: Array, size: Array, stretch: int) -> Tensor:
    """Scaled values, zero where none is known, and which are known, `[n, K, 2 stretch]`."""
    n, length = contexts.shape
    padded = np.full((n, -(-length // stretch) * stretch), np.nan)
    padded[:, padded.shape[1] - length :] = contexts
    known = ~np.isnan(padded)
    values = np.where(known, padded, 0.0) / size[:, None]
    parts = [part.reshape(n, -1, stretch) for part in (values, known.astype(np.float64))]
    return torch.from_numpy(np.concatenate(parts, 2)).float()


def _inputs(contexts: Array, season: int, network: _Network) -> tuple[Tensor, Tensor]:
    """Stretches, and the last season on the same scale, `[n, steps]`."""
    size = sizes(contexts)
    last = RepeatedSeason(season).forecast(contexts, network.steps) / size[:, None]
    return _stretches(contexts, size, network.stretch), torch.from_numpy(last).float()


def _train(
    network: _Network,
    windows: Array,
    context: int,
    season: int,
    training: Training,
    generator: torch.Generator,
    progress: bool,
) -> None:
    device = next(network.parameters()).device
    stretches, last = _inputs(windows[:, :context], season, network)
    future = torch.from_numpy(windows[:, context:] / sizes(windows[:, :context])[:, None]).float() - last
    data = [part.to(device) for part in (stretches, future)]
    levels = torch.tensor(LEVELS, device=device)
    optimiser = torch.optim.Adam(network.parameters(), training.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, training.steps)
    for _ in trange(training.steps, desc="recurrent forecaster", leave=False, disable=None if progress else True):
        rows = torch.randint(len(windows), (training.batch,), generator=generator).to(device)
        x, y = (part[rows] for part in data)
        known = ~y.isnan()
        missed = y.nan_to_num()[..., None] - network(x)
        loss = (torch.maximum(levels * missed, (levels - 1) * missed).mean(-1) * known).sum() / known.sum().clamp(min=1)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()


@torch.no_grad()
def _quantiles(network: _Network, contexts: Array, season: int) -> Array:
    """Scaled quantiles `(n, steps, levels)`, in order."""
    device, found = next(network.parameters()).device, []
    for first in range(0, len(contexts), _BLOCK):
        stretches, last = _inputs(contexts[first : first + _BLOCK], season, network)
        made = network(stretches.to(device)).cpu() + last[..., None]
        found.append(made.sort(-1).values.double().numpy())
    return np.concatenate(found)


def _rank_factor(quantiles: Array, truth: Array) -> Array:
    """The root of the correlations of ranks of truth `(n, steps)` among quantiles `(n, steps, levels)`."""
    levels = np.array(LEVELS)
    ranks = np.empty(truth.shape)
    for place in np.ndindex(truth.shape):
        ranks[place] = np.interp(truth[place], quantiles[place], levels)
    normal = np.where(np.isnan(truth), 0.0, ndtri(ranks))
    deviation = np.sqrt((normal**2).mean(0))
    correlations = normal.T @ normal / len(normal) / np.maximum(np.outer(deviation, deviation), 1e-12)
    mixed = (1 - _SHRINKAGE) * correlations
    np.fill_diagonal(mixed, 1.0)
    return np.asarray(np.linalg.cholesky(mixed))


def _at(quantiles: Array, ranks: Array) -> Array:
    """Values `(paths, steps)` of quantile functions `(steps, levels)` at ranks of that shape."""
    levels = np.array(LEVELS)
    inside = np.clip(ranks, levels[0], levels[-1])
    above = np.clip(np.searchsorted(levels, inside), 1, len(levels) - 1)
    share = (inside - levels[above - 1]) / (levels[above] - levels[above - 1])
    steps = np.arange(len(quantiles))
    low, high = quantiles[steps, above - 1], quantiles[steps, above]
    return np.asarray(low + share * (high - low))
