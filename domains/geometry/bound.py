"""The variational bound of a diffusion chain on the log-density of trajectories, node by node, in nats.

With the chain's posterior and the model's step, of variance beta where nothing is learned,

    L_n = KL(q(x_{n-1} | x_n, x_0) || p(x_{n-1} | x_n)) for n > 0,    L_0 = -log p(x_0 | x_1),
    L_T = KL(q(x_T | x_0) || N(0, 1)),

summed over frames and space, with fresh noise for every n; the bound is the sum over n and L_T. It is that of the
published code, which takes the variance of the second step for the first, shares the normalising constant of L_0 among
the nodes of a graph, and counts the dimension of a space without its centre of mass there only.

Source: Ho et al. 2020 (arXiv 2006.11239); Han et al. 2024 (arXiv 2410.13027).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.noise import NoiseSource
from scorefield.core.paths import DiscreteChain
from scorefield.core.state import State
from scorefield.core.system import System, centred

__all__ = ["Bound", "variational_bound"]


@dataclass(frozen=True)
class Bound:
    """Terms of the bound, for each node; zero where no node is.

    Attributes:
        terms: L_n for n = N - 1, ..., 0, `[B, N, steps]`.
        prior: L_T, `[B, N]`.
        data_error: mean squared error of the data prediction at each n, likewise in falling order.
        noise_error: mean squared error of the noise prediction.
    """

    terms: Tensor
    prior: Tensor
    data_error: Tensor
    noise_error: Tensor

    @property
    def total(self) -> Tensor:
        """The bound on the negative log-density of each node, `[B, N]`."""
        return self.terms.sum(-1) + self.prior


@torch.no_grad()
def variational_bound(system: System, state: State, noise: NoiseSource) -> Bound:
    """The bound of clean samples under a model on a `DiscreteChain`; it costs one network call a step of the chain.

    Args:
        system: the model, of the single component `x`.
        state: samples, masks and condition.
        noise: asked once a step, from the last to the first.

    Raises:
        InputError: the path is no chain.
    """
    component = system.components["x"]
    path = component.path
    if not isinstance(path, DiscreteChain):
        raise InputError(f"no variational bound on {type(path).__name__}", mend="take a run on the published chain")
    origins = system.origins(state)
    clean = component.space.project(centred(state.components, origins)["x"], state.masks)
    tables = _Chain(path)
    entries = _entries(clean, state)
    terms, data_errors, noise_errors = [], [], []
    for index in range(path.num_steps - 1, -1, -1):
        drawn = component.space.noise(clean, state.masks, noise)
        t = torch.full((len(state),), (index + 1) / path.num_steps, dtype=clean.dtype, device=clean.device)
        noised = state.replace({"x": tables.signal[index] ** 0.5 * clean + (1 - tables.signal[index]) ** 0.5 * drawn})
        found = {kind: system.predict(noised, t, kind, origins)["x"] for kind in ("data", "noise")}
        mean = tables.mean(index, found["data"], noised["x"])
        if index:
            terms.append(_per_node(_divergence(tables, index, clean, noised["x"], mean), entries))
        else:
            terms.append(_decoder(tables, clean, mean, entries, system, state))
        data_errors.append(_mean((found["data"] - clean).square(), entries))
        noise_errors.append(_mean((found["noise"] - drawn).square(), entries))
    last = tables.signal[-1]
    to_prior = 0.5 * (-1 - math.log(1 - last) + (1 - last) + last * clean.square())
    stacked = (torch.stack(values, -1) for values in (data_errors, noise_errors))
    return Bound(torch.stack(terms, -1), _per_node(to_prior, entries), *stacked)


class _Chain:
    """Tables of a chain, by index, as numbers in float64."""

    def __init__(self, path: DiscreteChain) -> None:
        self.betas: list[float] = path.betas.tolist()
        self.signal: list[float] = (1 - path.betas).cumprod(0).tolist()
        self.before = [1.0, *self.signal[:-1]]
        self.posterior = [
            beta * (1 - before) / (1 - signal)
            for beta, before, signal in zip(self.betas, self.before, self.signal, strict=True)
        ]
        # The variance of the first posterior is zero.
        self.posterior[0] = self.posterior[1]
        self.model = [self.posterior[1], *self.betas[1:]]

    def mean(self, index: int, data: Tensor, x: Tensor) -> Tensor:
        """Of the posterior."""
        beta, signal, before = self.betas[index], self.signal[index], self.before[index]
        of_data: float = beta * before**0.5 / (1 - signal)
        of_x: float = (1 - before) * (1 - beta) ** 0.5 / (1 - signal)
        return of_data * data + of_x * x


def _divergence(tables: _Chain, index: int, clean: Tensor, x: Tensor, mean: Tensor) -> Tensor:
    """KL of the posterior from the model's step, entry by entry."""
    true, model = tables.posterior[index], tables.model[index]
    squared = (tables.mean(index, clean, x) - mean).square()
    return 0.5 * (-1 + math.log(model / true) + true / model + squared / model)


def _decoder(tables: _Chain, clean: Tensor, mean: Tensor, entries: Tensor, system: System, state: State) -> Tensor:
    """-log p(x_0 | x_1) of each node."""
    variance = tables.model[0]
    free = system.components["x"].space.dimension(clean, state.masks).to(clean.dtype)
    present = entries.flatten(2).any(-1)
    share = free / present.sum(1).clamp(min=1)
    constant = 0.5 * share * (math.log(variance) + math.log(2 * math.pi))
    return _per_node((clean - mean).square() / (2 * variance), entries) + constant[:, None] * present


def _entries(clean: Tensor, state: State) -> Tensor:
    """Which entries exist and are not given, bool `[B, N, T, D]`."""
    entries = torch.ones_like(clean, dtype=torch.bool)
    for axes, name in (
        ((slice(None), slice(None), None, None), "mask"),
        ((slice(None), None, slice(None), None), "frame_mask"),
    ):
        if name in state.masks:
            entries = entries & state.masks[name][axes]
    given = state.masks.get("given_frames")
    return entries if given is None else entries & ~given[:, None, :, None]


def _per_node(values: Tensor, entries: Tensor) -> Tensor:
    return (values * entries).flatten(2).sum(-1)


def _mean(values: Tensor, entries: Tensor) -> Tensor:
    return _per_node(values, entries) / entries.flatten(2).sum(-1).clamp(min=1)
