"""Gaussian mixtures whose denoiser is known in closed form: the way to test a solver, a guide or a likelihood.

    components = {"x": Component(VP(), Masked(), "noise"), "adj": Component(VE(), SymmetricAdjacency(), "score")}
    system = mixture_system(components, weights, means={"x": ..., "adj": ...}, covariances={"x": ..., "adj": ...})
    result = sample(system, state, make_solver("my-solver", 20), Seeded(0))

The system goes wherever a trained one goes. The clean data are sum_k w_k N(mu_k, C_k), one label k for all components
of a sample, so components depend on each other like a molecule's atoms and bonds; under masks, means and covariances
are those of each sample's own subspace. Noised along a path they stay mixtures, N(alpha mu_k, alpha^2 C_k + sigma^2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.noise import NoiseSource
from scorefield.core.predictions import Kind
from scorefield.core.spaces import Masked, Space
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System, Values

__all__ = ["GaussianMixture", "mixture_system"]

_ROUNDING = 1e-6  # of the largest variance: what a covariance of low rank in float32 may fall below zero


class _Cloud:
    """The K Gaussians of one component, in float64: means `[K, ...]` and eigenvalues of covariances."""

    def __init__(self, component: Component, means: Tensor, covariances: Tensor, name: str) -> None:
        self.path, self.space, self.kind = component.path, component.space, component.prediction
        self.means = means.double()
        size = self.means[0].numel()
        if covariances.shape == (len(means),):
            self.spread, self.basis = covariances.double()[:, None], None
        elif covariances.shape == (len(means), size, size):
            if not isinstance(self.space, Masked):
                what = f"full covariances of {name} in a {type(self.space).__name__} space"
                raise InputError(what, mend="give one variance for each Gaussian")
            self.spread, self.basis = torch.linalg.eigh(covariances.double())
        else:
            what = f"covariances of {name} have shape {tuple(covariances.shape)}"
            raise InputError(what, mend=f"give ({len(means)},) or ({len(means)}, {size}, {size})")
        if not bool((self.spread >= -_ROUNDING * self.spread.abs().amax()).all()):  # so that NaN is refused too
            raise InputError(f"a covariance of {name} is negative")
        self.spread = self.spread.clamp(min=0)

    def to(self, device: torch.device) -> None:
        self.means, self.spread = self.means.to(device), self.spread.to(device)
        self.basis = None if self.basis is None else self.basis.to(device)

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at `[B]`, as `[B, 1, 1]`."""
        return self.path.alpha(t)[:, None, None], self.path.sigma(t)[:, None, None]

    def centres(self, like: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
        """Means in each sample's subspace, `[B, K, D]`."""
        if self.basis is not None:
            if masks:
                raise InputError("full covariances under masks", mend="give one variance for each Gaussian")
            return self.means.flatten(1)[None]
        parts = [self.space.project(mean.expand(like.shape), masks).flatten(1) for mean in self.means]
        return torch.stack(parts, 1)

    def rotate(self, value: Tensor, back: bool = False) -> Tensor:
        """Into the eigenbasis of each Gaussian, or back; `[B, K, D]`."""
        if self.basis is None:
            return value
        return torch.einsum("kde,bke->bkd" if back else "kde,bkd->bke", self.basis, value)


class GaussianMixture(Network):
    """The exact denoiser of a mixture of Gaussians on any system of components.

    Args:
        components: by name, in the state's order; their predictions are what `forward` returns.
        weights: w, `[K]`, positive; scaled to sum 1.
        means: mu of each component, `[K, ...]` like one sample.
        covariances: of each component: `[K]` variances (C_k = v_k on the component's space, also under masks), or
            `[K, D, D]` for a component of D entries in a `Masked` space without masks.

    Raises:
        InputError: shapes do not fit, a weight is not positive, or a covariance is negative.
    """

    def __init__(
        self,
        components: Mapping[str, Component],
        weights: Tensor,
        means: Mapping[str, Tensor],
        covariances: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        for given in (means, covariances):
            if given.keys() != components.keys() or any(len(value) != len(weights) for value in given.values()):
                raise InputError("means and covariances do not fit", mend=f"give {len(weights)} for each component")
        if not bool((weights > 0).all()):
            raise InputError("a weight is not positive", mend="leave out Gaussians of no weight")
        self.weights = weights.double() / weights.double().sum()
        self.clouds = {n: _Cloud(c, means[n], covariances[n], n) for n, c in components.items()}

    def _place(self, device: torch.device) -> None:
        if self.weights.device != device:
            self.weights = self.weights.to(device)
            for cloud in self.clouds.values():
                cloud.to(device)

    def _parts(self, state: State, t: Tensor) -> tuple[dict[str, tuple[Tensor, Tensor, Tensor]], Tensor]:
        """By component (means, rotated offsets, variances), each `[B, K, D]`; joint log densities `[B, K]`."""
        self._place(state.device)
        log_density = self.weights.log().expand(len(state), -1)
        parts = {}
        for name, cloud in self.clouds.items():
            alpha, sigma = cloud.scales(t.double())
            means = cloud.centres(state[name], state.masks)
            offset = cloud.rotate(state[name].double().flatten(1)[:, None] - alpha * means)
            variance = alpha**2 * cloud.spread + sigma**2
            log_density = log_density + _log_normal(cloud.space, state, name, offset, variance)
            parts[name] = means, offset, variance
        return parts, log_density

    def forward(self, state: State, t: Tensor) -> Values:
        """See `Network.forward`; computed in float64."""
        parts, log_density = self._parts(state, t)
        share = log_density.softmax(1)[..., None]
        outputs = {}
        for name, (means, offset, variance) in parts.items():
            cloud = self.clouds[name]
            alpha, sigma = cloud.scales(t.double())
            noise = (share * cloud.rotate(sigma * offset / variance, back=True)).sum(1)
            data = (share * (means + cloud.rotate(alpha * cloud.spread * offset / variance, back=True))).sum(1)
            value = _as_kind(cloud, t.double(), noise, data)
            outputs[name] = value.reshape(state[name].shape).to(state[name].dtype)
        return outputs

    def log_density(self, state: State, t: Tensor) -> Tensor:
        """log p_t of noised samples at times `t` `[B]`, in nats over the free entries; `[B]`, float64."""
        return self._parts(state, t)[1].logsumexp(1)

    def data(self, state: State, noise: NoiseSource, labels: Tensor) -> State:
        """Clean samples with Gaussians `labels` `[B]` under the masks of `state`."""
        self._place(state.device)
        drawn = {}
        for name, cloud in self.clouds.items():
            own = torch.arange(len(labels), device=labels.device), labels
            means = cloud.centres(state[name], state.masks).expand(len(labels), -1, -1)[own]
            draw = cloud.space.noise(state[name].double(), state.masks, noise).flatten(1)
            scaled = cloud.spread.sqrt()[labels] * draw
            moved = scaled if cloud.basis is None else torch.einsum("bde,be->bd", cloud.basis[labels], scaled)
            drawn[name] = (means + moved).reshape(state[name].shape).to(state[name].dtype)
        return state.replace(drawn)


def _log_normal(space: Space, state: State, name: str, offset: Tensor, variance: Tensor) -> Tensor:
    """Log density of offsets `[B, K, D]` in the component's subspace, `[B, K]`."""
    free = space.dimension(state[name], state.masks)[:, None].to(offset.dtype)
    squared = (offset.square() / variance).sum(-1) / space.copies
    volume = variance.log().sum(-1) if variance.shape[-1] > 1 else free * variance.log()[..., 0]
    return -0.5 * (squared + volume + free * math.log(2 * math.pi))


def _as_kind(cloud: _Cloud, t: Tensor, noise: Tensor, data: Tensor) -> Tensor:
    kinds: dict[Kind, Tensor] = {"noise": noise, "data": data}
    if cloud.kind in kinds:
        return kinds[cloud.kind]
    if cloud.kind == "score":
        return -noise / cloud.path.sigma(t)[:, None]
    return cloud.path.alpha_derivative(t)[:, None] * data + cloud.path.sigma_derivative(t)[:, None] * noise


def mixture_system(
    components: Mapping[str, Component],
    weights: Tensor,
    means: Mapping[str, Tensor],
    covariances: Mapping[str, Tensor],
) -> System:
    """A system with the exact denoiser of a Gaussian mixture; arguments as of `GaussianMixture`."""
    return System(components, GaussianMixture(components, weights, means, covariances))
