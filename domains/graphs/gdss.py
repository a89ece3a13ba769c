"""GDSS: a system of SDEs over node features and adjacency.

X and A are perturbed independently, each along its own path; the two score networks see both at once, and no time.
Source: Jo, Lee and Hwang, "Score-based Generative Modeling of Graphs via the System of Stochastic Differential
Equations", ICML 2022 (arXiv 2202.02514).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from scorefield.core.errors import InputError
from scorefield.core.paths import VE, GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.settings import SamplerSettings
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.system import Component, System
from scorefield.domains.graphs.networks import GDSSNetwork, ScoreNetworkA, ScoreNetworkX, ScoreNetworkXGMH

__all__ = ["DEFAULT_SAMPLER", "GDSS"]

DEFAULT_SAMPLER = SamplerSettings("pc", 25, "ema", {"snr": 0.33, "scale": 0.5, "grid": "power:0.5", "end": 1e-4})
"""51 evaluations. The corrector with reduced noise carries the quality, since the networks see no time; steps gather
near the noise, where composition and bonds are decided. `docs/samplers.md` has the measurements."""


class GDSS:
    """Hyper-parameters of a GDSS system; the defaults are those published for QM9.

    Args:
        x_path: path of the node features.
        adj_path: path of the adjacency.
        x_network: `gcn` (graph convolutions) or `gmh` (attention).
        depth: layers of the node network.
        layers: attention layers of the edge network.
        width: width of hidden node features.
        width_attention: width of queries and keys.
        num_linears: depth of the pair perceptrons.
        channels_in: powers of the adjacency matrix that the edge network takes.
        channels_hidden: adjacency channels between layers.
        channels_out: adjacency channels of the last layer.
        heads: attention heads.
        sampling: default sampler of the run.

    Raises:
        InputError: a size that cannot be.
    """

    def __init__(
        self,
        x_path: GaussianPath | None = None,
        adj_path: GaussianPath | None = None,
        x_network: Literal["gcn", "gmh"] = "gcn",
        depth: int = 2,
        layers: int = 3,
        width: int = 16,
        width_attention: int = 16,
        num_linears: int = 3,
        channels_in: int = 2,
        channels_hidden: int = 8,
        channels_out: int = 4,
        heads: int = 4,
        sampling: SamplerSettings = DEFAULT_SAMPLER,
    ) -> None:
        counts = {
            "depth": depth, "layers": layers, "width": width, "width_attention": width_attention, "heads": heads,
            "num_linears": num_linears, "channels_in": channels_in, "channels_hidden": channels_hidden,
            "channels_out": channels_out,
        }  # fmt: skip
        for name, count in counts.items():
            if count < 1:
                raise InputError(f"{name} is {count}", mend="give at least 1")
        if width % heads or width_attention % heads:
            raise InputError(f"widths {width} and {width_attention} with {heads} heads", mend="heads must divide both")
        if layers < 2 or (x_network == "gmh" and depth < 2):
            raise InputError(f"depth {depth}, {layers} layers", mend="attention networks need at least 2 layers")
        if x_network not in ("gcn", "gmh"):
            raise InputError(f"unknown node network {x_network!r}", mend="give gcn or gmh")
        self.x_path = VE(0.1, 1.0) if x_path is None else x_path
        self.adj_path = VE(0.1, 1.0) if adj_path is None else adj_path
        self.x_network, self.depth, self.layers, self.width = x_network, depth, layers, width
        self.attention = {
            "num_linears": num_linears,
            "channels_in": channels_in,
            "channels_hidden": channels_hidden,
            "channels_out": channels_out,
            "width_attention": width_attention,
            "heads": heads,
        }
        self.sampling = sampling

    def build(self, sizes: Mapping[str, int]) -> System:
        """The system for `features` node features."""
        features = sizes["features"]
        x_network = (
            ScoreNetworkX(features, self.depth, self.width)
            if self.x_network == "gcn"
            else ScoreNetworkXGMH(features, self.depth, self.width, **self.attention)
        )
        network = GDSSNetwork(x_network, ScoreNetworkA(features, self.layers, self.width, **self.attention))
        components = {
            "x": Component(self.x_path, Masked(), _prediction(self.x_path)),
            "adj": Component(self.adj_path, SymmetricAdjacency(), _prediction(self.adj_path)),
        }
        return System(components, network)


def _prediction(path: GaussianPath) -> Kind:
    """The networks are the score itself on VE paths, and the noise (score = -network / sigma) on all others."""
    return "score" if isinstance(path, VE) else "noise"
