"""Small random trajectories and models of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scorefield.core.state import State
from scorefield.core.system import System
from scorefield.domains.geometry.geotdm import GeoTDM

NODES, FRAMES, FEATURES, EDGE_FEATURES = 4, 7, 2, 1
BACKBONES: dict[str, dict[str, Any]] = {
    "egtn": {"hidden": 12},
    "egtn, norms": {"hidden": 12, "pre_norm": True},
    "e3nn": {"backbone": "e3nn", "hidden": 8, "vectors": 4, "tensors": 2},
}


def pairs(nodes: int) -> Tensor:
    """All pairs without loops, `[M, 2]`."""
    return torch.tensor([[i, j] for i in range(nodes) for j in range(nodes) if i != j])


def trajectories(
    given: list[int] | None = None, batch: int = 3, space: int = 3, dtype: torch.dtype = torch.float64
) -> State:
    """Random positions, features, edges; with given frames where told so."""
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(batch, NODES, FRAMES, space, generator=draws, dtype=torch.float64)
    edges = pairs(NODES).expand(batch, -1, -1).clone()
    told = {
        "features": torch.randn(batch, NODES, FEATURES, generator=draws, dtype=torch.float64),
        "edge_features": torch.randn(*edges.shape[:2], EDGE_FEATURES, generator=draws, dtype=torch.float64),
    }
    condition = {name: value.to(dtype) for name, value in told.items()} | {"edges": edges}
    state = State({"x": x.to(dtype)}, {}, condition)
    return state if given is None else with_given(state, given)


def with_given(state: State, frames: list[int]) -> State:
    """The state with the frames of these numbers given."""
    given = torch.zeros(len(state), state["x"].shape[2], dtype=torch.bool)
    given[:, frames] = True
    known = state["x"] * given[:, None, :, None]
    return State(state.components, {**state.masks, "given_frames": given}, {**state.condition, "given_x": known})


def system(
    given: int = 0, space: int = 3, dtype: torch.dtype = torch.float64, mild: bool = False, **arguments: Any
) -> System:
    """A model with random weights and biases, which moves positions as far as they are apart; a mild one hardly."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {"embedding": 6, "layers": 2, "prior_layers": 1, "num_steps": 50, **arguments}
    sizes = {"nodes": NODES, "frames": FRAMES, "space": space, "features": FEATURES, "edge_features": EDGE_FEATURES}
    found = GeoTDM(**settings).build({**sizes, "given": given})
    for name, parameter in found.named_parameters():
        if parameter.ndim == 1 and not mild:
            torch.nn.init.normal_(parameter, std=0.3)
        elif not mild and name.endswith(("coord_mlp.actions.2.weight", "x_mlp.actions.2.weight")):
            parameter.data *= 5
    return found.to(dtype).eval()


def moved(state: State, rotation: Tensor, shift: Tensor | float = 0.0) -> State:
    """Positions after a rotation (or reflection) and a shift, given ones too."""
    x = state["x"] @ rotation.T + shift
    found = state.replace({"x": x})
    if "given_x" not in state.condition:
        return found
    known = x * state.masks["given_frames"][:, None, :, None]
    return State(found.components, found.masks, {**found.condition, "given_x": known})
