"""The network of a trajectory diffusion: how far each position moves through layers over space and time.

The network sees all frames at their true places in time, given ones clean, generated ones noisy, with node features,
edges and the diffusion time i, the same on all frames:

    h_0 = W [features; emb(i)] + b,    (x_L, h_L) = layers(x_0, h_0),    output = x_L - x_0.

The output turns with rotations and reflections and knows no translations.

Source: Han et al. 2024 (arXiv 2410.13027, GeoTDM).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorefield.core.errors import InputError
from scorefield.core.state import State
from scorefield.core.system import Network
from scorefield.domains.geometry.networks.backbone import Backbone, through
from scorefield.domains.geometry.networks.elements import Frames, sinusoids
from scorefield.domains.geometry.networks.layout import Layout, LayoutMemory

__all__ = ["TrajectoryNetwork", "node_features"]


class TrajectoryNetwork(Network):
    """The raw output for component `x`.

    Args:
        backbone: kind of the layers.
        features: node features, F; 0 for none.
        edge_features: E.
        num_steps: steps of the diffusion chain; the network is told its index.
        layers: pairs of a layer over space and one over time.
        rescale_timesteps: whether the index is scaled as if the chain had 1000 steps.
        scale: positions are multiplied by it on entry.
    """

    def __init__(
        self,
        backbone: Backbone,
        features: int,
        edge_features: int,
        num_steps: int,
        layers: int = 6,
        rescale_timesteps: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.backbone, self.features, self.edge_features = backbone, features, edge_features
        self.num_steps, self.rescale_timesteps, self.scale = num_steps, rescale_timesteps, scale
        self.input_linear = nn.Linear(features + backbone.embedding, backbone.hidden)
        self.s_modules = nn.ModuleList(backbone.spatial(edge_features) for _ in range(layers))
        self.t_modules = nn.ModuleList(backbone.temporal() for _ in range(layers))
        self._layouts = LayoutMemory()

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        """See `Network.forward`.

        Raises:
            InputError: features or edges that are missing or do not fit.
        """
        layout = self._layouts.of(state)
        frame_mask = state.masks.get("frame_mask")
        exist = None if frame_mask is None else frame_mask[layout.graph]
        x = layout.packed(state["x"])
        places = torch.arange(x.shape[1], device=x.device)
        frames = Frames.at(places, self.backbone.embedding, x.dtype, exist)
        given = node_features(state, layout, self.features, self.edge_features)
        moved, _ = self.layers(x, given, self.index(t).to(x.dtype), layout, frames)
        return {"x": layout.padded(moved - x)}

    def index(self, t: Tensor) -> Tensor:
        """The index, perhaps scaled, that the network sees at times `t`."""
        index = t * self.num_steps - 1
        return index * (1000 / self.num_steps) if self.rescale_timesteps else index

    def layers(
        self, x: Tensor, features: Tensor | None, index: Tensor, layout: Layout, frames: Frames
    ) -> tuple[Tensor, Tensor]:
        """Positions and features behind the last layer.

        Args:
            x: positions of the existing nodes, `[n, T, D]`.
            features: `[n, F]`, or `[n, T, F]`, or None.
            index: of each graph, `[B]`.
            layout: nodes and edges.
            frames: places in time.
        """
        time = functional.linear(
            sinusoids(index, self.backbone.embedding), self.input_linear.weight[:, self.features :]
        )
        scalars = (time + self.input_linear.bias)[layout.graph][:, None]
        if features is not None:
            part = functional.linear(features, self.input_linear.weight[:, : self.features])
            scalars = scalars + (part[:, None] if part.ndim == 2 else part)
        scaled = x * self.scale
        h = self.backbone.begun(scalars.expand(-1, x.shape[1], -1), scaled, frames)
        moved, h = through(zip(self.s_modules, self.t_modules, strict=True), scaled, h, layout, frames)
        return moved / self.scale, h


def node_features(state: State, layout: Layout, features: int, edge_features: int) -> Tensor | None:
    """Features of the existing nodes, `[n, F]` or `[n, T, F]`; None where the network takes none.

    Raises:
        InputError: they, or those of edges, are missing or do not fit.
    """
    found = 0 if layout.features is None else layout.features.shape[-1]
    if found != edge_features:
        raise InputError(f"{found} edge features", mend=f"this network takes {edge_features}")
    given = state.condition.get("features")
    if not features:
        return None
    x = state["x"]
    if given is None or given.shape[-1] != features or given.shape[:-1] not in (x.shape[:2], x.shape[:3]):
        found_shape = "no node features" if given is None else f"node features of shape {tuple(given.shape)}"
        wanted = [*x.shape[:2], features]
        raise InputError(found_shape, mend=f"this network takes {wanted}, or with frames before the features")
    return layout.packed(given).to(x.dtype)
