"""Where conditional trajectories start from: x_ref, the origin of the diffusion, from the given frames.

The learned prior runs layers over the given frames alone, which give positions y and scalars g (means over features),
and takes for the s-th generated frame the sum of positions

    x_ref_s = sum_p W_ps y_p,    W_ps = g_p c_s (all given frames p but the last),    the last weight: 1 - the others,

with learned c_s. Weights that sum to 1 make x_ref move with rotations, reflections and translations. Fixed priors are
the centre of mass of all nodes and given frames, and each node's last given position.

Source: Han et al. 2024 (arXiv 2410.13027, section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from scorefield.core.errors import InputError
from scorefield.core.state import State
from scorefield.domains.geometry.networks.backbone import Backbone, through
from scorefield.domains.geometry.networks.elements import Frames
from scorefield.domains.geometry.networks.layout import Layout, LayoutMemory
from scorefield.domains.geometry.networks.network import node_features

__all__ = ["FixedPrior", "LearnedPrior", "Prior"]

Prior = Literal["learned", "mean", "last"]


@dataclass(frozen=True)
class _Split:
    """Which frames of each graph are given and which are generated.

    Attributes:
        given: bool `[B, T]`.
        generated: bool `[B, T]`.
        counts: how many are given, `[B]`.
        places: the given frames in order, padded with others, `[B, T_c]`.
        number: of each generated frame among the generated, `[B, T]`; some number elsewhere.
    """

    given: Tensor
    generated: Tensor
    counts: Tensor
    places: Tensor
    number: Tensor

    @classmethod
    def of(cls, state: State) -> _Split:
        given, exist = state.masks.get("given_frames"), state.masks.get("frame_mask")
        if given is None or "given_x" not in state.condition:
            raise InputError(
                "a conditional model without given frames",
                mend="give given_frames and given_x; `scorefield forecast` and `interpolate` read them",
            )
        there = torch.ones_like(given) if exist is None else exist
        given, generated = given & there, ~given & there
        counts = given.sum(1)
        if not bool(given.any(1).all()):
            raise InputError("a trajectory without given frames", mend="give at least one frame of each")
        if not bool(generated.any(1).all()):
            raise InputError("all frames of a trajectory are given", mend="leave at least one to generate")
        places = torch.argsort(~given, dim=1, stable=True)[:, : int(counts.max())]
        return cls(given, generated, counts, places, (generated.cumsum(1) - 1).clamp(min=0))


def _origin(split: _Split, given: Tensor, reference: Tensor) -> Tensor:
    """Given positions on given frames, x_ref on generated ones, 0 elsewhere: `[..., T, D]`."""
    zero = torch.zeros((), dtype=given.dtype, device=given.device)
    return torch.where(
        split.given[:, None, :, None], given, torch.where(split.generated[:, None, :, None], reference, zero)
    )


class FixedPrior(nn.Module):
    """x_ref without parameters.

    Args:
        kind: `mean`: the centre of mass over nodes and given frames; `last`: each node's last given position.
    """

    def __init__(self, kind: Prior = "mean") -> None:
        super().__init__()
        self.kind = kind

    def forward(self, state: State) -> Tensor:
        """The origin `[B, N, T, D]`.

        Raises:
            InputError: no frame of a trajectory is given, or all are.
        """
        split, given = _Split.of(state), state.condition["given_x"].to(state.dtype)
        mask = state.masks.get("mask")
        nodes = torch.ones_like(given[..., 0, 0], dtype=torch.bool) if mask is None else mask
        if self.kind == "last":
            last = (split.given * torch.arange(1, given.shape[2] + 1, device=given.device)).argmax(1)
            reference = given[torch.arange(len(given), device=given.device), :, last][:, :, None]
        else:
            present = (nodes[:, :, None] & split.given[:, None])[..., None].to(given.dtype)
            total = (given * present).sum((1, 2), keepdim=True)
            reference = total / present.sum((1, 2), keepdim=True).clamp(min=1)
        return _origin(split, given, reference) * nodes[:, :, None, None]


class LearnedPrior(nn.Module):
    """The learned x_ref.

    Args:
        backbone: kind of the layers.
        features: node features, F; 0 for none.
        edge_features: E.
        generated: frames that are generated, T_f.
        layers: pairs of a layer over space and one over time.
    """

    def __init__(self, backbone: Backbone, features: int, edge_features: int, generated: int, layers: int = 2) -> None:
        super().__init__()
        self.backbone, self.features, self.edge_features = backbone, features, edge_features
        self.input_linear_ref = nn.Linear(features, backbone.hidden)
        self.s_modules_ref = nn.ModuleList(backbone.spatial(edge_features) for _ in range(layers))
        self.t_modules_ref = nn.ModuleList(backbone.temporal() for _ in range(layers))
        self.ws = nn.Parameter(torch.ones(generated))
        self._layouts = LayoutMemory()

    def forward(self, state: State) -> Tensor:
        """The origin `[B, N, T, D]`.

        Raises:
            InputError: no frame of a trajectory is given, or all are; more are to be generated than there are weights;
                or features that do not fit.
        """
        split, layout = _Split.of(state), self._layouts.of(state)
        if (most := int(split.generated.sum(1).max())) > len(self.ws):
            mend = f"this model generates up to {len(self.ws)}; give more frames"
            raise InputError(f"{most} frames to generate", mend=mend)
        given = state.condition["given_x"].to(state.dtype)
        places = split.places[layout.graph]
        start = _gathered(layout.packed(given), places)
        y, h = self._layers(start, state, split, layout, places)
        last = (split.counts - 1)[layout.graph, None]
        number = torch.arange(places.shape[1], device=places.device)
        share = h[..., : self.backbone.hidden].mean(-1).to(y.dtype) * (number < last)
        weights = self.ws[split.number][layout.graph][:, :, None] * share[:, None]
        weights = weights + (number == last)[:, None] * (1 - weights.sum(-1, keepdim=True))
        with torch.autocast(y.device.type, enabled=False):
            reference = torch.bmm(weights.to(y.dtype), y)
        return _origin(split, given, layout.padded(reference)) * self._exist(state)

    def _layers(self, x: Tensor, state: State, split: _Split, layout: Layout, places: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and features behind the layers, `[n, T_c, ...]`."""
        equal = bool((split.given == split.given[:1]).all())
        number = torch.arange(places.shape[1], device=places.device)
        exist = None if equal else number < split.counts[layout.graph, None]
        frames = Frames.at(places[0] if equal else places, self.backbone.embedding, x.dtype, exist)
        features = node_features(state, layout, self.features, self.edge_features)
        if features is None:
            features = x.new_zeros(len(x), 0)
        if features.ndim == 3:
            features = _gathered(features, places)
        scalars = self.input_linear_ref(features)
        scalars = (scalars[:, None] if scalars.ndim == 2 else scalars).expand(-1, x.shape[1], -1)
        h = self.backbone.begun(scalars, x, frames)
        return through(zip(self.s_modules_ref, self.t_modules_ref, strict=True), x, h, layout, frames)

    @staticmethod
    def _exist(state: State) -> Tensor | float:
        mask = state.masks.get("mask")
        return 1.0 if mask is None else mask[:, :, None, None]


def _gathered(values: Tensor, places: Tensor) -> Tensor:
    """The frames at `places` `[n, T_c]` of values `[n, T, ...]`."""
    return values[torch.arange(len(values), device=values.device)[:, None], places]
