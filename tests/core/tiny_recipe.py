"""A system small enough for tests of training; one of its weights never takes part in the output."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scorefield.core.paths import VE, VP
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System


class TinyX(nn.Module):
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(features, width), nn.Linear(width, features)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        return self.leave(torch.tanh(self.enter(x) + adj @ self.enter(x)))


class TinyA(nn.Module):
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.query, self.mix = nn.Linear(features, width), nn.Linear(2, 1)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        pairs = torch.tanh(self.query(x) @ self.query(x).transpose(1, 2))
        return self.mix(torch.stack([pairs, adj], -1))[..., 0]


class TinyNetwork(Network):
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.x, self.adj = TinyX(features, width), TinyA(features, width)

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        x, adj = state["x"], state["adj"]
        return {"x": self.x(x, adj), "adj": self.adj(x, adj)}


class Tiny:
    """Recipe of a two-component system.

    Args:
        width: hidden features.
        beta_max: end of the node features' noise schedule.
    """

    def __init__(self, width: int = 8, beta_max: float = 1.0) -> None:
        self.width, self.beta_max = width, beta_max

    def build(self, sizes: Mapping[str, int]) -> System:
        components = {
            "x": Component(VP(0.1, self.beta_max), Masked(), "noise"),
            "adj": Component(VE(0.1, 1.0), SymmetricAdjacency(), "score"),
        }
        return System(components, TinyNetwork(sizes["features"], self.width))


FEATURES, NODES = 3, 6


def tiny_system(seed: int = 0) -> System:
    """The system with reproducible weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Tiny().build({"features": FEATURES, "max_nodes": NODES})


def tiny_batch(count: int, seed: int = 0) -> dict[str, Tensor]:
    """Random graphs of two to six nodes."""
    draw = torch.Generator().manual_seed(seed)
    mask = torch.arange(NODES) < torch.randint(2, NODES + 1, (count, 1), generator=draw)
    kinds = torch.randint(0, FEATURES, (count, NODES), generator=draw)
    upper = torch.randint(0, 2, (count, NODES, NODES), generator=draw).triu(1)
    pairs = mask[:, :, None] & mask[:, None, :]
    return {
        "x": nn.functional.one_hot(kinds, FEATURES) * mask[..., None].float(),
        "adj": (upper + upper.transpose(1, 2)) * pairs.float(),
        "mask": mask,
    }
