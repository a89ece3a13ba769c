"""Tensors of the original code, brought from flat node batches into padded states, and systems with their weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from scorefield.core.state import State
from scorefield.core.system import System
from scorefield.domains.geometry.geotdm import GeoTDM
from scorefield.domains.geometry.networks.network import TrajectoryNetwork

CONDITIONAL = ("nbody_cond", "cond_fixed_prior", "ped_cond")
CASES = (*CONDITIONAL, "nbody_uncond", "md_uncond")
_REF = ("input_linear_ref.", "s_modules_ref.", "t_modules_ref.", "ws")


@dataclass(frozen=True)
class Case:
    """One stored model and what it did.

    Attributes:
        stored: the tensors by their names in the file.
        settings: the file's metadata, read.
        system: the model of ours with its weights.
        state: the stored samples.
    """

    stored: dict[str, Tensor]
    settings: dict[str, Any]
    system: System
    state: State

    @property
    def conditional(self) -> bool:
        return self.settings["mode"] == "cond"

    @property
    def network(self) -> TrajectoryNetwork:
        assert isinstance(self.system.network, TrajectoryNetwork)
        return self.system.network

    @property
    def generated(self) -> Tensor:
        """Frames that are generated, bool `[T]`."""
        if self.conditional:
            return ~self.stored["in.cond_mask"].bool().flatten()
        return torch.ones(self.state["x"].shape[2], dtype=torch.bool)

    @property
    def nodes(self) -> Tensor:
        """Nodes that exist, bool `[B, N]`."""
        return self.state.masks["mask"]

    def padded(self, flat: Tensor) -> Tensor:
        """`[B, N, ...]` of `[BN, ...]`, zeros where no node is."""
        whole = flat.new_zeros(*self.nodes.shape, *flat.shape[1:])
        whole[self.nodes] = flat
        return whole

    def positions(self, flat: Tensor) -> Tensor:
        """`[B, N, T, D]` of `[BN, D, T]`, or of the generated frames alone, with zeros on the others."""
        value = self.padded(flat.transpose(1, 2))
        whole = value.new_zeros(*value.shape[:2], len(self.generated), value.shape[3])
        whole[:, :, self.generated if value.shape[2] < len(self.generated) else slice(None)] = value
        return whole

    def flat(self, value: Tensor, generated: bool = True) -> Tensor:
        """The inverse of `positions`."""
        rows = value[self.nodes]
        return (rows[:, self.generated] if generated else rows).transpose(1, 2)

    def times(self, index: Tensor) -> Tensor:
        """Times `[B]` of chain indices `[BN]`."""
        first = self.padded(index)[:, 0]
        return (first.to(self.state.dtype) + 1) / self.settings["num_timesteps"]

    def seen(self, flat: Tensor) -> State:
        """The state with these generated positions, as u = x - origin, from where the network sees them."""
        origin = self.system.origins(self.state).get("x", torch.zeros(()))
        return self.state.replace({"x": self.space(self.positions(flat) - origin)})

    def space(self, value: Tensor) -> Tensor:
        """The projection onto the space of positions."""
        return self.system.components["x"].space.project(value, self.state.masks)


def read(shared_dir: Path, name: str, dtype: torch.dtype = torch.float32) -> Case:
    """A stored case."""
    with safe_open(shared_dir / "fixtures" / "geometry_geotdm" / f"{name}.safetensors", "pt") as file:
        stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        settings = {key: _read(value) for key, value in file.metadata().items()}
    stored = {key: value.to(dtype) if value.is_floating_point() else value for key, value in stored.items()}
    sizes = settings["sizes"]
    nodes = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
    case = Case(stored, settings, _system(stored, settings).to(dtype), State({}, {"mask": nodes}))
    x = case.padded(stored["in.x"].transpose(1, 2))
    masks, condition = {"mask": nodes}, {"features": _features(case, stored["in.h"]), **_edges(stored, sizes)}
    if case.conditional:
        given = stored["in.cond_mask"].bool().flatten()
        masks["given_frames"] = given.expand(len(sizes), -1)
        condition["given_x"] = x * given[:, None]
    return Case(stored, settings, case.system, State({"x": x}, masks, condition))


def _read(text: str) -> Any:
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except json.JSONDecodeError:
        return text


def _system(stored: dict[str, Tensor], settings: dict[str, Any]) -> System:
    config = settings["config"]
    recipe = GeoTDM(
        hidden=config["hidden_dim"],
        embedding=config["time_emb_dim"],
        layers=config["n_layers"],
        prior_layers=config["n_layers_ref"],
        prior="learned" if config["learn_ref_frame"] else "mean",
        pre_norm=config["pre_norm"],
        num_steps=settings["num_timesteps"],
        rescale_timesteps=settings["rescale_timesteps"],
    )
    frames, given = stored["in.x"].shape[2], 0
    if settings["mode"] == "cond":
        given = int(stored["in.cond_mask"].sum())
    sizes = {"nodes": max(settings["sizes"]), "frames": frames, "space": stored["in.x"].shape[1], "given": given}
    system = recipe.build({**sizes, "features": config["node_dim"], "edge_features": config["edge_dim"]})
    weights = {key[2:]: value for key, value in stored.items() if key.startswith("w.")}
    system.load_state_dict({place(key): value for key, value in weights.items()})
    return system.eval()


def place(name: str) -> str:
    """Where the system keeps a stored weight."""
    return f"origin_networks.x.{name}" if name.startswith(_REF) else f"network.{name}"


def _features(case: Case, h: Tensor) -> Tensor:
    return case.padded(h.transpose(1, 2) if h.ndim == 3 else h)


def _edges(stored: dict[str, Tensor], sizes: list[int]) -> dict[str, Tensor]:
    """Padded edge lists from flat ones."""
    row, col = stored["in.edge_index"]
    starts = torch.tensor([0, *sizes]).cumsum(0)
    graph = torch.bucketize(row, starts[1:], right=True)
    counts = torch.bincount(graph, minlength=len(sizes))
    there = torch.arange(int(counts.max())) < counts[:, None]
    edges = torch.zeros(*there.shape, 2, dtype=torch.long)
    edges[there] = torch.stack([row, col], 1) - starts[graph, None]
    found = {"edges": edges, "edge_mask": there}
    if "in.edge_attr" in stored:
        features = stored["in.edge_attr"].new_zeros(*there.shape, stored["in.edge_attr"].shape[1])
        features[there] = stored["in.edge_attr"]
        found["edge_features"] = features
    return found
