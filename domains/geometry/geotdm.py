"""The system of GeoTDM: trajectories on a DDPM chain, generated whole or from given frames.

Without given frames all positions live in the space of zero centre of mass, taken over all nodes and frames of a
graph. With given frames the diffusion runs around an origin x_ref that moves with them (`networks.priors`), and given
frames themselves are no part of it: the network sees u + x_ref and clean given frames, all at their places in time.

Source: Han et al. 2024 (arXiv 2410.13027).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from torch import nn

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.core.paths import DiscreteChain, GaussianPath
from scorefield.core.preconditioning import Preconditioned
from scorefield.core.settings import SamplerSettings
from scorefield.core.spaces import Masked, Space, ZeroCentreOfMass
from scorefield.core.system import Component, Network, System
from scorefield.domains.geometry.networks.backbone import Backbone, EGTNBackbone
from scorefield.domains.geometry.networks.network import TrajectoryNetwork
from scorefield.domains.geometry.networks.priors import FixedPrior, LearnedPrior, Prior

__all__ = ["DEFAULT_SAMPLER", "BackboneName", "GeoTDM", "published_sampler"]

BackboneName = Literal["egtn", "e3nn"]
_LEAST_LINEAR = 20  # the published linear schedule has betas up to 20 / T


def published_sampler(num_steps: int) -> SamplerSettings:
    """Ancestral sampling over the whole chain with the larger variance, and raw weights."""
    arguments = {"variance": "upper", "grid": "uniform", "final": "denoise"}
    return SamplerSettings("ddpm", num_steps - 1, "raw", arguments)


DEFAULT_SAMPLER = published_sampler(1000)


class GeoTDM:
    """Hyper-parameters of GeoTDM; the defaults are those published for particles.

    Data with given frames make it the conditional model.

    Args:
        backbone: `egtn`, the published layers; `e3nn`, layers with vectors and tensors beside scalars.
        hidden: scalars of each node and frame.
        embedding: size of embedded times, at least 4.
        layers: pairs of a layer over space and one over time.
        prior_layers: those of the learned prior.
        prior: origin of conditional models: `learned`; `mean`, the centre of mass of what is given; `last`, each
            node's last given position.
        pre_norm: whether messages see distances, not their squares, and steps are not divided by them (`egtn`; as
            published for pedestrians).
        vectors: channels of vectors (`e3nn`).
        tensors: channels of tensors of second order (`e3nn`).
        pseudo_scalars: channels that change sign in a mirror (`e3nn`): with them the model can learn which of two
            mirror images data prefer, and is equivariant under rotations only.
        num_steps: steps of the diffusion chain.
        schedule: of the published chain, `linear` or `cosine`.
        rescale_timesteps: whether the network sees the chain's index scaled to 1000 steps.
        path: another path than the published chain of that many steps.
        data_std: root mean square of what is generated, about its origin; if given, the network is preconditioned
            (`core.preconditioning`) and sees the log signal-to-noise ratio, from 0 to num_steps, in place of an index.
        scale: positions are multiplied by it before the network sees them.
        sampling: default sampler of the run; by default that of publication, for a chain of 1000 steps.

    Raises:
        InputError: a size or a choice that cannot be.
    """

    def __init__(
        self,
        backbone: BackboneName = "egtn",
        hidden: int = 128,
        embedding: int = 32,
        layers: int = 6,
        prior_layers: int = 2,
        prior: Prior = "learned",
        pre_norm: bool = False,
        vectors: int = 16,
        tensors: int = 8,
        pseudo_scalars: int = 0,
        num_steps: int = 1000,
        schedule: Literal["linear", "cosine"] = "linear",
        rescale_timesteps: bool = False,
        path: GaussianPath | None = None,
        data_std: float | None = None,
        scale: float = 1.0,
        sampling: SamplerSettings = DEFAULT_SAMPLER,
    ) -> None:
        if backbone not in get_args(BackboneName):
            raise unknown("backbone", backbone, get_args(BackboneName))
        if prior not in get_args(Prior):
            raise unknown("prior", prior, get_args(Prior))
        counts = (("hidden", hidden, 1), ("embedding", embedding, 4), ("layers", layers, 1))
        more = (("prior_layers", prior_layers, 1), ("vectors", vectors, 1), ("tensors", tensors, 0))
        for name, count, least in (*counts, *more, ("pseudo_scalars", pseudo_scalars, 0)):
            if count < least:
                raise InputError(f"{name} is {count}", mend=f"give at least {least}")
        if pseudo_scalars and backbone != "e3nn":
            raise InputError(f"pseudo_scalars with backbone {backbone}", mend="only backbone e3nn has them")
        if not scale > 0:
            raise InputError(f"scale is {scale:g}", mend="give a positive number")
        self.path = _chain(schedule, num_steps) if path is None else path
        if isinstance(path, DiscreteChain) and path.num_steps != num_steps:
            raise InputError(f"num_steps is {num_steps}, the path has {path.num_steps}", mend="give the same")
        self.backbone_name, self.hidden, self.embedding, self.layers = backbone, hidden, embedding, layers
        self.prior_layers, self.prior, self.pre_norm, self.num_steps = prior_layers, prior, pre_norm, num_steps
        self.vectors, self.tensors, self.pseudo_scalars = vectors, tensors, pseudo_scalars
        self.rescale_timesteps, self.data_std, self.scale = rescale_timesteps, data_std, scale
        self.sampling = sampling

    def build(self, sizes: Mapping[str, int]) -> System:
        """The system for `nodes` nodes of `features` features, `frames` frames of which `given` are given, in `space`
        dimensions, and `edge_features` features of edges.

        Raises:
            InputError: what cannot be: a space that the backbone does not know, or no frame to generate.
        """
        self.backbone().check(sizes["space"])
        network: Network = self.network(sizes)
        kind: Literal["noise", "data"] = "noise"
        if self.data_std is not None:
            network, kind = Preconditioned(network, {"x": self.path}, self.data_std), "data"
        space: Space = Masked() if sizes.get("given") else ZeroCentreOfMass()
        return System({"x": Component(self.path, space, kind, self.origin(sizes))}, network)

    def network(self, sizes: Mapping[str, int]) -> TrajectoryNetwork:
        """The network for these sizes."""
        return TrajectoryNetwork(
            self.backbone(),
            sizes.get("features", 0),
            sizes.get("edge_features", 0),
            self.num_steps,
            self.layers,
            self.rescale_timesteps,
            self.scale,
        )

    def origin(self, sizes: Mapping[str, int]) -> nn.Module | None:
        """Where conditional trajectories start from; None without given frames.

        Raises:
            InputError: all frames are given.
        """
        given = sizes.get("given", 0)
        if not given:
            return None
        if not given < sizes["frames"]:
            raise InputError(f"{given} of {sizes['frames']} frames are given", mend="leave some to generate")
        if self.prior != "learned":
            return FixedPrior(self.prior)
        features, edge_features = sizes.get("features", 0), sizes.get("edge_features", 0)
        generated = sizes["frames"] - given
        return LearnedPrior(self.backbone(), features, edge_features, generated, self.prior_layers)

    def backbone(self) -> Backbone:
        """The kind of layers."""
        if self.backbone_name == "egtn":
            return EGTNBackbone(self.hidden, self.embedding, self.pre_norm)
        from scorefield.domains.geometry.networks.steerable import SteerableBackbone

        return SteerableBackbone(self.hidden, self.embedding, self.vectors, self.tensors, self.pseudo_scalars)


def _chain(schedule: Literal["linear", "cosine"], num_steps: int) -> DiscreteChain:
    if schedule == "linear" and num_steps <= _LEAST_LINEAR:
        what = f"a linear chain of {num_steps} steps has a beta of {_LEAST_LINEAR / max(num_steps, 1):g}"
        raise InputError(what, place="num_steps", mend=f"give more than {_LEAST_LINEAR}, or schedule cosine")
    return DiscreteChain(schedule, num_steps)
